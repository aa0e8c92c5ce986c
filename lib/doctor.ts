/** Looks at everything that a backup and a restore will need, before they need it: `diagnose`. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { problemOf } from './announce.ts';
import { DEFAULT_PREFIX } from './catalog/naming.ts';
import { parseSchedule } from './catalog/schedule.ts';
import { openDestination } from './destinations.ts';
import { WrongPassphraseError } from './errors.ts';
import type { BackupSchema } from './format/items.ts';
import { newestOf } from './health.ts';
import { acquireLock } from './orm/lock.ts';
import { type OrmLike, ormMajor } from './orm/orm-like.ts';
import { missingForRestore } from './orm/restore-rights.ts';
import { createRowSource } from './orm/row-source.ts';
import { type BackupConfig, registryOf } from './settings.ts';
import { unknownVariables } from './settings-environment.ts';
import { unattendedOpening, unattendedSecret } from './settings-secret.ts';
import type { Destination } from './sinks/sink.ts';
import { openKeys, withReader } from './sources.ts';
import { readState, statePath } from './state.ts';
import { formatBytes } from './summary.ts';
import type { OpeningSecret } from './types.ts';
import { VERSION } from './version.ts';

/** One thing that was looked at. */
export interface Check {
  type: 'check';
  /** `database`, `destination s3://backups/shop/`, `keys`, ... */
  name: string;
  status: 'ok' | 'warning' | 'failed';
  message: string;
  /** What to do; `null` where all is well. */
  todo: string | null;
}

export interface DiagnoseOptions {
  env?: NodeJS.ProcessEnv;
  /** What opens the backups, where it is not in the settings. */
  opening?: OpeningSecret | undefined;
  signal?: AbortSignal | undefined;
}

type Finding = Omit<Check, 'type' | 'name'>;

const ok = (message: string): Finding => ({ status: 'ok', message, todo: null });
const warning = (message: string, todo: string): Finding => ({ status: 'warning', message, todo });
const failed = (message: string, todo: string): Finding => ({ status: 'failed', message, todo });

/**
 * One check after another, each as soon as it is known. Writes one row of the lock's table and one probe file at each destination, which is removed again; nothing
 * else is changed.
 *
 * @param settings with the environment in them (`withEnvironment`)
 * @throws the signal's reason only
 */
export async function* diagnose(
  orm: OrmLike | OrmLike[],
  settings: BackupConfig,
  options: DiagnoseOptions = {},
): AsyncGenerator<Check> {
  const { env = process.env, signal } = options;
  const orms = [orm].flat();
  const check = async (name: string, look: () => Finding | Promise<Finding>): Promise<Check> => {
    signal?.throwIfAborted();
    try {
      return { type: 'check', name, ...(await look()) };
    } catch (error) {
      signal?.throwIfAborted();
      const { message, code } = problemOf(error);
      return { type: 'check', name, ...failed(`${message} (${code})`, 'Do what the message says.') };
    }
  };
  yield check('versions', () => versions(orms));
  yield check('environment', () => environment(settings, env));
  let schema: BackupSchema | undefined;
  yield check('database', async () => {
    schema = await readable(orms, settings, signal);
    return ok(`${schema.server}: ${schema.tables.length} tables can be read`);
  });
  if (schema) {
    const { tables } = schema;
    yield check('restore', () => restorable(orms, tables));
  }
  yield check('lock', () => lockable(orms, settings, signal));
  yield check('keys', async () => {
    const { passphrases = [], recipients = [] } = await unattendedSecret(settings, env);
    const parts = [
      ...(passphrases.length ? ['a passphrase'] : []),
      ...(recipients.length ? [`${recipients.length} recipients`] : []),
    ];
    return ok(`backups are sealed for ${parts.join(' and ')}`);
  });
  if (!settings.destinations?.length)
    yield check('destinations', () =>
      failed('The settings name no destinations for unattended backups.', 'Set destinations, or $DBS_DESTINATIONS.'),
    );
  for (const target of settings.destinations ?? []) {
    const name = typeof target === 'string' ? target : target.name;
    yield check(`destination ${name}`, () => reachable(target, settings));
    yield check(`newest backup at ${name}`, () => openable(target, settings, env, options.opening));
  }
  yield check('schedule', () => {
    if (!settings.schedule)
      return warning('No schedule is set.', 'Set schedule, or $DBS_SCHEDULE, or make backups by a cron of your own.');
    const schedule = parseSchedule(settings.schedule);
    return ok(`${schedule.text}: next at ${schedule.next(new Date())?.toISOString()}`);
  });
  yield check('last run', () => lastRun(settings));
  if (settings.webhook) yield check('webhook', () => signing(settings, env));
}

