/** Where FILE fields keep their content: a folder, an object store, whatever answers these few calls. */
import type { Readable } from 'node:stream';

export interface FileStat {
  /** Bytes. */
  size: number;
  /** Milliseconds since 1970. */
  mtime?: number;
  /** Permission bits. */
  mode?: number;
}

/** One file on its way in. Calls come one after another. */
export interface StagedFile {
  /** @param data not kept after the promise settles */
  write(data: Buffer): Promise<void>;
  /** The content is complete. `unchanged`: the file is there already, byte for byte, and will be left alone. */
  finish(): Promise<{ unchanged: boolean }>;
  /** Forgets this file. Idempotent, also after `finish`. */
  abort(): Promise<void>;
}

/** All files of one restore into one storage: none of them is visible under its own name before `commit`. */
export interface FileStaging {
  /** @throws RestoreError ERR_FILES_OUTSIDE_ROOT, ERR_FILES_BLOCKED, ERR_FILES_WRITE */
  stage(key: string, stat: Partial<FileStat>): Promise<StagedFile>;
  /** Makes what is staged durable, and checks again that it may go where it should. */
  prepare(): Promise<void>;
  /**
   * Gives every staged file its name. Goes on when one fails, so that as much as possible agrees with the database.
   *
   * @throws RestoreError ERR_FILES_NOT_PLACED naming those that failed
   */
  commit(): Promise<void>;
  /** Removes everything that this restore made. Never throws; idempotent. */
  abort(): Promise<void>;
}

/**
 * The contract of a storage. Keys are `/`-separated text, as the database's column holds them.
 *
 * @example
 * const s3: StorageAdapter = {
 *   open: async (key) => (await client.send(new GetObjectCommand({ Bucket, Key: key }))).Body as Readable,
 *   stat: async (key) => { ... return { size } },
 *   put: async (key, body) => { await new Upload({ client, params: { Bucket, Key: key, Body: body } }).done() },
 *   exists: async (key) => { ... },
 * };
 */
export interface StorageAdapter {
  /** The content from its first byte. Destroying the stream must free what it holds. */
  open(key: string): Readable | Promise<Readable>;
  /** Null where there is no such file. */
  stat(key: string): FileStat | null | Promise<FileStat | null>;
  /** Replaces or creates. Resolves when the content is durable. */
  put(key: string, body: Readable): Promise<void>;
  exists(key: string): boolean | Promise<boolean>;
  /** Without it, files wait in a temporary folder and are `put` one by one after the database committed. */
  staging?(): FileStaging;
}

/** Whether a setting is an adapter; otherwise it is a directory. */
export function isStorageAdapter(value: unknown): value is StorageAdapter {
  const it = value as Partial<StorageAdapter> | null;
  return (
    typeof it === 'object' && it !== null && [it.open, it.stat, it.put, it.exists].every((f) => typeof f === 'function')
  );
}

/** Why a file cannot be read or written, as the end of a sentence, from a system error. */
export function fileReason(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  const known: Record<string, string> = {
    ENOENT: 'it does not exist',
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a file is in the place of one of its folders',
    ELOOP: 'its symbolic links form a circle',
    ENAMETOOLONG: 'its name is too long',
    EMFILE: 'too many files are open',
    ENOSPC: 'the disk is full',
    EDQUOT: 'the disk quota is used up',
    EROFS: 'the file system is read-only',
    EIO: 'the disk reports an error',
    EEXIST: 'something else has its name',
  };
  if (typeof code === 'string' && known[code]) return known[code];
  return typeof code === 'string'
    ? `of ${code}`
    : error instanceof Error
      ? `of "${error.message}"`
      : 'of an unknown error';
}
