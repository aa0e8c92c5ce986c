/** Bytes to values and back: pages, bodies, slots, frames, footers; offsets pinned as SPEC.md has them. */
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test as Tap } from 'tap';
import { Codec, FrameType, padBody, readFooter, readFrameHead } from '../../lib/format/frame.ts';
import { parityCount } from '../../lib/format/group.ts';
import { readCore, readEnd, readHeader, writeCore, writeEnd, writeHeaderUnsigned } from '../../lib/format/header.ts';
import {
  closeSlot,
  kdfOutOfBounds,
  passphraseSlotHead,
  readSlot,
  recipientSlotHead,
} from '../../lib/format/key-slot.ts';
import { countOf } from '../../lib/format/layout.ts';
import type { LayoutName } from '../../lib/format/limits.ts';
import { blockShape, bodyPages, type PageFields, pageIntact, readPage, writePage } from '../../lib/format/page.ts';
import { readTocPage, type TocEntry, TocPage } from '../../lib/format/toc.ts';
import { Random } from '../../lib/testkit/index.ts';
import { writeFrame } from './frames.ts';

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const random = new Random(seed);
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map((b) => Buffer.from(b));
const u64 = fc.maxSafeNat();
const MAGIC = '89444253320d0a1a';

t.before(() => t.comment(`SEED=${seed}`));

function holds<T>(t: Tap, name: string, arbitrary: fc.Arbitrary<T>, check: (value: T) => void, numRuns = 200): void {
  fc.assert(
    fc.property(arbitrary, (value) => void check(value)),
    { seed, numRuns },
  );
  t.pass(name);
}

function must(condition: unknown, what: string): void {
  if (!condition) throw new Error(what);
}

const same = isDeepStrictEqual;

const rowsPage = fc
  .record({
    length: fc.integer({ min: 21, max: 978_944 }),
    type: fc.constantFrom(2 as const, 3 as const),
    copy: fc.constantFrom(0 as const, 1 as const),
    fileId: bytes(32),
    sequence: u64,
    origin: u64,
    flags: fc.constantFrom(0, 1),
    layout: fc.constantFrom(0, 1, 2),
    delay: fc.constantFrom(0, 16),
    hash: bytes(32),
    previousHash: bytes(32),
    chain: bytes(32),
    crcs: fc.infiniteStream(fc.nat(0xffffffff)),
  })
  .map(({ crcs, ...f }) => {
    const { k, m, rowLength, recordLength } = blockShape(f.length)!;
    const take = (n: number) => Uint32Array.from({ length: n }, () => crcs.next().value as number);
    return { ...f, k, m, rowLength, recordLength, page: 0, pages: 1, rowCrcs: take(k + m), previousCrcs: take(255) };
  });

const bodyPage = fc
  .record({
    length: fc.integer({ min: 1, max: 5000 }),
    type: fc.constantFrom(1 as const, 4 as const, 5 as const),
    copy: fc.constantFrom(0 as const, 1 as const),
    fileId: bytes(32),
    sequence: u64,
    origin: u64,
    layout: fc.constantFrom(0, 1, 2),
    hash: bytes(32),
    pick: fc.nat(),
  })
  .map(({ pick, ...f }) => {
    const pages = Math.ceil(f.length / 2156);
    const page = pick % pages;
    const body = random.bytes(Math.min(2156, f.length - 2156 * page));
    return { ...f, recordLength: 4096 * pages, page, pages, rowLength: 0, k: 0, m: 0, flags: 0, delay: 0, body };
  });

function pageOf(fields: Omit<PageFields, 'major'>): Buffer {
  const page = random.bytes(4096);
  writePage(page, fields);
  return page;
}