function versions(orms: OrmLike[]): Finding {
  const major = orms[0] ? `MikroORM ${ormMajor(orms[0])}` : 'no MikroORM';
  const text = `mikro-orm-dbs ${VERSION}, ${major}, Node.js ${process.versions.node}`;
  const [node = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return node > 20 || (node === 20 && minor >= 19) ? ok(text) : failed(text, 'Update Node.js to 20.19 or later.');
}

function environment(settings: BackupConfig, env: NodeJS.ProcessEnv): Finding {
  const named = JSON.stringify([settings.sshTargets, settings.webhook]).match(/DBS_[A-Z0-9_]+/g) ?? [];
  const unknown = unknownVariables(env, named);
  if (!unknown.length) return ok('every DBS_ variable is known');
  const [{ name, near }] = unknown as [{ name: string; near: string }];
  return warning(
    `Nobody reads ${unknown.map((one) => one.name).join(', ')}.`,
    `Did you mean ${near} by ${name}? Correct or remove it.`,
  );
}

/** As far as a backup goes before it reads the first row: every right to read is looked at by then. */
async function readable(orms: OrmLike[], settings: BackupConfig, signal?: AbortSignal): Promise<BackupSchema> {
  const source = createRowSource(orms, { registry: registryOf(settings), ...(signal ? { signal } : {}) });
  // A stream that is left early ends with an error of its own, which is nobody's.
  source.on('error', () => {});
  let schema: BackupSchema | undefined;
  for await (const item of source) {
    if (item.type !== 'schema') continue;
    schema = item.schema;
    break;
  }
  if (!source.closed) await new Promise<void>((closed) => source.once('close', () => closed()));
  return schema!;
}

async function restorable(orms: OrmLike[], tables: BackupSchema['tables']): Promise<Finding> {
  const missing = await missingForRestore(orms[0]!, tables);
  if (!missing.length) return ok('this user may restore');
  const shown = missing.slice(0, 5).join(', ') + (missing.length > 5 ? ` and ${missing.length - 5} more` : '');
  return warning(
    `This user may back up, and not restore: it lacks ${shown}.`,
    'Restore as a user who may, or grant it.',
  );
}

async function lockable(orms: OrmLike[], { lock }: BackupConfig, signal?: AbortSignal): Promise<Finding> {
  if (lock === false)
    return warning(
      'Nothing keeps two instances from backing up at once.',
      'Fine for one instance. Else take lock: false out of the settings.',
    );
  const lease = await acquireLock(orms, { name: 'doctor', lease: 10_000, signal });
  await lease.release();
  return ok('the lock among instances can be taken and given back');
}

async function reachable(target: string | Destination, settings: BackupConfig): Promise<Finding> {
  return withDestination(target, settings, async (destination) => {
    const { newest, count } = await newestOf(destination, settings.prefix ?? DEFAULT_PREFIX);
    await probe(destination);
    const free = (await destination.freeSpace?.()) ?? null;
    const text = `can be listed, written and cleaned; ${count} backups${free === null ? '' : `, ${formatBytes(free)} free`}`;
    if (newest && free !== null && free < 3 * newest.bytes)
      return warning(
        `${text}: room for ${Math.floor(free / newest.bytes)} more like the newest.`,
        'Make room, or keep fewer by retention.',
      );
    return ok(text);
  });
}

/** A real file, from its first byte to its removal. */
async function probe(destination: Destination): Promise<void> {
  const name = `dbs-doctor-${randomBytes(6).toString('hex')}.tmp`;
  const writer = await destination.sink(name).create();
  try {
    const written = once(writer.stream, 'finish');
    writer.stream.end(Buffer.from('A probe of dbs doctor. It may be removed.\n'));
    await written;
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await destination.remove(name);
}

async function openable(
  target: string | Destination,
  settings: BackupConfig,
  env: NodeJS.ProcessEnv,
  given: OpeningSecret | undefined,
): Promise<Finding> {
  return withDestination(target, settings, async (destination) => {
    const { newest } = await newestOf(destination, settings.prefix ?? DEFAULT_PREFIX);
    if (!newest) return warning('There is no backup yet.', 'Make one: dbs schedule --once.');
    const opening = given ?? (await unattendedOpening(settings, env));
    if (!opening)
      return ok(
        `${newest.name}: no key to open it is known here, so that was not tried. Try it where the key is: dbs validate --identity`,
      );
    try {
      await withReader(await destination.open(newest.name), {}, (reader) => openKeys(reader, opening));
    } catch (error) {
      if (!(error instanceof WrongPassphraseError)) throw error;
      return failed(
        `${newest.name} does not open with the passphrase of the settings.`,
        'Find the passphrase that it was made with, and make a new backup now.',
      );
    }
    return ok(`${newest.name} opens with the key that is known here`);
  });
}

async function lastRun(settings: BackupConfig): Promise<Finding> {
  if (statePath(settings) === null) return ok('stateFile is false: outcomes are not kept here');
  const { lastRun } = await readState(settings);
  if (!lastRun) return warning('No run is known on this machine.', 'Make one: dbs schedule --once.');
  if (lastRun.ok) return ok(`good, at ${lastRun.endedAt}`);
  return warning(
    `failed at ${lastRun.endedAt}: ${lastRun.problem?.message} (${lastRun.problem?.code})`,
    'Do what the message says.',
  );
}

function signing({ webhook }: BackupConfig, env: NodeJS.ProcessEnv): Finding {
  const name = (typeof webhook === 'object' && webhook.secretEnv) || 'DBS_WEBHOOK_SECRET';
  if (env[name]) return ok(`signed with $${name}`);
  return warning(
    'The webhook is not signed: its receiver cannot tell who calls.',
    `Set $${name} here and at the receiver.`,
  );
}

async function withDestination<T>(
  target: string | Destination,
  settings: BackupConfig,
  work: (destination: Destination) => Promise<T>,
): Promise<T> {
  const destination = await openDestination(target, settings);
  try {
    return await work(destination);
  } finally {
    if (destination !== target) await destination.close();
  }
}
