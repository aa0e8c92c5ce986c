/** Encryptor and Decryptor, Blocker and Deblocker, RSEncoder and RSDecoder: each alone, each pair there and back, each refusal. */

import { crc32 } from 'node:zlib';
import t from 'tap';
import { blockHash } from '../../lib/crypto/hash.ts';
import { encode } from '../../lib/erasure/reed-solomon.ts';
import { DamageError, TamperError } from '../../lib/errors.ts';
import { FULL_PAYLOAD, NO_FRAME, SEGMENT_STREAM } from '../../lib/format/limits.ts';
import { Slot } from '../../lib/memory.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import { type Block, type Encoded, type GroupIndex, type Segment, SlotPool } from '../../lib/stages/blocks.ts';
import { Deblocker, type VerifiedBlock } from '../../lib/stages/deblocker.ts';
import { Decryptor, type DecryptorOptions } from '../../lib/stages/decryptor.ts';
import { Encryptor } from '../../lib/stages/encryptor.ts';
import { RSDecoder } from '../../lib/stages/rs-decoder.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { Random } from '../../lib/testkit/index.ts';
import { fixedKeys, itemsOf, noise } from '../container/support.ts';
import { bytesThrough, codeOf, cuts, seed, through } from './support.ts';

const random = new Random(seed);
const { fileId, payloadKey: key } = fixedKeys('tandem', 'stages');
const other = fixedKeys('tandem', 'other stages');
const encrypted = (bytes: Buffer, cut = cuts.whole!, pool?: SlotPool) =>
  through<Segment>(cut(bytes), new Encryptor({ key, fileId, ...(pool ? { pool } : {}) }));
const decrypted = (segments: Iterable<Segment>, options: Partial<DecryptorOptions> = {}) =>
  bytesThrough(segments, new Decryptor({ key, fileId, ...options }));

t.before(() => t.comment(`SEED=${seed}`));

/** Segments without their memory, which later ones would need. */
function detached(segments: Segment[]): Segment[] {
  return segments.map(({ index, final, payload }) => ({ index, final, payload: Buffer.from(payload) }));
}

/** A stream of real frames, at least `length` bytes long. */
function streamOf(length: number): Promise<Buffer> {
  return bytesThrough(itemsOf(noise(`stages ${length}`, length)), new Serializer({ compression: 'none' }));
}

t.test('Encryptor and Decryptor', async (t) => {
  for (const length of [
    1,
    511,
    512,
    SEGMENT_STREAM - 1,
    SEGMENT_STREAM,
    SEGMENT_STREAM + 1,
    2 * SEGMENT_STREAM,
    2_000_000,
  ]) {
    // Not frames: whatever the pointers say, the bytes come back.
    const bytes = noise(`bytes ${length}`, length);
    const segments = await encrypted(bytes);
    t.same(
      segments.map((s) => s.payload.length - 20),
      lengthsOf(length),
      `${length} bytes: each segment but the last is full`,
    );
    t.same(
      segments.map((s) => s.final),
      segments.map((_, i) => i === segments.length - 1),
    );
    t.ok((await decrypted(segments)).equals(bytes), 'there and back');
  }
  const bytes = await streamOf(2_200_000);
  const whole = detached(await encrypted(bytes));
  for (const [name, cut] of Object.entries(cuts)) {
    const cutLess = name === 'byte by byte' ? bytes.subarray(0, 50_000) : bytes;
    const segments = await encrypted(cutLess, cut);
    const expected = name === 'byte by byte' ? await encrypted(cutLess) : whole;
    t.ok(
      segments.every((s, i) => s.payload.equals(expected[i]!.payload)),
      `the same, cut ${name}`,
    );
  }
  for (const pool of [undefined, new SlotPool(4)]) {
    const segments = await encrypted(bytes, cuts.whole, pool);
    t.ok(
      segments.every((s, i) => s.payload.equals(whole[i]!.payload)),
      pool ? 'in pooled memory' : 'in fresh memory',
    );
  }
});

