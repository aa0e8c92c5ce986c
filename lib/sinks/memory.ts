/** Containers in memory: for tests and small things. */
import { Writable } from 'node:stream';
import { recycle } from '../memory.ts';
import type { Sink, SinkWriter } from './sink.ts';

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
    let bytes = Buffer.alloc(1 << 20);
    let length = 0;
    const waiting: (() => void)[] = [];
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        if (length + chunk.length > bytes.length)
          bytes = Buffer.concat([bytes, Buffer.alloc(bytes.length + chunk.length)]);
        chunk.copy(bytes, length);
        length += chunk.length;
        recycle(chunk);
        for (const wake of waiting.splice(0)) wake();
        callback();
      },
    });
    const readBack = async (offset: number, into: Buffer): Promise<number> => {
      while (offset + into.length > length && !stream.writableEnded)
        await new Promise<void>((wake) => waiting.push(wake));
      return bytes.copy(into, 0, offset, Math.min(length, offset + into.length));
    };
    return {
      stream,
      ...(this.#readsBack ? { readBack } : {}),
      finish: async () => {
        this.bytes = bytes.subarray(0, length);
      },
      abort: async () => {},
    };
  }
}
