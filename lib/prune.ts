/** `pruneBackups`: removes what no rule keeps. The one function that deletes backups: see what it never touches. */
import { DEFAULT_PREFIX, parseName } from './catalog/naming.ts';
import { checkRules, keepNewestValid, type RetentionRules, retain, type Verdict } from './catalog/retention.ts';
import { type DestinationSettings, openDestination } from './destinations.ts';
import { BackupError, ConfigError, DamageError, SinkError } from './errors.ts';
import type { BackupEvent } from './events.ts';
import type { Destination, UnfinishedFile } from './sinks/sink.ts';
import { checkStored } from './stored.ts';
import type { Problem } from './types.ts';

export interface PruneOptions {
  rules: RetentionRules;
  /** Only backups of this prefix are touched. Default `backup`. */
  prefix?: string;
  /** More names that stay; one that is not there is an error, as a pin that was mistyped protects nothing. */
  pins?: string[];
  /** Say what would be done, and do nothing. */
  dryRun?: boolean;
  settings?: DestinationSettings;
  signal?: AbortSignal;
  onEvent?: (event: BackupEvent) => void;
}

/** What became of one backup. */
export interface PrunedBackup {
  name: string;
  /** ISO 8601. */
  time: string;
  bytes: number;
  /** What stays, and why: `last 1`, `daily 2026-11-25`, `pinned`, `newest valid`. */
  keep: boolean;
  reasons: string[];
  /** It is gone: never with `dryRun`. */
  removed: boolean;
  /** Why it could not be removed. */
  problem: Problem | null;
}

/** What a run that was cut off left behind. */
export interface Leftover {
  name: string;
  started: string;
  removed: boolean;
  problem: Problem | null;
}

export interface PruneResult {
  type: 'prune';
  destination: string;
  prefix: string;
  dryRun: boolean;
  /** Newest first. */
  files: PrunedBackup[];
  leftovers: Leftover[];
  removed: number;
  /** Of what was removed. */
  freedBytes: number;
  /** Everything that should go is gone. */
  ok: boolean;
}

/** Uploads that may still be under way are left alone. */
const LEFTOVER_AGE = 24 * 3_600_000;

/**
 * Removes the backups of one prefix that no rule keeps, and what unfinished runs of that prefix left a day ago or earlier.
 *
 * Never touched: files whose name is not of this prefix and pattern; pins; the newest backup that is whole, which is looked for before anything is removed. Where none
 * is whole, nothing is removed. One that cannot be removed (an object lock, say) is in the result, and the others go on.
 * @throws ConfigError ERR_CATALOG_NO_RULES, ERR_CATALOG_RULE, ERR_CATALOG_UNKNOWN_PIN and those of the URL; DamageError ERR_DAMAGE_NONE_VALID; SourceError
 */
export async function pruneBackups(target: string | Destination, options: PruneOptions): Promise<PruneResult> {
  const { prefix = DEFAULT_PREFIX, dryRun = false, signal } = options;
  checkRules(options.rules);
  const destination = await openDestination(target, options.settings);
  try {
    const sizes = new Map<string, number>();
    for await (const { name, size } of destination.list()) sizes.set(name, size);
    const rules = { ...options.rules, pins: [...(options.rules.pins ?? []), ...(options.pins ?? [])] };
    warnOfPins(options, sizes);
    let verdicts = retain(sizes.keys(), prefix, rules);
    if (verdicts.some(({ keep }) => !keep))
      verdicts = keepNewestValid(verdicts, await newestValid(destination, verdicts, options));
    const files: PrunedBackup[] = [];
    for (const { name, time, keep, reasons } of verdicts) {
      signal?.throwIfAborted();
      const problem = keep || dryRun ? null : await attempt(name, () => destination.remove(name));
      const facts = { name, time: time.toISOString(), bytes: sizes.get(name)!, keep, reasons };
      files.push({ ...facts, removed: !keep && !dryRun && !problem, problem });
    }
    const leftovers = await sweep(destination, prefix, dryRun, signal);
    const gone = files.filter(({ removed }) => removed);
    return {
      type: 'prune',
      destination: destination.name,
      prefix,
      dryRun,
      files,
      leftovers,
      removed: gone.length,
      freedBytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
      ok: [...files, ...leftovers].every(({ problem }) => problem === null),
    };
  } finally {
    if (destination !== target) await destination.close();
  }
}

function warnOfPins({ rules, pins = [], onEvent }: PruneOptions, there: Map<string, number>): void {
  const unknown = pins.find((name) => !there.has(name));
  if (unknown !== undefined) {
    throw new ConfigError(
      'ERR_CATALOG_UNKNOWN_PIN',
      `There is no ${unknown} to be pinned. Nothing was removed: check the name, as \`dbs list\` shows it.`,
      { facts: { name: unknown } },
    );
  }
  for (const name of rules.pins ?? []) {
    if (there.has(name)) continue;
    const message = `The settings pin ${name}, and there is no such file. Take it out of retention.pins, or correct it.`;
    onEvent?.({ type: 'warning', code: 'WARN_PIN', message });
  }
}

/** The newest backup that is whole, as far as a quick look without the key tells. */
async function newestValid(
  destination: Destination,
  verdicts: Verdict[],
  { signal, onEvent }: PruneOptions,
): Promise<string> {
  for (const { name } of verdicts) {
    const { ok, problem } = await checkStored(destination, name, signal);
    if (ok) return name;
    const message = `${name} is damaged, and does not count as the newest one: ${problem!.message}`;
    onEvent?.({ type: 'warning', code: 'WARN_NOT_VALID', message });
  }
  throw new DamageError(
    'ERR_DAMAGE_NONE_VALID',
    `Not one of the ${verdicts.length} backups at ${destination.name} is whole, so none was removed. Run \`dbs validate\` on the newest, and make a new one.`,
    { blocks: [] },
  );
}

async function sweep(
  destination: Destination,
  prefix: string,
  dryRun: boolean,
  signal?: AbortSignal,
): Promise<Leftover[]> {
  const before = Date.now() - LEFTOVER_AGE;
  const old: UnfinishedFile[] = [];
  for await (const file of destination.unfinished?.() ?? []) {
    signal?.throwIfAborted();
    if (parseName(file.name, prefix) && file.started.getTime() < before) old.push(file);
  }
  const leftovers: Leftover[] = [];
  for (const file of old) {
    const problem = dryRun ? null : await attempt(file.name, () => file.remove());
    const { name, started } = file;
    leftovers.push({ name, started: started.toISOString(), removed: !dryRun && !problem, problem });
  }
  return leftovers;
}

async function attempt(name: string, work: () => Promise<void>): Promise<Problem | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const { code, message } =
      error instanceof BackupError ? error : new SinkError('ERR_SINK_REMOVE', `${name} could not be removed.`);
    return { code, message };
  }
}