function lengthsOf(length: number): number[] {
  const full = Array<number>(Math.ceil(length / SEGMENT_STREAM) - 1).fill(SEGMENT_STREAM);
  return [...full, length - full.length * SEGMENT_STREAM];
}

t.test('the pointer to the first frame of a segment', async (t) => {
  const bytes = await streamOf(4_000_000);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at += 24 + bytes.readUInt32BE(at + 12)) starts.push(at);
  const decryptor = new Decryptor({ key, fileId });
  for (const cut of ['whole', 'in chunks of 997', 'in random chunks']) {
    for (const segment of await encrypted(bytes, cuts[cut])) {
      const from = segment.index * SEGMENT_STREAM;
      const first = starts.find((at) => at >= from && at < from + SEGMENT_STREAM);
      const pointer = (await decryptor.openPlain(segment)).readUInt32BE(0);
      t.equal(pointer, first === undefined ? NO_FRAME : first - from, `segment ${segment.index}, cut ${cut}`);
    }
  }
  // One frame over three segments: none begins in the second.
  const long = Buffer.alloc(2_500_000);
  long.writeUInt32BE(long.length - 24, 12);
  const pointers = await Promise.all(
    (await encrypted(long)).map(async (s) => (await decryptor.openPlain(s)).readUInt32BE(0)),
  );
  t.same(pointers, [0, NO_FRAME, NO_FRAME]);
});

t.test('segments that are to be refused', async (t) => {
  const bytes = noise('refused', 2_500_000);
  const [a, b, c] = detached(await encrypted(bytes)) as [Segment, Segment, Segment];
  const spoilt = (s: Segment) => {
    const payload = Buffer.from(s.payload);
    payload[random.below(payload.length)]! ^= 1;
    return { ...s, payload };
  };
  t.equal(await codeOf(bytesThrough([], new Encryptor({ key, fileId }))), 'ERR_SOURCE_EMPTY', 'nothing to encrypt');
  const wrong: [string, string, Segment[]][] = [
    ['ERR_TAMPER_BLOCK', 'a byte changed', [a, spoilt(b), c]],
    ['ERR_TAMPER_BLOCK', 'the last one changed', [a, b, spoilt(c)]],
    ['ERR_TAMPER_BLOCK', 'another segment under its number', [a, { ...b, payload: a.payload }, c]],
    ['ERR_TAMPER_BLOCK', 'final, which it was not', [a, { ...b, final: true }]],
    ['ERR_TAMPER_BLOCK', 'not final, which it was', [a, b, { ...c, final: false }]],
    ['ERR_TAMPER_BLOCK', 'shorter', [{ ...a, payload: a.payload.subarray(0, 1000) }]],
    ['ERR_TAMPER_BLOCK', 'shorter than a tag', [{ ...a, payload: a.payload.subarray(0, 7) }]],
    ['ERR_TAMPER_BLOCK', 'empty', [{ ...a, payload: Buffer.alloc(0) }]],
    ['ERR_TAMPER_ORDER', 'swapped', [b, a, c]],
    ['ERR_TAMPER_ORDER', 'repeated', [a, a, b, c]],
    ['ERR_TAMPER_ORDER', 'one missing', [a, c]],
    ['ERR_TAMPER_ORDER', 'one more behind the last', [a, b, c, { ...a, index: 3 }]],
    ['ERR_TRUNCATED_STREAM', 'the last one missing', [a, b]],
    ['ERR_TRUNCATED_STREAM', 'all missing', []],
  ];
  for (const [code, what, segments] of wrong) {
    const released: Buffer[] = [];
    const decryptor = new Decryptor({ key, fileId });
    decryptor.on('data', (chunk: Buffer) => released.push(chunk));
    t.equal(await codeOf(through(segments, decryptor)), code, what);
    const got = Buffer.concat(released);
    t.ok(got.equals(bytes.subarray(0, got.length)), 'only authentic bytes were released');
  }
  t.equal(await codeOf(decrypted([a, b, c], { key: other.payloadKey })), 'ERR_TAMPER_BLOCK', 'another key');
  t.equal(await codeOf(decrypted([a, b, c], { fileId: other.fileId })), 'ERR_TAMPER_BLOCK', 'another file');
  t.equal((await decrypted([b, c], { first: 1 })).length, bytes.length - SEGMENT_STREAM, 'from the middle on');
  const alternatives = async function* (index: number) {
    yield spoilt([a, b, c][index]!).payload;
    yield [a, b, c][index]!.payload;
  };
  t.ok((await decrypted([a, spoilt(b), spoilt(c)], { alternatives })).equals(bytes), 'the second alternative is right');
  const error = await decrypted([spoilt(a)], { alternatives: async function* () {} }).catch((e) => e);
  t.ok(error instanceof TamperError && error.facts.block === 0, 'no alternative is: the block is named');
});

