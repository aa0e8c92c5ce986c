/**
 * Each stage alone, in MB/s of payload (10^6 bytes), one thread unless a stage uses Node's pool: where the bottleneck is. Medians.
 * Run: node --import=tsx bench/stages.ts [MiB, default 64] [rounds, default 5]
 */
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checkBlocks, newTally } from '../lib/container/check.ts';
import { createFileKeys } from '../lib/container/keys.ts';
import { ContainerReader } from '../lib/container/reader.ts';
import { bufferSource } from '../lib/container/source.ts';
import type { BackupItem } from '../lib/format/items.ts';
import { FULL_RECORD } from '../lib/format/limits.ts';
import { recycle, Slot } from '../lib/memory.ts';
import { readingPool } from '../lib/reading.ts';
import { Blocker } from '../lib/stages/blocker.ts';
import { type Block, type Encoded, type Segment, SlotPool } from '../lib/stages/blocks.ts';
import { Decryptor } from '../lib/stages/decryptor.ts';
import { Deserializer } from '../lib/stages/deserializer.ts';
import { DualCopyInterleaver } from '../lib/stages/dual-copy-interleaver.ts';
import { Encryptor } from '../lib/stages/encryptor.ts';
import { RSEncoder } from '../lib/stages/rs-encoder.ts';
import { Serializer } from '../lib/stages/serializer.ts';
import { Random } from '../lib/testkit/random.ts';
import { MiB, machine, median, say, table } from './support/run.ts';

const size = Number(process.argv[2] ?? 64) * MiB;
const rounds = Number(process.argv[3] ?? 5);
const PIECE = 256 * 1024;
const random = new Random('stages');
const noise = random.bytes(size);
const text = jsonLines(size);

function jsonLines(bytes: number): Buffer {
  const lines: string[] = [];
  for (let length = 0, id = 1; length < bytes; id++) {
    const cells = [id, `customer ${random.below(1e6)}`, `c${random.u32()}@shop.example`, random.pick(['open', 'paid'])];
    lines.push(`${JSON.stringify([...cells, random.below(1e6) / 100, null, 1.7e12 + id * 7919])}\n`);
    length += lines.at(-1)!.length;
  }
  return Buffer.from(lines.join(''));
}

const rows: string[][] = [];

/** @param run makes the source and the stage anew, and runs one through the other */
async function measure(name: string, bytes: number, run: () => Promise<unknown>): Promise<void> {
  const [walls, cpus]: [number[], number[]] = [[], []];
  await run();
  for (let i = 0; i < rounds; i++) {
    const before = process.cpuUsage();
    const start = performance.now();
    await run();
    walls.push((performance.now() - start) / 1000);
    const { user, system } = process.cpuUsage(before);
    cpus.push((user + system) / 1e6);
  }
  const speed = (seconds: number) => (bytes / 1e6 / seconds).toFixed(0);
  rows.push([name, speed(median(walls)), speed(median(cpus))]);
}

/** Takes everything and lets go of its memory. */
function nowhere(): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(chunk: { slot?: Slot }, _encoding, callback) {
      if (chunk.slot) chunk.slot.release();
      else recycle(chunk);
      callback();
    },
  });
}

function* items(kind: 'rows' | 'file', data: Buffer): Generator<BackupItem> {
  const file = kind === 'file';
  const table = {
    stream: 1,
    table: 't',
    entities: ['T'],
    encoding: 'json',
    columns: [],
    primaryKey: [],
    foreignKeys: [],
  };
  const schema = { kind: 'database', created: '', tool: 'bench', tables: file ? [] : [table] };
  yield { type: 'schema', schema } as unknown as BackupItem;
  if (file) yield { type: 'file-begin', stream: 1, file: { kind: 'root', root: 'r', path: 'p' } } as BackupItem;
  let count = 0;
  for (let at = 0; at < data.length; at += PIECE) {
    const piece = data.subarray(at, at + PIECE);
    let n = 0;
    if (file) yield { type: 'file-data', stream: 1, data: piece };
    else {
      for (let i = piece.indexOf(10); i >= 0; i = piece.indexOf(10, i + 1)) n++;
      count += n;
      yield { type: 'rows', stream: 1, count: n, data: piece };
    }
  }
  if (file) yield { type: 'file-end', stream: 1, size: data.length };
  else yield { type: 'entity-end', stream: 1, rows: count };
  const total = file ? { rows: 0, files: 1, bytes: data.length } : { rows: count, files: 0, bytes: 0 };
  yield { type: 'end', ...total, skipped: [] };
}

