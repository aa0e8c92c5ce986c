/** SFTP against OpenSSH's own server. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import {
  checkSshTargets,
  FileDestination,
  fileSource,
  inspectBackup,
  repairBackup,
  type SshTarget,
  sealStream,
  sftpDestination,
  transfer,
  validateBackup,
} from '../../lib/index.ts';
import { loadClient } from '../../lib/sinks/sftp/connection.ts';
import type { SessionOptions } from '../../lib/sinks/sftp/options.ts';
import { parseSftpUrl } from '../../lib/sinks/sftp/url.ts';
import { SftpDestination } from '../../lib/sinks/sftp.ts';
import { Random, sinkConformance } from '../../lib/testkit/index.ts';
import { cannotRun, descendants, keygen, type Sshd, startSshd } from '../support/sshd.ts';

const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
const secret = { passphrases: ['x'], kdf };

function at(t: Test, target: SshTarget, url = 'sftp://nas/', options: SessionOptions = {}): SftpDestination {
  const place = new SftpDestination(parseSftpUrl(url, { nas: target }), options);
  t.teardown(() => place.close());
  return place;
}

/** A suite that needs the server, or says loudly that there is none. */
function suite(name: string, run: (t: Test) => Promise<unknown>): void {
  const why = cannotRun();
  if (!why) void t.test(name, run);
  else if (process.env.CI) t.fail(`${name}: ${why}`);
  else t.pass(name, { skip: why });
}

suite('the suite for sinks', async (t) => {
  const sshd = await startSshd(t);
  const open = async () => at(t, sshd.target);
  const full = join(sshd.dir, 'full');
  mkdirSync(full);
  const mounted = mountSmall(t, full);
  const leftovers = async () => [...hidden(sshd.remoteDir), ...hidden(full)];
  const failing = mounted ? { failing: async () => at(t, { ...sshd.target, remoteDir: full }) } : {};
  for (const { name, run } of sinkConformance({ open, leftovers, ...failing, memory: 32 * 2 ** 20 }))
    await t.resolves(run(), name);
  t.strictSame(readdirSync(sshd.remoteDir), []);
  if (!mounted) return;
  const place = at(t, { ...sshd.target, remoteDir: full });
  t.match(await place.freeSpace(), Number);
  const input = Readable.from([new Random(1).bytes(4_000_000)]);
  const sealing = sealStream(input, secret, { output: place.sink('a.dbs') });
  await t.rejects(sealing, { code: 'ERR_SINK_FULL' }, 'a full disk is called that, though the server says "Failure"');
  t.strictSame(readdirSync(full), []);
});

function hidden(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith('.part'));
}

function mountSmall(t: Test, path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path], { stdio: 'ignore' });
    t.teardown(() => execFileSync('umount', [path]));
    return true;
  } catch {
    const why = 'CANNOT RUN: a small file system cannot be mounted here (that needs root)';
    if (process.env.CI) t.fail(why);
    else t.pass('the full disk', { skip: why });
    return false;
  }
}

