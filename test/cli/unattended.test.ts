/** `dbs schedule`, `health` and `doctor`: their options by fakes, and the program itself on a real app. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import type { CliContext } from '../../lib/cli/context.ts';
import { Interrupted } from '../../lib/cli/exit-codes.ts';
import type { Library } from '../../lib/cli/library.ts';
import { SinkError } from '../../lib/errors.ts';
import { acquireLock } from '../../lib/index.ts';
import { core, openOrm } from '../support/orm.ts';
import { dbs, fakeWorld, jsonLines, major, makeApp, runFake, scratch } from './support.ts';

type Options = Record<string, unknown>;
const RUN = {
  type: 'run',
  ok: true,
  startedAt: '2026-01-01T03:00:00.000Z',
  endedAt: '2026-01-01T03:00:02.000Z',
  milliseconds: 2000,
  name: 'shop-20260101-030000Z.dbs',
  destinations: [{ name: 's3://b/', ok: true, verified: true, problem: null }],
  rows: 12,
  files: { count: 1, bytes: 5 },
  bytes: 4096,
  skipped: 0,
  removed: [{ destination: 's3://b/', names: ['a'] }],
  warnings: [],
  problem: null,
};

/** A library whose runs end with `run`, or throw it. */
function fake(run: unknown, more: Options = {}): { calls: Options[]; changes: Partial<CliContext> } {
  const calls: Options[] = [];
  const runBackup = async (_orms: unknown, options: Options) => {
    calls.push(options);
    if (run instanceof Error) throw run;
    (options.onEvent as (event: unknown) => void)(run);
    return run;
  };
  const library = {
    runBackup,
    withEnvironment: (config: object, env: NodeJS.ProcessEnv) => ({
      ...config,
      ...(env.DBS_PREFIX ? { prefix: env.DBS_PREFIX } : {}),
    }),
    derivePassphrase: async (derived: string) => ({ derived }),
    scheduleFromText: (text: string) => ({ cron: text }),
    ...more,
  } as unknown as Library;
  const backupConfig = { destinations: ['/mnt'], passphraseFile: '/run/pass', prefix: 'own' };
  const loadApp = async () => ({ orms: [], backupConfig, close: async () => {} });
  return { calls, changes: { library: async () => library, loadApp } };
}

t.test('schedule --once', async (t) => {
  const { calls, changes } = fake(RUN);
  const good = await runFake(['schedule', '--once', '--to', 'x/', '--to', 's3://b/', '--prefix', 'shop'], {
    ...changes,
    env: { DBS_PREFIX: 'env', DBS_DESTINATIONS: 'env' },
  });
  t.equal(good.code, 0, good.err);
  t.match(calls[0], { config: { destinations: ['x/', 's3://b/'], prefix: 'shop' }, secret: undefined });
  t.same((calls[0]!.env as Options).DBS_DESTINATIONS, undefined, 'options go before the environment');
  t.equal(
    good.out,
    '2026-01-01T03:00:02.000Z backed up 12 rows and 1 file as shop-20260101-030000Z.dbs (4.00 KiB) to s3://b/ in 2.0 s; 1 old removed\n',
  );
  t.match(jsonLines((await runFake(['schedule', '--once', '--json'], changes)).out), [RUN]);
  await runFake(['schedule', '--once'], { ...changes, env: { DBS_PASSPHRASE: 'open sesame' } });
  t.same(
    calls.at(-1)!.secret,
    { passphrases: [{ derived: 'open sesame' }], kdf: {} },
    "the environment's key goes before the settings'",
  );
  t.equal((await runFake(['schedule', '--once'], fake({ ...RUN, skipped: 1 }).changes)).code, 3);
  const problem = { code: 'ERR_SINK_FULL', message: 'Full.' };
  const two = [...RUN.destinations, { name: '/mnt', ok: false, verified: false, problem }];
  const partly = await runFake(['schedule', '--once'], fake({ ...RUN, ok: false, destinations: two, problem }).changes);
  t.match(partly, { code: 7, out: /PARTLY backed up .*; NOT to \/mnt: Full\./ });
  const failed = await runFake(['schedule', '--once', '--json'], fake(new SinkError('ERR_SINK_FULL', 'Full.')).changes);
  t.equal(failed.code, 1);
  t.match(jsonLines(failed.out), [{ type: 'error', code: 'ERR_SINK_FULL' }]);
  for (const argv of [
    ['--once', '--at', '6h'],
    ['--timezone', 'UTC'],
    ['--once', '--timezone', 'UTC'],
  ])
    t.match(await runFake(['schedule', ...argv], changes), { code: 2, err: /ERR_CLI_USAGE/ }, argv.join(' '));
});

