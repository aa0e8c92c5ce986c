/**
 * The servers that suites need. `prepare` looks at which suites are asked for, installs what they need (in CI, or with DBS_TEST_INSTALL=1, where there is
 * apt-get and the user is root), starts what one run shares, and gives the environment that says where it is. Suites that run `again` on another server
 * are given an environment of their own.
 *
 * A suite whose server cannot be had is named in `missing`: the caller says so loudly.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const CEPH = path('services/ceph-rgw.sh');
const MYSQL = path('services/mysql-sid.sh');
const POSTGRESQL = path('services/postgresql-sid.sh');
const SQLD = path('services/sqld.sh');
/** Where MySQL, PostgreSQL and sqld are unpacked: git ignores it, and `npm ci` empties it. */
const CACHE = path('../node_modules/.cache/mikro-orm-dbs');
// Servers lie where an ordinary user's PATH does not look.
const PATH = [process.env.PATH, '/usr/sbin', '/sbin'].join(delimiter);

const SERVICES = [
  {
    name: 'an S3 server (Ceph)',
    files: /^test\/(sinks\/s3|[^/]+\/[^/]*s3[^/]*\.test)/,
    commands: ['radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'monmaptool', 'curl'],
    packages: ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph-common', 'curl'],
    given: () => process.env.S3_ENDPOINT !== undefined,
    start: startCeph,
  },
  {
    // Its tests start their own.
    name: 'OpenSSH',
    files: /^test\/[^/]+\/[^/]*(sftp|ssh)[^/]*\.test/,
    commands: ['sshd', 'ssh', 'ssh-keygen', 'sftp'],
    packages: ['openssh-server', 'openssh-client'],
  },
  {
    name: 'a browser (Chromium)',
    files: /^test\/[^/]+\/[^/]*browser[^/]*\.test/,
    commands: ['chromium'],
    packages: ['chromium'],
    given: () => process.env.DBS_TEST_CHROMIUM !== undefined,
  },
  {
    // Its tests start their own: this is where the program is.
    name: 'a libSQL server (sqld)',
    files: /^test\/orm-libsql\//,
    commands: ['npm', 'tar'],
    packages: ['npm', 'tar'],
    given: () => process.env.DBS_TEST_SQLD !== undefined,
    start: fetchSqld,
  },
  {
    // Beside MariaDB, which the machine has.
    name: 'MySQL 9',
    again: true,
    files: /^test\/orm-(mysql|cross)\//,
    commands: ['apt-get', 'dpkg-deb'],
    packages: ['apt', 'dpkg'],
    given: () => process.env.DBS_TEST_MYSQL === 'mysql',
    start: startMysql,
  },
  {
    // Beside the older one, which the machine has.
    name: 'PostgreSQL 18',
    again: true,
    files: /^test\/orm-(postgresql|cross)\//,
    commands: ['apt-get', 'dpkg-deb', 'chroot'],
    packages: ['apt', 'dpkg', 'coreutils'],
    start: () => startSid('PostgreSQL', POSTGRESQL, 'postgresql-sid'),
  },
];

/** @returns the environment for the tests; the files that cannot run, and why; those that run again; and `stop`, which never throws */
export async function prepare(files) {
  const prepared = { env: {}, missing: [], again: [], stop: () => {} };
  const wanted = SERVICES.filter((service) => files.some((name) => service.files.test(name)) && !service.given?.());
  const stops = [];
  prepared.stop = () => {
    for (const stop of stops.splice(0)) stop();
  };
  process.on('exit', prepared.stop);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
  install(wanted);
  for (const { name, again, files: needs, commands, packages, start } of wanted) {
    const mine = files.filter((file) => needs.test(file));
    const absent = commands.filter((command) => !isThere(command));
    let why = absent.length > 0 ? `${absent.join(', ')} not found (apt-get install ${packages.join(' ')})` : undefined;
    if (!why && start) {
      const started = await start();
      stops.push(started.stop);
      if (started.why) why = started.why;
      else if (again) prepared.again.push({ name, files: mine, env: started.env });
      else Object.assign(prepared.env, started.env);
    }
    if (why) prepared.missing.push({ name, why, files: again ? [] : mine });
  }
  return prepared;
}

function isThere(command) {
  return spawnSync('sh', ['-c', `command -v ${command}`], { env: { ...process.env, PATH } }).status === 0;
}

function mayInstall() {
  return process.env.CI === 'true' || process.env.CI === '1' || process.env.DBS_TEST_INSTALL === '1';
}

function install(services) {
  const packages = services.filter(({ commands }) => !commands.every(isThere)).flatMap((service) => service.packages);
  if (packages.length === 0 || !mayInstall() || process.getuid?.() !== 0 || !isThere('apt-get')) return;
  console.log(`# installing ${packages.join(' ')}`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', ...args], {
      env: { ...process.env, PATH, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  apt('update');
  apt('install', '-y', '--no-install-recommends', ...packages);
}

async function startCeph() {
  return startScript('Ceph', CEPH, (folder, port) => [folder, port]);
}

async function startMysql() {
  const started = await startSid('MySQL', MYSQL, 'mysql-sid');
  if (!started.env) return started;
  const maria = Object.entries(process.env).flatMap(([name, value]) => (name.startsWith('MYSQL_') ? [[name.replace('MYSQL_', 'MARIADB_'), value]] : []));
  return { ...started, env: { ...Object.fromEntries(maria), ...started.env, DBS_TEST_MYSQL: 'mysql' } };
}

/** A server of Debian sid's, unpacked into the cache. */
async function startSid(name, script, folder) {
  if (!mayInstall() && !existsSync(join(CACHE, folder)))
    return { stop: () => {}, why: `it is not there yet: DBS_TEST_INSTALL=1 fetches 60 MB into ${relative(process.cwd(), CACHE)}` };
  return startScript(name, script, (place, port) => [CACHE, place, port]);
}

async function fetchSqld() {
  const there = existsSync(CACHE) && readdirSync(CACHE).some((name) => name.startsWith('sqld-'));
  if (!mayInstall() && !there)
    return { stop: () => {}, why: `it is not there yet: DBS_TEST_INSTALL=1 fetches 17 MB into ${relative(process.cwd(), CACHE)}` };
  return startScript('sqld', SQLD, (folder) => [folder, CACHE]);
}

/** Runs `script start` with a folder and a port: it prints the environment as lines of NAME=value. */
async function startScript(name, script, args) {
  const folder = mkdtempSync(join(tmpdir(), 'dbs-service-'));
  const env = { ...process.env, PATH };
  const stop = () => {
    // Without the port.
    spawnSync('bash', [script, 'stop', ...args(folder, '').slice(0, -1)], { env, stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const port = await freePort();
  console.log(`# starting ${name}`);
  // What a script starts keeps a pipe open: what it says goes into a file.
  const said = join(folder, 'said');
  const output = openSync(said, 'w');
  const { status, stdout } = spawnSync('bash', [script, 'start', ...args(folder, String(port))], {
    env,
    encoding: 'utf8',
    timeout: 180_000,
    stdio: ['ignore', 'pipe', output],
  });
  closeSync(output);
  if (status !== 0) return { stop, why: `it did not start (status ${status}): ${readFileSync(said, 'utf8').slice(-600)}` };
  return { stop, env: Object.fromEntries(stdout.trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2))) };
}

/** Ceph takes this one, and the eleventh and twelfth behind it. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if ((await Promise.all([port, port + 11, port + 12].map(isFree))).every(Boolean)) return port;
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
