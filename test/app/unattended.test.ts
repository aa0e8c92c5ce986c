/** Unattended backups of a real app: runs, their audience, schedules, health, doctor. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Clock } from '../../lib/catalog/timetable.ts';
import {
  acquireLock,
  type BackupConfig,
  type BackupEvent,
  type BackupRun,
  type Check,
  checkHealth,
  diagnose,
  FileDestination,
  MemoryDestination,
  makeName,
  newKeyPair,
  parsePublicKey,
  type QueueLike,
  runBackup,
  scheduleBackups,
  verifyWebhook,
} from '../../lib/index.ts';
import { locate } from '../../lib/orm/drivers/sqlite-open.ts';
import { readState } from '../../lib/state.ts';
import { core, openOrm, scratch, type TestOrm } from '../support/orm.ts';
import { exec } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const Note = new EntitySchema({
  name: 'Note',
  properties: { id: { type: 'integer', primary: true }, text: { type: 'text' } },
});

const { recipient } = newKeyPair();
const secret = { recipients: [parsePublicKey(recipient)] };
const PASSPHRASE = 'correct horse';
const SECRET = 'webhook secret of the test';

interface Call {
  url: string;
  body: string;
  signature: string | undefined;
}
let calls: Call[] = [];
let status = 200;
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  calls.push({ url: request.url!, body, signature: request.headers['dbs-signature'] as string | undefined });
  response.writeHead(status).end();
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
t.teardown(() => {
  server.closeAllConnections();
  server.close();
});
t.beforeEach(() => {
  calls = [];
  status = 200;
});

let count = 0;
const folder = (): string => {
  const path = join(scratch, `unattended-${++count}`);
  mkdirSync(path);
  return path;
};

async function app(t: Test, more: Record<string, unknown> = {}): Promise<TestOrm> {
  const orm = await openOrm([Note], more);
  t.teardown(() => orm.close(true));
  await exec(orm, "INSERT INTO note VALUES (1, 'one'), (2, 'two')");
  return orm;
}

const settings = (more: BackupConfig = {}): BackupConfig & { stateFile: string } =>
  ({
    prefix: 'app',
    stateFile: join(folder(), 'state.json'),
    webhook: { url: `${url}/hook`, retries: 0 },
    ping: { url: `${url}/ping`, retries: 0 },
    ...more,
    destinations: more.destinations ?? [],
  }) as BackupConfig & { stateFile: string };

const env = { DBS_WEBHOOK_SECRET: SECRET };
const failing = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error('It did not fail.');
};
const urls = () => calls.map((call) => call.url).sort();
const names = async (destination: FileDestination | MemoryDestination) => {
  const found: string[] = [];
  for await (const { name } of destination.list()) found.push(name);
  return found.sort();
};

t.test('a good run', async (t) => {
  const orm = await app(t);
  const [here, there] = [folder(), new MemoryDestination()];
  const old = ['app-20200101-000000Z.dbs', 'app-20200102-000000Z.dbs', 'other-20200101-000000Z.dbs', 'app.txt'];
  for (const name of old) writeFileSync(join(here, name), 'old');
  const heard: string[] = [];
  const config = settings({
    destinations: [here, there],
    retention: { keepLast: 2, pins: ['app-20200101-000000Z.dbs'] },
    hooks: {
      before: ({ destinations }) => void heard.push(`before ${destinations.length}`),
      after: async (run) => void heard.push(`after ${run.ok} ${run.name}`),
      failed: () => void heard.push('failed'),
    },
  });
  const events: BackupEvent[] = [];
  const run = (await runBackup(orm, { config, secret, env, onEvent: (event) => events.push(event) }))!;
  t.match(run, { type: 'run', ok: true, rows: 2, skipped: 0, warnings: [], problem: null });
  t.match(run.destinations, [
    { name: here, ok: true, verified: true, problem: null },
    { name: 'memory:', ok: true, verified: true, problem: null },
  ]);
  t.same(await names(there), [run.name]);
  t.same(
    readdirSync(here).sort(),
    ['app-20200101-000000Z.dbs', 'app-20200102-000000Z.dbs', run.name!, 'app.txt', 'other-20200101-000000Z.dbs'].sort(),
    'two are kept, one is pinned',
  );
  t.same(run.removed, [], 'nothing had to go');
  t.same(heard, ['before 2', `after true ${run.name}`]);
  t.same(urls(), ['/hook', '/ping', '/ping/start']);
  const hook = calls.find((call) => call.url === '/hook')!;
  t.same(JSON.parse(hook.body), run, 'the webhook has what the function returned');
  t.equal(verifyWebhook(hook.body, hook.signature, SECRET), true);
  t.same(events.at(-1), run);
  const state = await readState(config);
  t.same(state.lastRun, run);
  t.match(state, { lastSuccess: { name: run.name }, lastValidation: { ok: true, name: run.name, destination: here } });
  t.equal(statSync(config.stateFile).mode & 0o777, 0o600);
  t.same(readdirSync(join(config.stateFile, '..')), ['state.json'], 'and nothing beside it');

  await setTimeout(1000);
  const second = (await runBackup(orm, { config, secret, env }))!;
  t.same(
    second.removed,
    [{ destination: here, names: ['app-20200102-000000Z.dbs'] }],
    'retention removes the oldest unpinned',
  );
});

t.test('who is told cannot spoil it', async (t) => {
  const orm = await app(t);
  status = 500;
  const here = folder();
  const config = settings({
    destinations: [here],
    retention: { keepLast: 0 },
    hooks: {
      after: () => {
        throw new Error('no after');
      },
    },
    stateFile: join(here, 'none', 'state.json'),
  });
  const run = (await runBackup(orm, { config, secret, env }))!;
  t.equal(run.ok, true);
  t.same(run.warnings.map(({ code }) => code).sort(), [
    'WARN_HOOK',
    'WARN_PING',
    'WARN_PING',
    'WARN_RETENTION',
    'WARN_STATE',
    'WARN_WEBHOOK',
  ]);
  t.notMatch(JSON.stringify(run.warnings), /\/hook|\/ping/, 'without the URLs, which may be secrets');
  t.equal((await names(new FileDestination(here))).length, 1);
});

t.test('what stops it', async (t) => {
  const orm = await app(t);
  const here = folder();
  const heard: BackupRun[] = [];
  const failed = (run: BackupRun) => void heard.push(run);
  const stop = { before: () => Promise.reject(new Error('maintenance')), failed };
  const config = settings({ destinations: [here], hooks: stop });
  t.match(await failing(runBackup(orm, { config, secret, env })), {
    code: 'ERR_HOOK_BEFORE',
    message: /maintenance\./,
  });
  t.match(heard, [{ ok: false, name: null, problem: { code: 'ERR_HOOK_BEFORE' } }]);
  t.same(urls(), ['/hook', '/ping/fail']);
  t.match((await readState(config)).lastRun, { ok: false });
  t.equal((await readState(config)).lastSuccess, null);
  const wrong: [BackupConfig, string][] = [
    [{ destinations: [] }, 'ERR_CONFIG_NO_DESTINATIONS'],
    [{ destinations: ['nonsense://x/'] }, 'ERR_DESTINATION_SCHEME'],
    [{ destinations: [join(here, 'none')] }, 'ERR_SINK_NOT_FOUND'],
    [{ destinations: [here], passphraseFile: join(here, 'none') }, 'ERR_KEY_PASSPHRASE_FILE'],
    [{ destinations: [here] }, 'ERR_KEY_NO_PASSPHRASE'],
  ];
  for (const [more, code] of wrong) {
    const given = code.startsWith('ERR_KEY') ? {} : { secret };
    t.match(await failing(runBackup(orm, { config: settings(more), env, ...given })), { code }, code);
  }
  writeFileSync(join(here, 'empty'), '\n');
  const empty = { ...settings({ destinations: [here], passphraseFile: join(here, 'empty') }) };
  t.match(await failing(runBackup(orm, { config: empty, env })), { code: 'ERR_KEY_EMPTY_PASSPHRASE' });
  rmSync(join(here, 'empty'));
  t.same(readdirSync(here), [], 'nothing is left of any of them');
  const given = settings({ destinations: [here], passphraseFile: join(here, 'none') });
  t.equal(
    (await runBackup(orm, { config: given, env: { ...env, DBS_PASSPHRASE: PASSPHRASE } }))!.ok,
    true,
    'the environment goes first',
  );
});

t.test('one destination of two fails', async (t) => {
  const orm = await app(t);
  const here = folder();
  const heard: BackupRun[] = [];
  const config = settings({
    destinations: [join(here, 'none'), here],
    hooks: { failed: (run) => void heard.push(run) },
  });
  const run = (await runBackup(orm, { config, secret, env }))!;
  t.match(run, { ok: false, problem: { code: 'ERR_SINK_NOT_FOUND' } });
  t.match(run.destinations, [
    { ok: false, problem: { code: 'ERR_SINK_NOT_FOUND' } },
    { ok: true, problem: null },
  ]);
  t.equal(heard.length, 1, 'that is a failure');
  t.same(readdirSync(here), [run.name], 'and the other has it');
});

t.test('the lock', async (t) => {
  const orm = await app(t);
  const here = folder();
  const heard: string[] = [];
  const hooks = { before: () => void heard.push('before'), failed: () => void heard.push('failed') };
  const config = settings({ destinations: [here], hooks });
  const other = await acquireLock(orm, { lease: 60_000 });
  t.match(await failing(runBackup(orm, { config, secret, env })), { code: 'ERR_BACKUP_LOCKED' });
  t.same([heard, calls, existsSync(config.stateFile)], [[], [], false], 'nobody is told');
  t.equal((await runBackup(orm, { config: { ...config, lock: { name: 'mine' } }, secret, env }))!.ok, true);
  t.equal((await runBackup(orm, { config: { ...config, lock: false }, secret, env }))!.ok, true);
  setTimeout(300).then(() => other.release());
  t.equal((await runBackup(orm, { config: { ...config, lock: { wait: '1m' } }, secret, env }))!.ok, true, 'waited for');
  const made = readdirSync(here).length;
  heard.length = 0;
  const steal = async () => {
    const db = await (await locate(orm)).openBeside!('.dbs-lock');
    await db.exec(
      "UPDATE dbs_lock SET owner = 'thief', fence = fence + 1, expires_at = expires_at + 60000 WHERE name = 'backup'",
    );
    await db.close();
  };
  const stolen = { ...config, hooks: { ...hooks, before: steal } };
  t.match(await failing(runBackup(orm, { config: stolen, secret, env })), { code: 'ERR_LOCK_LOST' });
  t.equal(readdirSync(here).length, made, 'whoever lost the lock publishes nothing');
  t.same(heard, ['failed']);
});

t.test('an abort', async (t) => {
  const orm = await app(t);
  const here = folder();
  const stop = new AbortController();
  const heard: string[] = [];
  const config = settings({
    destinations: [here],
    hooks: { before: () => stop.abort(new Error('SIGTERM')), failed: () => void heard.push('failed') },
  });
  t.match(await failing(runBackup(orm, { config, secret, env, signal: stop.signal })), { message: 'SIGTERM' });
  t.same([readdirSync(here), heard, calls], [[], [], []], 'nothing stays, and nobody is waited for');
  t.match((await readState(config)).lastRun, { ok: false, problem: { code: 'ERR_INTERRUPTED' } });
  await (await acquireLock(orm)).release();
  t.pass('the lock was given back');
});

/** Stands still until a test lets it run. */
class HandClock implements Clock {
  time = Date.parse('2030-01-01T00:00:00Z');
  #wake: (() => void) | undefined;
  now(): number {
    return this.time;
  }
  sleep(_milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((done, fail) => {
      this.#wake = done;
      signal.addEventListener('abort', () => fail(signal.reason), { once: true });
    });
  }
  async go(milliseconds: number): Promise<void> {
    while (!this.#wake) await setTimeout(5);
    const wake = this.#wake;
    this.#wake = undefined;
    this.time += milliseconds;
    wake();
  }
}

const HOUR = 3_600_000;
const until = async (holds: () => boolean) => {
  while (!holds()) await setTimeout(10);
};

t.test('a schedule', async (t) => {
  const orm = await app(t);
  const here = folder();
  let broken = true;
  const config = settings({
    destinations: [here],
    schedule: { every: '1h' },
    hooks: {
      before: () => {
        if (broken) throw new Error('not yet');
      },
    },
  });
  const clock = new HandClock();
  const errors: string[] = [];
  const events: BackupEvent[] = [];
  const schedule = scheduleBackups(orm, {
    config,
    secret,
    env,
    clock,
    onError: (error) => errors.push((error as { code: string }).code),
    onEvent: (event) => events.push(event),
  });
  await until(() => schedule.next !== null);
  t.equal(schedule.next!.toISOString(), '2030-01-01T01:00:00.000Z');
  await clock.go(HOUR);
  await until(() => errors.length > 0);
  t.same(errors, ['ERR_HOOK_BEFORE'], 'a run that fails is told');
  broken = false;
  await clock.go(HOUR);
  await until(() => schedule.last !== null);
  t.equal(schedule.last!.ok, true, 'and does not end it');
  // The file's name has the real time, which is before 2030: nobody has served the next moment.
  const other = await acquireLock(orm);
  await clock.go(HOUR);
  await until(() => events.some(({ type }) => type === 'run-skipped'));
  t.equal(errors.length, 1, 'a lock that another instance has is no failure');
  await other.release();
  writeFileSync(join(here, makeName('app', new Date('2030-01-01T04:00:00Z'))), '');
  await clock.go(HOUR);
  await until(() => events.filter(({ type }) => type === 'run-skipped').length === 2);
  t.pass('what another instance has made for this moment is not made again');
  await schedule.stop();
  await schedule.stop();
  t.match(events[0], { type: 'waiting', schedule: 'every 1h', next: '2030-01-01T01:00:00.000Z' });
  for (const [more, code] of [
    [{ schedule: undefined }, 'ERR_CONFIG_SCHEDULE'],
    [{ destinations: [] }, 'ERR_CONFIG_NO_DESTINATIONS'],
  ] as [object, string][])
    t.throws(() => scheduleBackups(orm, { config: { ...config, ...more } as BackupConfig, env }), { code });
});

t.test('a schedule that is stopped in the middle of a run', async (t) => {
  const orm = await app(t);
  const here = folder();
  let reached: () => void = () => {};
  const begun = new Promise<void>((done) => (reached = done));
  const config = settings({
    destinations: [here],
    schedule: { every: '1h', runAtStart: true },
    hooks: {
      before: async () => {
        reached();
        await setTimeout(200);
      },
    },
  });
  const errors: unknown[] = [];
  const schedule = scheduleBackups(orm, { config, secret, env, onError: (error) => errors.push(error) });
  await begun;
  t.equal(schedule.running, true);
  await schedule.stop();
  t.same([readdirSync(here), errors, schedule.running], [[], [], false], 'at once, and nothing is left');
  const patient = scheduleBackups(orm, { config, secret, env });
  await until(() => patient.running);
  await patient.stop({ finish: true });
  t.equal(patient.last?.ok, true, 'or when the run is done');
  t.equal(readdirSync(here).length, 1);
});

t.test('a queue decides when', async (t) => {
  const orm = await app(t);
  const here = folder();
  const config = settings({ destinations: [here], schedule: { cron: '0 3 * * *', timezone: 'UTC' } });
  const said: unknown[] = [];
  let handler: (jobs: unknown) => Promise<unknown> = async () => {};
  const queue: QueueLike = {
    createQueue: async (name) => said.push(['create', name]),
    schedule: async (name, cron, data, options) => said.push(['schedule', name, cron, data, options]),
    work: async (name, handle) => {
      said.push(['work', name]);
      handler = handle;
    },
    offWork: async (name) => said.push(['off', name]),
  };
  const schedule = scheduleBackups(orm, { config, secret, env, queue });
  await until(() => said.length === 3);
  await handler([{ id: '1' }]);
  t.equal(schedule.last?.ok, true);
  await schedule.stop();
  t.same(said, [
    ['create', 'dbs-backup'],
    ['work', 'dbs-backup'],
    ['schedule', 'dbs-backup', '0 3 * * *', null, { tz: 'UTC' }],
    ['off', 'dbs-backup'],
  ]);
  const errors: unknown[] = [];
  const interval = scheduleBackups(orm, {
    config: { ...config, schedule: { every: '1h' } },
    secret,
    env,
    queue,
    onError: (error) => errors.push(error),
  });
  await interval.done;
  t.match(errors, [{ code: 'ERR_CONFIG_SCHEDULE' }], 'by cron expressions only');
});

t.test('health', async (t) => {
  const orm = await app(t);
  const here = folder();
  const config = settings({ destinations: [here], schedule: { every: '6h' } });
  const codes = (report: Awaited<ReturnType<typeof checkHealth>>) =>
    [...report.problems, ...report.destinations.flatMap(({ problems }) => problems)].map(({ code }) => code);
  t.same(codes(await checkHealth(config)), ['WARN_HEALTH_NO_BACKUP']);
  const run = (await runBackup(orm, { config, secret, env }))!;
  const good = await checkHealth(config, { validate: true });
  t.match(good, {
    type: 'health',
    ok: true,
    maxAgeSeconds: 13 * 3600,
    destinations: [{ name: here, ok: true, backups: 1, newest: { name: run.name, bytes: run.bytes } }],
    lastRun: { ok: true, name: run.name },
    lastValidation: { ok: true, name: run.name },
    problems: [],
  });
  t.ok(good.destinations[0]!.freeBytes! > 0);
  const later = new Date(Date.now() + 14 * HOUR);
  t.same(codes(await checkHealth(config, { now: later })), ['WARN_HEALTH_AGE']);
  t.same(codes(await checkHealth(config, { now: later, maxAge: '1d' })), []);
  t.same(codes(await checkHealth(config, { minFree: Number.MAX_SAFE_INTEGER })), ['WARN_HEALTH_SPACE']);
  await t.rejects(checkHealth(config, { maxAge: 'long' }), { code: 'ERR_CONFIG_INVALID_OPTION' });
  await t.rejects(checkHealth({}), { code: 'ERR_CONFIG_NO_DESTINATIONS' });
  t.same(codes(await checkHealth({ ...config, destinations: ['nonsense://x/', here] })), ['ERR_DESTINATION_SCHEME']);
  const bad = { ...config, hooks: { before: () => Promise.reject(new Error('no')) } };
  await failing(runBackup(orm, { config: bad, secret, env }));
  t.same(codes(await checkHealth(config)), ['WARN_HEALTH_LAST_RUN']);
  await setTimeout(1000);
  const again = (await runBackup(orm, { config, secret, env }))!;
  writeFileSync(join(here, again.name!), readFileSync(join(here, again.name!)).subarray(0, 5000));
  const broken = await checkHealth(config, { validate: true });
  t.equal(broken.ok, false, 'a backup that was cut');
  t.equal(broken.lastValidation?.ok, false);
  t.ok(codes(await checkHealth(config)).includes('WARN_HEALTH_VALIDATION'), 'and that is remembered');
  writeFileSync(config.stateFile, '{ not JSON');
  t.same(codes(await checkHealth(config)), [], 'a state file that is no state file counts as none');
});

async function doctor(orm: TestOrm, config: BackupConfig, env: NodeJS.ProcessEnv): Promise<Map<string, Check>> {
  const checks = new Map<string, Check>();
  for await (const check of diagnose(orm, config, { env })) checks.set(check.name, check);
  return checks;
}

t.test('the doctor', async (t) => {
  const orm = await app(t);
  const here = folder();
  writeFileSync(join(here, 'pass'), PASSPHRASE);
  const config = settings({ destinations: [here], schedule: { every: '6h' }, passphraseFile: join(here, 'pass') });
  const first = await doctor(orm, config, env);
  const newest = `newest backup at ${here}`;
  t.same(
    [...first].map(([name, { status }]) => [name, status]),
    [
      ['versions', 'ok'],
      ['environment', 'ok'],
      ['database', 'ok'],
      ['restore', 'ok'],
      ['lock', 'ok'],
      ['keys', 'ok'],
      [`destination ${here}`, 'ok'],
      [newest, 'warning'],
      ['schedule', 'ok'],
      ['last run', 'warning'],
      ['webhook', 'ok'],
    ],
  );
  t.same(readdirSync(here), ['pass'], 'the probe is gone');
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  await runBackup(orm, { config, env, secret: { passphrases: [PASSPHRASE], kdf } });
  const second = await doctor(orm, config, env);
  t.same(
    [...second.values()].filter(({ status }) => status !== 'ok'),
    [],
    'all is well',
  );
  t.match(second.get(newest)!.message, /opens with the key/);
  t.match(second.get('database')!.message, /^SQLite .*: 1 tables/);
  writeFileSync(join(here, 'pass'), 'another');
  const ill = await doctor(
    orm,
    { ...config, destinations: [here, join(here, 'none')], lock: false, webhook: url },
    { DBS_DESTINATION: 'x' },
  );
  t.match(ill.get(newest), { status: 'failed', message: /does not open/ });
  t.match(ill.get(`destination ${join(here, 'none')}`), { status: 'failed', message: /ERR_SINK_NOT_FOUND/ });
  t.match(ill.get('environment'), { status: 'warning', todo: /DBS_DESTINATIONS/ });
  t.match(ill.get('lock'), { status: 'warning' });
  t.match(ill.get('webhook'), { status: 'warning' });
  t.notMatch(JSON.stringify([...ill]), new RegExp(`${PASSPHRASE}|another"`), 'no secret is told');
  const { passphraseFile: _file, ...keyless } = config;
  t.match((await doctor(orm, { ...keyless, recipients: [recipient] }, env)).get(newest), {
    status: 'ok',
    message: /not tried/,
  });
  t.match((await doctor(orm, { ...keyless, destinations: [] }, env)).get('keys'), {
    status: 'failed',
    message: /ERR_KEY_NO_PASSPHRASE/,
  });
  await exec(orm, 'DROP TABLE note');
  const tableless = await doctor(orm, config, env);
  t.match(tableless.get('database'), { status: 'failed', message: /ERR_SOURCE_MISSING_TABLE/ });
  t.equal(tableless.has('restore'), false);
});