suite('host keys', async (t) => {
  const sshd = await startSshd(t);
  const { target, dir, port } = sshd;
  const [ed25519, rsa] = ['ed25519', 'rsa'].map((type) => readFileSync(join(dir, `host_${type}.pub`), 'utf8').trim());
  const print = (type: string) =>
    execFileSync('ssh-keygen', ['-l', '-f', join(dir, `host_${type}.pub`)], { encoding: 'utf8' }).split(' ')[1]!;
  keygen(join(dir, 'other'));
  const other = readFileSync(join(dir, 'other.pub'), 'utf8').trim();
  const file = join(dir, 'hosts');
  const host = `[127.0.0.1]:${port}`;
  const asks = async (...lines: string[]) => {
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
    return at(t, { ...target, knownHosts: file }).stat('none');
  };
  t.equal(await asks(`${host} ${ed25519}`), null);
  t.equal(await asks(`${host} ${rsa}`), null, 'the server is asked for the key that is known');
  t.equal(await asks(`127.0.0.1 ${ed25519}`), null, 'known on its own port');
  execFileSync('ssh-keygen', ['-q', '-H', '-f', join(dir, 'known_hosts')], { stdio: 'ignore' });
  t.equal(await at(t, target).stat('none'), null, 'hashed');
  await t.rejects(asks(), {
    code: 'ERR_SSH_HOST_UNKNOWN',
    permanent: true,
    message: new RegExp(`${quoted(print('ed25519'))}.*ssh-keyscan -p ${port} 127.0.0.1`),
  });
  await t.rejects(asks(`${host} ${other}`), {
    code: 'ERR_SSH_HOST_CHANGED',
    permanent: true,
    message: new RegExp(`${quoted(print('ed25519'))}.*SHA256:`),
  });
  await t.rejects(asks(`@revoked * ${ed25519}`, `${host} ${ed25519}`), { code: 'ERR_SSH_HOST_REVOKED' });
  await t.rejects(asks(`@cert-authority ${host} ${other}`), {
    code: 'ERR_SSH_HOST_UNKNOWN',
    message: /cert-authority/,
  });
  await t.rejects(at(t, { ...target, knownHosts: join(dir, 'no') }).stat('a'), { code: 'ERR_SSH_KNOWN_HOSTS' });

  const pinned = (hostKey: string) => at(t, { ...target, knownHosts: '/dev/null', hostKey }).stat('none');
  t.equal(await pinned(print('ed25519')), null);
  t.equal(await pinned(rsa!), null, 'the server is asked for the key that is pinned');
  t.equal(await pinned(`${host} ${ed25519}`), null, 'a line of ssh-keyscan');
  for (const key of [other, `SHA256:${'A'.repeat(43)}`])
    await t.rejects(pinned(key), { code: 'ERR_SSH_HOST_CHANGED', message: /hostKey/ });
  t.equal(readdirSync(sshd.remoteDir).length, 0);
});

function quoted(text: string): string {
  return text.replace(/[+/]/g, '\\$&');
}

suite('logging in with keys', async (t) => {
  const { target, dir } = await startSshd(t);
  keygen(join(dir, 'locked'), 'ed25519', 'geheim');
  keygen(join(dir, 'stranger'));
  keygen(join(dir, 'rsa'), 'rsa');
  for (const name of ['locked', 'rsa'])
    appendFileSync(join(dir, 'authorized_keys'), readFileSync(join(dir, `${name}.pub`)));
  const asks = (more: object) => at(t, { ...target, ...more }).stat('none');
  const key = (name: string) => ({ privateKeyPath: join(dir, name) });
  t.equal(await asks(key('rsa')), null);
  process.env.DBS_TEST_PHRASE = 'geheim';
  process.env.DBS_TEST_WRONG = 'wrong-one';
  t.equal(await asks({ ...key('locked'), passphraseEnv: 'DBS_TEST_PHRASE' }), null);
  await t.rejects(asks(key('locked')), { code: 'ERR_SSH_KEY', message: /passphraseEnv/ });
  const wrong = await asks({ ...key('locked'), passphraseEnv: 'DBS_TEST_WRONG' }).catch((error) => error);
  t.match(wrong, { code: 'ERR_SSH_KEY', message: /not opened by the passphrase in DBS_TEST_WRONG/ });
  t.notMatch(JSON.stringify([wrong.message, wrong.facts, wrong.cause?.message]), 'wrong-one');
  await t.rejects(asks({ ...key('locked'), passphraseEnv: 'DBS_TEST_NONE' }), { code: 'ERR_SSH_SECRET_MISSING' });
  await t.rejects(asks(key('missing')), { code: 'ERR_SSH_KEY', message: /ENOENT/ });
  await t.rejects(asks(key('sshd_config')), { code: 'ERR_SSH_KEY', message: /ssh-keygen/ });
  await t.rejects(asks(key('stranger')), { code: 'ERR_SSH_AUTH', permanent: true });
  await t.rejects(asks({ username: 'nobody-of-that-name' }), { code: 'ERR_SSH_AUTH' });

  const { privateKeyPath: _, ...keyless } = target;
  const agent = spawn('ssh-agent', ['-D', '-a', join(dir, 'agent')], { stdio: 'ignore' });
  const gone = new Promise((resolve) => agent.once('exit', resolve));
  t.teardown(() => agent.kill());
  while (!existsSync(join(dir, 'agent'))) await new Promise((resolve) => setTimeout(resolve, 20));
  const env = { ...process.env, SSH_AUTH_SOCK: join(dir, 'agent') };
  execFileSync('ssh-add', ['-q', join(dir, 'stranger'), join(dir, 'user')], { env, stdio: 'ignore' });
  const by = (agent: string | true) => at(t, { ...keyless, agent }).stat('none');
  t.equal(await by(join(dir, 'agent')), null);
  const { SSH_AUTH_SOCK } = process.env;
  process.env.SSH_AUTH_SOCK = join(dir, 'agent');
  t.equal(await by(true), null);
  delete process.env.SSH_AUTH_SOCK;
  await t.rejects(by(true), { code: 'ERR_SSH_NO_AGENT' });
  if (SSH_AUTH_SOCK) process.env.SSH_AUTH_SOCK = SSH_AUTH_SOCK;
  agent.kill();
  await gone;
  await t.rejects(by(join(dir, 'agent')), { code: 'ERR_SSH_AGENT' });
});

