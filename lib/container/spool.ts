/** Bytes that cannot be read twice, on disk for as long as they are needed. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ByteSource } from './source.ts';

/** Bytes that wait to be written: a sender may hand them over one by one. */
const WAITING = 1 << 16;

/**
 * A temporary file (0600, in the system's temporary folder, without a name as soon as it is open). What is in it is ciphertext.
 */
export class Spool implements ByteSource {
  readonly name: string;
  readonly #handle: FileHandle;
  #size = 0;
  readonly #waiting = Buffer.allocUnsafeSlow(WAITING);
  /** How many of these there are: the last ones of `size`. */
  #held = 0;

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

  append(bytes: Uint8Array): void | Promise<void> {
    if (this.#held + bytes.length <= WAITING) this.#hold(bytes);
    else return this.#appendLarge(bytes);
  }

  #hold(bytes: Uint8Array): void {
    this.#waiting.set(bytes, this.#held);
    this.#held += bytes.length;
    this.#size += bytes.length;
  }

  async #appendLarge(bytes: Uint8Array): Promise<void> {
    await this.#flush();
    if (bytes.length <= WAITING) return this.#hold(bytes);
    await this.#write(bytes, this.#size);
    this.#size += bytes.length;
  }

  async #flush(): Promise<void> {
    const held = this.#held;
    this.#held = 0;
    await this.#write(this.#waiting.subarray(0, held), this.#size - held);
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      at += (await this.#handle.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
    }
  }

  /** Forgets everything so far. */
  async clear(): Promise<void> {
    this.#size = 0;
    this.#held = 0;
    await this.#handle.truncate(0);
  }

  async read(offset: number, into: Buffer): Promise<number> {
    if (offset < 0 || offset >= this.#size) return 0;
    if (this.#held > 0) await this.#flush();
    return (await this.#handle.read(into, 0, Math.min(into.length, this.#size - offset), offset)).bytesRead;
  }

  /** Its bytes from an offset on, in one buffer that is overwritten. */
  async *from(offset: number): AsyncGenerator<Buffer> {
    const buffer = Buffer.allocUnsafeSlow(1 << 20);
    for (let at = offset, have: number; (have = await this.read(at, buffer)) > 0; at += have)
      yield buffer.subarray(0, have);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Copies a stream to disk, whole, for random access. */
export async function spool(stream: Readable, name?: string): Promise<ByteSource> {
  // Asked for at once: Node empties the output of a child that has ended, unless somebody is reading it.
  const chunks = stream[Symbol.asyncIterator]();
  let next = chunks.next();
  next.catch(() => {});
  const file = await Spool.create(name);
  try {
    for (let { done, value } = await next; !done; { done, value } = await next) {
      await file.append(Buffer.isBuffer(value) ? value : Buffer.from(value as Uint8Array));
      next = chunks.next();
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
