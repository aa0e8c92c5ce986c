/**
 * `npm test`: installs what the suites need, runs each under the Node and the MikroORM that it is for, and ends with the line
 * `N passed, N failed`. A suite that cannot run is a failure in CI (CI=true), and said loudly elsewhere.
 *
 * `npm test -- test/container` runs the files below a path only, on this Node.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepare } from './services.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const required = process.env.CI === 'true' || process.env.CI === '1';
const matrix7 = join(root, 'test/matrix/mikro-orm-7');
const native6 = join(root, 'test/matrix/mikro-orm-6-native');
const node24 = join(matrix7, 'node_modules/node/bin/node');
const totals = { passed: 0, failed: 0 };
const missing = [];

/** Test files below the given paths. */
function files(...paths) {
  return readdirSync(join(root, 'test'), { recursive: true })
    .map((name) => join('test', name))
    .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules') && paths.some((p) => name.startsWith(p)))
    .sort();
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options }).status === 0;
}

/** Runs one suite by tap and adds its counts. */
function suite(title, names, { node = process.execPath, env = {} } = {}) {
  console.log(`\n# ${title}: ${names.length} files`);
  if (names.length === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const child = spawn(node, ['node_modules/tap/dist/esm/run.mjs', '-R', 'tap', ...names], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let buffered = '';
    let counts;
    const failing = [];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      buffered += text;
      const lines = buffered.split('\n');
      buffered = lines.pop();
      for (const line of lines) {
        const total = /^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?(?:, skip: (\d+))?/.exec(line);
        if (total) counts = { passed: Number(total[2] ?? 0), failed: Number(total[3] ?? 0) };
        if (/^(not )?ok \d+ - test\//.test(line)) console.log(line);
        if (/not ok|SKIP|CANNOT RUN/.test(line)) failing.push(line);
        else if (failing.length > 0 && failing.length < 400 && /^\s+(---|\.\.\.|[-+]|[a-zA-Z_]+:)/.test(line)) failing.push(line);
      }
    });
    child.on('close', (code) => {
      if (failing.length > 0) console.log(failing.join('\n'));
      totals.passed += counts?.passed ?? 0;
      totals.failed += counts?.failed ?? 0;
      // A runner that failed without a failing assertion (a crash, a time-out) counts as one failure.
      if (code !== 0 && !counts?.failed) totals.failed++;
      resolve();
    });
  });
}

/** The suites that run on another server, too. */
async function again(title, { node, env } = {}) {
  for (const other of services.again) await suite(`${title} (${other.name})`, other.files, { node, env: { ...env, ...other.env } });
}

function cannotRun(what, why) {
  missing.push(what);
  console.log(`\n# CANNOT RUN: ${what}: ${why}`);
  if (required) totals.failed++;
}

/** Whether a suite's own packages are there, or could be had. */
function install(folder) {
  if (existsSync(join(folder, 'node_modules/.package-lock.json'))) return true;
  console.log(`# installing ${relative(root, folder)}`);
  const npm = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' });
  return new Promise((resolve) => {
    npm.on('error', () => resolve(false)).on('close', (code) => resolve(code === 0));
  });
}

if (!existsSync(join(root, 'lib/erasure/kernel/kernel-binary.ts')) || !existsSync(join(root, 'dist/index.js'))) {
  if (!run('npm', ['run', 'build'])) process.exit(1);
}
if (!existsSync(join(root, '.tap'))) run(process.execPath, ['node_modules/tap/dist/esm/run.mjs', 'build'], { stdio: 'ignore' });

const wanted = process.argv.slice(2);
const asked = files(...(wanted.length > 0 ? wanted : ['test/']));
const services = await prepare(asked);
for (const { name, why, files } of services.missing) cannotRun(files.length > 0 ? `${files.join(', ')} (${name})` : name, why);
const ready = asked.filter((name) => !services.missing.some(({ files }) => files.includes(name)));
// A libSQL server's database is for MikroORM 7 alone: 6's own driver cannot commit there.
const remote = ready.filter((name) => name.startsWith('test/orm-libsql/'));
const onServers = async () => {
  const env = { ...services.env, DBS_TEST_ORM: '7' };
  await suite('Node 24, MikroORM 7 (libSQL servers)', remote, { node: node24, env });
  // What holds for a file, and is not about files.
  const same = ['definitions', 'extension', 'mask', 'pages', 'random', 'registry', 'restore', 'round-trip'];
  const rows = wanted.length > 0 ? [] : files(...same.map((name) => `test/orm/${name}.test.ts`));
  await suite('Node 24, MikroORM 7 (each database a libSQL server)', rows, { node: node24, env: { ...env, DBS_TEST_DRIVER: 'libsql-server' } });
};
if (wanted.length > 0) {
  await suite('as asked', ready.filter((name) => !remote.includes(name)), { env: services.env });
  await again('as asked');
  if (remote.length > 0) {
    if ((await install(matrix7)) && existsSync(node24)) await onServers();
    else cannotRun(remote.join(', '), 'MikroORM 7 or Node 24 could not be installed (npm ci in test/matrix/mikro-orm-7)');
  }
} else {
  // test/node24 needs a newer one, and so does test/orm-libsql, below.
  const here = ready.filter((name) => !name.startsWith('test/node24/') && !remote.includes(name));
  await suite(`Node ${process.versions.node}, MikroORM 6 (libsql)`, here, { env: services.env });
  await again(`Node ${process.versions.node}, MikroORM 6`);
  const rows = files('test/orm/', 'test/files/');
  const whole = [...rows, ...files('test/app/backup')];
  const installed7 = await install(matrix7);
  // They are compiled meanwhile.
  const installed6 = install(native6);
  if (installed7 && existsSync(node24)) {
    await suite('Node 24, MikroORM 7 (libsql)', whole, { node: node24, env: { DBS_TEST_ORM: '7' } });
    await suite('Node 24, MikroORM 7 (better-sqlite3)', rows, { node: node24, env: { DBS_TEST_ORM: '7', DBS_TEST_DRIVER: 'better-sqlite3' } });
    await suite('Node 24, MikroORM 7 (node:sqlite)', whole, { node: node24, env: { DBS_TEST_ORM: '7', DBS_TEST_DRIVER: 'node:sqlite' } });
    await suite('Node 24, MikroORM 6 (libsql)', files('test/app/backup'), { node: node24 });
    await suite('Node 24, MikroORM 7 (PostgreSQL, MariaDB)', files('test/orm-', 'test/node24/').filter((name) => !name.startsWith('test/orm-libsql/')), { node: node24, env: { DBS_TEST_ORM: '7' } });
    if (remote.length > 0) await onServers();
    await again('Node 24, MikroORM 7', { node: node24, env: { DBS_TEST_ORM: '7' } });
  } else cannotRun('MikroORM 7', 'its packages or Node 24 could not be installed (npm ci in test/matrix/mikro-orm-7)');
  if (await installed6) {
    for (const [driver, names] of [['better-sqlite3', rows], ['sqlite3', whole]]) {
      await suite(`Node ${process.versions.node}, MikroORM 6 (${driver})`, names, { env: { DBS_TEST_DRIVER: driver } });
    }
  } else cannotRun("MikroORM 6's native drivers", 'better-sqlite3 and sqlite3 are compiled here, which needs python3, make and g++');
}
if (missing.length > 0) console.log(`\n# NOT RUN: ${missing.join('; ')}`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
process.exit(totals.failed > 0 ? 1 : 0);
