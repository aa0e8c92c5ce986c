/** Hostile and hopeless containers: a typed error in bounded memory and time, or the exact bytes from what was not touched. */
import t from 'tap';
import { createSlots, type OpeningKeys, openFileKeys, signHeader } from '../../lib/container/keys.ts';
import { ContainerReader } from '../../lib/container/reader.ts';
import { bufferSource } from '../../lib/container/source.ts';
import { hkdf } from '../../lib/crypto/hash.ts';
import { BackupError, type DamageError, FormatError, TamperError, TruncatedError } from '../../lib/errors.ts';
import { readHeader, writeHeaderUnsigned } from '../../lib/format/header.ts';
import { PAGE } from '../../lib/format/limits.ts';
import { MAGIC } from '../../lib/format/page.ts';
import { Random } from '../../lib/testkit/index.ts';
import { validateBackup } from '../../lib/validate.ts';
import { forgeBody, forgePage, forgePayload, rebuild, resealPage, segmentsOf } from './forge.ts';
import {
  type Container,
  cpuTime,
  DATA,
  END,
  fixedKeys,
  HEADER,
  INDEX,
  key,
  type Outcome,
  PARITY,
  recipient,
  restore,
  restoreOnce,
  seal,
  seed,
} from './support.ts';

const random = new Random(seed);
const KB20 = 20_000;
const MB12 = 1_200_000;
const MB3 = 3 * 978_924 + 5000;
const layouts = ['tandem', 'interleaved'] as const;

t.before(() => t.comment(`SEED=${seed}`));

/** Restores, and holds the bounds that every hostile file must keep to: 5 s, and 300 MB more than before. */
async function attempt(
  t: { ok(value: unknown, message: string): unknown },
  c: Container,
  file: Buffer,
  what: string,
): Promise<Outcome> {
  const before = process.resourceUsage().maxRSS;
  const started = cpuTime();
  const outcome = await restore(c, file);
  const grown = (process.resourceUsage().maxRSS - before) / 1024;
  const took = cpuTime() - started;
  const name = `${what}: ${outcome.error?.code ?? 'exact'}`;
  t.ok(took < 5000 && grown < 300, `${name} (${Math.round(took)} ms, ${Math.round(grown)} MiB)`);
  return outcome;
}

const flipOne = (payload: Buffer): void => {
  payload[random.below(payload.length)]! ^= random.between(1, 255);
};

