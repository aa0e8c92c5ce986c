/** What README.md says a file survives, and what SECURITY.md says of keys and checksums, done to real files. */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { DEFAULT_KDF } from '../../lib/crypto/kdf.ts';
import { BODY_AT, PAGE } from '../../lib/format/limits.ts';
import {
  addKeys,
  inspectBackup,
  MemorySink,
  newKeyPair,
  parseIdentities,
  parsePublicKey,
  removeKey,
  type Survival,
  sealedStream,
  sealStream,
  unsealStream,
  validateBackup,
} from '../../lib/index.ts';
import { Blocker, DualCopyInterleaver, RSEncoder } from '../../lib/stages/index.ts';
import { Random } from '../../lib/testkit/index.ts';
import { read } from './support.ts';

const kdf = { iterations: 1, memoryKiB: 8 * 1024, parallelism: 1 };
const PASSPHRASE = 'correct horse battery staple';
const random = new Random('promises');

async function seal(content: Buffer, secret: object = { passphrases: [PASSPHRASE], kdf }): Promise<Buffer> {
  const sink = new MemorySink();
  await sealStream(Readable.from([content]), secret, { output: sink, compression: 'none' });
  return sink.bytes!;
}

async function unseal(file: Buffer, secret: Parameters<typeof unsealStream>[1] = PASSPHRASE) {
  const chunks: Buffer[] = [];
  const report = await unsealStream(
    file,
    secret,
    new Writable({
      write(chunk, _, done) {
        chunks.push(Buffer.from(chunk));
        done();
      },
    }),
  );
  return { content: Buffer.concat(chunks), report };
}

interface Found {
  type: number;
  copy: number;
  block: number;
  at: number;
  length: number;
  rowLength: number;
  rows: number;
}

/** The records of a whole file, as SPEC.md, section 3, has them. */
function records(file: Buffer): Found[] {
  const found: Found[] = [];
  for (let at = 0; at < file.length; at += file.readUInt32BE(at + 12)) {
    found.push({
      type: file[at + 10]!,
      copy: file[at + 11]!,
      block: Number(file.readBigUInt64BE(at + 48)),
      at,
      length: file.readUInt32BE(at + 12),
      rowLength: file.readUInt16BE(at + 68),
      rows: file[at + 70]! + file[at + 71]!,
    });
  }
  return found;
}

const DATA = 2;
const noise = (length: number) => random.bytes(length);

/** Damage by name: each takes a copy of the file and stays within one promise. */
function damages(file: Buffer, survives: Survival): [string, (file: Buffer) => Buffer][] {
  const all = records(file);
  const data = all.filter(({ type }) => type === DATA);
  const { burstBytes, tailBytes, rowsPerBlock, errorsPerColumn, blocksPerGroup } = survives;
  const burstAt = (at: number) => (copy: Buffer) => {
    copy.set(noise(burstBytes), at);
    return copy;
  };
  const starts = new Set([0, file.length - burstBytes]);
  for (const { at, length } of all) {
    for (const start of [at, at + length - burstBytes, at - 1, at + PAGE]) {
      if (start >= 0 && start + burstBytes <= file.length) starts.add(start);
    }
  }
  for (let i = 0; i < 4; i++) starts.add(random.below(file.length - burstBytes + 1));
  const list: [string, (file: Buffer) => Buffer][] = [...starts].map((at) => [
    `a run of ${burstBytes} at ${at}`,
    burstAt(at),
  ]);
  list.push([`the last ${tailBytes} bytes cut off`, (copy) => copy.subarray(0, copy.length - tailBytes)]);
  list.push(['one byte cut off', (copy) => copy.subarray(0, copy.length - 1)]);
  list.push([
    `the same ${rowsPerBlock} rows of each block, in both copies`,
    (copy) => {
      for (const { at, rowLength, rows, block } of data) {
        for (let r = 0; r < rowsPerBlock; r++)
          copy.set(noise(rowLength), at + PAGE + ((r * 7 + block) % rows) * rowLength);
      }
      return copy;
    },
  ]);
  list.push([
    `${errorsPerColumn} wrong bytes in each column of copy A, and all of copy B`,
    (copy) => {
      const [a, b] = data.filter(({ block }) => block === 0) as [Found, Found];
      for (let column = 0; column < a.rowLength; column++) {
        const first = random.below(a.rows);
        for (let e = 0; e < errorsPerColumn; e++) {
          copy[a.at + PAGE + ((first + e * 2) % a.rows) * a.rowLength + column]! ^= random.between(1, 255);
        }
      }
      copy.set(noise(b.length), b.at);
      return copy;
    },
  ]);
  if (blocksPerGroup > 0)
    list.push([
      `${blocksPerGroup} block in both copies`,
      (copy) => {
        for (const { block, at, length } of data) if (block < blocksPerGroup) copy.set(noise(length), at);
        return copy;
      },
    ]);
  list.push([
    '56 wrong bytes in each codeword of every page',
    (copy) => {
      // Codeword j holds the bytes j, j + 16, ...: the first 56 * 16 bytes are 56 symbols of each.
      for (const { at } of all) for (let i = 0; i < 56 * 16; i++) copy[at + i]! ^= random.between(1, 255);
      return copy;
    },
  ]);
  list.push([
    'the first 64 KiB',
    (copy) => {
      copy.set(noise(Math.min(64 * 1024, burstBytes)), 0);
      return copy;
    },
  ]);
  for (let i = 0; i < 3; i++) {
    const at = random.below(file.length);
    list.push([
      `a byte too many at ${at}`,
      (copy) => Buffer.concat([copy.subarray(0, at), noise(1), copy.subarray(at)]),
    ]);
    list.push([`a byte missing at ${at}`, (copy) => Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1)])]);
  }
  return list;
}

