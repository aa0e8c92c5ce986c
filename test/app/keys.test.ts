/** Key slots: several passphrases, recipients, and changing them in place. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { DEFAULT_KDF } from '../../lib/crypto/kdf.ts';
import {
  addKeys,
  derivePassphrase,
  listKeys,
  newKeyPair,
  type OpeningSecret,
  parseIdentities,
  parsePublicKey,
  removeKey,
  rotateKeys,
  type SealingSecret,
  sealStream,
  unlockBackup,
  validateBackup,
} from '../../lib/index.ts';

const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
const code = (expected: string) => ({ code: expected });

async function sealed(t: Test, secret: SealingSecret, bytes = 2_000_000): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'dbs-keys-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const output = join(dir, 'a.dbs');
  await sealStream(Readable.from([randomBytes(bytes)]), secret, { output });
  return output;
}

/** The first key slot, as it stands in the file's first page: salt at 16, commitment at 32 (SPEC.md section 6). */
const slotBytes = (path: string) => readFileSync(path).subarray(128 + 104, 128 + 104 + 120);

const opens = async (path: string, secret: OpeningSecret) => (await validateBackup(path, secret)).authentic;

t.test('a key pair as text', async (t) => {
  const pair = newKeyPair();
  t.match(pair, { recipient: /^dbs1[a-z0-9]{58}$/, identity: /^DBS-SECRET-KEY-1[A-Z0-9]{58}$/ });
  t.equal(parsePublicKey(` ${pair.recipient}\n`).length, 32);
  t.equal(parseIdentities(`# mine\n\n${pair.identity}\n`).length, 1);
  t.throws(() => parsePublicKey(pair.identity), code('ERR_KEY_BAD_RECIPIENT'));
  t.throws(() => parseIdentities(pair.recipient), code('ERR_KEY_BAD_IDENTITY'));
  t.throws(() => parseIdentities('# nothing\n'), code('ERR_KEY_BAD_IDENTITY'));
  const typo = pair.identity.slice(0, -1) + (pair.identity.endsWith('Q') ? 'P' : 'Q');
  const error = t.throws(() => parseIdentities(typo), code('ERR_KEY_BAD_IDENTITY')) as Error;
  t.notOk(String(error?.message).includes(typo), 'a secret is never repeated');
});

t.test('whoever has only the recipient can write, and not read', async (t) => {
  const pair = newKeyPair();
  const path = await sealed(t, { recipients: [parsePublicKey(pair.recipient)] });
  t.equal(await opens(path, { identities: parseIdentities(pair.identity) }), true);
  await t.rejects(opens(path, 'any passphrase'), code('ERR_KEY_NO_MATCH'));
  await t.rejects(opens(path, { identities: parseIdentities(newKeyPair().identity) }), code('ERR_KEY_NO_MATCH'));
  t.match(await validateBackup(path), { ok: true, authentic: null }, 'checking needs no key');
});

t.test('several passphrases, and bad ones', async (t) => {
  const path = await sealed(t, { passphrases: ['one', 'two'], kdf });
  t.equal(await opens(path, 'one'), true);
  t.equal(await opens(path, 'two'), true);
  await t.rejects(opens(path, 'three'), code('ERR_KEY_WRONG_PASSPHRASE'));
  const seal = (secret: SealingSecret) => sealed(t, secret, 10);
  await t.rejects(seal({ passphrases: [], kdf }), code('ERR_KEY_NONE'));
  await t.rejects(seal({ passphrases: ['1', '2', '3', '4', '5'], kdf }), code('ERR_KEY_TOO_MANY'));
  await t.rejects(seal({ passphrases: ['1'], kdf: { memoryKiB: 1 } }), code('ERR_KEY_KDF_BOUNDS'));
  await t.rejects(seal({ recipients: [Buffer.alloc(32)] }), code('ERR_KEY_BAD_RECIPIENT'));
  const composed = await seal({ passphrases: ['caf\u00e9'], kdf });
  t.equal(await opens(composed, 'cafe\u0301'), true, 'the same text, however it was typed');
});

