/** A whole file from one place to another: up, down, or between two. What an earlier run left is gone on with where the destination knows how. */
import { SinkError, SourceError } from '../errors.ts';
import { lease, Slot } from '../memory.ts';
import type { ByteSource, Destination, ResumedWriter, SinkWriter } from './sink.ts';

const PIECE = 1024 * 1024;
/** Reads under way while one piece is written. */
const AHEAD = 4;

export interface TransferOptions {
  /** Replace what has the name. Default: refuse. */
  force?: boolean;
  signal?: AbortSignal;
  /** Bytes that are there, of all. */
  onProgress?: (bytes: number, total: number) => void;
  /**
   * Looks at what was written before it gets its name (after it, where the destination cannot be read back before); what it throws discards it. `false`
   * for nothing. Default: every byte is compared with the file, which is read again for it.
   */
  verify?: false | ((written: ByteSource) => Promise<void>);
}

export interface TransferResult {
  bytes: number;
  /** Bytes that an earlier run had brought there. */
  resumed: number;
  verified: boolean;
}

/**
 * Copies `file` to `to` under `name`. If it fails for a reason that may pass, what was brought there stays, hidden, and the next run with the same file
 * goes on with it; what does not verify is removed. Memory: 8 MiB, and what the destination holds.
 *
 * @example
 * await transfer(await fileSource('app.dbs'), await sftpDestination('sftp://nas/', targets), 'app.dbs'); // up
 * await transfer(await remote.open('app.dbs'), new FileDestination('.'), 'app.dbs'); // down
 * @throws SourceError; SinkError, also ERR_SINK_VERIFY; ConfigError ERR_SINK_EXISTS; the signal's reason
 */
export async function transfer(
  file: ByteSource,
  to: Destination,
  name: string,
  options: TransferOptions = {},
): Promise<TransferResult> {
  const force = { force: options.force ?? false };
  const writer: SinkWriter & Partial<ResumedWriter> = to.resume
    ? await to.resume(name, file, force)
    : await to.sink(name, force).create();
  const resumed = writer.from ?? 0;
  const verify =
    options.verify === false ? undefined : (options.verify ?? ((written) => compare(file, written, options)));
  let verified = false;
  try {
    await pour(file, resumed, writer, options);
    if (verify && writer.readBack) {
      await verify({ name: `${to.name}${name}`, size: file.size, read: writer.readBack, close: async () => {} }).catch(
        async (error) => {
          // What is wrong is not gone on with; what could not be looked at may be right.
          if (!options.signal?.aborted && error?.permanent !== false) await writer.abort();
          throw error;
        },
      );
      verified = true;
    }
    options.signal?.throwIfAborted();
    await writer.finish();
  } catch (error) {
    if (writer.suspend) await writer.suspend();
    else await writer.abort();
    throw error;
  }
  if (verify && !verified && writer.published) {
    const written = await writer.published();
    await verify(written)
      .catch(async (error) => {
        await writer.withdraw?.();
        throw error;
      })
      .finally(() => written.close());
    verified = true;
  }
  return { bytes: file.size, resumed, verified };
}

async function pour(file: ByteSource, from: number, writer: SinkWriter, options: TransferOptions): Promise<void> {
  const { stream } = writer;
  const ended = new Promise<void>((resolve, reject) => {
    stream.once('finish', resolve).once('error', reject);
    stream.once('close', () =>
      reject(new SinkError('ERR_SINK_WRITE', 'The destination was closed while it was written to.')),
    );
  });
  ended.catch(() => {});
  let at = from;
  for await (const piece of pieces(file, from)) {
    options.signal?.throwIfAborted();
    at += piece.length;
    if (!stream.write(piece))
      await Promise.race([ended, new Promise<void>((resolve) => stream.once('drain', resolve))]);
    options.onProgress?.(at, file.size);
  }
  stream.end();
  await ended;
}

/** Pieces in order, some read ahead. Whoever consumes one recycles it. */
async function* pieces(file: ByteSource, from: number): AsyncGenerator<Buffer> {
  const free: Buffer[] = [];
  const reads: Promise<Buffer>[] = [];
  let at = from;
  const more = () => {
    if (at >= file.size) return;
    const bytes = free.pop() ?? Buffer.allocUnsafeSlow(PIECE);
    const into = bytes.subarray(0, Math.min(PIECE, file.size - at));
    const read = readAll(file, at, into).then(() => lease(into, new Slot(bytes, () => void free.push(bytes))));
    read.catch(() => {});
    reads.push(read);
    at += into.length;
  };
  for (let i = 0; i < AHEAD; i++) more();
  for (let next = reads.shift(); next; next = reads.shift()) {
    yield await next;
    more();
  }
}

async function readAll(file: ByteSource, offset: number, into: Buffer): Promise<void> {
  if ((await file.read(offset, into)) === into.length) return;
  throw new SourceError('ERR_SOURCE_READ', `${file.name} is shorter than it was a moment ago. Try again.`, {
    facts: { path: file.name },
  });
}

async function compare(file: ByteSource, written: ByteSource, { signal }: TransferOptions): Promise<void> {
  const [wanted, there] = [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
  for (let at = 0; at < file.size; at += PIECE) {
    signal?.throwIfAborted();
    const length = Math.min(PIECE, file.size - at);
    const [mine, have] = [wanted.subarray(0, length), there.subarray(0, length)];
    const [, read] = await Promise.all([readAll(file, at, mine), written.read(at, have)]);
    if (read === length && mine.equals(have)) continue;
    throw new SinkError(
      'ERR_SINK_VERIFY',
      `${written.name} does not read back as it was written, near byte ${at}. Nothing was kept: try again, or write to another medium.`,
      { facts: { path: written.name, offset: at } },
    );
  }
}
