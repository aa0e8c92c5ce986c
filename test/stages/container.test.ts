/** DualCopyInterleaver, and its mirrors: HealingMerger for a pipe, ContainerReader for random access. */
import { readdirSync, readlinkSync } from 'node:fs';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { openFileKeys } from '../../lib/container/keys.ts';
import { ContainerReader } from '../../lib/container/reader.ts';
import { bufferSource } from '../../lib/container/source.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { FULL_PAYLOAD, type LayoutName } from '../../lib/format/limits.ts';
import { Slot } from '../../lib/memory.ts';
import { MemorySink } from '../../lib/sinks/memory.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import type { Segment } from '../../lib/stages/blocks.ts';
import { Deblocker, type VerifiedBlock } from '../../lib/stages/deblocker.ts';
import { Decryptor } from '../../lib/stages/decryptor.ts';
import { Deserializer } from '../../lib/stages/deserializer.ts';
import { DualCopyInterleaver, type ReadBack } from '../../lib/stages/dual-copy-interleaver.ts';
import { HealingMerger } from '../../lib/stages/healing-merger.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { corrupt, Random } from '../../lib/testkit/index.ts';
import { type Container, DATA, fixedKeys, HEADER, key, noise, seal } from '../container/support.ts';
import { bytesThrough, codeOf, cuts, seed, through } from './support.ts';

const random = new Random(seed);

t.before(() => t.comment(`SEED=${seed}`));

function segmentsOf(lengths: number[]): Segment[] {
  return lengths.map((length, index) => ({
    index,
    final: index === lengths.length - 1,
    payload: noise(`s ${index}`, length),
  }));
}

const shapes: number[][] = [[21], [5000], [FULL_PAYLOAD], [FULL_PAYLOAD, 21], [FULL_PAYLOAD, FULL_PAYLOAD, 123_456]];

async function written(layout: LayoutName, lengths: number[], copy: 0 | 1 = 0): Promise<Buffer> {
  const { fileId, headerBytes } = fixedKeys(layout, 'stages');
  const writer = await new MemorySink().create();
  const parts: Buffer[] = [];
  const interleaver = new DualCopyInterleaver({ fileId, headerBytes, layout, copy, readBack: writer.readBack! });
  t.throws(() => interleaver.facts, 'no facts before the end');
  const sink = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      parts.push(Buffer.from(chunk));
      writer.stream.write(chunk, callback);
    },
  });
  await pipeline([
    Readable.from(segmentsOf(lengths)),
    new Blocker({ fileId }),
    new RSEncoder({ fileId }),
    interleaver,
    sink,
  ]);
  const bytes = Buffer.concat(parts);
  t.same(
    { ...interleaver.facts, chain: null, fileId: null },
    {
      bytes: bytes.length,
      blocks: lengths.length,
      groups: 1,
      lastLength: lengths.at(-1),
      chain: null,
      fileId: null,
    },
  );
  return bytes;
}

async function readAll(reader: ContainerReader): Promise<Segment[]> {
  const segments: Segment[] = [];
  for await (const { sequence, final, payload } of reader.stream(() => new Slot(Buffer.alloc(1 << 20)))) {
    segments.push({ index: sequence, final, payload: Buffer.from(payload) });
  }
  return segments;
}

const merged = async (input: Iterable<Buffer>): Promise<Segment[]> => {
  const merger = new HealingMerger();
  return (await through<VerifiedBlock>(input, merger)).map((b) => ({
    index: b.sequence,
    final: b.final,
    payload: b.payload,
  }));
};

t.test('there and back, in each layout', async (t) => {
  for (const layout of ['tandem', 'interleaved', 'split'] as const) {
    for (const lengths of shapes) {
      for (const copy of layout === 'split' ? ([0, 1] as const) : ([0] as const)) {
        const bytes = await written(layout, lengths, copy);
        t.equal(bytes.length % 4096, 0);
        const reader = await ContainerReader.open([bufferSource(bytes)]);
        t.ok(reader.regular && reader.complete, `${layout}, ${lengths}: regular`);
        t.same(await readAll(reader), segmentsOf(lengths), 'by random access');
        for (const [name, cut] of Object.entries(cuts)) {
          if (name === 'byte by byte' && bytes.length > 50_000) continue;
          t.same(await merged(cut(bytes)), segmentsOf(lengths), `from a pipe, ${name}`);
        }
      }
    }
  }
});