/** All that a log, an error or JSON would show of an object, as it may be nested in another. */
const shown = (object: object) =>
  JSON.stringify({ object }) + inspect({ object }, { depth: 9, showHidden: true, getters: true }) + String(object);

t.test('a passphrase that was derived before seals as its text does', async (t) => {
  const derived = await derivePassphrase('correct horse', kdf);
  const path = await sealed(t, derived);
  t.match((await listKeys(path)).slots, [{ kind: 'passphrase', kdf }], 'one passphrase slot, with its parameters');
  t.equal(await opens(path, 'correct horse'), true, 'the text opens it');
  await t.rejects(opens(path, 'correct house'), code('ERR_KEY_WRONG_PASSPHRASE'));
  const both = { passphrases: [derived, 'a second one'], kdf: { ...kdf, iterations: 2 } };
  const other = await sealed(t, both);
  t.match((await listKeys(other)).slots, [{ kdf }, { kdf: { iterations: 2 } }], '`kdf` is for texts');
  t.equal(await opens(other, 'correct horse'), true, 'and it seals several');
  t.equal(await opens(other, 'a second one'), true);
  const third = await sealed(t, await derivePassphrase('correct horse', kdf));
  const slots = [path, other, third].map(slotBytes);
  const distinct = (from: number, to: number) => new Set(slots.map((s) => s.toString('hex', from, to))).size;
  t.equal(distinct(16, 32), 2, 'a salt for each derivation');
  t.equal(distinct(32, 64), 3, 'a commitment, and so a wrap key, for each file');
  await t.rejects(derivePassphrase('', kdf), code('ERR_KEY_EMPTY_PASSPHRASE'));
  await t.rejects(derivePassphrase('x', { memoryKiB: 1 }), code('ERR_KEY_KDF_BOUNDS'));
});

t.test('without parameters it is the default of every backup', async (t) => {
  t.same((await derivePassphrase('x')).kdf, DEFAULT_KDF);
});

t.test('a backup that was unlocked before opens without the key', async (t) => {
  const pair = newKeyPair();
  const path = await sealed(t, { passphrases: ['one'], recipients: [parsePublicKey(pair.recipient)], kdf });
  for (const secret of ['one', { identities: parseIdentities(pair.identity) }]) {
    const unlocked = await unlockBackup(path, secret);
    t.equal(await opens(path, unlocked), true);
    t.equal(await opens(path, await unlockBackup(path, unlocked)), true, 'as often as one likes');
  }
  await t.rejects(unlockBackup(path, 'two'), code('ERR_KEY_WRONG_PASSPHRASE'));
  await t.rejects(unlockBackup(path, ''), code('ERR_KEY_EMPTY_PASSPHRASE'));
  await t.rejects(unlockBackup(Buffer.alloc(9000), 'one'), code('ERR_FORMAT_NOT_DBS'));
  const signal = AbortSignal.abort(new Error('enough'));
  await t.rejects(unlockBackup(path, 'one', { signal }), { message: 'enough' });

  const another = await sealed(t, { passphrases: ['one'], kdf });
  const error = await opens(another, await unlockBackup(path, 'one')).catch((e: unknown) => e);
  t.match(
    error,
    { code: 'ERR_KEY_OTHER_BACKUP', name: 'NoKeyMatchError' },
    'another backup, though the passphrase fits',
  );
});

t.test('keys that change after a backup was unlocked', async (t) => {
  const path = await sealed(t, { passphrases: ['one'], kdf });
  const unlocked = await unlockBackup(path, 'one');
  await addKeys(path, unlocked, { passphrases: ['two'], kdf });
  await addKeys(path, unlocked, { passphrases: ['three'], kdf });
  for (const passphrase of ['one', 'two', 'three'])
    t.equal(await opens(path, passphrase), true, `${passphrase}: no addition undid another`);
  await rotateKeys(path, unlocked, { passphrases: ['four'], kdf });
  await t.rejects(opens(path, 'one'), code('ERR_KEY_WRONG_PASSPHRASE'));
  await t.rejects(opens(path, unlocked), code('ERR_KEY_NO_MATCH'), 'its slot was taken out');
  t.equal(await opens(path, 'two'), true);
});