for (const layout of layouts) {
  t.test(`${layout}: blocks forged with fitting checksums`, async (t) => {
    const c = await seal(layout, MB3);
    const whole = Buffer.from(c.file);
    const forged = (...copies: [copy: 0 | 1, block: number][]) => {
      const file = Buffer.from(whole);
      for (const [copy, block] of copies) {
        const change = new Random(block).below(1000);
        forgePayload(file, c.place(DATA, copy, block), (payload) => void (payload[change]! ^= 1));
      }
      return file;
    };
    for (const copy of [0, 1] as const) {
      const all = [0, 1, 2, 3].map((i): [0 | 1, number] => [copy, i]);
      const { ok, report } = await restore(c, forged(...all));
      t.ok(ok, `every copy ${'AB'[copy]} forged: the other one heals`);
      t.ok(report?.damaged && report.authentic, 'and it is said');
    }
    t.ok((await restore(c, forged([0, 2], [1, 2]))).ok, 'both copies of one block: the outer code heals');
    for (const lastToo of [false, true]) {
      const { error } = await restore(c, forged([0, 1], [1, 1], [0, lastToo ? 3 : 2], [1, lastToo ? 3 : 2]));
      t.ok(error instanceof TamperError, 'both copies of two blocks');
      t.equal(error?.code, 'ERR_TAMPER_BLOCK');
      t.equal(error?.facts.block, 1);
    }
    const one = await seal(layout, KB20);
    const file = Buffer.from(one.file);
    for (const copy of [0, 1] as const) forgePayload(file, one.place(DATA, copy, 0), (p) => void (p[7]! ^= 1));
    t.equal((await restore(one, file)).error?.code, 'ERR_TAMPER_BLOCK', 'the only block, in both copies');
    const keyless = await validateBackup(file);
    t.ok(keyless.ok && keyless.authentic === null, 'which nobody can see without the key');
    const keyed = await validateBackup(file, key);
    t.same([keyed.ok, keyed.authentic, keyed.problem?.code], [false, false, 'ERR_TAMPER_BLOCK']);
  });

  t.test(`${layout}: whole containers forged`, async (t) => {
    const c = await seal(layout, MB3);
    const other = await seal(layout, MB3, 'other');
    const segments = segmentsOf(c);
    t.ok((await rebuild(c, segmentsOf(c))).equals(c.file), 'an attacker can make the file from its segments');
    const expect = async (what: string, changed: typeof segments, type: typeof BackupError, code: string) => {
      const { error } = await restore(c, await rebuild(c, changed));
      t.ok(error instanceof type, `${what}: ${error?.code}`);
      t.equal(error?.code, code);
    };
    const at = (i: number, payload: Buffer) => segmentsOf(c).map((s) => (s.index === i ? { ...s, payload } : s));
    const flipped = Buffer.from(segments[1]!.payload);
    flipOne(flipped);
    await expect('a bit flipped everywhere', at(1, flipped), TamperError, 'ERR_TAMPER_BLOCK');
    await expect('a block repeated', at(1, segments[0]!.payload), TamperError, 'ERR_TAMPER_BLOCK');
    const swapped = segmentsOf(c).map((s, i) => ({ ...s, payload: segments[[0, 2, 1, 3][i]!]!.payload }));
    await expect('two blocks swapped', swapped, TamperError, 'ERR_TAMPER_BLOCK');
    await expect('a block of another file', at(2, segmentsOf(other)[2]!.payload), TamperError, 'ERR_TAMPER_BLOCK');
    const early = segmentsOf(c)
      .slice(0, 3)
      .map((s) => ({ ...s, final: s.index === 2 }));
    await expect('the last block dropped, FINAL set', early, TamperError, 'ERR_TAMPER_BLOCK');
    const longer = [...segmentsOf(c).slice(0, 3), { ...segments[2]!, index: 3, final: true }];
    await expect('a block in place of the last', longer, TamperError, 'ERR_TAMPER_BLOCK');
    // A group's records end with its last block: without FINAL the encoder would not close it.
    const shorter = await rebuild(c, early);
    for (const copy of [0, 1] as const) {
      const two = { ...c.place(DATA, copy, 2), at: 0 };
      const places = await placesOf(shorter, DATA, copy, 2);
      for (const offset of places) {
        forgePage(shorter, { ...two, at: offset }, (page) => void (page[72] = 0));
        forgePayload(shorter, { ...two, at: offset }, () => {});
      }
    }
    const { error } = await restore(c, shorter);
    t.ok(error instanceof TruncatedError, `the last block dropped, FINAL not set: ${error?.code}`);
    const keyless = await validateBackup(shorter);
    t.same([keyless.ok, keyless.problem?.code], [false, 'ERR_TRUNCATED'], 'which is seen without a key, too');
  });

  t.test(`${layout}: the cores of two files mixed`, async (t) => {
    const [c, d] = [await seal(layout, KB20), await seal(layout, KB20, 'd')];
    const tables = c.records.filter((r) => r.type === HEADER || r.type === END);
    const spliced = Buffer.from(c.file);
    for (const r of tables) d.file.copy(spliced, r.at, r.at, r.at + PAGE);
    t.ok((await restore(c, spliced)).error instanceof BackupError, "the other file's pages, as they are");
    const body = (from: Container) => (old: Buffer) => {
      const { headerBytes } = from.keys;
      return Buffer.concat([old.subarray(0, old.length - headerBytes.length), headerBytes]);
    };
    const forged = Buffer.from(c.file);
    for (const r of tables) forgeBody(forged, r, body(d));
    t.equal((await restore(c, forged)).error?.code, 'ERR_DAMAGE_NO_HEADER', 'its bodies under this fileID');
    const half = Buffer.from(c.file);
    for (const r of tables.filter((r) => r.type === END)) forgeBody(half, r, body(d));
    t.ok((await restore(c, half)).ok, 'in END only: HEADER is right');
    // All of it, with the core's hash as the new fileID: then every block is another's.
    const { error } = await restore(c, await rebuild(d, segmentsOf(c)));
    t.equal(error?.code, 'ERR_TAMPER_BLOCK', 'its keys over these blocks');
  });

  t.test(`${layout}: END and HEADER bodies that lie`, async (t) => {
    const c = await seal(layout, MB12);
    const ends = c.records.filter((r) => r.type === END);
    const claims: [string, bigint, bigint, number][] = [
      ['no block', 0n, 0n, 0],
      ['one block less', 1n, 978_944n, 1],
      ['one block more', 3n, 2n * 978_944n + 500n, 1],
      ['a longer last block', 2n, 2n * 978_944n, 1],
      ['a last block of 1 byte', 2n, 978_945n, 1],
      ['1000 blocks', 1000n, 1000n * 978_944n, 8],
      ['2^20 blocks', 2n ** 20n, 2n ** 20n * 978_944n, 2 ** 13],
      ['2^32 blocks', 2n ** 32n, 2n ** 32n * 978_944n, 2 ** 25],
      ['2^63 bytes', 2n ** 32n, 2n ** 63n, 2 ** 25],
      ['2^64 - 1 of everything', 2n ** 64n - 1n, 2n ** 64n - 1n, 0xffffffff],
      ['2^53 blocks of nothing', 2n ** 53n, 2n, 7],
    ];
    for (const [what, count, total, groups] of claims) {
      for (const only of [ends, ends.slice(0, 1), ends.slice(1)]) {
        const file = Buffer.from(c.file);
        for (const end of only) {
          forgeBody(file, end, (body) => {
            body.writeBigUInt64BE(count, 0);
            body.writeBigUInt64BE(total, 8);
            body.writeUInt32BE(groups, 16);
            return body;
          });
        }
        await attempt(t, c, file, `${only.length} END with ${what}`);
      }
    }
    const headers = c.records.filter((r) => r.type === HEADER || r.type === END);
    const forgeHeaders = (change: (header: Buffer) => Buffer) => {
      const file = Buffer.from(c.file);
      for (const r of headers) {
        forgeBody(file, r, (body) => {
          const at = body.length - c.keys.headerBytes.length;
          return Buffer.concat([body.subarray(0, at), change(Buffer.from(body.subarray(at)))]);
        });
      }
      return file;
    };
    const lies: [string, (header: Buffer) => Buffer, code: string][] = [
      ['no slots', (h) => withByte(h, 100, 0), 'ERR_DAMAGE_NO_HEADER'],
      ['255 slots', (h) => withByte(h, 100, 255), 'ERR_DAMAGE_NO_HEADER'],
      ['another suite', (h) => withByte(h, 9, 2), 'ERR_DAMAGE_NO_HEADER'],
      ['another MAC', (h) => withByte(h, h.length - 1, h[h.length - 1]! ^ 1), 'ERR_TAMPER_HEADER'],
      ['another generation', (h) => withByte(h, 96, 9), 'ERR_TAMPER_HEADER'],
      ['a slot of an unknown kind', (h) => withByte(h, 104, 77), 'ERR_KEY_NO_MATCH'],
      ['another ephemeral key', (h) => withByte(h, 112, h[112]! ^ 1), 'ERR_KEY_NO_MATCH'],
      ['an ephemeral key of low order', (h) => h.fill(0, 112, 144), 'ERR_KEY_NO_MATCH'],
      ['another commitment', (h) => withByte(h, 144, h[144]! ^ 1), 'ERR_KEY_NO_MATCH'],
      ['another wrapped key', (h) => withByte(h, 176, h[176]! ^ 1), 'ERR_TAMPER_HEADER'],
      ['nothing at all', (h) => h.subarray(0, 50), 'ERR_DAMAGE_NO_HEADER'],
    ];
    for (const [what, change, code] of lies) {
      const { error } = await attempt(t, c, forgeHeaders(change), `HEADERs with ${what}`);
      t.equal(error?.code, code, what);
    }
  });

  t.test(`${layout}: an INDEX that lies`, async (t) => {
    const c = await seal(layout, MB12);
    const indexes = c.records.filter((r) => r.type === INDEX);
    const last = c.count - 1;
    const pages = [c.place(DATA, 0, last), c.place(DATA, 1, last), c.place(PARITY, 0, 0)];
    const lies: [string, (body: Buffer) => Buffer][] = [
      ['other hashes', (b) => Buffer.concat([b.subarray(0, 8), random.bytes(96), b.subarray(104)])],
      ['other tables', (b) => Buffer.concat([b.subarray(0, 104), random.bytes(b.length - 104)])],
      ['nothing but noise', (b) => random.bytes(b.length)],
      ['zeros', (b) => Buffer.alloc(b.length)],
      ['a table that is too short', (b) => b.subarray(0, b.length - 4)],
      ['nothing', () => Buffer.alloc(0)],
    ];
    for (const [what, change] of lies) {
      const file = Buffer.from(c.file);
      for (const r of indexes) forgeBody(file, r, change);
      const { error } = await attempt(t, c, file, `INDEX with ${what}`);
      t.equal(error, undefined, `${what}: nobody needs it`);
      // Where it is the only witness left it must be right, or nothing comes out.
      for (const r of pages) random.fill(file.subarray(r.at, r.at + PAGE));
      await attempt(t, c, file, `INDEX with ${what}, and no other page`);
    }
  });

  t.test(`${layout}: records that contradict each other`, async (t) => {
    const c = await seal(layout, MB12);
    const a = c.place(DATA, 0, 0);
    const lie = Buffer.from(c.file.subarray(a.at, a.at + a.length));
    forgePayload(lie, { ...a, at: 0 }, flipOne);
    t.ok((await restore(c, Buffer.concat([lie, c.file]))).ok, 'a forged block in front of the true one');
    t.ok((await restore(c, Buffer.concat([c.file, lie]))).ok, 'behind it');
    t.ok((await restore(c, Buffer.concat([lie, lie, lie, lie, lie, lie, c.file]))).ok, 'six of them in front');
    const overlapping = Buffer.from(c.file);
    const page = Buffer.from(c.file.subarray(a.at, a.at + PAGE));
    page.copy(overlapping, a.at + PAGE * 3);
    page.copy(overlapping, a.at + PAGE * 5);
    t.ok((await restore(c, overlapping)).ok, 'pages inside of another record');
    const header = c.place(HEADER, 0, 0);
    const newest = Buffer.from(c.file.subarray(header.at, header.at + PAGE));
    forgeBody(newest, { ...header, at: 0 }, (body) => {
      body.writeUInt32BE(0xffffffff, 96);
      return body;
    });
    const { ok, error } = await restore(c, Buffer.concat([newest, c.file]));
    t.ok(ok, `a forged HEADER with a higher generation: ${error?.code}`);
  });

  t.test(`${layout}: cut short`, async (t) => {
    const c = await seal(layout, MB3);
    const lastA = c.place(DATA, 0, 3);
    for (const at of [
      PAGE,
      5000,
      c.place(DATA, 0, 1).at,
      c.place(DATA, 0, 1).at + 500_000,
      lastA.at,
      lastA.at + 2000,
    ]) {
      for (const end of [at, random.between(PAGE, at)]) {
        const { error } = await restore(c, c.file.subarray(0, end));
        t.equal(error?.code, 'ERR_TRUNCATED', `after ${end} bytes`);
        t.ok(error instanceof TruncatedError);
      }
    }
    const rows = await restore(c, c.file.subarray(0, lastA.at + PAGE));
    t.same(
      (rows.error as DamageError).blocks.map((b) => b.block),
      [3],
      'after the page of the last block',
    );
    const growing = Buffer.concat([c.file.subarray(0, lastA.at), Buffer.alloc(1 << 20)]);
    t.equal((await restore(c, growing)).error?.code, 'ERR_TRUNCATED', 'zeros in place of the rest');
  });
}