t.test('pages', async (t) => {
  holds(t, 'DATA and PARITY: there and back', rowsPage, (fields) => {
    const page = pageOf(fields);
    must(pageIntact(page), 'intact');
    must(same(readPage(page), { ...readPage(page), ...fields, major: 1 }), 'the same fields');
  });
  holds(t, 'HEADER, INDEX and END: there and back', bodyPage, (fields) => {
    const page = pageOf(fields);
    must(pageIntact(page), 'intact');
    must(same(readPage(page), { ...readPage(page), ...fields, major: 1 }), 'the same fields');
  });
  holds(
    t,
    'any other byte of the content or magic is noticed',
    fc.tuple(rowsPage, fc.nat(2287), fc.integer({ min: 1, max: 255 })),
    ([fields, at, mask]) => {
      const page = pageOf(fields);
      page[at]! ^= mask;
      must(!pageIntact(page), `byte ${at}`);
    },
  );

  const fields = {
    ...fc.sample(rowsPage, { seed, numRuns: 1 })[0]!,
    length: 978_944,
    ...blockShape(978_944)!,
    sequence: 2 ** 40 + 5,
    origin: 2 ** 45 + 7,
    flags: 1,
  };
  fields.rowCrcs = Uint32Array.from({ length: 255 }, (_, r) => 1000 + r);
  const page = pageOf({ ...fields, layout: 1, copy: 1, type: 2, delay: 16 });
  const at: [string, number, string][] = [
    ['magic', 0, MAGIC],
    ['version 1.0', 8, '0100'],
    ['type', 10, '02'],
    ['copy', 11, '01'],
    ['record length', 12, '00100000'],
    ['fileID', 16, fields.fileId.toString('hex')],
    ['sequence number', 48, '0000010000000005'],
    ['origin', 56, '0000200000000007'],
    ['length', 64, '000ef000'],
    ['row length', 68, '1000'],
    ['k', 70, 'ef'],
    ['m', 71, '10'],
    ['flags', 72, '01'],
    ['G', 73, '80'],
    ['P', 74, '08'],
    ['layout', 75, '01'],
    ['D', 76, '00000010'],
    ['page i of n', 80, '00000001'],
    ['reserved', 84, '00000000'],
    ['hash', 88, fields.hash.toString('hex')],
    ['zeros', 120, '0000000000000000'],
    ['first row CRC', 128, '000003e8'],
    ['last row CRC', 128 + 4 * 254, '000004e6'],
    ['first CRC of the previous block', 1148, fields.previousCrcs[0]!.toString(16).padStart(8, '0')],
    ['last CRC of the previous block', 1148 + 4 * 254, fields.previousCrcs[254]!.toString(16).padStart(8, '0')],
    ['hash of the previous block', 2168, fields.previousHash.toString('hex')],
    ['chain', 2200, fields.chain.toString('hex')],
    ['reserved', 2232, '00'.repeat(52)],
    ['CRC', 2284, crc32(page.subarray(0, 2284)).toString(16).padStart(8, '0')],
    ['tail magic', 4080, MAGIC],
    ['head of the fileID', 4088, fields.fileId.toString('hex', 0, 8)],
  ];
  for (const [name, offset, hex] of at) t.equal(page.toString('hex', offset, offset + hex.length / 2), hex, name);

  const refused: [string, (p: Buffer) => void][] = [
    ['type 0', (p) => void (p[10] = 0)],
    ['type 6', (p) => void (p[10] = 6)],
    ['type HEADER with rows', (p) => void (p[10] = 1)],
    ['copy 2', (p) => void (p[11] = 2)],
    ['record length 0', (p) => void p.writeUInt32BE(0, 12)],
    ['record length of 1.5 pages', (p) => void p.writeUInt32BE(6144, 12)],
    ['record length of another shape', (p) => void p.writeUInt32BE(8192, 12)],
    ['sequence 2^53', (p) => void p.writeBigUInt64BE(2n ** 53n, 48)],
    ['length 20', (p) => void p.writeUInt32BE(20, 64)],
    ['length above a full block', (p) => void p.writeUInt32BE(978_945, 64)],
    ['another row length', (p) => void p.writeUInt16BE(512, 68)],
    ['another k', (p) => void (p[70] = 238)],
    ['another m', (p) => void (p[71] = 15)],
    ['layout 3', (p) => void (p[75] = 3)],
    ['page 1 of 1', (p) => void p.writeUInt16BE(1, 80)],
    ['2 pages', (p) => void p.writeUInt16BE(2, 82)],
  ];
  for (const [what, change] of refused) {
    const forged = Buffer.from(page);
    change(forged);
    t.equal(readPage(forged), null, `refused: ${what}`);
  }
  const newer = Buffer.from(page);
  newer[8] = 2;
  newer[10] = 99;
  t.equal(readPage(newer)?.major, 2, 'of a newer major version nothing is believed but the number');
  const minor = Buffer.from(page);
  minor[9] = 7;
  minor.fill(1, 84, 88);
  t.same(readPage(minor), readPage(page), 'a newer minor version and reserved bytes are ignored');
});

