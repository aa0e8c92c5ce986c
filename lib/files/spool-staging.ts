/**
 * Staging for storages that have none of their own (an object store): files wait in a private temporary folder of this
 * machine and are `put` one by one after the database committed. Disk: the content of the files; memory: their keys.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RestoreError } from '../errors.ts';
import { notPlaced } from './fs-staging.ts';
import { type FileStaging, fileReason, type StagedFile, type StorageAdapter } from './storage.ts';
import { sameStream } from './streams.ts';
import { WaitingFiles } from './waiting-files.ts';

export class SpoolStaging implements FileStaging {
  readonly #storage: StorageAdapter;
  readonly #waiting = new Map<number, string>();
  readonly #writing = new WaitingFiles();
  #dir: string | undefined;
  #count = 0;

  /** @param storage where files go on commit */
  constructor(storage: StorageAdapter) {
    this.#storage = storage;
  }

  async stage(key: string): Promise<StagedFile> {
    const refused = (error: unknown) => {
      throw new RestoreError(
        'ERR_FILES_WRITE',
        `The file ${JSON.stringify(key)} cannot be kept in ${tmpdir()}, because ${fileReason(error)}. Nothing was changed.`,
        { cause: error, facts: { path: key } },
      );
    };
    this.#dir ??= await mkdtemp(join(tmpdir(), 'dbs-restore-')).catch(refused);
    const n = ++this.#count;
    // Under a number: a key of an object store need not be a file name.
    const path = join(this.#dir, String(n));
    const file = await this.#writing.create(path).catch(refused);
    return {
      write: (data) => file.write(data).catch(refused),
      finish: async () => {
        await file.close();
        const there = await this.#storage.stat(key);
        if (there?.size === file.size && (await sameStream(await this.#storage.open(key), createReadStream(path)))) {
          await rm(path, { force: true });
          return { unchanged: true };
        }
        this.#waiting.set(n, key);
        return { unchanged: false };
      },
      abort: async () => {
        this.#waiting.delete(n);
        await file.close().catch(() => {});
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
    await this.#writing.closeAll();
    this.#waiting.clear();
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true }).catch(() => {});
    this.#dir = undefined;
  }
}
