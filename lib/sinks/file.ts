/** Local files: written under a temporary name, synced, renamed; read back for the second copy and for verification. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { BackupError } from '../errors.ts';
import { recycle } from '../memory.ts';
import { existsAlready, fileSinkError, notEnded } from './errors.ts';
import { readFully } from './file-source.ts';
import type { Sink, SinkWriter } from './sink.ts';

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
    const writer = new FileWriter(handle, this.name);
    return {
      stream: writer,
      readBack: (offset, into) => writer.readBack(offset, into),
      finish: async () => {
        try {
          if (!writer.writableFinished) throw notEnded(this.name);
          // Network file systems may say only now, by either of these, that there was no room.
          await handle.sync();
          await handle.close();
          await this.#publish(temporary);
        } catch (error) {
          await handle.close().catch(() => {});
          await unlink(temporary).catch(() => {});
          throw error instanceof BackupError ? error : fileSinkError(error, this.name);
        }
        await syncFolder(dirname(this.#path));
      },
      abort: async () => {
        writer.destroy();
        await handle.close().catch(() => {});
        await unlink(temporary).catch(() => {});
      },
    };
  }

  async #publish(temporary: string): Promise<void> {
    if (this.#force) return rename(temporary, this.#path);
    // link() refuses an existing name, atomically; rename() would replace it.
    await link(temporary, this.#path).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw existsAlready(this.name);
      // Some network and FAT file systems have no hard links.
      if (await lstat(this.#path).catch(() => null)) throw existsAlready(this.name);
      await rename(temporary, this.#path);
    });
    await unlink(temporary).catch(() => {});
  }
}

class FileWriter extends Writable {
  readonly #handle: FileHandle;
  readonly #name: string;
  #length = 0;
  #unsynced = 0;
  #waiting: (() => void)[] = [];

  constructor(handle: FileHandle, name: string) {
    super({ highWaterMark: 2 * 1024 * 1024 });
    this.#handle = handle;
    this.#name = name;
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