t.test('schedule until a signal', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 0],
    ['SIGINT', 130],
  ] as const) {
    const world = fakeWorld();
    let stopped = 0;
    const scheduleBackups = (_orms: unknown, options: { signal: AbortSignal; onError: (error: unknown) => void }) => {
      options.onError(new SinkError('ERR_SINK_FULL', 'Full.'));
      const done = new Promise<void>((ended) => options.signal.addEventListener('abort', () => ended()));
      world.abort.abort(new Interrupted(signal));
      return { done, stop: async () => void stopped++ };
    };
    const { changes } = fake(RUN, { scheduleBackups });
    const ended = await runFake(['schedule', '--at', '6h'], { ...changes, signal: world.signal });
    t.match(ended, { code, err: /Full\.\n {2}\(ERR_SINK_FULL\)/ }, signal);
    t.equal(stopped, 1, 'when all is quiet');
  }
});

t.test('health and doctor', async (t) => {
  const report = {
    type: 'health',
    ok: false,
    at: RUN.endedAt,
    maxAgeSeconds: 3600,
    destinations: [
      {
        name: '/mnt',
        ok: false,
        backups: 2,
        newest: { name: 'a.dbs', time: RUN.endedAt, ageSeconds: 7200, bytes: 4096 },
        freeBytes: 1024,
        problems: [{ code: 'WARN_HEALTH_AGE', message: 'Too old.' }],
      },
    ],
    lastRun: { ok: true, endedAt: RUN.endedAt, name: 'a.dbs', problem: null },
    lastSuccess: null,
    lastValidation: { at: RUN.endedAt, destination: '/mnt', name: 'a.dbs', ok: true, problem: null },
    problems: [],
  };
  let asked: Options = {};
  const checkHealth = (_settings: unknown, options: Options) => {
    asked = options;
    return report;
  };
  const ill = await runFake(
    ['health', '--max-age', '1h', '--min-free', '5GiB', '--validate'],
    fake(RUN, { checkHealth }).changes,
  );
  t.equal(ill.code, 20);
  t.match(asked, { maxAge: '1h', minFree: 5 * 1024 ** 3, validate: true });
  t.match(
    ill.out,
    /UNHEALTHY\.\n {2}FAILED \/mnt: 2 backups, newest a\.dbs, 2 h 00 min old.*1\.00 KiB free\n.*Too old\. \(WARN_HEALTH_AGE\)/,
  );
  const well = { ...report, ok: true };
  const json = await runFake(['health', '--json'], fake(RUN, { checkHealth: () => well }).changes);
  t.equal(json.code, 0);
  t.match(jsonLines(json.out), [well]);
  t.match(await runFake(['health', '--min-free', 'much'], fake(RUN).changes), { code: 2, err: /5GiB/ });

  const checks = [
    { type: 'check', name: 'keys', status: 'ok', message: 'fine', todo: null },
    { type: 'check', name: 'lock', status: 'warning', message: 'off', todo: 'Switch it on.' },
  ];
  const diagnose = async function* () {
    yield* checks;
  };
  const fine = await runFake(['doctor'], fake(RUN, { diagnose }).changes);
  t.match(fine, {
    code: 0,
    out: /ok {7}keys: fine\nwarning {2}lock: off\n {10}Switch it on\.\n2 checks fine, 1 warning, 0 failed\n$/,
  });
  checks.push({ type: 'check', name: 'database', status: 'failed', message: 'gone', todo: 'Start it.' });
  const sick = await runFake(['doctor', '--json'], fake(RUN, { diagnose }).changes);
  t.equal(sick.code, 20);
  t.match(jsonLines(sick.out).at(-1), { type: 'doctor', ok: false, fine: 2, warnings: 1, failed: 1 });
});

