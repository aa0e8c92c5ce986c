/** What the cases have in common: data that can be had again, lent memory, expectations. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { BackupError } from '../../errors.ts';
import { lease, Slot } from '../../memory.ts';
import type { Destination, SinkWriter } from '../../sinks/sink.ts';
import { Random } from '../random.ts';

const KiB = 1024;

/** Bytes that look random, the same for the same seed. */
export function noise(length: number, seed: number | string): Buffer {
  return new Random(seed).bytes(length);
}

/** Cuts bytes into chunks of odd lengths: single bytes, primes, powers of two and their neighbours. */
export function* oddly(bytes: Buffer, seed: number | string): Generator<Buffer> {
  const random = new Random(seed);
  const lengths = [1, 2, 7, 511, 512, 513, 4096, 65_521, 65_536, 65_537, 300_007, 1_044_480, 1_048_576];
  for (let at = 0; at < bytes.length; ) {
    const length = random.pick(lengths);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** Writes chunks as a pipeline does, waiting whenever the stream asks for it, and ends the stream. */
export async function feed(writer: SinkWriter, chunks: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
  const { stream } = writer;
  const done = finished(stream, { readable: false });
  // It is awaited below; until then a failure is not an unhandled one.
  done.catch(() => {});
  for await (const chunk of chunks) {
    if (stream.destroyed) break;
    if (!stream.write(chunk)) await Promise.race([once(stream, 'drain').catch(() => {}), done]);
  }
  stream.end();
  await done;
}

/** Writes a whole file. */
export async function put(at: Destination, name: string, bytes: Buffer, options?: { force?: boolean }): Promise<void> {
  const writer = await at.sink(name, options).create();
  try {
    await feed(writer, oddly(bytes, name));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Reads a whole file, in pieces. */
export async function get(at: Destination, name: string, piece = 1024 * KiB): Promise<Buffer> {
  const source = await at.open(name);
  try {
    const bytes = Buffer.alloc(source.size);
    for (let offset = 0; offset < bytes.length; offset += piece) {
      const into = bytes.subarray(offset, offset + piece);
      assert.equal(await source.read(offset, into), into.length, `${name}: bytes at ${offset}`);
    }
    return bytes;
  } finally {
    await source.close();
  }
}

/** The names at a destination, sorted. */
export async function names(at: Destination): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of at.list()) found.push(name);
  return found.sort();
}

/** Compares bytes without printing them. */
export function same(have: Buffer, want: Buffer, what: string): void {
  assert.equal(have.length, want.length, `${what}: length`);
  if (have.equals(want)) return;
  let at = 0;
  while (have[at] === want[at]) at++;
  assert.fail(`${what}: the bytes differ from offset ${at} on`);
}

/** The promise must fail with an error of this package of one of these codes. */
export async function fails(promise: Promise<unknown>, codes: string | RegExp, what: string): Promise<BackupError> {
  const error = await promise.then(
    () => assert.fail(`${what}: nothing failed`),
    (error: unknown) => error,
  );
  if (!(error instanceof BackupError)) assert.fail(`${what}: not an error of mikro-orm-dbs, but ${String(error)}`);
  if (typeof codes === 'string') assert.equal(error.code, codes, `${what}: ${error.message}`);
  else assert.match(error.code, codes, `${what}: ${error.message}`);
  return error;
}

/** Memory that is lent to a sink and comes back by `recycle`. What came back is overwritten, so that a sink that still uses it is found out. */
export class Lender {
  /** Chunks that were lent and have not come back. */
  out = 0;
  /** The most bytes that were out at once. */
  peak = 0;
  #bytesOut = 0;
  readonly #free: Buffer[] = [];

  lend(content: Buffer): Buffer {
    const bytes = this.#free.pop() ?? Buffer.alloc(64 * KiB);
    content.copy(bytes);
    this.out++;
    this.#bytesOut += bytes.length;
    this.peak = Math.max(this.peak, this.#bytesOut);
    const slot = new Slot(bytes, () => {
      this.out--;
      this.#bytesOut -= bytes.length;
      bytes.fill(0xee);
      this.#free.push(bytes);
    });
    return lease(bytes.subarray(0, content.length), slot);
  }
}