t.test('Blocker and Deblocker', async (t) => {
  const lengths = [21, 512, 239 * 512, 239 * 512 + 1, 500_000, FULL_PAYLOAD - 1, FULL_PAYLOAD];
  const segments: Segment[] = lengths.map((length, index) => ({
    index,
    final: index === lengths.length - 1,
    payload: noise(`${length}`, length),
  }));
  const blocks = await through<Block>(segments, new Blocker({ fileId }));
  for (const [i, { rows, k, rowLength, payload, hash, rowCrcs, sequence, final }] of blocks.entries()) {
    const expected = segments[i]!;
    t.ok(payload.equals(expected.payload) && sequence === i && final === expected.final, `${payload.length} bytes`);
    t.equal(
      rowLength,
      [512, 1024, 2048, 4096].find((n) => 239 * n >= payload.length),
    );
    t.equal(k, Math.ceil(payload.length / rowLength));
    t.ok(rows.subarray(0, payload.length).equals(payload), 'the payload fills the rows in order');
    t.ok(
      rows.subarray(payload.length, k * rowLength).every((byte) => byte === 0),
      'and zeros the rest',
    );
    t.same(
      rowCrcs.subarray(0, k),
      Uint32Array.from({ length: k }, (_, r) => crc32(rows.subarray(r * rowLength, (r + 1) * rowLength))),
    );
    t.ok(hash.equals(blockHash(fileId, 2, i, final ? 1 : 0, payload)));
  }
  t.same(
    (await through<Segment>(blocks, new Deblocker())).map(({ index, final, payload }) => ({ index, final, payload })),
    segments,
    'there and back',
  );
  const slot = new Slot(Buffer.alloc(1 << 20, 7));
  const inSlot = { index: 0, final: true, payload: slot.rows.subarray(0, 3000), slot };
  const [used] = await through<Block>([inSlot], new Blocker({ fileId }));
  t.ok(used!.slot === slot && used!.payload.buffer === slot.bytes.buffer, 'what lies in a slot is not copied');
  for (const length of [0, 20, FULL_PAYLOAD + 1]) {
    const segment = { index: 0, final: true, payload: Buffer.alloc(length), ...(length > 21 ? { slot } : {}) };
    t.equal(
      await codeOf(through([segment], new Blocker({ fileId }))),
      'ERR_FORMAT_BLOCK',
      `no block holds ${length} bytes`,
    );
  }
  const block = (sequence: number, type: 2 | 3 = 2): VerifiedBlock => ({
    type,
    sequence,
    final: false,
    payload: Buffer.alloc(30),
  });
  t.same(
    (await through<Segment>([block(0), block(0, 3), block(1)], new Deblocker())).map((s) => s.index),
    [0, 1],
    'parity is dropped',
  );
  t.same(
    (await through<Segment>([block(7), block(8)], new Deblocker({ first: 7 }))).map((s) => s.index),
    [7, 8],
  );
  for (const wrong of [[1], [0, 2], [0, 0], [1, 0], [0, 1, 2, 5]]) {
    t.equal(
      await codeOf(
        through(
          wrong.map((n) => block(n)),
          new Deblocker(),
        ),
      ),
      'ERR_TRUNCATED_BLOCKS',
      `blocks ${wrong}`,
    );
  }
});

