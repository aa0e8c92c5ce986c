/** Containers in memory: for tests and small things. */
import { Writable } from 'node:stream';
import { SourceError } from '../errors.ts';
import { recycle } from '../memory.ts';
import { checkName, existsAlready, notEnded } from './errors.ts';
import type { ByteSource, Destination, Sink, SinkWriter, StoredFile } from './sink.ts';

/** Keeps what is written in `bytes`, which is `undefined` until `finish`. Holds the whole container. */
export class MemorySink implements Sink {
  readonly name = 'memory';
  bytes: Buffer | undefined;
  readonly #readsBack: boolean;

  /** @param options.readsBack false makes it append-only, as a network sink is */
  constructor(options: { readsBack?: boolean } = {}) {
    this.#readsBack = options.readsBack ?? true;
  }

  async create(): Promise<SinkWriter> {
    return memoryWriter(this.#readsBack, (bytes) => {
      this.bytes = bytes;
    });
  }
}

/** Many containers in memory. Holds all of them. Errors: ConfigError ERR_SINK_EXISTS, ERR_SINK_NAME; SourceError ERR_SOURCE_NOT_FOUND. */
export class MemoryDestination implements Destination {
  readonly name = 'memory:';
  readonly #files = new Map<string, { bytes: Buffer; modified: Date }>();
  readonly #readsBack: boolean;
  #clock = 0;

  constructor(options: { readsBack?: boolean } = {}) {
    this.#readsBack = options.readsBack ?? true;
  }

  sink(name: string, options: { force?: boolean } = {}): Sink {
    checkName(name);
    const refuse = () => {
      if (!options.force && this.#files.has(name)) throw existsAlready(`memory:${name}`);
    };
    return {
      name: `memory:${name}`,
      create: async () => {
        refuse();
        return memoryWriter(this.#readsBack, (bytes) => {
          refuse();
          // Two of one name are told apart by their times, and a memory is faster than a clock of milliseconds.
          this.#clock = Math.max(Date.now(), this.#clock + 1);
          this.#files.set(name, { bytes, modified: new Date(this.#clock) });
        });
      },
    };
  }

  async open(name: string): Promise<ByteSource> {
    const file = this.#files.get(checkName(name));
    if (!file) throw new SourceError('ERR_SOURCE_NOT_FOUND', `There is no file memory:${name}. Check the name.`);
    const { bytes } = file;
    return {
      name: `memory:${name}`,
      size: bytes.length,
      read: async (offset, into) =>
        offset < 0 || offset >= bytes.length ? 0 : bytes.copy(into, 0, offset, offset + into.length),
      close: async () => {},
    };
  }

  async stat(name: string): Promise<StoredFile | null> {
    const file = this.#files.get(checkName(name));
    return file ? { name, size: file.bytes.length, modified: file.modified } : null;
  }

  async *list(): AsyncGenerator<StoredFile> {
    for (const [name, { bytes, modified }] of this.#files) yield { name, size: bytes.length, modified };
  }

  async remove(name: string): Promise<void> {
    this.#files.delete(checkName(name));
  }

  async close(): Promise<void> {}
}

function memoryWriter(readsBack: boolean, publish: (bytes: Buffer) => void): SinkWriter {
  let bytes = Buffer.alloc(1 << 20);
  let length = 0;
  const waiting: (() => void)[] = [];
  const wake = () => {
    for (const one of waiting.splice(0)) one();
  };
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, callback) => {
      if (length + chunk.length > bytes.length)
        bytes = Buffer.concat([bytes, Buffer.alloc(bytes.length + chunk.length)]);
      chunk.copy(bytes, length);
      length += chunk.length;
      recycle(chunk);
      wake();
      callback();
    },
    final: (callback) => {
      wake();
      callback();
    },
    destroy: (error, callback) => {
      wake();
      callback(error);
    },
  });
  const readBack = async (offset: number, into: Buffer): Promise<number> => {
    while (offset + into.length > length && !stream.writableEnded && !stream.destroyed)
      await new Promise<void>((wake) => waiting.push(wake));
    return offset >= length ? 0 : bytes.copy(into, 0, offset, Math.min(length, offset + into.length));
  };
  return {
    stream,
    ...(readsBack ? { readBack } : {}),
    finish: async () => {
      if (!stream.writableFinished) throw notEnded('memory');
      publish(bytes.subarray(0, length));
    },
    abort: async () => {
      stream.destroy();
    },
  };
}