t.test('what a file survives', async (t) => {
  for (const size of [5 * 1024, 1 << 20, 3_500_000]) {
    const content = randomBytes(size);
    const file = await seal(content);
    const { survives, blocks } = await inspectBackup(file);
    for (const [name, damage] of damages(file, survives)) {
      const { content: back, report } = await unseal(damage(Buffer.from(file))).catch((error) => {
        t.error(error, `${blocks} blocks, ${name}`);
        return { content: Buffer.alloc(0), report: { damaged: true } };
      });
      t.ok(back.equals(content), `${blocks} blocks, ${name}: restored exactly`);
      t.equal(report.damaged, true, 'and said to be damaged');
    }
  }
});

t.test('what is visible without the key', async (t) => {
  const text = 'a line that shall not be seen\n'.repeat(1000);
  const sink = new MemorySink();
  const secret = { passphrases: [PASSPHRASE], recipients: [parsePublicKey(newKeyPair().recipient)], kdf };
  await sealStream(Readable.from([Buffer.from(text)]), secret, { output: sink, compression: 'none' });
  for (const word of ['shall not', 'mikro', 'created', 'stream'])
    t.notOk(sink.bytes!.includes(word), `"${word}" is not in it`);
  const { keySlots } = await inspectBackup(sink.bytes!);
  t.same(keySlots, [{ kind: 'passphrase', kdf }, { kind: 'recipient' }], 'kinds and parameters of the slots are');
  const header = records(sink.bytes!)[0]!;
  t.notOk(sink.bytes!.subarray(header.at, header.at + PAGE).includes(secret.recipients[0]!), 'the recipient is not');
});

t.test('keys', async (t) => {
  const security = read('SECURITY.md');
  t.same(DEFAULT_KDF, { iterations: 3, memoryKiB: 64 * 1024, parallelism: 4 });
  t.match(security, /by default 3 passes, 64 MiB, 4 lanes/);
  const folder = await mkdtemp(join(tmpdir(), 'dbs-promises-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [path, before] = [join(folder, 'now.dbs'), join(folder, 'before.dbs')];
  const content = Buffer.from('content');
  const { recipient, identity } = newKeyPair();
  await writeFile(
    path,
    await seal(content, { passphrases: [PASSPHRASE], recipients: [parsePublicKey(recipient)], kdf }),
  );
  await copyFile(path, before);
  const identities = parseIdentities(identity);
  t.ok((await unseal(await readFile(path), { identities })).content.equals(content), 'a recipient opens it');
  await removeKey(path, { identities }, 0);
  await t.rejects(unseal(await readFile(path)), { code: 'ERR_KEY_NO_MATCH' }, 'the passphrase was taken out');
  t.ok((await unseal(await readFile(before))).content.equals(content), 'an older copy still opens with it');
  await addKeys(path, { identities }, { passphrases: ['\u0041\u030a'], kdf });
  t.ok((await unseal(await readFile(path), '\u00c5')).content.equals(content), 'the same letters, typed otherwise');
  await t.rejects(unseal(await readFile(path), 'wrong'), { code: 'ERR_KEY_WRONG_PASSPHRASE' });
});

t.test('checksums are not authentication', async (t) => {
  const secret = { passphrases: [PASSPHRASE], kdf };
  const file = Buffer.concat(await sealedStream(Readable.from([randomBytes(5 * 1024)]), secret).toArray());
  const [header, data] = records(file) as [Found, Found];
  const lengthAt = (at: number) => file.readUInt32BE(at + 64);
  const fileId = file.subarray(16, 48);
  const headerBytes = file.subarray(header.at + BODY_AT, header.at + BODY_AT + lengthAt(header.at));
  const payload = Buffer.from(file.subarray(data.at + PAGE, data.at + PAGE + lengthAt(data.at)));
  // The forger changes one byte of the content, and makes every checksum, every copy and all parity anew.
  payload[1000]! ^= 1;
  const chunks: Buffer[] = [];
  await pipeline(
    Readable.from([{ index: 0, final: true, payload }]),
    new Blocker({ fileId }),
    new RSEncoder({ fileId }),
    new DualCopyInterleaver({ fileId, headerBytes, layout: 'interleaved' }),
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) chunks.push(Buffer.from(chunk));
    },
  );
  const forged = Buffer.concat(chunks);
  t.equal(forged.length, file.length);
  const { ok, damaged, authentic } = await validateBackup(forged);
  t.same({ ok, damaged, authentic }, { ok: true, damaged: false, authentic: null }, 'without the key all is in order');
  const report = await validateBackup(forged, PASSPHRASE);
  t.equal(report.ok, false, 'with the key it is not');
  t.equal(report.problem?.code, 'ERR_TAMPER_BLOCK');
  await t.rejects(unseal(forged), { code: 'ERR_TAMPER_BLOCK' });
});
