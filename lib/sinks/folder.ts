/** A folder of this machine as a destination. */
import { opendir, stat, statfs, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { checkName, fileSinkError, fileSourceError } from './errors.ts';
import { FileSink, syncFolder } from './file.ts';
import { fileSource } from './file-source.ts';
import type { ByteSource, Destination, ResumedWriter, Sink, StoredFile, UnfinishedFile } from './sink.ts';

/** As FileSink names what it has not finished; the longer ones are of uploads that may go on. */
const PART = /^\.(.+)\.(?:[0-9a-f]{12}){1,2}\.part$/;

/**
 * The files of one folder, which must exist before anything is written. Links, folders, special files and `.part` files are not listed.
 *
 * Errors: those of FileSink; ConfigError ERR_SINK_NAME; SourceError ERR_SOURCE_NOT_FOUND, ERR_SOURCE_DENIED, ERR_SOURCE_READ.
 */
export class FileDestination implements Destination {
  readonly name: string;
  readonly #folder: string;

  /** @param folder relative ones to the current directory */
  constructor(folder: string) {
    this.name = folder;
    this.#folder = resolve(folder);
  }

  sink(name: string, options: { force?: boolean } = {}): Sink {
    return new FileSink(this.#path(name), options);
  }

  async resume(name: string, file: ByteSource, options: { force?: boolean } = {}): Promise<ResumedWriter> {
    return new FileSink(this.#path(name), options).resume(file);
  }

  async open(name: string): Promise<ByteSource> {
    return fileSource(this.#path(name));
  }

  async stat(name: string): Promise<StoredFile | null> {
    const path = this.#path(name);
    try {
      const facts = await stat(path);
      return facts.isFile() ? { name, size: facts.size, modified: facts.mtime } : null;
    } catch (error) {
      if (isAbsent(error)) return null;
      throw fileSourceError(error, path);
    }
  }

  async *list(): AsyncGenerator<StoredFile> {
    try {
      for await (const entry of await opendir(this.#folder)) {
        if (!entry.isFile() || entry.name.endsWith('.part')) continue;
        // It may have gone since: then it is not there.
        const facts = await stat(join(this.#folder, entry.name)).catch((error) => {
          if (isAbsent(error)) return null;
          throw error;
        });
        if (facts) yield { name: entry.name, size: facts.size, modified: facts.mtime };
      }
    } catch (error) {
      if (isAbsent(error)) return;
      throw fileSourceError(error, this.name);
    }
  }

  async *unfinished(): AsyncGenerator<UnfinishedFile> {
    try {
      for await (const entry of await opendir(this.#folder)) {
        const name = PART.exec(entry.name)?.[1];
        if (!name || !entry.isFile()) continue;
        const path = join(this.#folder, entry.name);
        const facts = await stat(path).catch(() => null);
        if (!facts) continue;
        yield { name, started: facts.birthtimeMs ? facts.birthtime : facts.mtime, remove: () => this.#unlink(path) };
      }
    } catch (error) {
      if (isAbsent(error)) return;
      throw fileSourceError(error, this.name);
    }
  }

  async remove(name: string): Promise<void> {
    await this.#unlink(this.#path(name));
  }

  async #unlink(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (isAbsent(error)) return;
      throw fileSinkError(error, path);
    }
    await syncFolder(this.#folder);
  }

  async freeSpace(): Promise<number | null> {
    const facts = await statfs(this.#folder).catch(() => null);
    return facts && facts.bavail * facts.bsize;
  }

  async close(): Promise<void> {}

  #path(name: string): string {
    return join(this.#folder, checkName(name));
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
