/** Trying again: what may pass by itself (a cut connection, a busy server) is asked again, later and later. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SinkError, SourceError } from '../errors.ts';
import type { ByteSource, Destination, Sink, SinkWriter, StoredFile } from './sink.ts';

export interface RetryOptions {
  /** How often it is tried in all. Default 6. */
  attempts?: number;
  /** Milliseconds before the second attempt; each further one waits twice as long. Default 200. */
  firstDelay?: number;
  /** The longest wait in milliseconds. Default 10,000. */
  maxDelay?: number;
  /** Ends the waiting. Its reason is thrown. */
  signal?: AbortSignal;
  /** Is told of every failure that is followed by another attempt. */
  onRetry?: (error: unknown, attempt: number) => void;
}

/** Whether another attempt can help: errors of sinks and sources say so by `permanent`. */
export function mayPass(error: unknown): boolean {
  return (error instanceof SinkError || error instanceof SourceError) && !error.permanent;
}

/**
 * Runs `work` until it succeeds, fails for good, or has had its attempts. The waits are drawn from the upper half of what doubles each time, so that many who were
 * cut off at once do not come back at once.
 *
 * @throws what the last attempt threw
 */
export async function withRetries<T>(work: (attempt: number) => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { attempts = 6, firstDelay = 200, maxDelay = 10_000, signal } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || !mayPass(error) || signal?.aborted) throw error;
      options.onRetry?.(error, attempt);
      const longest = Math.min(maxDelay, firstDelay * 2 ** (attempt - 1));
      await sleep(longest * (0.5 + Math.random() / 2), undefined, signal ? { signal } : {}).catch(() => {
        signal?.throwIfAborted();
      });
    }
  }
}

/**
 * A destination whose operations are tried again where that is harmless: create, open, read, stat, list, remove. What was begun and not finished (the bytes of a
 * stream, `finish`) is not: only the sink knows how. `s3Destination` tries again by itself, and better: it needs no such decorator.
 */
export function retrying(destination: Destination, options: RetryOptions = {}): Destination {
  const again = <T>(work: () => Promise<T>) => withRetries(work, options);
  return {
    name: destination.name,
    sink: (name, how) => retryingSink(destination.sink(name, how), again),
    ...(destination.resume ? { resume: (name, file, how) => again(() => destination.resume!(name, file, how)) } : {}),
    open: (name) => retryingSource(destination, name, again),
    stat: (name) => again(() => destination.stat(name)),
    list: () => retryingList(destination, options),
    remove: (name) => again(() => destination.remove(name)),
    ...(destination.unfinished ? { unfinished: () => destination.unfinished!() } : {}),
    ...(destination.freeSpace ? { freeSpace: () => again(async () => destination.freeSpace!()) } : {}),
    close: () => destination.close(),
  };
}

type Again = <T>(work: () => Promise<T>) => Promise<T>;

function retryingSink(sink: Sink, again: Again): Sink {
  return {
    name: sink.name,
    create: async (): Promise<SinkWriter> => {
      const writer = await again(() => sink.create());
      const { published, withdraw } = writer;
      // The object itself may be an instance of a class: its methods stay its own.
      return {
        stream: writer.stream,
        ...(writer.readBack ? { readBack: (offset, into) => writer.readBack!(offset, into) } : {}),
        ...(writer.remote === undefined ? {} : { remote: writer.remote }),
        finish: () => writer.finish(),
        ...(published ? { published: () => again(() => published.call(writer)) } : {}),
        ...(withdraw ? { withdraw: () => again(() => withdraw.call(writer)) } : {}),
        abort: () => writer.abort(),
      };
    },
  };
}

/** After a failed read the file is opened again, unless it is another one by now. */
async function retryingSource(destination: Destination, name: string, again: Again): Promise<ByteSource> {
  const facts = await again(() => destination.stat(name));
  let source = await again(() => destination.open(name));
  let reopening: Promise<void> | undefined;
  const reopen = async (broken: ByteSource) => {
    // Of several reads that failed at once, one opens it.
    if (source !== broken) return;
    reopening ??= (async () => {
      const now = await destination.stat(name);
      if (now?.size !== facts?.size || now?.modified.getTime() !== facts?.modified.getTime()) {
        throw new SourceError(
          'ERR_SOURCE_REPLACED',
          `${source.name} was replaced or removed while it was read. Start again.`,
          { facts: { path: source.name } },
        );
      }
      const fresh = await destination.open(name);
      await source.close().catch(() => {});
      source = fresh;
    })().finally(() => {
      reopening = undefined;
    });
    await reopening;
  };
  return {
    name: source.name,
    size: source.size,
    read: (offset, into) => {
      let broken: ByteSource | undefined;
      return again(async () => {
        if (broken) await reopen(broken);
        const current = source;
        try {
          return await current.read(offset, into);
        } catch (error) {
          broken = current;
          throw error;
        }
      });
    },
    close: () => source.close(),
  };
}

/** A list that broke is begun again; names that were given are not given twice. */
async function* retryingList(destination: Destination, options: RetryOptions): AsyncGenerator<StoredFile> {
  const given = new Set<string>();
  let list = destination.list()[Symbol.asyncIterator]();
  let broken = false;
  try {
    for (;;) {
      const next = await withRetries(async () => {
        if (broken) list = destination.list()[Symbol.asyncIterator]();
        broken = false;
        try {
          for (;;) {
            const result = await list.next();
            if (result.done || !given.has(result.value.name)) return result;
          }
        } catch (error) {
          broken = true;
          throw error;
        }
      }, options);
      if (next.done) return;
      given.add(next.value.name);
      yield next.value;
    }
  } finally {
    await list.return?.();
  }
}
