/** Containers that are the same in every run: keys, salts and content from a seed, so that a failure can be had again. */
import { createCipheriv } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checkBlocks, isDamaged, newTally } from '../../lib/container/check.ts';
import {
  type FileKeys,
  type OpenedKeys,
  type OpeningKeys,
  openFileKeys,
  signHeader,
} from '../../lib/container/keys.ts';
import { ContainerReader } from '../../lib/container/reader.ts';
import { bufferSource } from '../../lib/container/source.ts';
import { aeadKey } from '../../lib/crypto/aead.ts';
import { fileIdOf, hkdf } from '../../lib/crypto/hash.ts';
import { recipientSlotKeys, wrapDataKey, x25519, x25519Public } from '../../lib/crypto/key-wrap.ts';
import { BackupError } from '../../lib/errors.ts';
import { writeCore, writeHeaderUnsigned } from '../../lib/format/header.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { closeSlot, recipientSlotHead } from '../../lib/format/key-slot.ts';
import { order, recordLength, type Slot as Step } from '../../lib/format/layout.ts';
import { FULL_RECORD, type LayoutName, RecordType } from '../../lib/format/limits.ts';
import { Slot } from '../../lib/memory.ts';
import { writingStages } from '../../lib/pipeline.ts';
import { readItems } from '../../lib/reading.ts';
import { unsealStream } from '../../lib/seal.ts';
import { MemorySink } from '../../lib/sinks/memory.ts';
import { Random } from '../../lib/testkit/index.ts';
import type { BackupSource, ReadOptions, ValidationReport } from '../../lib/types.ts';

/** Repeat a failure with `SEED=... tap test/container/x.test.ts`. */
export const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);

const secret = new Random('the secret key of these tests').bytes(32);
/** Milliseconds of CPU so far: what a bound on work is about, however busy the machine is. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Opens every container of these tests; X25519 costs no Argon2id. */
export const key: OpeningKeys = { identities: [secret] };
export const recipient = x25519Public(secret);

/** A record, and where it stands. */
export interface Placed extends Step {
  at: number;
  length: number;
}

export interface Container {
  layout: LayoutName;
  /** What was sealed. */
  data: Buffer;
  file: Buffer;
  /** The second file of a split pair. */
  mirror?: Buffer;
  keys: FileKeys;
  count: number;
  lastLength: number;
  /** All records of `file`, in order. */
  records: Placed[];
  /** Throws where there is none. */
  place(type: RecordType, copy: 0 | 1, sequence: number): Placed;
}

/** Bytes of AES-CTR: as good as random, and fast. */
export function noise(name: string, length: number): Buffer {
  const key = new Random(name).bytes(32);
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

export function fixedKeys(layout: LayoutName, name: string): FileKeys & { dataKey: Buffer } {
  const random = new Random(`keys ${layout} ${name}`);
  const [dataKey, fileSalt, ephemeral] = [random.bytes(32), random.bytes(32), random.bytes(32)];
  const coreBytes = writeCore({ layout, fileSalt, commitment: hkdf(dataKey, fileSalt, 'DBS2 commit') });
  const fileId = fileIdOf(coreBytes);
  const derived = recipientSlotKeys(x25519(ephemeral, recipient)!, fileId, x25519Public(ephemeral), recipient);
  const head = Buffer.concat([recipientSlotHead(x25519Public(ephemeral)), derived.commitment]);
  const slot = closeSlot(head, wrapDataKey(derived, fileId, head, dataKey));
  return {
    dataKey,
    fileId,
    layout,
    payloadKey: aeadKey(hkdf(dataKey, fileSalt, 'DBS2 payload')),
    headerBytes: signHeader(writeHeaderUnsigned(coreBytes, 1, [slot]), dataKey, fileSalt),
  };
}

export function* itemsOf(data: Buffer): Generator<BackupItem> {
  yield { type: 'schema', schema: { kind: 'stream', created: '2020-01-01T00:00:00.000Z', tool: 'tests', tables: [] } };
  yield { type: 'file-begin', stream: 1, file: { kind: 'stream', root: '', path: '' } };
  for (let at = 0; at < data.length; at += 1 << 18) {
    yield { type: 'file-data', stream: 1, data: data.subarray(at, at + (1 << 18)) };
  }
  yield { type: 'file-end', stream: 1, size: data.length };
  yield { type: 'end', rows: 0, files: 1, bytes: data.length, skipped: [] };
}

/** Seals any items, or the bytes of any stream, right or wrong. */
export async function sealItems(name: string, items: Iterable<BackupItem> | Buffer): Promise<Buffer> {
  const keys = fixedKeys('tandem', name);
  if (!Buffer.isBuffer(items)) return (await write(keys, items, 0)).file;
  const sink = new MemorySink();
  const writer = await sink.create();
  const [, ...stages] = writingStages({ keys, readBack: writer.readBack! }).stages;
  await pipeline([Readable.from([items]), ...stages, writer.stream]);
  await writer.finish();
  return Buffer.from(sink.bytes!);
}

async function write(keys: FileKeys, items: Iterable<BackupItem>, copy: 0 | 1) {
  const sink = new MemorySink();
  const writer = await sink.create();
  const { stages, interleaver } = writingStages({
    keys,
    copy,
    compression: 'none',
    recycle: true,
    readBack: writer.readBack!,
  });
  await pipeline([Readable.from(items), ...stages, writer.stream]);
  await writer.finish();
  return { file: Buffer.from(sink.bytes!), facts: interleaver.facts };
}

const sealed = new Map<string, Promise<Container>>();

/** Seals `length` bytes. The same arguments give the same file; small ones are shared: leave them as they are. */
export function seal(layout: LayoutName, length: number, name = ''): Promise<Container> {
  const id = `${layout} ${length} ${name}`;
  const known = sealed.get(id) ?? sealAnew(layout, length, name);
  if (length < 1 << 22) sealed.set(id, known);
  return known;
}

async function sealAnew(layout: LayoutName, length: number, name: string): Promise<Container> {
  const data = noise(`data ${length} ${name}`, length);
  const keys = fixedKeys(layout, `${length} ${name}`);
  const { file, facts } = await write(keys, itemsOf(data), 0);
  const records: Placed[] = [];
  let at = 0;
  for (const slot of order(layout, facts.blocks, 0)) {
    const length = recordLength(slot, facts.blocks, facts.lastLength);
    records.push({ ...slot, at, length });
    at += length;
  }
  if (at !== file.length) throw new Error(`the order makes ${at} bytes, the file has ${file.length}`);
  return {
    layout,
    data,
    file,
    ...(layout === 'split' ? { mirror: (await write(keys, itemsOf(data), 1)).file } : {}),
    keys,
    count: facts.blocks,
    lastLength: facts.lastLength,
    records,
    place: (type, copy, sequence) => {
      const found = records.find((r) => r.type === type && r.copy === copy && r.sequence === sequence);
      if (!found) throw new Error(`no record ${type}.${copy}.${sequence}`);
      return found;
    },
  };
}

/** What became of a restore: the exact bytes, or a typed error and not one byte. Anything else throws. */
export type Outcome =
  | { ok: true; report: ValidationReport; error?: undefined }
  | { ok: false; error: BackupError; report?: undefined };

/** @param others contents that may come instead, as the file holds parts of theirs */
export async function restore(
  c: Container,
  source: BackupSource,
  options: ReadOptions = {},
  others: Container[] = [],
): Promise<Outcome> {
  const parts: Buffer[] = [];
  const output = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      parts.push(Buffer.from(chunk));
      callback();
    },
  });
  let report: ValidationReport;
  try {
    report = await unsealStream(source, key, output, options);
  } catch (error) {
    if (!(error instanceof BackupError))
      throw new Error(`an error without a type: ${(error as Error)?.stack}`, { cause: error });
    if (parts.length > 0) throw new Error(`${parts.length} chunks were released before ${error.code}`);
    return { ok: false, error };
  }
  const got = Buffer.concat(parts);
  if (![c, ...others].some(({ data }) => data.equals(got))) throw new Error('WRONG BYTES were released');
  return { ok: true, report };
}