t.test('pages that claim the impossible', async (t) => {
  const c = await seal('tandem', MB12);
  const fields: [name: string, type: number, at: number, values: number[], size: 1 | 2 | 4 | 8][] = [
    ['record length', DATA, 12, [0, 1, 4096, 0x7fffffff, 0xfffff000], 4],
    ['record length', HEADER, 12, [0, 8192, 0xfffff000], 4],
    ['sequence', DATA, 48, [2, 1000, 2 ** 32, 2 ** 40, 2 ** 53 - 1, 2 ** 53, 2 ** 63], 8],
    ['sequence', HEADER, 48, [1, 2 ** 24, 2 ** 32, 2 ** 52, 2 ** 63], 8],
    ['sequence', END, 48, [0, 2 ** 32, 2 ** 53], 8],
    ['sequence', PARITY, 48, [1, 255, 256, 2 ** 40, 2 ** 52], 8],
    ['sequence', INDEX, 48, [1, 2 ** 32, 2 ** 52], 8],
    ['origin', DATA, 56, [0, 1, 2 ** 53, 2 ** 63], 8],
    ['length', DATA, 64, [0, 1, 5, 20, 21, 978_943, 978_945, 0xffffffff], 4],
    ['length', HEADER, 64, [0, 1, 2157, 0xffffffff], 4],
    ['row length', DATA, 68, [0, 1, 511, 65_535], 2],
    ['k', DATA, 70, [0, 1, 255], 1],
    ['m', DATA, 71, [0, 255], 1],
    ['flags', DATA, 72, [0, 1, 255], 1],
    ['layout', HEADER, 75, [0, 1, 2, 3, 255], 1],
    ['delay', DATA, 76, [0xffffffff], 4],
    ['page', INDEX, 80, [1, 65_535], 2],
    ['pages', INDEX, 82, [0, 2, 65_535], 2],
    ['type', DATA, 10, [0, 1, 3, 4, 5, 6, 255], 1],
    ['type', HEADER, 10, [2, 5, 77], 1],
    ['copy', DATA, 11, [1, 2, 255], 1],
  ];
  for (const [name, type, at, values, size] of fields) {
    for (const value of values) {
      for (const all of [false, true]) {
        const file = Buffer.from(c.file);
        const records = c.records.filter((r) => r.type === type);
        for (const record of all ? records : records.slice(0, 1)) {
          forgePage(file, record, (page) => {
            if (size === 8) page.writeBigUInt64BE(BigInt(value), at);
            else page.writeUIntBE(value, at, size);
            // The hash that covers it, where one does.
            const length = page.readUInt32BE(64);
            if (type !== DATA && type !== PARITY && length < 2156) {
              forgeBody(file, { ...record, type: page[10] as 1 }, (body) => body);
            }
          });
        }
        const what = `${name} ${value} in ${all ? 'all' : 'one'} of type ${type}`;
        if (all) await attempt(t, c, file, what);
        else t.equal((await restoreOnce(c, file)).error, undefined, `${what}: healed from the rest`);
      }
    }
  }
});

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