suite('backups: written, read, healed and copied over SFTP', async (t) => {
  // New keys are agreed upon again and again.
  const sshd = await startSshd(t, ['RekeyLimit 2M']);
  const content = new Random('backup').bytes(5_000_000);
  const place = at(t, sshd.target, 'sftp://nas/shop/daily/');
  const layout = 'interleaved';
  const sealed = await sealStream(Readable.from([content]), secret, { output: place.sink('a.dbs'), layout });
  t.match(sealed, { layout: 'interleaved', verified: true, output: 'sftp://nas/shop/daily/a.dbs' });
  const path = join(sshd.remoteDir, 'shop/daily/a.dbs');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  t.match(await validateBackup(path, 'x'), { ok: true, damaged: false });
  t.match(await validateBackup(await place.open('a.dbs'), 'x'), { ok: true, damaged: false });
  t.match(await inspectBackup(await place.open('a.dbs')), { layout: 'interleaved' });

  const bytes = readFileSync(path);
  bytes.fill(0, 100_000, 400_000);
  writeFileSync(path, bytes);
  t.match(await validateBackup(await place.open('a.dbs'), 'x'), { ok: true, damaged: true });
  await repairBackup(path, { output: join(sshd.remoteDir, 'shop/daily/b.dbs') });
  t.match(await validateBackup(await place.open('b.dbs'), 'x'), { ok: true, damaged: false });

  const tandem = await sealStream(Readable.from([content.subarray(0, 3e6)]), secret, {
    output: place.sink('c.dbs'),
    layout: 'tandem',
  });
  t.match(tandem, { layout: 'tandem', verified: true });

  const down = join(sshd.dir, 'down');
  mkdirSync(down);
  await transfer(await place.open('b.dbs'), new FileDestination(down), 'b.dbs');
  const sum = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');
  t.equal(sum(join(down, 'b.dbs')), sum(join(sshd.remoteDir, 'shop/daily/b.dbs')));
  const up = await fileSource(join(down, 'b.dbs'));
  t.match(await transfer(up, place, 'd.dbs'), { resumed: 0, verified: true });
  await up.close();
  t.equal(sum(join(sshd.remoteDir, 'shop/daily/d.dbs')), sum(join(down, 'b.dbs')));
});

