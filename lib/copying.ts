/** The bytes of a file as they are, from where they lie to where they shall. */
import type { ByteSource } from './container/source.ts';
import { SourceError } from './errors.ts';
import { lease, Slot } from './memory.ts';
import type { Output } from './outputs.ts';
import type { Progress } from './progress.ts';

const PIECE = 4 * 1024 * 1024;
/** Reads under way while one piece is written: a far server takes its time for each. */
const AHEAD = 3;

/**
 * Pieces of a file in order, read ahead. Whoever consumes one recycles it. Memory: 16 MiB, and what the consumer holds.
 * @throws SourceError, also where the file is shorter than it was
 */
export async function* pieces(source: ByteSource, from = 0, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const free: Buffer[] = [];
  const reads: Promise<Buffer>[] = [];
  let at = from;
  const more = () => {
    if (at >= source.size) return;
    const bytes = free.pop() ?? Buffer.allocUnsafeSlow(PIECE);
    const into = bytes.subarray(0, Math.min(PIECE, source.size - at));
    const read = source.read(at, into).then((have) => {
      if (have === into.length) return lease(into, new Slot(bytes, () => void free.push(bytes)));
      throw new SourceError('ERR_SOURCE_READ', `${source.name} is shorter than it was a moment ago. Try again.`);
    });
    read.catch(() => {});
    reads.push(read);
    at += into.length;
  };
  for (let i = 0; i < AHEAD; i++) more();
  for (let next = reads.shift(); next; next = reads.shift()) {
    signal?.throwIfAborted();
    yield await next;
    more();
  }
}

/** Copies all of a file to an output, and ends its stream. @throws SourceError, SinkError */
export async function copyTo(
  source: ByteSource,
  output: Output,
  progress: Progress,
  signal?: AbortSignal,
): Promise<void> {
  const { stream } = output.writer;
  let failure: unknown;
  output.watch((error) => {
    failure = error;
    output.fail(error);
  });
  for await (const piece of pieces(source, 0, signal)) {
    const { length } = piece;
    if (!stream.write(piece)) await output.whileAlive(new Promise<void>((resolve) => stream.once('drain', resolve)));
    if (failure) throw failure;
    progress.add(length);
  }
  await output.whileAlive(new Promise<void>((resolve) => stream.end(() => resolve())));
  if (failure) throw failure;
  progress.done();
}
