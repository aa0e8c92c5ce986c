/** Where records stand: SPEC's table of sizes, its orders, and what the writer really writes, page by page. */
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { chainHash } from '../../lib/crypto/hash.ts';
import { sharedKernel } from '../../lib/erasure/kernel/index.ts';
import { readEnd } from '../../lib/format/header.ts';
import { order, type Plan, plan, recordLength } from '../../lib/format/layout.ts';
import { FULL_PAYLOAD, type LayoutName } from '../../lib/format/limits.ts';
import { type PageFields, pageIntact, readPage } from '../../lib/format/page.ts';
import { Slot } from '../../lib/memory.ts';
import { blockOf } from '../../lib/stages/blocker.ts';
import type { Block, Encoded } from '../../lib/stages/blocks.ts';
import { DualCopyInterleaver } from '../../lib/stages/dual-copy-interleaver.ts';
import { fixedKeys, noise } from '../container/support.ts';

const COUNTS = [1, 2, 15, 16, 17, 18, 127, 128, 129, 130];
const LAYOUTS = ['interleaved', 'tandem', 'split'] as const;

t.test('the table of sizes', async (t) => {
  const sizes: [stream: number, file: number][] = [
    [1, 45_056],
    [492, 45_056],
    [10 * 1024, 61_440],
    [2 ** 20, 3_338_240],
    [10 * 2 ** 20, 23_588_864],
    [100 * 2 ** 20, 232_026_112],
    [2 ** 30, 2_372_923_392],
  ];
  for (const [stream, file] of sizes) {
    const count = Math.ceil(stream / 978_924);
    const lastLength = stream - (count - 1) * 978_924 + 20;
    for (const layout of ['interleaved', 'tandem'] as const) {
      t.equal(plan(layout, count, lastLength).size, file, `${stream} bytes, ${layout}`);
    }
  }
});

/** SPEC.md section 5, as it stands there. */
function specOrder(layout: LayoutName, count: number): string[] {
  const [G, D] = [128, 16];
  const out: string[] = [];
  const groups = Math.ceil(count / G);
  const blocksOf = (g: number) => Array.from({ length: Math.min(G, count - g * G) }, (_, i) => g * G + i);
  const P = (n: number) => (n === 1 ? 0 : Math.ceil((n * 8) / 128));
  const B = (i: number) => {
    out.push(`B${i}`);
    const last = i === count - 1 || i % G === G - 1;
    if (last && count > 1) out.push(`INDEX-B${Math.floor(i / G)}`);
  };
  const parity = (g: number) => {
    for (let j = 0; j < P(blocksOf(g).length); j++) out.push(`PARITY${g},${j}`);
    if (count > 1) out.push(`INDEX-A${g}`);
  };
  for (let g = 0; g < groups; g++) {
    out.push(`HEADER${g}`);
    for (const i of blocksOf(g)) {
      out.push(`A${i}`);
      if (layout === 'interleaved' && i >= D) B(i - D);
    }
    parity(g);
  }
  out.push('END-A');
  if (layout === 'split') return out;
  for (let i = layout === 'tandem' ? 0 : Math.max(0, count - D); i < count; i++) B(i);
  return [...out, 'END-B'];
}

function nameOf({ type, copy, sequence }: { type: number; copy: 0 | 1; sequence: number }): string {
  const side = 'AB'[copy]!;
  if (type === 1) return `HEADER${sequence}`;
  if (type === 2) return `${side}${sequence}`;
  if (type === 3) return `PARITY${Math.floor(sequence / 256)},${sequence % 256}`;
  return type === 4 ? `INDEX-${side}${sequence}` : `END-${side}`;
}

t.test('the order of SPEC section 5', async (t) => {
  t.same([...order('tandem', 1)].map(nameOf), ['HEADER0', 'A0', 'END-A', 'B0', 'END-B']);
  t.same([...order('interleaved', 2)].map(nameOf), [
    'HEADER0',
    'A0',
    'A1',
    'PARITY0,0',
    'INDEX-A0',
    'END-A',
    'B0',
    'B1',
    'INDEX-B0',
    'END-B',
  ]);
  t.same(
    [...order('split', 2, 1)].map((s) => [s.type, s.copy]),
    [1, 2, 2, 3, 4, 5].map((type) => [type, 1]),
    'the second file: copy 1 in every record',
  );
  for (const layout of LAYOUTS) {
    for (const count of [...COUNTS, 33, 144, 145, 256, 257, 400]) {
      t.same([...order(layout, count)].map(nameOf), specOrder(layout, count), `${layout}, ${count} blocks`);
    }
  }
});