t.test('shapes and counts', async (t) => {
  const shapes: [number, number, number, number][] = [
    // payload, row length, k, record
    [21, 512, 1, 16_384],
    [512, 512, 1, 16_384],
    [513, 512, 2, 16_384],
    [122_368, 512, 239, 135_168],
    [122_369, 1024, 120, 143_360],
    [244_736, 1024, 239, 266_240],
    [300_000, 2048, 147, 339_968],
    [489_473, 4096, 120, 561_152],
    [978_943, 4096, 239, 1_048_576],
    [978_944, 4096, 239, 1_048_576],
  ];
  for (const [length, rowLength, k, recordLength] of shapes) {
    t.same(blockShape(length), { rowLength, k, m: 16, recordLength }, `${length} bytes`);
  }
  for (const length of [0, -1, 1, 20, 978_945, 2 ** 32])
    t.equal(blockShape(length), null, `no block has ${length} bytes`);
  holds(t, 'a shape is the least of SPEC section 4', fc.integer({ min: 21, max: 978_944 }), (length) => {
    const { rowLength, k, recordLength } = blockShape(length)!;
    must([512, 1024, 2048, 4096].includes(rowLength) && k >= 1 && k <= 239, 'bounds');
    must(k * rowLength >= length && (k - 1) * rowLength < length, 'rows hold it, and none is empty');
    must(rowLength === 512 || (239 * rowLength) / 2 < length, 'no shorter row would do');
    must(
      recordLength % 4096 === 0 &&
        recordLength - 4096 < 4096 + (k + 16) * rowLength &&
        recordLength >= 4096 + (k + 16) * rowLength,
      'record',
    );
  });
  t.same([1, 2, 15, 16, 17, 32, 33, 112, 113, 127, 128].map(parityCount), [0, 1, 1, 1, 2, 2, 3, 7, 8, 8, 8], 'P(n)');
  t.same([1, 2156, 2157, 4104, 4312, 4313].map(bodyPages), [1, 1, 2, 2, 2, 3], 'pages of a body');
  t.same(countOf(21), { count: 1, lastLength: 21 });
  t.same(countOf(978_944), { count: 1, lastLength: 978_944 });
  t.same(countOf(978_944 + 21), { count: 2, lastLength: 21 });
  for (const total of [0, -5, 20, 978_945, 978_944 + 20, Number.NaN])
    t.equal(countOf(total), null, `no file has ${total} bytes of payload`);
});

const layouts = fc.constantFrom<LayoutName>('interleaved', 'tandem', 'split');

t.test('HEADER and END bodies', async (t) => {
  const arbitrary = fc.record({
    layout: layouts,
    fileSalt: bytes(32),
    commitment: bytes(32),
    generation: fc.nat(0xffffffff),
    slots: fc.array(bytes(120), { minLength: 1, maxLength: 16 }),
    mac: bytes(32),
  });
  holds(t, 'there and back', arbitrary, ({ layout, fileSalt, commitment, generation, slots, mac }) => {
    const core = { layout, fileSalt, commitment };
    const unsigned = writeHeaderUnsigned(writeCore(core), generation, slots);
    const body = Buffer.concat([unsigned, mac]);
    must(body.length <= 2156, 'always fits one page');
    const header = readHeader(body)!;
    must(same([header.core, header.generation, header.slots, header.mac], [core, generation, slots, mac]), 'header');
    must(
      header.macInput.equals(unsigned) && header.bytes.equals(body) && header.coreBytes.equals(writeCore(core)),
      'parts',
    );
    for (const length of [0, 1, 95, 96, 101, body.length - 1])
      must(!readHeader(body.subarray(0, length)), `cut to ${length}`);
    must(!readHeader(Buffer.concat([body, Buffer.alloc(1)])), 'longer');
  });
  const core = writeCore({ layout: 'interleaved', fileSalt: Buffer.alloc(32, 1), commitment: Buffer.alloc(32, 2) });
  t.equal(
    core.toString('hex'),
    // "DBS2core", suite 1, layout 0, reserved, 978928, 4096, 239, 16, 128, 8, reserved, D = 16, reserved, salt, commitment
    `44425332636f7265${'0001'}${'00'}${'00'}${'000eeff0'}${'1000'}${'ef'}${'10'}${'80'}${'08'}${'0000'}${'00000010'}${'00000000'}${'01'.repeat(32)}${'02'.repeat(32)}`,
    'the core, byte by byte',
  );
  for (let at = 0; at < 32; at++) {
    const forged = Buffer.from(core);
    forged[at]! ^= 0x40;
    const reserved = at === 11 || at === 22 || at === 23 || at >= 28;
    t.equal(
      readCore(forged) === null,
      !reserved,
      `byte ${at} ${reserved ? 'is ignored' : 'counts: another geometry is another format'}`,
    );
  }
  const header = Buffer.alloc(300, 9);
  holds(
    t,
    'END: there and back',
    fc.tuple(
      fc.integer({ min: 21, max: 2 ** 32 * 978_944 }).filter((n) => countOf(n) !== null),
      bytes(32),
    ),
    ([totalPayload, chain]) => {
      const { count, lastLength } = countOf(totalPayload)!;
      const body = writeEnd({ count, totalPayload, groups: Math.ceil(count / 128), chain, headerBytes: header });
      must(body.length <= 2156, 'fits one page');
      must(same(readEnd(body), { count, lastLength, totalPayload, chain, headerBytes: header }), 'the same');
      for (const [at, value] of [
        [0, count + 1],
        [8, totalPayload + 978_944],
      ] as const) {
        const forged = Buffer.from(body);
        forged.writeBigUInt64BE(BigInt(value), at);
        must(readEnd(forged) === null, 'counts that contradict each other');
      }
      const forged = Buffer.from(body);
      forged.writeUInt32BE(Math.ceil(count / 128) + 1, 16);
      must(readEnd(forged) === null, 'another number of groups');
    },
  );
  for (const length of [0, 20, 56]) t.equal(readEnd(Buffer.alloc(length)), null, `${length} bytes`);
});