const free: Slot[] = [];
const takeSlot = (): Slot =>
  free.pop()?.reset() ?? new Slot(Buffer.allocUnsafeSlow(FULL_RECORD), (slot) => free.push(slot));

const opened = new Map<string, OpenedKeys>();

/** X25519 is done once for each header that was seen. */
async function openOnce({ headers, fileId }: ContainerReader): Promise<OpenedKeys> {
  const id = headers.map((h) => h.bytes.toString('latin1')).join();
  const keys = opened.get(id) ?? (await openFileKeys(headers, fileId, key));
  if (opened.size < 1000) opened.set(id, keys);
  return keys;
}

/** The same in one pass and without the release at its end: for tests that do it thousands of times. Also says whether damage was seen. */
export async function restoreOnce(c: Container, file: Buffer): Promise<{ damaged: boolean; error?: BackupError }> {
  const fileId = c.keys.fileId.toString('hex');
  const parts: Buffer[] = [];
  const target = new Writable({
    objectMode: true,
    write(item: BackupItem, _encoding, callback) {
      if (item.type === 'file-data') parts.push(item.data);
      callback();
    },
  });
  try {
    const reader = await ContainerReader.open([bufferSource(file)], { fileId });
    const keys = await openOnce(reader);
    const tally = newTally(reader.fileId);
    const blocks = checkBlocks(reader, tally, takeSlot);
    await readItems(blocks, reader, keys, target);
    if (!Buffer.concat(parts).equals(c.data)) throw new Error('WRONG BYTES were released');
    return { damaged: isDamaged(tally) || reader.foreignBytes !== 0 };
  } catch (error) {
    if (error instanceof BackupError) return { damaged: true, error };
    throw new Error(`an error without a type: ${(error as Error)?.stack}`, { cause: error });
  }
}

export interface Patch {
  at: number;
  length: number;
}

/** Runs `work` while ranges of the file hold random bytes; they are put back afterwards, so that large files need no copy. */
export async function whileLost<T>(file: Buffer, ranges: Patch[], random: Random, work: () => Promise<T>): Promise<T> {
  const saved = ranges.map(({ at, length }) => Buffer.from(file.subarray(at, at + length)));
  try {
    for (const { at, length } of ranges) random.fill(file.subarray(at, at + length));
    return await work();
  } finally {
    // Backwards, as ranges may overlap.
    for (let i = ranges.length - 1; i >= 0; i--) saved[i]!.copy(file, ranges[i]!.at);
  }
}

/** Rows of a DATA or PARITY record as they lie in the file. */
export function rowRange(record: Placed, row: number, rowLength: number): Patch {
  return { at: record.at + 4096 + row * rowLength, length: rowLength };
}

export const { HEADER, DATA, PARITY, INDEX, END } = RecordType;