const LAST = 5000;
// One full payload and one short one serve for all blocks: what differs is what the pages say.
const rowsOf = (payload: Buffer): Slot => {
  const slot = new Slot(Buffer.alloc(1 << 20));
  payload.copy(slot.rows);
  return slot;
};
const full = rowsOf(noise('layout', FULL_PAYLOAD));
const short = rowsOf(noise('layout, short', LAST));

const { fileId, headerBytes } = fixedKeys('tandem', 'layout');
const made = new Map<string, Block>();

/** Made once for all files, which are one by their fileID: a block says nothing of its file's layout. */
function block(type: Block['type'], sequence: number, final: boolean, length: number): Block {
  const id = `${type} ${sequence} ${final}`;
  const known = made.get(id) ?? makeBlock(type, sequence, final, length);
  made.set(id, known);
  return known;
}

function makeBlock(type: Block['type'], sequence: number, final: boolean, length: number): Block {
  const slot = length === FULL_PAYLOAD ? full : short;
  const block = blockOf(type, sequence, final, slot.rows.subarray(0, length), slot, fileId);
  const { k, rowLength, rows, rowCrcs } = block;
  sharedKernel().encodeRows(rows.subarray(0, k * rowLength), k, rowLength, rows.subarray(k * rowLength));
  for (let r = k; r < k + 16; r++) rowCrcs[r] = crc32(rows.subarray(r * rowLength, (r + 1) * rowLength));
  return block;
}

function indexBody(group: number, hashes: Buffer[], tables: Block[]): Buffer {
  const crcs = tables.flatMap(({ rowCrcs }) => [...rowCrcs]);
  const table = Buffer.alloc(4 * crcs.length);
  crcs.forEach((crc, r) => void table.writeUInt32BE(crc, 4 * r));
  return Buffer.concat([Buffer.alloc(8, group), ...hashes, table]);
}

/** What RSEncoder would emit for `count` blocks, but for the content of the outer parity. */
function* encoded(count: number): Generator<Encoded> {
  let hashes: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const final = i === count - 1;
    const next = block(2, i, final, final ? LAST : FULL_PAYLOAD);
    hashes.push(next.hash);
    yield next;
    if (!(final || i % 128 === 127) || count === 1) continue;
    const group = Math.floor(i / 128);
    const n = hashes.length;
    const parity = Array.from({ length: n === 1 ? 0 : Math.ceil(n / 16) }, (_, j) =>
      block(3, 256 * group + j, false, FULL_PAYLOAD),
    );
    yield* parity;
    yield {
      type: 4,
      group,
      body: indexBody(group, [...hashes, ...parity.map((p) => p.hash)], [next, ...parity.slice(-1)]),
    };
    hashes = [];
  }
}

interface Written {
  pages: { at: number; fields: PageFields }[];
  size: number;
  rows: { at: number; length: number }[];
}

/** The container's pages as they went by; of the rows no more than their places. */
async function write(layout: LayoutName, count: number, copy: 0 | 1): Promise<Written> {
  const written: Written = { pages: [], size: 0, rows: [] };
  const chunks: { at: number; bytes: Buffer }[] = [];
  const readBack = async (offset: number, into: Buffer): Promise<number> => {
    let have = 0;
    for (const { at, bytes } of chunks) {
      if (at >= offset && at < offset + into.length) have += bytes.copy(into, at - offset);
    }
    return have;
  };
  const sink = new Writable({
    write(bytes: Buffer, _encoding, callback) {
      const fields = bytes.length === 4096 && pageIntact(bytes) ? readPage(bytes) : null;
      if (fields) written.pages.push({ at: written.size, fields });
      else written.rows.push({ at: written.size, length: bytes.length });
      // Copy B's rows are made of memory that nobody reads again.
      if (layout === 'tandem' && written.pages.at(-1)?.fields.copy === 0) chunks.push({ at: written.size, bytes });
      written.size += bytes.length;
      callback();
    },
  });
  const interleaver = new DualCopyInterleaver({ fileId, headerBytes, layout, copy, readBack });
  await pipeline([Readable.from(encoded(count), { highWaterMark: 1 }), interleaver, sink]);
  t.equal(interleaver.facts.bytes, written.size);
  return written;
}

const placeIn = (p: Plan, f: PageFields): number => {
  if (f.type === 1) return p.headers[f.copy][f.sequence]!;
  if (f.type === 2) return p.data[f.copy][f.sequence]!;
  if (f.type === 3) return p.parity[f.copy][Math.floor(f.sequence / 256) * 8 + (f.sequence % 256)]!;
  return f.type === 4 ? p.index[f.copy][f.sequence]! : p.ends[f.copy];
};