/** Blocks with parity, as RSEncoder emits them. */
async function encodedOf(lengths: number[]): Promise<{ segments: Segment[]; encoded: Encoded[] }> {
  const segments = lengths.map((length, index) => ({
    index,
    final: index === lengths.length - 1,
    payload: noise(`rs ${length} ${index}`, length),
  }));
  return { segments, encoded: await through<Encoded>(segments, new Blocker({ fileId }), new RSEncoder({ fileId })) };
}

const isBlock = (e: Encoded): e is Block => e.type !== 4;

t.test('RSEncoder and RSDecoder', async (t) => {
  const { segments, encoded } = await encodedOf([FULL_PAYLOAD, FULL_PAYLOAD, 300_000]);
  t.same(
    encoded.map((e) => e.type),
    [2, 2, 2, 3, 4],
    'data, then the outer parity, then the index',
  );
  for (const block of encoded.filter(isBlock)) {
    const { rows, k, rowLength, rowCrcs } = block;
    for (const c of [0, random.below(rowLength), rowLength - 1]) {
      const column = Uint8Array.from({ length: k + 16 }, (_, r) => rows[r * rowLength + c]!);
      t.same(
        column.subarray(k),
        encode(column.subarray(0, k), 16),
        `column ${c} of ${block.type}.${block.sequence}: parity by the reference`,
      );
    }
    t.ok(
      rowCrcs.every((crc, r) => crc === crc32(rows.subarray(r * rowLength, (r + 1) * rowLength))),
      'CRCs of all rows',
    );
  }
  const index = encoded.find((e): e is GroupIndex => e.type === 4)!;
  const hashes = encoded.filter(isBlock).map((b) => b.hash);
  const crcs = encoded
    .filter(isBlock)
    .slice(-2)
    .flatMap((b) => [...b.rowCrcs]);
  const tables = Buffer.alloc(4 * crcs.length);
  crcs.forEach((crc, r) => void tables.writeUInt32BE(crc, 4 * r));
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(2 * FULL_PAYLOAD + 300_000));
  t.ok(
    index.group === 0 && index.body.equals(Buffer.concat([bytes, ...hashes, tables])),
    'the index: payload bytes, every hash, row CRCs of the last block and of the parity',
  );
  const parity = encoded.at(-2) as Block;
  t.same([parity.sequence, parity.final, parity.payload.length], [0, false, FULL_PAYLOAD]);
  for (const at of [0, 299_999, 300_000, FULL_PAYLOAD - 1]) {
    const column = Uint8Array.from(segments, (s) => s.payload[at] ?? 0);
    t.equal(parity.payload[at], encode(column, 8)[0], `byte ${at} of the outer parity by the reference`);
  }

  const decoded = async (spoil: (block: Block) => void) => {
    const { encoded } = await encodedOf([FULL_PAYLOAD, 300_000]);
    for (const e of encoded) if (e.type === 2) spoil(e);
    return through<Block>(encoded, new RSDecoder({ fileId }));
  };
  const lose = (count: number) => (block: Block) => {
    for (const r of random.sample(count, block.k + 16))
      random.fill(block.rows.subarray(r * block.rowLength, (r + 1) * block.rowLength));
  };
  for (const rows of [0, 1, 16]) {
    const blocks = await decoded(lose(rows));
    t.ok(
      blocks.every((b, i) =>
        b.payload.equals(noise(`rs ${[FULL_PAYLOAD, 300_000][i]} ${i}`, [FULL_PAYLOAD, 300_000][i]!)),
      ),
      `${rows} rows lost in each block`,
    );
  }
  const error = await decoded((block) => block.sequence === 1 && lose(17)(block)).catch((e) => e);
  t.ok(
    error instanceof DamageError && error.code === 'ERR_DAMAGE_BLOCK' && error.blocks[0]?.block === 1,
    '17 rows are too many',
  );
  t.equal(await codeOf(decoded((b) => b.hash.fill(0))), 'ERR_DAMAGE_BLOCK', 'a hash that does not fit');
  const alone = await encodedOf([5000]);
  t.same(
    alone.encoded.map((e) => e.type),
    [2],
    'one block: no index, no outer parity',
  );
});
