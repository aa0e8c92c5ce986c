/** Bytes that cannot be read twice, on disk for as long as they are needed. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ByteSource } from './source.ts';

/**
 * A temporary file (0600, in the system's temporary folder, without a name as soon as it is open). What is in it is ciphertext.
 */
export class Spool implements ByteSource {
  readonly name: string;
  readonly #handle: FileHandle;
  #size = 0;

  private constructor(handle: FileHandle, name: string) {
    this.#handle = handle;
    this.name = name;
  }

  static async create(name = 'stream'): Promise<Spool> {
    const path = join(tmpdir(), `dbs-${randomBytes(8).toString('hex')}.spool`);
    const handle = await open(path, 'wx+', 0o600);
    await unlink(path);
    return new Spool(handle, name);
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, this.#size);
      at += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Forgets everything so far. */
  async clear(): Promise<void> {
    this.#size = 0;
    await this.#handle.truncate(0);
  }

  async read(offset: number, into: Buffer): Promise<number> {
    if (offset < 0 || offset >= this.#size) return 0;
    return (await this.#handle.read(into, 0, Math.min(into.length, this.#size - offset), offset)).bytesRead;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Copies a stream to disk, whole, for random access. */
export async function spool(stream: Readable, name?: string): Promise<ByteSource> {
  const file = await Spool.create(name);
  try {
    for await (const chunk of stream)
      await file.append(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array));
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
