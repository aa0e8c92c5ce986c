/** A destination that takes no more than its share of the line. */
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { lease, recycle, Slot } from '../memory.ts';
import type { ByteSource, Destination, Sink, SinkWriter } from './sink.ts';

export interface BandwidthOptions {
  /** Bytes per second that are written, over all files together. Default: no limit. */
  write?: number;
  /** Bytes per second that are read. Default: no limit. */
  read?: number;
}

/** Hands out bytes at a rate: whoever takes some waits until those before are paid for. */
export class Rate {
  readonly #perSecond: number;
  #paidUntil = 0;

  /** @param perSecond bytes */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** What is taken at once, so that the line is used evenly: a twentieth of a second's bytes. */
  get piece(): number {
    return Math.max(1024, Math.floor(this.#perSecond / 20));
  }

  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    const now = performance.now();
    const begin = Math.max(now, this.#paidUntil);
    this.#paidUntil = begin + (bytes / this.#perSecond) * 1000;
    if (begin > now) await sleep(begin - now, undefined, signal ? { signal } : {});
  }
}

/** Limits what is written to a destination and read from it. Reading back is limited where it goes over the network. */
export function throttled(destination: Destination, options: BandwidthOptions): Destination {
  const write = options.write ? new Rate(options.write) : undefined;
  const read = options.read ? new Rate(options.read) : undefined;
  return {
    name: destination.name,
    sink: (name, how) => throttledSink(destination.sink(name, how), write, read),
    ...(destination.resume
      ? {
          resume: async (name, file, how) => {
            const writer = await destination.resume!(name, file, how);
            const slow = throttledWriter(writer, write, read);
            const suspend = async () => {
              slow.stream.destroy();
              await writer.suspend();
            };
            return { ...slow, from: writer.from, suspend };
          },
        }
      : {}),
    open: async (name) => throttledSource(await destination.open(name), read),
    stat: (name) => destination.stat(name),
    list: () => destination.list(),
    remove: (name) => destination.remove(name),
    ...(destination.unfinished ? { unfinished: () => destination.unfinished!() } : {}),
    ...(destination.freeSpace ? { freeSpace: () => destination.freeSpace!() } : {}),
    close: () => destination.close(),
  };
}

function throttledSink(sink: Sink, write: Rate | undefined, read: Rate | undefined): Sink {
  return {
    name: sink.name,
    create: async () => throttledWriter(await sink.create(), write, read),
  };
}

function throttledWriter(writer: SinkWriter, write: Rate | undefined, read: Rate | undefined): SinkWriter {
  const { readBack, remote, published, withdraw } = writer;
  const stream = write ? throttledStream(writer.stream, write) : writer.stream;
  return {
    stream,
    ...(readBack
      ? {
          readBack: async (offset, into) => {
            const have = await readBack.call(writer, offset, into);
            if (remote) await read?.take(have);
            return have;
          },
        }
      : {}),
    ...(remote === undefined ? {} : { remote }),
    finish: () => writer.finish(),
    ...(published ? { published: async () => throttledSource(await published.call(writer), read) } : {}),
    ...(withdraw ? { withdraw: () => withdraw.call(writer) } : {}),
    abort: async () => {
      stream.destroy();
      await writer.abort();
    },
  };
}

function throttledStream(inner: Writable, rate: Rate): Writable {
  const ended = new AbortController();
  const outer: Writable = new Writable({
    // What lies here has been taken from the pipeline and not been sent: let it be little.
    highWaterMark: 16 * 1024,
    write(chunk: Buffer, _encoding, callback) {
      forward(inner, chunk, rate, ended.signal).then(() => callback(), callback);
    },
    final(callback) {
      inner.end(callback);
    },
    destroy(error, callback) {
      ended.abort();
      if (!inner.writableFinished) inner.destroy(error ?? undefined);
      callback(error);
    },
  });
  inner.on('error', (error) => outer.destroy(error));
  return outer;
}

/** Passes a chunk on in pieces. Its memory is free when all of them are. */
async function forward(inner: Writable, chunk: Buffer, rate: Rate, signal: AbortSignal): Promise<void> {
  const count = Math.ceil(chunk.length / rate.piece);
  if (count === 0) return recycle(chunk);
  const slot = new Slot(chunk, () => recycle(chunk));
  for (let i = 1; i < count; i++) slot.retain();
  for (let at = 0; at < chunk.length; at += rate.piece) {
    const piece = lease(chunk.subarray(at, at + rate.piece), slot);
    await rate.take(piece.length, signal);
    await new Promise<void>((resolve, reject) => {
      inner.write(piece, (error) => (error ? reject(error) : resolve()));
    });
  }
}

function throttledSource(source: ByteSource, rate: Rate | undefined): ByteSource {
  if (!rate) return source;
  return {
    name: source.name,
    size: source.size,
    read: async (offset, into) => {
      const have = await source.read(offset, into);
      await rate.take(have);
      return have;
    },
    close: () => source.close(),
  };
}
