/**
 * One unattended run, from the lock to the removal of old backups: `runBackup`. Whoever is to know is told how it went, and cannot make a good backup fail.
 */
import { setTimeout } from 'node:timers/promises';
import { Audience, problemOf } from './announce.ts';
import { createBackup } from './backup.ts';
import { parseDuration } from './catalog/duration.ts';
import { DEFAULT_PREFIX, parseName } from './catalog/naming.ts';
import { openDestination } from './destinations.ts';
import { ConfigError, LockError } from './errors.ts';
import { acquireLock, type Lease } from './orm/lock.ts';
import type { OrmLike } from './orm/orm-like.ts';
import { pruneBackups } from './prune.ts';
import { type BackupConfig, ownConfig } from './settings.ts';
import { withEnvironment } from './settings-environment.ts';
import { unattendedSecret } from './settings-secret.ts';
import type { Destination } from './sinks/sink.ts';
import { writeState } from './state.ts';
import type { BackupResult, BackupRun, Problem, SealingSecret, WriteOptions } from './types.ts';

export interface RunOptions extends Pick<WriteOptions, 'signal' | 'onEvent' | 'layout' | 'compression' | 'verify'> {
  /** Default: the key `dbs` of the ORM's configuration. The environment goes before it. */
  config?: BackupConfig | undefined;
  /** Default: `passphraseFile` and `recipients` of the settings, `$DBS_PASSPHRASE_FILE`, `$DBS_PASSPHRASE`, `$DBS_RECIPIENTS`. */
  secret?: SealingSecret | (() => SealingSecret | Promise<SealingSecret>) | undefined;
  /** Default `process.env`. */
  env?: NodeJS.ProcessEnv | undefined;
  /** Of a schedule: the moment that this run is for. A backup that another instance made for it since is enough. */
  due?: Date | undefined;
}

const STOPPED: Problem = { code: 'ERR_INTERRUPTED', message: 'The run was stopped. Nothing of it was kept.' };

/** @throws ConfigError of the settings */
export function settingsOf(orm: OrmLike | OrmLike[], { config, env = process.env }: RunOptions): BackupConfig {
  return withEnvironment(config ?? ownConfig(orm) ?? {}, env);
}

/**
 * Makes a backup at all destinations of the settings, removes old ones by the settings' retention where it is good, tells hooks, webhook and ping, and keeps the outcome
 * for `dbs health`. All under the lock, so that no two instances of an app do it at once.
 *
 * @returns what happened; `ok` is false where some destinations have the backup and others do not; `null` where `due` was served by another instance
 * @throws LockError ERR_BACKUP_LOCKED (nobody is told), ERR_LOCK_LOST; what `createBackup` throws where no destination has the backup; BackupError ERR_HOOK_BEFORE; the
 *   signal's reason, at once and without telling anybody. Nothing incomplete is under a final name then.
 * @example
 * const run = await runBackup(orm);
 * if (!run?.ok) console.error(run?.problem?.message);
 */
export async function runBackup(orm: OrmLike | OrmLike[], options: RunOptions = {}): Promise<BackupRun | null> {
  const settings = settingsOf(orm, options);
  const { signal } = options;
  if (!settings.destinations?.length)
    throw new ConfigError(
      'ERR_CONFIG_NO_DESTINATIONS',
      'The settings name no destinations for unattended backups. Set destinations, or $DBS_DESTINATIONS.',
    );
  const lease = await lockOf(orm, settings, signal);
  const run = new Run(orm, settings, lease, options);
  try {
    return await run.go();
  } finally {
    await lease?.release();
  }
}

/** The lock that the settings ask for; `null` where they want none. @throws as `acquireLock` */
export async function lockOf(
  orm: OrmLike | OrmLike[],
  { lock }: BackupConfig,
  signal?: AbortSignal,
): Promise<Lease | null> {
  if (lock === false) return null;
  const lease = parseDuration(lock?.lease);
  const wait = parseDuration(lock?.wait);
  return acquireLock(orm, {
    signal,
    ...(lock?.name === undefined ? {} : { name: lock.name }),
    ...(lease === null ? {} : { lease }),
    ...(wait === null ? {} : { wait }),
  });
}