t.test('what the writer writes', async (t) => {
  for (const layout of LAYOUTS) {
    for (const count of COUNTS) {
      const copy = layout === 'split' && count % 2 === 0 ? 1 : 0;
      const { pages, size, rows } = await write(layout, count, copy);
      const name = `${layout}, ${count} blocks`;
      const first = pages.filter((p) => p.fields.page === 0);
      t.same(
        first.map((p) => nameOf(p.fields)),
        specOrder(layout, count).map((s) => (copy === 1 ? s.replace(/^A|A(?=\d*$)/, 'B') : s)),
        `${name}: the order`,
      );
      t.ok(
        pages.every(({ at, fields }) => fields.origin === (fields.page === 0 ? at : at - 4096 * fields.page)),
        'each origin is where it stands',
      );
      const predicted = plan(layout, count, LAST, copy);
      t.equal(predicted.size, size, 'as long as planned');
      t.ok(
        first.every(({ at, fields }) => placeIn(predicted, fields) === at),
        'everything stands where it is planned',
      );
      t.ok(
        first.every(({ at, fields }, i) => at + fields.recordLength === (first[i + 1]?.at ?? size)),
        'no gaps',
      );
      t.ok(
        first.every(({ fields }) => fields.recordLength === recordLength(fields, count, LAST)),
        'record lengths',
      );
      t.ok(
        rows.every(({ length }) => length % 4096 === 0),
        'rows fill their records',
      );
      const number = { interleaved: 0, tandem: 1, split: 2 }[layout];
      t.ok(
        pages.every(
          ({ fields: f }) => f.fileId.equals(fileId) && f.layout === number && f.delay === (number === 0 ? 16 : 0),
        ),
        'what every page says',
      );

      const data = (i: number) => first.find((p) => p.fields.type === 2 && p.fields.sequence === i)!.fields;
      let chain = fileId;
      const chains: Buffer[] = [];
      for (let i = 0; i < count; i++) chains.push((chain = chainHash(chain, data(i).hash)));
      const wrong: string[] = [];
      for (const { fields: f } of first) {
        const expect = (ok: boolean, what: string) => void (ok || wrong.push(`${nameOf(f)}: ${what}`));
        const final = f.type === 2 && f.sequence === count - 1;
        expect(f.flags === (final ? 1 : 0), 'FINAL');
        if (f.type === 1) expect(f.body!.equals(headerBytes), 'body');
        if (f.type === 5) {
          const end = readEnd(f.body!);
          expect(end?.count === count && end.lastLength === LAST && end.chain.equals(chains.at(-1)!), 'body');
          expect(end?.headerBytes.equals(headerBytes) === true, "header's copy");
        }
        if (f.type !== 2 && f.type !== 3) continue;
        const group = f.type === 2 ? Math.floor(f.sequence / 128) : Math.floor(f.sequence / 256);
        const lastOfGroup = Math.min(count, (group + 1) * 128) - 1;
        const j = f.sequence % 256;
        const parityBefore =
          f.type === 3 && j > 0
            ? first.find((p) => p.fields.type === 3 && p.fields.sequence === f.sequence - 1)!.fields
            : null;
        const before =
          f.type === 2 ? (f.sequence > 0 ? data(f.sequence - 1) : null) : (parityBefore ?? data(lastOfGroup));
        expect(f.previousHash!.equals(before?.hash ?? Buffer.alloc(32)), 'hash of the previous block');
        const crcs = Array.from(f.previousCrcs!);
        const known = Array.from(before?.rowCrcs ?? []);
        expect(
          crcs.every((crc, r) => crc === (known[r] ?? 0)),
          'row CRCs of the previous block',
        );
        expect(f.chain!.equals(chains[f.type === 2 ? f.sequence : lastOfGroup]!), 'chain');
        expect(f.hash.equals(block(f.type, f.sequence, final, f.length).hash), 'hash');
      }
      t.same(wrong, [], 'flags, previous blocks, chain and bodies');
      for (const { fields } of pages.filter((p) => p.fields.type === 4)) {
        const n = Math.min(128, count - fields.sequence * 128);
        const p = n === 1 ? 0 : Math.ceil(n / 16);
        const rows = fields.sequence * 128 + n === count ? LAST / 512 : 239;
        const length = 8 + 32 * (n + p) + 4 * (Math.ceil(rows) + 16) + (p > 0 ? 4 * 255 : 0);
        t.ok(fields.length === length && fields.pages === Math.ceil(length / 2156), `INDEX of ${n} blocks`);
      }
    }
  }
});