t.test('the program itself', async (t) => {
  const app = await makeApp();
  const there = join(scratch, 'unattended');
  mkdirSync(there);
  const env = { DBS_PASSPHRASE: 'correct horse', DBS_DESTINATIONS: there, DBS_PREFIX: 'shop' };
  const backups = () => readdirSync(there).filter((name) => name.endsWith('.dbs'));

  const before = await dbs(['health', '--json'], { cwd: app, env });
  t.match([before.code, jsonLines(before.out)], [20, [{ type: 'health', ok: false }]], 'no backup yet');
  const one = await dbs(['schedule', '--once', '--json', '--no-progress'], { cwd: app, env });
  t.equal(one.code, 0, one.err);
  const run = jsonLines(one.out).at(-1)!;
  t.match(run, { type: 'run', ok: true, rows: 21, files: { count: 4 } });
  t.same(backups(), [run.name]);
  t.notMatch(one.out + one.err + readFileSync(join(app, '.dbs-state.json'), 'utf8'), 'correct horse');
  t.match(await dbs(['health', '--validate'], { cwd: app, env }), { code: 0, out: /^Healthy\./ });
  const doctor = await dbs(['doctor', '--json'], { cwd: app, env });
  t.equal(doctor.code, 0, doctor.out);
  const opens = jsonLines(doctor.out).find(({ name }) => name === `newest backup at ${there}`);
  t.match(opens, { status: 'ok', message: /opens with the key/ });
  t.match(await dbs(['doctor', '--config', 'none.js'], { cwd: app, env }), {
    code: 20,
    out: /FAILED {3}configuration: .*ERR_CONFIG_NOT_FOUND/s,
  });
  t.equal(existsSync(join(app, 'shop.db.dbs-lock')), true);

  if (major === '6') {
    const Shop = new core.EntitySchema({
      name: 'Shop',
      properties: { id: { type: 'integer', primary: true } },
    } as never);
    const orm = await openOrm([Shop], { file: join(app, 'shop.db'), schema: false });
    const held = await acquireLock(orm, { lease: 600_000 });
    t.match(
      await dbs(['schedule', '--once'], { cwd: app, env }),
      { code: 11, err: /ERR_BACKUP_LOCKED/ },
      'another instance is at it',
    );
    await held.release();
    await orm.close(true);
  }

  // A service: SIGTERM in the middle of a run, as soon as something is being written.
  rmSync(there, { recursive: true });
  mkdirSync(there);
  const cheap = ['--kdf-memory', '8', '--kdf-iterations', '1', '--kdf-parallelism', '1', '--json', '--no-progress'];
  const service = await dbs(['schedule', '--at', 'every 1s', ...cheap], {
    cwd: app,
    env,
    during: async (child) => {
      while (!readdirSync(there).some((name) => name.endsWith('.part'))) {
        if (child.exitCode !== null) return;
        await setTimeout(2);
      }
      child.kill('SIGTERM');
    },
  });
  t.equal(service.code, 0, service.err);
  t.match(jsonLines(service.out)[0], { type: 'waiting', schedule: 'every 1s' });
  t.same(
    readdirSync(there).filter((name) => !name.endsWith('.dbs')),
    [],
    'nothing half-written is left',
  );
  const made = backups().length;
  const failing = await dbs(['schedule', '--at', '1s', '--to', join(there, 'none'), ...cheap], {
    cwd: app,
    env,
    during: async (child) => {
      let text = '';
      child.stdout!.on('data', (chunk) => (text += chunk));
      while (text.split('"type":"error"').length < 3 && child.exitCode === null) await setTimeout(10);
      child.kill('SIGTERM');
    },
  });
  t.equal(failing.code, 0, 'runs that fail do not end it');
  const errors = jsonLines(failing.out).filter(({ type }) => type === 'error');
  t.ok(errors.length >= 2);
  t.match(errors[0], { code: 'ERR_SINK_NOT_FOUND', exitCode: 10 });
  t.equal(backups().length, made);
});