/** Offsets of a record in a regular file that was made from fewer blocks. */
async function placesOf(file: Buffer, type: number, copy: 0 | 1, sequence: number): Promise<number[]> {
  const reader = await ContainerReader.open([bufferSource(file)]);
  return reader.blocks.maps.map((map) => map.planned(type as 2, copy, sequence));
}

t.test('what is no backup, or one of the future', async (t) => {
  const c = await seal('tandem', KB20);
  const magics = Buffer.alloc(2 << 20, MAGIC);
  const zip = Buffer.concat([Buffer.from('504b0304', 'hex'), random.bytes(100_000)]);
  const markers = random.bytes(1 << 20);
  for (let at = 0; at + 8 < markers.length; at += 300) MAGIC.copy(markers, at);
  const files: [string, Buffer][] = [
    ['an empty file', Buffer.alloc(0)],
    ['one byte', Buffer.alloc(1)],
    ['4095 bytes', Buffer.alloc(4095)],
    ['4096 zeros', Buffer.alloc(4096)],
    ['a mebibyte of 0xff', Buffer.alloc(1 << 20, 255)],
    ['random bytes', random.bytes(300_000)],
    ['a zip file', zip],
    ['text', Buffer.from('SELECT 1;\n'.repeat(50_000))],
    ['the magic, again and again', magics],
    ['markers among random bytes', markers],
    ['a HEADER whose parity and content are noise', Buffer.concat([MAGIC, random.bytes(4088)])],
  ];
  for (const [what, file] of files) {
    const { error } = await attempt(t, c, file, what);
    t.equal(error?.code, 'ERR_FORMAT_NOT_DBS', what);
    t.ok(error instanceof FormatError);
  }
  for (const all of [true, false]) {
    const file = Buffer.from(c.file);
    for (const r of all ? c.records : c.records.slice(0, 1)) forgePage(file, r, (page) => void (page[8] = 2));
    const { error } = await restore(c, file);
    t.equal(error?.code, 'ERR_FORMAT_NEWER', `major version 2 in ${all ? 'every page' : 'the first page'}`);
    t.equal(error?.facts.major, 2);
    t.equal(
      (await restore(c, Buffer.concat([random.bytes(100), file]))).error?.code,
      all ? 'ERR_FORMAT_NEWER' : undefined,
    );
  }
  const minor = Buffer.from(c.file);
  for (const r of c.records) {
    const page = minor.subarray(r.at, r.at + PAGE);
    page[9] = 200;
    page.fill(0xaa, 84, 88);
    page.fill(0xaa, 2232, 2284 - (r.type === HEADER || r.type === END ? 52 : 0));
    resealPage(page);
  }
  t.ok((await restore(c, minor)).ok, 'a higher minor version, with values in reserved fields, is read');
});