t.test('neither shows what it holds', async (t) => {
  const derived = await derivePassphrase('correct horse', kdf);
  const path = await sealed(t, derived);
  const unlocked = await unlockBackup(path, 'correct horse');
  t.same(JSON.parse(JSON.stringify(derived)), { kdf });
  t.same(JSON.parse(JSON.stringify(unlocked)), { fileId: unlocked.fileId });
  t.match(unlocked.fileId, /^[0-9a-f]{64}$/);
  for (const object of [derived, unlocked]) {
    const text = shown(object).replaceAll(unlocked.fileId, 'FILE-ID');
    t.notMatch(text, /correct horse|Buffer|Uint8Array|[0-9a-f]{16}/i, `${object.constructor.name}: no key, no bytes`);
    t.same(Object.getOwnPropertySymbols(object), []);
  }
});

t.test('adding, rotating and removing rewrites HEADER and END pages, and nothing else', async (t) => {
  const path = await sealed(t, { passphrases: ['old'], kdf });
  const before = readFileSync(path);
  t.match(await listKeys(path), { generation: 1, slots: [{ slot: 0, kind: 'passphrase', kdf }] });
  const pair = newKeyPair();
  await addKeys(path, 'old', { recipients: [parsePublicKey(pair.recipient)] });
  await rotateKeys(path, 'old', { passphrases: ['new'], kdf });
  t.match(await listKeys(path), { generation: 3, slots: [{ kind: 'recipient' }, { kind: 'passphrase' }] });
  t.equal(await opens(path, 'new'), true);
  t.equal(await opens(path, { identities: parseIdentities(pair.identity) }), true);
  await t.rejects(opens(path, 'old'), code('ERR_KEY_WRONG_PASSPHRASE'));
  await removeKey(path, 'new', 0);
  await t.rejects(opens(path, { identities: parseIdentities(pair.identity) }), code('ERR_KEY_NO_MATCH'));
  await t.rejects(removeKey(path, 'new', 0), code('ERR_KEY_NONE'), 'the last one stays');
  await t.rejects(removeKey(path, 'new', 7), code('ERR_KEY_NO_SLOT'));
  await t.rejects(addKeys(path, 'wrong', 'more'), code('ERR_KEY_WRONG_PASSPHRASE'));
  t.match(await validateBackup(path, 'new'), { ok: true, damaged: false }, 'and the file is as whole as before');

  const after = readFileSync(path);
  const changed = new Set<number>();
  for (let at = 0; at < before.length; at += 4096)
    if (!before.subarray(at, at + 4096).equals(after.subarray(at, at + 4096))) changed.add(at);
  t.equal(changed.size, 3, 'HEADER, END-A and END-B');
});

t.test('a change that was cut short opens with the old key and with the new one, and can be done again', async (t) => {
  const path = await sealed(t, { passphrases: ['old'], kdf });
  const before = readFileSync(path);
  await rotateKeys(path, 'old', { passphrases: ['new'], kdf });
  const after = readFileSync(path);
  // Only the first page was written.
  const torn = Buffer.concat([after.subarray(0, 4096), before.subarray(4096)]);
  writeFileSync(path, torn);
  t.equal(await opens(path, 'new'), true);
  t.equal(await opens(path, 'old'), true);
  // In the middle of the first page.
  writeFileSync(path, Buffer.concat([after.subarray(0, 1000), before.subarray(1000)]));
  t.equal(await opens(path, 'old'), true);
  writeFileSync(path, torn);
  await rotateKeys(path, 'new', { passphrases: ['newer'], kdf });
  t.equal(await opens(path, 'newer'), true);
  await t.rejects(opens(path, 'old'), code('ERR_KEY_WRONG_PASSPHRASE'));
});

t.test('a damaged file is repaired first', async (t) => {
  const path = await sealed(t, { passphrases: ['old'], kdf });
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.fill(0, 0, 4096));
  await t.rejects(rotateKeys(path, 'old', { passphrases: ['new'], kdf }), code('ERR_DAMAGE_REPAIR_FIRST'));
  t.ok(readFileSync(path).equals(bytes));
});
