/** The NestJS example: its types, and the app itself, from its first backup to SIGTERM. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { validateBackup } from '../../lib/index.ts';
import { root } from '../docs/support.ts';

const example = join(root, 'examples/nestjs');
/** tap puts its own loader into NODE_OPTIONS of what is spawned, which breaks the compiler: hence `env -u` below. */
const clean = { ...process.env, NODE_OPTIONS: '' };

function installed(): string | null {
  if (!existsSync(join(example, 'node_modules/.package-lock.json'))) {
    const { status, stderr } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: example,
      env: clean,
      encoding: 'utf8',
    });
    if (status !== 0) return `npm ci in examples/nestjs failed: ${stderr}`;
  }
  const link = join(example, 'node_modules/mikro-orm-dbs');
  if (!existsSync(link)) symlinkSync(root, link);
  return null;
}

const why = installed();
if (why !== null) {
  if (process.env.CI) t.fail(`CANNOT RUN: ${why}`);
  else t.pass(`CANNOT RUN: ${why}`, { skip: `CANNOT RUN: ${why}` });
} else {
  t.test('its types', async (t) => {
    const { status, stdout, stderr } = spawnSync(
      'env',
      [
        '-u',
        'NODE_OPTIONS',
        process.execPath,
        join(root, 'node_modules/typescript/bin/tsc'),
        '-p',
        join(example, 'tsconfig.json'),
      ],
      {
        env: clean,
        encoding: 'utf8',
      },
    );
    t.equal(status, 0, `${stdout}${stderr}`);
  });

  t.test('the app', { timeout: 180_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'dbs-nestjs-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const backups = join(folder, 'backups');
    mkdirSync(backups);
    writeFileSync(join(folder, 'passphrase'), 'correct horse\n');
    const child = spawn(process.execPath, ['--import=tsx', '--no-warnings', 'main.ts'], {
      cwd: example,
      env: {
        ...clean,
        APP_DB: join(folder, 'app.sqlite'),
        DBS_DESTINATIONS: backups,
        DBS_PASSPHRASE_FILE: join(folder, 'passphrase'),
        DBS_SCHEDULE: 'every 2s',
        DBS_STATE_FILE: join(folder, 'state.json'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    child.stderr.on('data', (chunk) => (said += chunk));
    const ended = new Promise<[number | null, string | null]>((done) =>
      child.once('exit', (code, signal) => done([code, signal])),
    );
    t.teardown(() => child.kill('SIGKILL'));
    const whole = () => readdirSync(backups).filter((name) => name.endsWith('.dbs'));
    while (whole().length === 0 && child.exitCode === null) await setTimeout(50);
    t.match(said, /ready/);
    const [name] = whole();
    t.match(name, /^notes-.*\.dbs$/, said);
    t.match(await validateBackup(join(backups, name!), 'correct horse'), { ok: true, authentic: true });
    child.kill('SIGTERM');
    const [code, signal] = await ended;
    // Nest ends itself by the signal that it got.
    t.ok(code === 0 || signal === 'SIGTERM', `SIGTERM ends it: ${code} ${signal} ${said}`);
    t.same(
      readdirSync(backups).filter((one) => !one.endsWith('.dbs')),
      [],
      'and nothing half-written is left',
    );
  });
}
