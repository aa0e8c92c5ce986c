/** A storage in a folder of the file system: what a plain directory in the configuration becomes. */
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { confine } from './confine.ts';
import { FsStaging } from './fs-staging.ts';
import type { FileStaging, FileStat, StorageAdapter } from './storage.ts';

/** Bytes that are read at once. */
const CHUNK = 256 * 1024;

export class FsStorage implements StorageAdapter {
  readonly #base: string;
  readonly #roots: string[];

  /**
   * @param base the folder that keys are relative to
   * @param roots folders that a key may lead into; by default `base` alone
   */
  constructor(base: string, roots: string[] = [base]) {
    this.#base = base;
    this.#roots = roots;
  }

  /**
   * Reads as many bytes as the file has now: one that grows meanwhile does not keep us forever.
   *
   * @throws RestoreError ERR_FILES_OUTSIDE_ROOT; system errors
   */
  async open(key: string): Promise<Readable> {
    const { path } = await confine(this.#base, key, this.#roots);
    // O_NONBLOCK: opening a FIFO by mistake must not wait for somebody to write to it.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw Object.assign(new Error('it is not a regular file'), { code: 'EISDIR' });
      if (found.size === 0) {
        await file.close();
        return Readable.from([]);
      }
      return file.createReadStream({ highWaterMark: CHUNK, end: found.size - 1 });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async stat(key: string): Promise<FileStat | null> {
    const { path } = await confine(this.#base, key, this.#roots);
    try {
      const found = await stat(path);
      return found.isFile() ? { size: found.size, mtime: Math.round(found.mtimeMs), mode: found.mode & 0o777 } : null;
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT' || (error as { code?: string }).code === 'ENOTDIR')
        return null;
      throw error;
    }
  }

  async exists(key: string): Promise<boolean> {
    return (await this.stat(key)) !== null;
  }

  async put(key: string, body: Readable): Promise<void> {
    const staging = this.staging();
    try {
      const file = await staging.stage(key, {});
      await pipeline(body, async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) await file.write(Buffer.from(chunk));
      });
      await file.finish();
      await staging.prepare();
      await staging.commit();
    } catch (error) {
      await staging.abort();
      throw error;
    }
  }

  staging(): FileStaging {
    return new FsStaging(this.#base, this.#roots);
  }
}