class Run {
  readonly #orm: OrmLike | OrmLike[];
  readonly #settings: BackupConfig;
  readonly #lease: Lease | null;
  readonly #options: RunOptions;
  readonly #started = new Date();
  readonly #clock = performance.now();
  readonly #warnings: Problem[] = [];
  readonly #audience: Audience;
  /** Of the caller, and of the lock. */
  readonly #signal: AbortSignal | undefined;
  #destinations: Destination[] = [];

  constructor(orm: OrmLike | OrmLike[], settings: BackupConfig, lease: Lease | null, options: RunOptions) {
    this.#orm = orm;
    this.#settings = settings;
    this.#lease = lease;
    this.#options = options;
    const signals = [options.signal, lease?.signal].filter((signal) => signal !== undefined);
    this.#signal = signals.length ? AbortSignal.any(signals) : undefined;
    this.#audience = new Audience(settings, options.env ?? process.env, options.signal, this.#warn);
  }

  readonly #warn = (problem: Problem): void => {
    this.#warnings.push(problem);
    this.#options.onEvent?.({ type: 'warning', ...problem });
  };

  get #prefix(): string {
    return this.#settings.prefix ?? DEFAULT_PREFIX;
  }

  async go(): Promise<BackupRun | null> {
    let run: BackupRun;
    let error: unknown;
    try {
      for (const one of this.#settings.destinations!)
        this.#destinations.push(await openDestination(one, this.#settings));
      if (await this.#served()) return null;
      const names = this.#destinations.map(({ name }) => name);
      await this.#audience.before(this.#started.toISOString(), names);
      const result = await this.#backup();
      run = this.#outcome(result, await this.#prune(result));
    } catch (thrown) {
      error = this.#lease?.signal.aborted && !this.#options.signal?.aborted ? this.#lease.signal.reason : thrown;
      run = this.#outcome(null, [], this.#options.signal?.aborted ? STOPPED : problemOf(error));
    } finally {
      await this.#close();
    }
    // Whoever comes next need not wait for a web server.
    await this.#lease?.release();
    await this.#keep(run);
    // What was aborted from outside is to end now.
    if (error !== undefined && this.#options.signal?.aborted) throw error;
    await this.#audience.after(run);
    // Once more, where somebody could not be told.
    if (run.warnings.length < this.#warnings.length) {
      run = { ...run, warnings: [...this.#warnings] };
      await this.#keep(run);
    }
    this.#options.onEvent?.(run);
    if (error !== undefined) throw error;
    return run;
  }

  /** Whether another instance has made the backup that is due. */
  async #served(): Promise<boolean> {
    const { due } = this.#options;
    if (!due || !this.#lease) return false;
    for (const destination of this.#destinations) {
      if (!(await newerThan(destination, this.#prefix, due).catch(() => false))) return false;
    }
    return true;
  }

  async #backup(): Promise<BackupResult> {
    const { secret, env = process.env, onEvent, layout, compression, verify } = this.#options;
    const key = typeof secret === 'function' ? await secret() : secret;
    return createBackup(this.#orm, key ?? (await unattendedSecret(this.#settings, env)), {
      config: this.#settings,
      outputs: this.#destinations,
      prefix: this.#prefix,
      ...(layout ? { layout } : {}),
      ...(compression ? { compression } : {}),
      ...(verify === undefined ? {} : { verify }),
      ...(onEvent ? { onEvent } : {}),
      ...(this.#signal ? { signal: this.#signal } : {}),
      ...(this.#lease ? { confirm: () => confirmed(this.#lease!) } : {}),
    });
  }

  /** Old backups, where the new one is. */
  async #prune({ name, outputs }: BackupResult): Promise<BackupRun['removed']> {
    const { retention } = this.#settings;
    const { onEvent } = this.#options;
    if (!retention || !name) return [];
    const removed: BackupRun['removed'] = [];
    for (const [i, destination] of this.#destinations.entries()) {
      if (!outputs[i]?.ok) continue;
      let problem: Problem | null;
      try {
        if (this.#lease) await confirmed(this.#lease);
        const { files } = await pruneBackups(destination, {
          rules: retention,
          prefix: this.#prefix,
          ...(onEvent ? { onEvent } : {}),
          ...(this.#signal ? { signal: this.#signal } : {}),
        });
        const names = files.filter((file) => file.removed).map((file) => file.name);
        if (names.length) removed.push({ destination: destination.name, names });
        problem = files.find((file) => file.problem)?.problem ?? null;
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        problem = problemOf(error);
      }
      // The backup is there: that old ones are, too, is no reason to call it failed.
      if (problem) {
        const { code, message } = problem;
        this.#warn({
          code: 'WARN_RETENTION',
          message: `Old backups were not removed at ${destination.name}: ${message} (${code})`,
        });
      }
    }
    return removed;
  }

  #outcome(result: BackupResult | null, removed: BackupRun['removed'], problem: Problem | null = null): BackupRun {
    const ended = new Date();
    const failed = result?.outputs.find(({ ok }) => !ok)?.problem ?? problem;
    return {
      type: 'run',
      ok: result !== null && failed === null,
      startedAt: this.#started.toISOString(),
      endedAt: ended.toISOString(),
      milliseconds: Math.round(performance.now() - this.#clock),
      name: result?.name ?? null,
      destinations: this.#destinations.map(({ name }, i) => {
        const output = result?.outputs[i];
        return { name, ok: output?.ok ?? false, verified: output?.verified ?? false, problem: output?.problem ?? null };
      }),
      rows: result?.rows ?? 0,
      files: result?.files ?? { count: 0, bytes: 0 },
      bytes: result?.bytes ?? 0,
      skipped: result?.skipped.length ?? 0,
      removed,
      warnings: [...this.#warnings],
      problem: failed,
    };
  }

  async #keep(run: BackupRun): Promise<void> {
    const { name, endedAt } = run;
    const verified = run.destinations.find((one) => one.ok && one.verified);
    try {
      await writeState(this.#settings, {
        lastRun: run,
        ...(run.ok ? { lastSuccess: { name, endedAt } } : {}),
        ...(verified && name
          ? { lastValidation: { at: endedAt, destination: verified.name, name, ok: true, problem: null } }
          : {}),
      });
    } catch (error) {
      const reason = (error as NodeJS.ErrnoException).code ?? problemOf(error).message;
      if (!this.#warnings.some(({ code }) => code === 'WARN_STATE'))
        this.#warn({
          code: 'WARN_STATE',
          message: `The outcome could not be kept for \`dbs health\` (${reason}). Set stateFile to a path that can be written, or to false.`,
        });
    }
  }

  async #close(): Promise<void> {
    const opened = this.#destinations;
    // An object of the app's own is the app's to close.
    const given = new Set(this.#settings.destinations);
    for (const destination of opened) if (!given.has(destination)) await destination.close();
  }
}

async function newerThan(destination: Destination, prefix: string, due: Date): Promise<boolean> {
  for await (const { name } of destination.list()) {
    const time = parseName(name, prefix)?.time.getTime();
    // Names have whole seconds.
    if (time !== undefined && time + 1000 > due.getTime()) return true;
  }
  return false;
}

/** Waits for a database that is out of reach for a moment: the lease ends before long, one way or the other. @throws LockError ERR_LOCK_LOST */
async function confirmed(lease: Lease): Promise<void> {
  for (;;) {
    try {
      return await lease.confirm();
    } catch {
      lease.signal.throwIfAborted();
      await setTimeout(1000);
    }
  }
}

/** Whether the reason is that another instance is at work: in a fleet, nothing to worry about. */
export function isLocked(error: unknown): boolean {
  return error instanceof LockError && error.code === 'ERR_BACKUP_LOCKED';
}
