/** Local files: written under a temporary name, synced, renamed; read back for the second copy and for verification. */
import { randomBytes } from 'node:crypto';
import { constants, type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { BackupError } from '../errors.ts';
import { recycle } from '../memory.ts';
import { existsAlready, fileSinkError, notEnded } from './errors.ts';
import { readFully } from './file-source.ts';
import { partName, resumeAt } from './resume.ts';
import type { ByteSource, ResumedWriter, Sink, SinkWriter } from './sink.ts';

export { fileSource, handleSource } from './file-source.ts';

/** Between two syncs: the last one, before success is said, then stays short. */
const SYNC_EVERY = 64 * 1024 * 1024;

export interface FileSinkOptions {
  /** Replace a file that exists. Default: refuse. */
  force?: boolean;
}

/**
 * A path to write a container to. While it is written it is `.NAME.RANDOM.part` beside its place, mode 0600; `finish` syncs file and folder and renames. Without `force`
 * the rename cannot replace anything, not even a file that came meanwhile.
 *
 * Errors: ConfigError ERR_SINK_EXISTS; SinkError ERR_SINK_FULL, ERR_SINK_DENIED, ERR_SINK_NOT_FOUND, ERR_SINK_WRITE.
 */
export class FileSink implements Sink {
  readonly name: string;
  readonly #path: string;
  readonly #force: boolean;

  constructor(path: string, options: FileSinkOptions = {}) {
    this.name = path;
    this.#path = resolve(path);
    this.#force = options.force ?? false;
  }

  async create(): Promise<SinkWriter> {
    if (!this.#force && (await lstat(this.#path).catch(() => null))) throw existsAlready(this.name);
    const temporary = join(dirname(this.#path), `.${basename(this.#path)}.${randomBytes(6).toString('hex')}.part`);
    const handle = await open(temporary, 'wx+', 0o600).catch((error) => {
      throw fileSinkError(error, this.name);
    });
    return writerAt({ name: this.name, path: this.#path, force: this.#force }, temporary, handle);
  }

  /**
   * Goes on with a part of an earlier run.
   * @see Destination.resume
   * @throws as `create`; SourceError of `file`
   */
  async resume(file: ByteSource): Promise<ResumedWriter> {
    if (!this.#force && (await lstat(this.#path).catch(() => null))) throw existsAlready(this.name);
    const temporary = join(dirname(this.#path), await partName(basename(this.#path), file));
    const handle = await open(temporary, constants.O_RDWR | constants.O_CREAT, 0o600).catch((error) => {
      throw fileSinkError(error, this.name);
    });
    try {
      const from = await resumeAt(file, (await handle.stat()).size, 0, (offset, into) =>
        readFully(handle, offset, into),
      );
      await handle.truncate(from);
      const writer = writerAt({ name: this.name, path: this.#path, force: this.#force }, temporary, handle, from);
      const suspend = async () => {
        writer.stream.destroy();
        await handle.close().catch(() => {});
      };
      return { ...writer, from, suspend };
    } catch (error) {
      await handle.close();
      throw error instanceof BackupError ? error : fileSinkError(error, this.name);
    }
  }
}

interface Place {
  name: string;
  path: string;
  force: boolean;
}

function writerAt(place: Place, temporary: string, handle: FileHandle, from = 0): SinkWriter {
  const writer = new FileWriter(handle, place.name, from);
  let finished = false;
  return {
    stream: writer,
    readBack: (offset, into) => writer.readBack(offset, into),
    finish: async () => {
      try {
        if (!writer.writableFinished) throw notEnded(place.name);
        // Network file systems may say only now, by either of these, that there was no room.
        await handle.sync();
        await handle.close();
        await publish(place, temporary);
        finished = true;
      } catch (error) {
        await handle.close().catch(() => {});
        await unlink(temporary).catch(() => {});
        throw error instanceof BackupError ? error : fileSinkError(error, place.name);
      }
      await syncFolder(dirname(place.path));
    },
    abort: async () => {
      writer.destroy();
      await handle.close().catch(() => {});
      // A part has the same name in each run: another one's may be there by now.
      if (!finished) await unlink(temporary).catch(() => {});
    },
  };
}

async function publish({ name, path, force }: Place, temporary: string): Promise<void> {
  if (force) return rename(temporary, path);
  // link() refuses an existing name, atomically; rename() would replace it.
  await link(temporary, path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') throw existsAlready(name);
    // Some network and FAT file systems have no hard links.
    if (await lstat(path).catch(() => null)) throw existsAlready(name);
    await rename(temporary, path);
  });
  await unlink(temporary).catch(() => {});
}

class FileWriter extends Writable {
  readonly #handle: FileHandle;
  readonly #name: string;
  #length: number;
  #unsynced = 0;
  #waiting: (() => void)[] = [];

  constructor(handle: FileHandle, name: string, from: number) {
    super({ highWaterMark: 2 * 1024 * 1024 });
    this.#handle = handle;
    this.#name = name;
    this.#length = from;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#append([chunk]).then(() => callback(), callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#append(chunks.map(({ chunk }) => chunk)).then(() => callback(), callback);
  }

  async #append(chunks: Buffer[]): Promise<void> {
    try {
      for (const chunk of chunks) {
        for (let at = 0; at < chunk.length; ) {
          const { bytesWritten } = await this.#handle.write(chunk, at, chunk.length - at, this.#length);
          at += bytesWritten;
          this.#length += bytesWritten;
        }
        this.#unsynced += chunk.length;
        recycle(chunk);
      }
      if (this.#unsynced >= SYNC_EVERY) {
        this.#unsynced = 0;
        await this.#handle.datasync();
      }
    } catch (error) {
      throw fileSinkError(error, this.#name);
    } finally {
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  async readBack(offset: number, into: Buffer): Promise<number> {
    while (offset + into.length > this.#length && !this.destroyed && !this.writableFinished) {
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
    return readFully(this.#handle, offset, into);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (const wake of this.#waiting.splice(0)) wake();
    callback(error);
  }
}

/** Makes a rename in a folder durable. Folders cannot be synced everywhere; where they cannot, the rename stands anyway. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
