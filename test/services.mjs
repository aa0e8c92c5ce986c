/**
 * The servers that suites need. `prepare` looks at which suites are asked for, installs what they need (in CI, or with DBS_TEST_INSTALL=1, where there is
 * apt-get and the user is root), starts what one run shares, and gives the environment that says where it is.
 *
 * A suite whose server cannot be had is named in `missing`: the caller says so loudly.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CEPH = fileURLToPath(new URL('services/ceph-rgw.sh', import.meta.url));
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
];

/** @returns the environment for the tests; the files that cannot run, and why; and `stop`, which never throws */
export async function prepare(files) {
  const prepared = { env: {}, missing: [], stop: () => {} };
  const wanted = SERVICES.filter((service) => files.some((name) => service.files.test(name)) && !service.given?.());
  const stops = [];
  prepared.stop = () => {
    for (const stop of stops.splice(0)) stop();
  };
  process.on('exit', prepared.stop);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));
  install(wanted);
  for (const { name, files: needs, commands, packages, start } of wanted) {
    const absent = commands.filter((command) => !isThere(command));
    let why = absent.length > 0 ? `${absent.join(', ')} not found (apt-get install ${packages.join(' ')})` : undefined;
    if (!why && start) {
      const started = await start();
      stops.push(started.stop);
      if (started.env) Object.assign(prepared.env, started.env);
      else why = started.why;
    }
    if (why) prepared.missing.push({ name, why, files: files.filter((file) => needs.test(file)) });
  }
  return prepared;
}

function isThere(command) {
  return spawnSync('sh', ['-c', `command -v ${command}`], { env: { ...process.env, PATH } }).status === 0;
}

function install(services) {
  const packages = services.filter(({ commands }) => !commands.every(isThere)).flatMap((service) => service.packages);
  const allowed = process.env.CI === 'true' || process.env.CI === '1' || process.env.DBS_TEST_INSTALL === '1';
  if (packages.length === 0 || !allowed || process.getuid?.() !== 0 || !isThere('apt-get')) return;
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
  const folder = mkdtempSync(join(tmpdir(), 'dbs-ceph-'));
  const env = { ...process.env, PATH };
  const stop = () => {
    spawnSync('bash', [CEPH, 'stop', folder], { env, stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const port = await freePort();
  console.log('# starting Ceph');
  const { status, stdout, stderr } = spawnSync('bash', [CEPH, 'start', folder, String(port)], {
    env,
    encoding: 'utf8',
    timeout: 180_000,
    // What it starts keeps stderr open: only stdout is read.
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return { stop, why: `Ceph did not start (${stderr ?? ''}status ${status})` };
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