suite('a server that restarts while it is written to and read from', async (t) => {
  const sshd = await startSshd(t);
  const place = at(t, sshd.target, 'sftp://nas/', { delays: [100, 500, 1000, 3000, 5000, 5000, 5000] });
  const bytes = new Random('restart').bytes(12_000_000);
  const writer = await place.sink('a.dbs').create();
  const chunks = async function* () {
    for (let i = 0; i < bytes.length; i += 500_000) {
      if (i === 3_000_000) {
        await sshd.stop();
        setTimeout(() => void sshd.start(), 300);
      }
      // This connection alone, while the server goes on.
      if (i === 9_000_000) for (const pid of sessions(sshd)) process.kill(pid, 'SIGKILL');
      yield bytes.subarray(i, i + 500_000);
    }
  };
  await pipeline(chunks, writer.stream);
  await writer.finish();
  t.ok(readFileSync(join(sshd.remoteDir, 'a.dbs')).equals(bytes));
  const source = await place.open('a.dbs');
  const back = Buffer.alloc(bytes.length);
  for (let i = 0; i < bytes.length; i += 500_000) {
    if (i === 2_000_000) for (const pid of sessions(sshd)) process.kill(pid, 'SIGKILL');
    t.equal(await source.read(i, back.subarray(i, i + 500_000)), 500_000);
  }
  t.ok(back.equals(bytes));
  await source.close();
  t.strictSame(readdirSync(sshd.remoteDir), ['a.dbs']);
});

function sessions(sshd: Sshd): number[] {
  return descendants(sshd.pid());
}

suite('folders, names and rights', async (t) => {
  const sshd = await startSshd(t);
  const { target, remoteDir } = sshd;
  const missing = at(t, { ...target, remoteDir: join(remoteDir, 'new') }, 'sftp://nas/a/b');
  t.equal(missing.name, 'sftp://nas/a/b/');
  for await (const file of missing.list()) t.fail(file.name);
  for await (const file of missing.unfinished()) t.fail(file.name);
  t.equal(await missing.stat('x'), null);
  await missing.remove('x');
  const write = async (place: SftpDestination, name: string) => {
    const writer = await place.sink(name).create();
    await pipeline([Buffer.from('x')], writer.stream);
    await writer.finish();
  };
  await write(missing, 'x');
  t.ok(existsSync(join(remoteDir, 'new/a/b/x')), 'what the URL names is made, and the last segment of remoteDir');
  const typo = at(t, { ...target, remoteDir: join(remoteDir, 'not/there') });
  await t.rejects(typo.sink('x').create(), { code: 'ERR_SINK_NOT_FOUND', message: /not\/there/ });
  t.notOk(existsSync(join(remoteDir, 'not')), 'and no more of it');
  writeFileSync(join(remoteDir, 'file'), '');
  await t.rejects(at(t, target, 'sftp://nas/file/').sink('x').create(), { code: /ERR_SINK_/ });

  const place = at(t, target);
  mkdirSync(join(remoteDir, 'folder'));
  symlinkSync('/nowhere', join(remoteDir, 'dangling'));
  await t.rejects(place.sink('dangling').create(), { code: 'ERR_SINK_EXISTS' }, 'a dangling link is something, too');
  await t.rejects(place.open('folder'), { code: 'ERR_SOURCE_READ' });
  await t.rejects(place.open('dangling'), { code: 'ERR_SOURCE_NOT_FOUND' });
  const found: string[] = [];
  for await (const { name } of place.list()) found.push(name);
  t.strictSame(found, ['file']);
  await t.rejects(place.remove('folder'), { code: /ERR_SINK_/ });
  writeFileSync(join(remoteDir, '.old.dbs.0123456789ab.part'), 'x');
  for await (const file of place.unfinished()) {
    t.equal(file.name, 'old.dbs');
    await file.remove();
  }
  t.notOk(existsSync(join(remoteDir, '.old.dbs.0123456789ab.part')));
  const proc = at(t, { ...target, remoteDir: '/proc' });
  await t.rejects(proc.sink('x').create(), { code: /ERR_SINK_(DENIED|NOT_FOUND|WRITE)/ });
  rmSync(join(remoteDir, 'file'));
});