t.test('key slots', async (t) => {
  const kdf = { iterations: 3, memoryKiB: 65_536, parallelism: 4 };
  const head = Buffer.concat([passphraseSlotHead(kdf, Buffer.alloc(16, 0xaa)), Buffer.alloc(32, 0xbb)]);
  const slot = closeSlot(head, Buffer.alloc(48, 0xcc));
  t.equal(
    slot.toString('hex'),
    `01000000${'00000003'}${'00010000'}${'00000004'}${'aa'.repeat(16)}${'bb'.repeat(32)}${'cc'.repeat(48)}${'00'.repeat(8)}`,
    'a passphrase, byte by byte',
  );
  t.same(readSlot(slot), {
    kind: 'passphrase',
    kdf,
    salt: Buffer.alloc(16, 0xaa),
    commitment: Buffer.alloc(32, 0xbb),
    wrapped: Buffer.alloc(48, 0xcc),
    head,
  });
  const own = Buffer.concat([recipientSlotHead(Buffer.alloc(32, 0x11)), Buffer.alloc(32, 0x22)]);
  const recipient = closeSlot(own, Buffer.alloc(48, 0x33));
  t.equal(
    recipient.toString('hex'),
    `02${'00'.repeat(7)}${'11'.repeat(32)}${'22'.repeat(32)}${'33'.repeat(48)}`,
    'a recipient, byte by byte',
  );
  t.same(readSlot(recipient), {
    kind: 'recipient',
    ephemeral: Buffer.alloc(32, 0x11),
    commitment: Buffer.alloc(32, 0x22),
    wrapped: Buffer.alloc(48, 0x33),
    head: own,
  });
  for (const kind of [0, 3, 255]) t.same(readSlot(Buffer.alloc(120, kind)), { kind: 'unknown', id: kind });

  t.equal(kdfOutOfBounds(kdf), null);
  const within = [
    [1, 8192, 1],
    [16, 8192, 16],
    [4, 1024 * 1024, 1],
    [16, 256 * 1024, 1],
  ];
  const outside = [
    [0, 8192, 1],
    [17, 8192, 1],
    [1, 8191, 1],
    [1, 1024 * 1024 + 1, 1],
    [1, 8192, 0],
    [1, 8192, 17],
    [5, 1024 * 1024, 1],
    [16, 256 * 1024 + 1, 1],
    [1.5, 8192, 1],
    [Number.NaN, 8192, 1],
    [1, Number.POSITIVE_INFINITY, 1],
    [0xffffffff, 0xffffffff, 0xffffffff],
  ];
  const params = ([iterations, memoryKiB, parallelism]: number[]) => ({
    iterations: iterations!,
    memoryKiB: memoryKiB!,
    parallelism: parallelism!,
  });
  for (const p of within) t.equal(kdfOutOfBounds(params(p)), null, `${p}: within bounds`);
  for (const p of outside) t.type(kdfOutOfBounds(params(p)), 'string', `${p}: refused`);
});

