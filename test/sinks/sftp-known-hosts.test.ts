/** known_hosts against OpenSSH's own reading of it: `ssh-keygen -F` finds the lines that ours finds, also when they are hashed by `-H`. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { fingerprint, hostToken, judge, knownTypes, linesFor, parseKey } from '../../lib/sinks/sftp/known-hosts.ts';
import { Random } from '../../lib/testkit/index.ts';
import { keygen } from '../support/sshd.ts';

const dir = mkdtempSync(join(tmpdir(), 'dbs-known-hosts-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const KEYS = ['ed25519', 'rsa', 'ecdsa', 'ed25519'].map((type, i) => {
  keygen(join(dir, `key${i}`), type);
  return readFileSync(join(dir, `key${i}.pub`), 'utf8').trim();
});
const keys = KEYS.map((line) => parseKey(line)!);
const file = join(dir, 'known_hosts');
const write = (...lines: string[]) => {
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  return lines.map((line) => `${line}\n`).join('');
};

/** Line numbers, as OpenSSH sees them. */
function openssh(token: string): number[] {
  const { stdout } = spawnSync('ssh-keygen', ['-l', '-F', token, '-f', file], { encoding: 'utf8' });
  return [...stdout.matchAll(/^# Host .* found: line (\d+)/gm)].map(([, line]) => Number(line));
}

t.test('fingerprints are those of ssh-keygen', async (t) => {
  for (const [i, key] of keys.entries()) {
    const said = execFileSync('ssh-keygen', ['-l', '-f', join(dir, `key${i}.pub`)], { encoding: 'utf8' });
    t.ok(said.includes(` ${fingerprint(key.blob)} `), said);
  }
});

t.test('any file: the same lines as OpenSSH', async (t) => {
  const seed = process.env.DBS_TEST_SEED ?? String(Date.now());
  t.comment(`DBS_TEST_SEED=${seed}`);
  const random = new Random(seed);
  const names = ['a', 'b.example', 'nas', 'nas.example.org', '10.0.0.7', '::1', 'fe80::1'];
  const ports = [22, 2222, 65535];
  const pattern = () => {
    const name = random.pick(names);
    const token = hostToken(name, random.pick(ports));
    const globbed = random.pick([
      token,
      token,
      token.toUpperCase(),
      `*${name.slice(1)}`,
      `${name.slice(0, -1)}?`,
      '*',
      '*.example*',
      `[${name}]:*`,
      '?',
      '',
    ]);
    return random.below(5) === 0 ? `!${globbed}` : globbed;
  };
  const line = () => {
    const hosts = Array.from({ length: random.between(1, 3) }, pattern).join(',');
    const [type, base64] = random.pick(KEYS).split(' ');
    const blank = random.pick([' ', '\t', '  ', ' \t']);
    const comment = random.pick(['', ' me@home', ' a # b', '\r']);
    const good = `${hosts}${blank}${type}${blank}${base64}${comment}`;
    return random.pick([
      good,
      good,
      good,
      ` ${good}`,
      // OpenSSH passes a marker over that a tab follows; ours holds it, which is the safe side.
      `@revoked ${good}`,
      `@cert-authority ${good}`,
      `@other ${good}`,
      `@revoked @cert-authority ${good}`,
      `#${good}`,
      ` # ${good}`,
      `${hosts} ${type}`,
      `${hosts} ssh-nothing ${base64}`,
      `${hosts} ssh-rsa AAAA`,
      hosts,
      '',
    ]);
  };
  let found = 0;
  for (let run = 0; run < 20; run++) {
    let text = write(...Array.from({ length: random.between(1, 25) }, line));
    for (const hashed of [false, true]) {
      if (hashed) {
        // It hashes plain names and leaves patterns alone.
        spawnSync('ssh-keygen', ['-q', '-H', '-f', file]);
        text = readFileSync(file, 'utf8');
      }
      for (const token of new Set([1, 2, 3].map(() => hostToken(random.pick(names), random.pick(ports))))) {
        const ours = linesFor(text, token).map((known) => known.line);
        found += ours.length;
        const theirs = openssh(token);
        const differ = [...ours, ...theirs].filter((line) => !(ours.includes(line) && theirs.includes(line)));
        for (const line of differ) {
          t.fail(
            `${token}: ${ours.includes(line) ? 'only we find' : 'we miss'} ${JSON.stringify(text.split('\n')[line - 1])}`,
          );
        }
      }
    }
  }
  t.ok(found > 50, `${found} lines were found`);
});

t.test('verdicts', async (t) => {
  const [one, rsa, ecdsa, two] = keys;
  const [line, rsaLine, , twoLine] = KEYS;
  const verdict = (text: string, key = one!, host = 'nas', port = 22) => judge(text, host, port, key.blob).status;
  t.equal(verdict(write(`nas ${line}`)), 'trusted');
  t.equal(verdict(write(`nas ${line}`), one, 'NAS'), 'trusted', 'names have no case');
  t.equal(verdict(write(`nas ${twoLine}`)), 'changed');
  t.equal(verdict(write(`nas ${rsaLine}`)), 'changed', 'another type of key than is known');
  t.equal(verdict(write(`nas ${twoLine}`, `nas ${line}`)), 'trusted', 'one of several');
  t.equal(verdict(write(`other ${line}`)), 'unknown');
  t.equal(verdict(''), 'unknown');
  t.equal(verdict(write(`* ${line}`, `@revoked * ${line}`)), 'revoked', 'whatever else is said');
  t.equal(verdict(write(`nas ${line}`, `@revoked nas ${twoLine}`)), 'trusted', 'another key is revoked');
  t.equal(verdict(write(`nas ${line}`, `@revoked other ${line}`)), 'trusted', 'revoked for another host');
  t.same(judge(write(`@cert-authority nas ${line}`), 'nas', 22, one!.blob), { status: 'unknown', authority: true });
  t.equal(verdict(write(`[nas]:2222 ${line}`), one, 'nas', 2222), 'trusted');
  t.equal(verdict(write(`[nas]:2222 ${line}`)), 'unknown', 'another port');
  t.equal(verdict(write(`nas ${line}`), one, 'nas', 2222), 'trusted', 'the host, on any port, as OpenSSH has it');
  t.equal(verdict(write(`nas ${twoLine}`), one, 'nas', 2222), 'unknown');
  t.equal(verdict(write(`nas ${line}`, `[nas]:2222 ${twoLine}`), one, 'nas', 2222), 'changed', 'the port says more');
  t.equal(verdict(write(`@revoked nas ${line}`, `[nas]:2222 ${line}`), one, 'nas', 2222), 'revoked');
  t.strictSame(knownTypes(write(`nas ${rsaLine}`, `nas ${line}`, `nas ${twoLine}`), 'nas', 22), [
    'ssh-rsa',
    'ssh-ed25519',
  ]);
  t.strictSame([rsa!.type, ecdsa!.type, two!.type], ['ssh-rsa', 'ecdsa-sha2-nistp256', 'ssh-ed25519']);
  t.equal(
    verdict(write(`${'*'.repeat(2000)}x ${line}`), one, 'a'.repeat(200)),
    'unknown',
    'at once, whatever the pattern',
  );
});