const from = (source: Iterable<unknown> | AsyncIterable<unknown>) => Readable.from(source, { highWaterMark: 1 });
const keys = await createFileKeys(
  { passphrases: ['x'], kdf: { iterations: 1, memoryKiB: 8192, parallelism: 1 } },
  'tandem',
);
const { fileId, payloadKey: key, headerBytes } = keys;

async function collect(source: Readable, ...stages: Writable[]): Promise<unknown[]> {
  const kept: unknown[] = [];
  const write = (chunk: unknown, _encoding: string, done: () => void) => {
    kept.push(chunk);
    done();
  };
  const sink = new Writable({ objectMode: true, highWaterMark: 1, write });
  await pipeline([source, ...stages, sink] as never);
  return kept;
}

// Serializer and Deserializer.
for (const [name, kind, data, compression] of [
  ['Serializer, rows, deflate', 'rows', text, 'deflate'],
  ['Serializer, rows, none', 'rows', text, 'none'],
  ['Serializer, incompressible file, deflate', 'file', noise, 'deflate'],
] as const) {
  await measure(name, data.length, () =>
    pipeline([from(items(kind, data)), new Serializer({ compression }), nowhere()]),
  );
  const frames = (await collect(from(items(kind, data)), new Serializer({ compression }))) as Buffer[];
  const back = `Deserializer, ${name.slice(12)}`;
  await measure(back, data.length, () => pipeline([from(frames), new Deserializer(), nowhere()]));
}

const memory = Buffer.alloc(3 * size + 4 * MiB);

// From the Encryptor to the file, on incompressible bytes as one stream of frames.
const frames = (await collect(from(items('file', noise)), new Serializer({ compression: 'none' }))) as Buffer[];
await measure('Encryptor', size, () => {
  const pool = new SlotPool(4);
  return pipeline([from(frames), new Encryptor({ key, fileId, pool }), nowhere()]);
});
const segments = (await collect(from(frames), new Encryptor({ key, fileId }))) as Segment[];
await measure('Blocker (BLAKE2b, CRC)', size, () =>
  pipeline([from(segments.map(held)), new Blocker({ fileId }), nowhere()]),
);
const blocks = (await collect(from(segments.map(held)), new Blocker({ fileId }))) as Block[];
const inSlots = new SlotPool(4);
await measure('RSEncoder (rows and outer code)', size, () =>
  pipeline([from(blocks.map(held)), new RSEncoder({ fileId, pool: inSlots }), nowhere()]),
);
const encoded = (await collect(from(blocks.map(held)), new RSEncoder({ fileId }))) as Encoded[];
await measure('DualCopyInterleaver, interleaved', size, () =>
  pipeline([
    from(encoded.map(held)),
    new DualCopyInterleaver({ fileId, headerBytes, layout: 'interleaved' }),
    nowhere(),
  ]),
);
await measure('DualCopyInterleaver, tandem, to memory and back', size, () => toMemory());

/** What is used again in the next round must not be let go of. */
function held<T extends object>(record: T): T {
  return 'slot' in record ? { ...record, slot: new Slot((record.slot as Slot).bytes) } : record;
}

/** Into memory that is there already, and back. */
async function toMemory(): Promise<Buffer> {
  let length = 0;
  const stream = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      length += chunk.copy(memory, length);
      callback();
    },
  });
  const readBack = async (offset: number, into: Buffer) =>
    memory.copy(into, 0, offset, Math.min(length, offset + into.length));
  const options = { fileId, headerBytes, layout: 'tandem', readBack } as const;
  await pipeline([from(encoded.map(held)), new DualCopyInterleaver(options), stream]);
  return memory.subarray(0, length);
}

// Reading.
const file = await toMemory();
const record = Buffer.allocUnsafeSlow(FULL_RECORD);
await measure('ContainerReader, every block once', size, async () => {
  const reader = await ContainerReader.open([bufferSource(file)]);
  for (let i = 0; i < reader.extent.count; i++) await reader.read(i, record);
});
await measure('checkBlocks, both copies and all parity', size, async () => {
  const reader = await ContainerReader.open([bufferSource(file)]);
  const pool = readingPool();
  for await (const { slot } of checkBlocks(reader, newTally(fileId), () => pool.take())) slot.release();
});
await measure('Decryptor', size, () => pipeline([from(segments.map(held)), new Decryptor({ key, fileId }), nowhere()]));

say(`${machine()}; ${size / MiB} MiB, ${rounds} rounds\n`);
say(table(['stage alone', 'MB/s', 'MB per CPU s'], rows));