t.test('frames and footers', async (t) => {
  const arbitrary = fc.record({
    type: fc.constantFrom(...Object.values(FrameType), 128, 255),
    flags: fc.nat(0xffff),
    stream: fc.nat(0xffffffff),
    body: fc.uint8Array({ maxLength: 300 }),
    rawLength: fc.nat(1 << 20),
    codec: fc.constantFrom(0, 1, 2),
    ordinal: u64,
  });
  holds(t, 'there and back', arbitrary, ({ body, ...head }) => {
    if (head.codec === 0) head.rawLength = body.length;
    const frame = writeFrame(head, body);
    must(same(readFrameHead(frame), { ...head, codedLength: body.length }), 'head');
    must(frame.subarray(24).equals(body), 'body');
    must(same(readFrameHead(Buffer.concat([Buffer.alloc(7), frame]), 7), readFrameHead(frame)), 'anywhere');
  });
  const frame = writeFrame(
    { type: 2, codec: 1, flags: 2, stream: 7, rawLength: 100, ordinal: 2 ** 33 + 1 },
    Buffer.from('abc'),
  );
  t.equal(
    frame.toString('hex'),
    `02010002${'00000007'}${'00000064'}${'00000003'}${'0000000200000001'}${'616263'}`,
    'byte by byte',
  );
  holds(t, 'any 24 bytes are a bounded head or a sentence', bytes(24), (b) => {
    const head = readFrameHead(b);
    must(typeof head === 'string' || (head.rawLength <= 1 << 20 && head.codedLength <= (1 << 20) + 4096), 'bounded');
  });
  t.type(
    readFrameHead(
      writeFrame({ type: 2, codec: Codec.none, flags: 0, stream: 0, rawLength: 1, ordinal: 0 }, Buffer.alloc(2)),
    ),
    'string',
  );
  holds(
    t,
    'the last frame ends on a multiple of 512, and in the footer',
    fc.tuple(fc.nat(1e9), u64),
    ([before, endAt]) => {
      const body = padBody(before, endAt);
      must((before + 24 + body.length) % 512 === 0, 'length');
      must(body.length >= 16 && body.length < 528, 'no longer than it must be');
      must(readFooter(body.subarray(-16)) === endAt, 'END');
      must(body.toString('latin1', body.length - 8) === 'DBS2TAIL', 'marker');
    },
  );
  t.equal(readFooter(Buffer.alloc(16)), null);
});

t.test('table of contents', async (t) => {
  const entries: TocEntry[] = Array.from({ length: 3000 }, (_, i) =>
    i % 2
      ? { stream: i, kind: 'entity', name: `täble ${i}\n"`, rows: i, from: i * 10, to: i * 10 + 5 }
      : {
          stream: i,
          kind: 'file',
          file: { kind: 'root', root: 'r', path: 'p'.repeat(i % 400) },
          size: i,
          from: i,
          to: i + 1,
        },
  );
  const page = new TocPage();
  t.ok(page.empty);
  const back: TocEntry[] = [];
  let previous: number | null = null;
  const close = () => {
    const body = page.take(previous);
    const read = readTocPage(body);
    t.equal(read.previous, previous);
    t.ok(body.length < (1 << 18) + 2000, 'a page holds about 256 KiB');
    back.push(...read.entries);
    previous = (previous ?? 0) + 1000;
  };
  for (const entry of entries) {
    page.add(entry);
    if (page.full) close();
  }
  close();
  t.ok(page.empty);
  t.same(back, entries);
  const lies = ['', 'x', '{}', 'null', '[]', '{"previous":-1}', '{"previous":"0"}', '{"previous":1e99}'];
  const entry = { stream: 1, kind: 'file', file: { kind: 'root', root: '', path: 'p' }, size: 1, from: 0, to: 1 };
  const changes = [
    { stream: '1' },
    { kind: 'x' },
    { file: null },
    { file: { path: 'p' } },
    { size: -1 },
    { to: 1e300 },
    { from: null },
  ];
  lies.push(...changes.map((change) => `{"previous":null}\n${JSON.stringify({ ...entry, ...change })}`));
  lies.push('{"previous":null}\nnull', '{"previous":null}\n{"stream":1,"kind":"entity","from":0,"to":1,"rows":1}');
  for (const lie of lies) t.throws(() => readTocPage(Buffer.from(`${lie}\n`)), { code: 'ERR_STREAM_FRAME' }, lie);
  t.equal(readTocPage(Buffer.from(`{"previous":null}\n${JSON.stringify(entry)}\n`)).entries.length, 1);
});