t.test('tandem checks what it reads back', async (t) => {
  const { fileId, headerBytes } = fixedKeys('tandem', 'stages');
  const attempt = async (spoil: (readBack: ReadBack) => ReadBack | undefined) => {
    const sink = new MemorySink();
    const writer = await sink.create();
    const readBack = spoil(writer.readBack!);
    const interleaver = new DualCopyInterleaver({
      fileId,
      headerBytes,
      layout: 'tandem',
      ...(readBack ? { readBack } : {}),
    });
    const stages = [new Blocker({ fileId }), new RSEncoder({ fileId }), interleaver, writer.stream];
    return codeOf(pipeline([Readable.from(segmentsOf([FULL_PAYLOAD, 5000])), ...stages]));
  };
  t.equal(await attempt((readBack) => readBack), 'no error');
  t.equal(await attempt(() => undefined), 'ERR_SINK_NO_READBACK');
  t.equal(
    await attempt((readBack) => async (at, into) => (await readBack(at, into)) - 1),
    'ERR_SINK_READBACK',
    'less than asked for',
  );
  t.equal(
    await attempt((readBack) => (at, into) => readBack(at + 4096, into)),
    'ERR_SINK_READBACK',
    'from another place',
  );
  const limit = 1_100_000;
  for (let i = 0; i < 10; i++) {
    const bad = 4096 + random.below(limit - 4096);
    const flip: (readBack: ReadBack) => ReadBack = (readBack) => async (at, into) => {
      const have = await readBack(at, into);
      if (bad >= at && bad < at + have) into[bad - at]! ^= 1;
      return have;
    };
    const code = await attempt(flip);
    // The parity of a page is made anew for copy B; everything else is checked.
    t.ok(code === 'ERR_SINK_READBACK' || code === 'no error', `byte ${bad}: ${code}`);
    if (bad > 3 * 4096 && bad < 1_052_672) t.equal(code, 'ERR_SINK_READBACK', 'rows are checked');
  }
});

/** Open files of this process that have no name any more: spools. */
function spools(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (/\.spool \(deleted\)$/.test(readlinkSync(`/proc/self/fd/${fd}`))) count++;
    } catch {
      // It was the folder's own.
    }
  }
  return count;
}

