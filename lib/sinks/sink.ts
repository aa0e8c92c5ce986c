/**
 * Where containers go: the contract between the pipeline and the world. `docs/writing-a-sink.md` shows how to write one; the conformance suite of
 * `mikro-orm-dbs/testkit` says whether it is right.
 */
import type { Writable } from 'node:stream';
import type { ByteSource } from '../container/source.ts';

export type { ByteSource } from '../container/source.ts';

/** One container being written. `finish` or `abort` ends it; where `finish` fails, nothing is under the name. */
export interface SinkWriter {
  /**
   * Takes the bytes in order. Calls `recycle` on every chunk once it is consumed, so that its memory can serve again.
   * Errors: SinkError.
   */
  readonly stream: Writable;
  /**
   * Reads what was written, until `finish`; waits for bytes that are still on their way. Absent where the sink cannot: then the
   * layout is `interleaved`, and verification needs `published`.
   */
  readonly readBack?: (offset: number, into: Buffer) => Promise<number>;
  /** Reading back goes over a network: the layout is `interleaved` unless `tandem` is asked for. */
  readonly remote?: boolean;
  /** Makes it durable and gives it its final name, atomically. @throws SinkError; ConfigError ERR_SINK_EXISTS. `abort` may follow a failure. */
  finish(): Promise<void>;
  /** After `finish`, for sinks without `readBack`: what is there now under the final name, read afresh. @throws SourceError */
  readonly published?: () => Promise<ByteSource>;
  /** With `published`: removes what `finish` put there, as it did not verify. @throws SinkError */
  readonly withdraw?: () => Promise<void>;
  /** Leaves nothing behind. Never throws. After a `finish` that succeeded it does nothing. */
  abort(): Promise<void>;
}

/** A place for one container. */
export interface Sink {
  /** For messages: no secrets. */
  readonly name: string;
  /** @throws SinkError where nothing can be written there; ConfigError ERR_SINK_EXISTS */
  create(): Promise<SinkWriter>;
}

/** The upload of a whole file that may go on in a later run. `finish`, `suspend` or `abort` ends it. */
export interface ResumedWriter extends SinkWriter {
  /** Bytes of the file that an earlier run left there: the stream takes those that follow. */
  readonly from: number;
  /** Ends, and leaves what is there to a later run. Never throws. */
  suspend(): Promise<void>;
}

/** A file at a destination. */
export interface StoredFile {
  /** Its name there, without any folder. */
  name: string;
  /** Bytes. */
  size: number;
  modified: Date;
}

/** What a writer left that neither finished nor could clean up: its process was killed, or the network was gone. */
export interface UnfinishedFile {
  /** The name that it would have got. */
  name: string;
  started: Date;
  /** Removes it. One that is still being written fails then. @throws SinkError */
  remove(): Promise<void>;
}

/**
 * A place that holds many containers, each under a name: a folder, a bucket below a prefix, a folder of an SFTP server. Names are single path segments. Unfinished
 * files are never seen here.
 */
export interface Destination {
  /** For messages, such as `s3://bucket/prefix/`: no secrets. */
  readonly name: string;
  /** A place for one container under this name. Without `force`, a name that exists is refused (ConfigError ERR_SINK_EXISTS), also when it came meanwhile. */
  sink(name: string, options?: { force?: boolean }): Sink;
  /**
   * Goes on with the upload of exactly this file where an earlier run stopped, or begins one that a later run can go on with. What is there was compared
   * in its last bytes only: read all of it back before `finish`. Absent where every upload begins anew. `transfer` does all of that.
   * @throws SinkError; SourceError of `file`; ConfigError ERR_SINK_EXISTS
   */
  resume?(name: string, file: ByteSource, options?: { force?: boolean }): Promise<ResumedWriter>;
  /** Ranges of a file. @throws SourceError ERR_SOURCE_NOT_FOUND and others */
  open(name: string): Promise<ByteSource>;
  /** `null` where there is no such file. @throws SourceError */
  stat(name: string): Promise<StoredFile | null>;
  /** Files that lie directly in it, in any order; none where the folder or prefix does not exist yet. @throws SourceError */
  list(): AsyncIterable<StoredFile>;
  /** Removes one file; does nothing where there is none. @throws SinkError */
  remove(name: string): Promise<void>;
  /** Files that were begun and have no name, also those that are being written right now: look at `started`. @throws SourceError */
  unfinished?(): AsyncIterable<UnfinishedFile>;
  /** Bytes that can still be written there, where that can be known. */
  freeSpace?(): Promise<number | null>;
  /** Ends connections. Idempotent, never throws. */
  close(): Promise<void>;
}
