/** Byte streams in pieces of one size. */
import type { Readable } from 'node:stream';

/**
 * The content in pieces of exactly `size` bytes, the last one shorter. Memory: one piece and one chunk of the source.
 * The pieces are the caller's to keep.
 */
export async function* rechunk(source: Readable, size: number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of source as AsyncIterable<Uint8Array | string>) {
    let rest =
      typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (held + rest.length >= size) {
      const take = size - held;
      parts.push(rest.subarray(0, take));
      yield parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      rest = rest.subarray(take);
      parts = [];
      held = 0;
    }
    if (!rest.length) continue;
    parts.push(rest);
    held += rest.length;
  }
  if (held) yield Buffer.concat(parts);
}

/** Whether two streams give the same bytes; both are destroyed. Memory: a piece of each. */
export async function sameStream(a: Readable, b: Readable): Promise<boolean> {
  const left = rechunk(a, 64 * 1024);
  const right = rechunk(b, 64 * 1024);
  try {
    for (;;) {
      const [one, other] = await Promise.all([left.next(), right.next()]);
      if (one.done || other.done) return one.done === other.done;
      if (!one.value.equals(other.value)) return false;
    }
  } finally {
    for (const stream of [a, b]) stream.on('error', () => {}).destroy();
  }
}