t.test('URLs', async (t) => {
  const target: SshTarget = { host: 'h', username: 'u', agent: true, remoteDir: '/b' };
  const targets = { nas: target, 'nas-2': target };
  t.equal((await sftpDestination('sftp://nas/x/y', targets)).name, 'sftp://nas/x/y/');
  t.equal((await sftpDestination('SFTP://nas', targets)).name, 'sftp://nas/');
  t.equal((await sftpDestination('sftp://nas//my folder/./100%/', targets)).name, 'sftp://nas/my folder/100%/');
  await t.rejects(sftpDestination('sftp://nsa/', targets), {
    code: 'ERR_SSH_UNKNOWN_TARGET',
    message: /"nas"/,
    facts: { known: ['nas', 'nas-2'] },
  });
  await t.rejects(sftpDestination('sftp://nas/', {}), { code: 'ERR_SSH_UNKNOWN_TARGET', message: /empty/ });
  await t.rejects(sftpDestination('sftp://toString/', targets), { code: 'ERR_SSH_UNKNOWN_TARGET' });
  for (const url of [
    'sftp://me:pw@nas/',
    'sftp://me@host/',
    'sftp://nas:22/',
    'sftp:///x',
    'sftp://nas/../x',
    'sftp://nas/a?b',
  ]) {
    const error = await sftpDestination(url, targets).catch((error: Error) => error);
    t.match(error, { code: 'ERR_SSH_URL' }, url);
    t.notMatch((error as Error).message, 'me:pw');
  }
});

t.test('the package is missing', async (t) => {
  const load = () => import('no-such-package' as string);
  await t.rejects(loadClient(load), {
    code: 'ERR_CONFIG_PACKAGE_MISSING',
    message: /npm install ssh2-sftp-client/,
  });
});

t.test('settings', async (t) => {
  const good = { host: 'h', username: 'u', remoteDir: '/b', agent: true };
  t.strictSame(checkSshTargets({ nas: good, 'b.2': { ...good, port: 2222, agent: '/sock' } }, 'sshTargets').nas, good);
  t.same(checkSshTargets({}, 'sshTargets'), {});
  const thrown = (value: unknown): unknown => {
    try {
      return checkSshTargets(value, 'sshTargets');
    } catch (error) {
      return error;
    }
  };
  const refused = (change: object, expected: object) =>
    t.match(thrown({ nas: { ...good, ...change } }), expected, JSON.stringify(change));
  refused({ usrname: 'x' }, { code: 'ERR_CONFIG_UNKNOWN_OPTION', message: /"username".*/ });
  for (const name of ['password', 'passphrase', 'privateKey']) {
    refused({ [name]: 'geheim' }, { code: 'ERR_CONFIG_INLINE_SECRET', message: new RegExp(`nas.${name} is a secret`) });
    const error = thrown({ nas: { ...good, [name]: 'geheim' } }) as Error;
    t.notMatch(JSON.stringify([error, error.message]), 'geheim');
  }
  for (const change of [
    { host: '' },
    { host: undefined },
    { username: 5 },
    { remoteDir: null },
    { port: 0 },
    { port: 65536 },
    { port: '22' },
    { agent: false },
    { privateKeyPath: 1 },
    { passwordEnv: 'my secret!' },
    { knownHosts: '' },
    { hostKey: 'SHA256:short' },
    { hostKey: 'ssh-ed25519 nonsense' },
    { connectTimeoutMs: 0.5 },
    { keepaliveMs: -1 },
    { agent: undefined },
  ])
    refused(change, { code: 'ERR_CONFIG_INVALID_OPTION' });
  for (const value of [null, [], 'nas', { 'a b': good }, { nas: null }, { nas: [] }])
    t.match(thrown(value), { code: 'ERR_CONFIG_INVALID_OPTION' });
});

t.test('docs/sftp.md: its settings are right, and all there are', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/sftp.md'), 'utf8');
  const [, block] = /const sshTargets = (\{[\s\S]*?\n\});/.exec(page)!;
  t.ok(checkSshTargets(new Function(`return ${block}`)(), 'sshTargets').office);
  const rows = [...page.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|/gm)].flatMap(([, names]) => names!.match(/\w+/g)!);
  try {
    checkSshTargets({ nas: { nothing: 1 } }, 'sshTargets');
  } catch (error) {
    t.strictSame(rows.sort(), [...(error as { facts: { known: string[] } }).facts.known].sort());
  }
  t.equal(rows.length, 12);
});