t.test('keys', async (t) => {
  const kdf = { iterations: 1, memoryKiB: 8192, parallelism: 1 };
  const { fileId, dataKey, headerBytes } = fixedKeys('tandem', 'keys');
  const { coreBytes, core } = readHeader(headerBytes)!;
  const sign = (slots: Buffer[], generation = 1, dk = dataKey) =>
    readHeader(signHeader(writeHeaderUnsigned(coreBytes, generation, slots), dk, core.fileSalt))!;
  const slots = await createSlots(
    { passphrases: ['one', 'Zwölf Boxkämpfer'], recipients: [recipient], kdf },
    fileId,
    dataKey,
  );
  const open = (secret: string | OpeningKeys, ...headers: ReturnType<typeof sign>[]) =>
    openFileKeys(headers, fileId, typeof secret === 'string' ? { passphrase: secret } : secret);
  const whole = sign(slots);
  for (const secret of ['one', 'Zwölf Boxkämpfer', 'Zwo\u0308lf Boxka\u0308mpfer', key]) {
    t.ok((await open(secret, whole)).dataKey.equals(dataKey), 'opens');
  }
  const fails = async (
    code: string,
    what: string,
    secret: string | OpeningKeys,
    ...headers: ReturnType<typeof sign>[]
  ) => {
    const started = cpuTime();
    await t.rejects(open(secret, ...headers), { code }, what);
    t.ok(cpuTime() - started < 3000, `${what}: in bounded time`);
  };
  await fails('ERR_KEY_WRONG_PASSPHRASE', 'wrong passphrase', 'two', whole);
  await fails('ERR_KEY_WRONG_PASSPHRASE', 'case counts', 'One', whole);
  await fails('ERR_KEY_NO_MATCH', 'another identity', { identities: [random.bytes(32)] }, whole);
  await fails('ERR_KEY_NO_MATCH', 'no passphrase slot', 'one', sign(slots.slice(2)));
  await fails('ERR_KEY_NO_MATCH', 'nothing offered', {}, whole);
  await fails('ERR_KEY_EMPTY_PASSPHRASE', 'empty', '', whole);
  const c = await seal('tandem', 0);
  await t.rejects(validateBackup(c.file, ''), { code: 'ERR_KEY_EMPTY_PASSPHRASE' });
  const bounds: [string, number, number][] = [
    ['t = 0', 4, 0],
    ['t = 17', 4, 17],
    ['t = 2^32 - 1', 4, 0xffffffff],
    ['m = 0', 8, 0],
    ['m = 8 MiB - 1 KiB', 8, 8191],
    ['m = 1 GiB + 1 KiB', 8, 1024 * 1024 + 1],
    ['m = 4 TiB', 8, 0xffffffff],
    ['p = 0', 12, 0],
    ['p = 17', 12, 17],
    ['p = 2^32 - 1', 12, 0xffffffff],
  ];
  for (const [what, at, value] of bounds) {
    const slot = Buffer.from(slots[0]!);
    slot.writeUInt32BE(value, at);
    await fails('ERR_TAMPER_HEADER', `a slot with ${what}`, 'one', sign([slot]));
    t.ok((await open('one', sign([slot, ...slots]))).dataKey.equals(dataKey), 'beside one that is right');
  }
  const work = Buffer.from(slots[0]!);
  work.writeUInt32BE(16, 4);
  work.writeUInt32BE(512 * 1024, 8);
  await fails('ERR_TAMPER_HEADER', 't*m = 8 GiB', 'one', sign([work]));
  const many = Array.from({ length: 16 }, () => slots[1]!);
  await fails('ERR_KEY_WRONG_PASSPHRASE', '16 passphrase slots: 4 are tried', 'one', sign(many));
  const wrapped = Buffer.from(slots[0]!);
  wrapped[70]! ^= 1;
  await fails('ERR_TAMPER_HEADER', 'the commitment fits and the wrapped key does not', 'one', sign([wrapped]));
  const another = random.bytes(32);
  const foreign = await createSlots({ passphrases: ['one'], kdf }, fileId, another);
  await fails('ERR_TAMPER_HEADER', 'a slot that wraps another data key', 'one', sign(foreign));
  await fails('ERR_TAMPER_HEADER', 'signed by it, too', 'one', sign(foreign, 1, another));
  const forged = sign(slots, 7, another);
  t.ok((await open(key, forged, whole)).headerBytes.equals(whole.bytes), 'a forged generation is passed over');
  t.notOk(hkdf(another, core.fileSalt, 'DBS2 commit').equals(core.commitment));
});
