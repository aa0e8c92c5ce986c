/**
 * Staging for storages that have none of their own (an object store): files wait in a private temporary folder of this
 * machine and are `put` one by one after the database committed. Disk: the content of the files; memory: their keys.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RestoreError } from '../errors.ts';
import { notPlaced } from './fs-staging.ts';
import { type FileStaging, fileReason, type StagedFile, type StorageAdapter } from './storage.ts';
import { sameStream } from './streams.ts';

export class SpoolStaging implements FileStaging {
  readonly #storage: StorageAdapter;
  readonly #waiting = new Map<number, string>();
  /** Files that are being written. */
  readonly #open = new Set<FileHandle>();
  #dir: string | undefined;
  #count = 0;

  /** @param storage where files go on commit */
  constructor(storage: StorageAdapter) {
    this.#storage = storage;
  }

  async stage(key: string): Promise<StagedFile> {
    this.#dir ??= await mkdtemp(join(tmpdir(), 'dbs-restore-'));
    const n = ++this.#count;
    // Under a number: a key of an object store need not be a file name.
    const path = join(this.#dir, String(n));
    let file: FileHandle | undefined = await open(path, 'wx', 0o600);
    this.#open.add(file);
    let size = 0;
    const close = async () => {
      const held = file;
      file = undefined;
      if (held && this.#open.delete(held)) await held.close();
    };
    return {
      async write(data) {
        try {
          for (let at = 0; at < data.length; ) at += (await file!.write(data, at)).bytesWritten;
          size += data.length;
        } catch (error) {
          throw new RestoreError(
            'ERR_FILES_WRITE',
            `The file ${JSON.stringify(key)} cannot be kept in ${tmpdir()}, because ${fileReason(error)}. Nothing was changed.`,
            { cause: error, facts: { path: key } },
          );
        }
      },
      finish: async () => {
        await close();
        const there = await this.#storage.stat(key);
        if (there?.size === size && (await sameStream(await this.#storage.open(key), createReadStream(path)))) {
          await rm(path, { force: true });
          return { unchanged: true };
        }
        this.#waiting.set(n, key);
        return { unchanged: false };
      },
      abort: async () => {
        this.#waiting.delete(n);
        await close().catch(() => {});
        await rm(path, { force: true });
      },
    };
  }

  /** Nothing: the content needs no durability before the storage has it, and the storage knows its own keys. */
  async prepare(): Promise<void> {}

  async commit(): Promise<void> {
    const failed: { path: string; reason: string }[] = [];
    for (const [n, key] of this.#waiting) {
      try {
        await this.#storage.put(key, createReadStream(join(this.#dir!, String(n))));
      } catch (error) {
        if (failed.length < 100) failed.push({ path: key, reason: fileReason(error) });
      }
    }
    await this.abort();
    if (failed.length) throw notPlaced(failed);
  }

  async abort(): Promise<void> {
    for (const file of this.#open) await file.close().catch(() => {});
    this.#open.clear();
    this.#waiting.clear();
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true }).catch(() => {});
    this.#dir = undefined;
  }
}
