/** Where a container goes: the contract between the pipeline and the world. */
import type { Writable } from 'node:stream';

export type { ByteSource } from '../container/source.ts';

/** One container being written. Exactly one of `finish` and `abort` ends it. */
export interface SinkWriter {
  /**
   * Takes the bytes in order. Calls `recycle` on every chunk once it is consumed, so that its memory can serve again.
   * Errors: SinkError.
   */
  readonly stream: Writable;
  /**
   * Reads what was written, before or after `finish`; waits for bytes that are still on their way. Absent where the sink cannot: then the
   * layout is `interleaved` and verification needs `source`.
   */
  readonly readBack?: (offset: number, into: Buffer) => Promise<number>;
  /** Makes it durable and gives it its final name, atomically. @throws SinkError */
  finish(): Promise<void>;
  /** Leaves nothing behind. Never throws. */
  abort(): Promise<void>;
}

/** A destination for one container. */
export interface Sink {
  /** For messages: no secrets. */
  readonly name: string;
  /** @throws SinkError where nothing can be written there */
  create(): Promise<SinkWriter>;
}
