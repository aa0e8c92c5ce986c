/** Files out of BackupItems into the storages that the registry names: staged now, placed when all is well. */
import { FormatError, RestoreError } from '../errors.ts';
import { SpoolStaging } from '../files/spool-staging.ts';
import type { FileStaging, StagedFile } from '../files/storage.ts';
import type { FileBeginItem, FileDataItem, FileEndItem, FileMeta } from '../format/items.ts';
import { nearest } from '../nearest.ts';
import { storageOf } from './file-items.ts';
import type { RegistryConfig } from './registry.ts';

export interface FileCounts {
  written: number;
  /** In place already, byte for byte. */
  unchanged: number;
  /** The backup has only a part of them: not restored. */
  incomplete: number;
  /** Left out by `only` or `except`. */
  skipped: number;
  /** Of what was written. */
  bytes: number;
}

interface OpenFile {
  meta: FileMeta;
  size: number;
  /** Absent where the file is left out. */
  staged?: StagedFile;
}

export class FileTarget {
  readonly counts: FileCounts = { written: 0, unchanged: 0, incomplete: 0, skipped: 0, bytes: 0 };
  readonly #registry: RegistryConfig;
  readonly #wanted: (meta: FileMeta) => boolean;
  readonly #stagings = new Map<string, FileStaging>();
  readonly #open = new Map<number, OpenFile>();

  /** @param wanted whether a file is restored at all */
  constructor(registry: RegistryConfig, wanted: (meta: FileMeta) => boolean) {
    this.#registry = registry;
    this.#wanted = wanted;
  }

  async begin({ stream, file }: FileBeginItem): Promise<void> {
    if (this.#open.has(stream)) throw outOfOrder(stream);
    const open: OpenFile = { meta: file, size: 0 };
    if (this.#wanted(file)) open.staged = await this.#staging(file).stage(file.path, file);
    else this.counts.skipped++;
    this.#open.set(stream, open);
  }

  async data({ stream, data }: FileDataItem): Promise<void> {
    const open = this.#open.get(stream);
    if (!open) throw outOfOrder(stream);
    open.size += data.length;
    await open.staged?.write(data);
  }

  async end({ stream, size, incomplete }: FileEndItem): Promise<void> {
    const open = this.#open.get(stream);
    if (!open) throw outOfOrder(stream);
    this.#open.delete(stream);
    if (open.size !== size) {
      await open.staged?.abort();
      throw new FormatError(
        'ERR_FORMAT_FILE_SIZE',
        `The file ${JSON.stringify(open.meta.path)} has ${open.size} bytes in the backup where its end says ${size}. Validate the backup.`,
      );
    }
    if (!open.staged) return;
    if (incomplete !== undefined) {
      this.counts.incomplete++;
      return open.staged.abort();
    }
    const { unchanged } = await open.staged.finish();
    if (unchanged) this.counts.unchanged++;
    else {
      this.counts.written++;
      this.counts.bytes += size;
    }
  }

  /** Every file ended: makes them durable and checks once more where they go. */
  async prepare(): Promise<void> {
    for (const stream of this.#open.keys()) throw outOfOrder(stream);
    for (const staging of this.#stagings.values()) await staging.prepare();
  }

  /** @throws RestoreError ERR_FILES_NOT_PLACED after everything that could be placed is */
  async commit(): Promise<void> {
    let failure: unknown;
    for (const staging of this.#stagings.values()) {
      await staging.commit().catch((error) => {
        failure ??= error;
      });
    }
    if (failure) throw failure;
  }

  /** Never throws. */
  async abort(): Promise<void> {
    for (const { staged } of this.#open.values()) await staged?.abort().catch(() => {});
    this.#open.clear();
    for (const staging of this.#stagings.values()) await staging.abort();
  }

  #staging({ kind, root, path }: FileMeta): FileStaging {
    const id = `${kind}\0${root}`;
    const known = this.#stagings.get(id);
    if (known) return known;
    const storage = kind === 'stream' ? undefined : storageOf(this.#registry, kind, root);
    if (!storage) throw this.#noPlace(kind, root, path);
    const staging = storage.staging?.() ?? new SpoolStaging(storage);
    this.#stagings.set(id, staging);
    return staging;
  }

  #noPlace(kind: FileMeta['kind'], root: string, path: string): RestoreError {
    if (kind === 'stream') {
      return new RestoreError(
        'ERR_RESTORE_NOT_A_DATABASE',
        'The backup holds a sealed stream. Unseal it instead of restoring it.',
      );
    }
    const option = kind === 'field' ? 'storages' : 'fileRoots';
    const names = Object.keys((kind === 'field' ? this.#registry.storages : this.#registry.fileRoots) ?? {});
    return new RestoreError(
      'ERR_RESTORE_UNKNOWN_STORAGE',
      `The backup holds the file ${JSON.stringify(path)} of "${root}", which "${option}" does not name. ${nearest(root, names)} Add ${option}: { ${JSON.stringify(root)}: './folder' }. Nothing was changed.`,
      { facts: { option, name: root, path } },
    );
  }
}

function outOfOrder(stream: number): FormatError {
  return new FormatError(
    'ERR_FORMAT_ORDER',
    `The backup's items are out of order (stream ${stream}). Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.`,
  );
}