/** After some time: a pipeline settles before the last of its stages has closed. */
async function spoolsLeft(): Promise<number> {
  for (let i = 0; i < 100 && spools() > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return spools();
}

async function unpiped(
  c: Container,
  bytes: Buffer,
  cut = cuts['in random chunks']!,
): Promise<{ data: Buffer; healed: boolean }> {
  const merger = new HealingMerger();
  const parts: Buffer[] = [];
  const target = new Writable({
    objectMode: true,
    write(item: BackupItem, _encoding, callback) {
      if (item.type === 'file-data') parts.push(Buffer.from(item.data));
      callback();
    },
  });
  const feeding = pipeline(Readable.from(cut(bytes), { objectMode: false }), merger);
  feeding.catch(() => {});
  const { headers, fileId } = await merger.header;
  const { payloadKey } = await openFileKeys(headers, fileId, key);
  await pipeline([merger, new Deblocker(), new Decryptor({ key: payloadKey, fileId }), new Deserializer(), target]);
  await feeding;
  t.ok(c.keys.fileId.equals(fileId));
  return { data: Buffer.concat(parts), healed: merger.healed };
}

t.test('HealingMerger: damage in a pipe', async (t) => {
  for (const layout of ['tandem', 'interleaved'] as const) {
    for (const size of [20_000, 3 * 978_924 + 5000]) {
      const c = await seal(layout, size);
      const clean = await unpiped(c, c.file);
      t.ok(clean.data.equals(c.data) && !clean.healed, `${layout}, ${size} bytes: whole`);
      const damages = [
        'flip:1e-3',
        'sectors:4096:0.05',
        'cut-head:4096',
        'cut-tail:4096',
        'insert:5',
        'delete:5',
        'overwrite:10%@head',
        'insert:5000@head',
      ];
      for (const damage of damages) {
        const spoilt = corrupt(c.file, damage, { seed: random.u32() });
        const { data, healed } = await unpiped(c, spoilt.bytes);
        t.ok(data.equals(c.data), `${damage}: exact\n${spoilt.summary()}`);
        // Behind the last block's copy A it need not look.
        const certain = /head/.test(damage) || (damage.startsWith('flip') && size > 1e6);
        if (certain) t.ok(healed, `${damage}: said to be healed`);
      }
      const late = Buffer.concat([...c.records].reverse().map((r) => c.file.subarray(r.at, r.at + r.length)));
      t.ok((await unpiped(c, late)).data.equals(c.data), 'records backwards: blocks wait for their header');
    }
  }
  t.equal(await spoolsLeft(), 0, 'no spool stays open');
});

t.test('HealingMerger: what cannot be merged', async (t) => {
  const c = await seal('interleaved', 3 * 978_924 + 5000);
  const cases: [string, string, Buffer][] = [
    ['nothing', 'ERR_FORMAT_NOT_DBS', Buffer.alloc(0)],
    ['noise', 'ERR_FORMAT_NOT_DBS', random.bytes(100_000)],
    ['a header only', 'ERR_TRUNCATED', c.file.subarray(0, 4096)],
    ['a block and a half', 'ERR_TRUNCATED', c.file.subarray(0, 1_700_000)],
    ['all but the last block', 'ERR_TRUNCATED', c.file.subarray(0, c.place(DATA, 0, 3).at)],
    ['no header', 'ERR_DAMAGE_NO_HEADER', c.file.subarray(4096, c.place(DATA, 0, 1).at)],
  ];
  for (const [what, code, bytes] of cases) {
    const merger = new HealingMerger();
    t.equal(await codeOf(through(cuts['in chunks of 997']!(bytes), merger)), code, what);
    const header = await merger.header.catch((error: { code: string }) => error.code);
    const whole = bytes.length >= 4096 && bytes.subarray(0, 4096).equals(c.file.subarray(0, 4096));
    if (whole) t.type(header, 'object', 'the header came before the failure');
    else t.equal(header, code, 'whoever waits for the header hears of it');
  }
  const both = Buffer.from(c.file);
  for (const copy of [0, 1] as const)
    for (const i of [1, 2])
      random.fill(both.subarray(c.place(DATA, copy, i).at, c.place(DATA, copy, i).at + (1 << 20)));
  t.equal(await codeOf(through([both], new HealingMerger())), 'ERR_DAMAGE_BLOCKS', 'two blocks lost in both copies');
  const twoFiles = Buffer.concat([
    c.file.subarray(0, c.place(DATA, 0, 2).at),
    random.bytes(5000),
    (await seal('interleaved', 20_000)).file,
  ]);
  t.equal(
    await codeOf(through([twoFiles], new HealingMerger())),
    'ERR_TRUNCATED',
    "another file behind the first one's half: its blocks are not taken",
  );
  t.equal(await spoolsLeft(), 0, 'no spool stays open');
});

t.test('HealingMerger: stopped early', async (t) => {
  const c = await seal('interleaved', 3 * 978_924 + 5000);
  const merger = new HealingMerger();
  merger.write(c.file.subarray(0, 3_000_000));
  await merger.header;
  t.equal(spools(), 1);
  merger.destroy();
  await new Promise((resolve) => merger.once('close', resolve));
  t.equal(spools(), 0, 'destroyed: the spool is gone');
  const aborted = new AbortController();
  const slow = new Writable({ objectMode: true, highWaterMark: 1, write: () => aborted.abort() });
  const code = await codeOf(pipeline([Readable.from([c.file]), new HealingMerger(), slow], { signal: aborted.signal }));
  t.equal(code, 'ABORT_ERR');
  const unused = new HealingMerger();
  unused.destroy();
  await t.rejects(unused.header, 'a header that nobody will send');
  t.equal(await spoolsLeft(), 0);
});

t.test('a consumer that has enough', async (t) => {
  const c = await seal('tandem', 20_000);
  const half = await bytesThrough([c.file.subarray(0, c.place(DATA, 1, 0).at)]);
  const blocks = await merged([half, c.file.subarray(half.length)]);
  t.equal(blocks.length, 1);
  t.equal(c.place(HEADER, 0, 0).at, 0);
});
