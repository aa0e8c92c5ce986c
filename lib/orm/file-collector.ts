/**
 * The names of files that rows hold, each once, in the order in which they were first seen.
 *
 * Memory: 32 to 64 bytes a name in a hash table (half as much again while it grows), and up to 4 MiB of names; more go to
 * a temporary file that has no name any more (on POSIX), so nothing is left behind.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileColumn } from './selection.ts';

/** One file that a row names. */
export interface NamedFile {
  kind: 'field' | 'path';
  storage: string;
  key: string;
  /** `Entity.property`. */
  from: string;
}

/** Bytes of names that stay in memory. */
const IN_MEMORY = 4 << 20;

export class FileCollector {
  readonly #seen = new HashSet();
  readonly #columns: FileColumn[] = [];
  #lines: string[] = [];
  #size = 0;
  #spool: FileHandle | undefined;
  #dir: string | undefined;

  /**
   * @param value a column's text: a key, or a JSON array of keys. Empty and null ones are passed over.
   * @returns a promise where names go to disk: the next call must wait for it
   */
  add(column: FileColumn, value: string | null): void | Promise<void> {
    for (const key of keysOf(value)) {
      if (!this.#seen.add(`${column.kind}\0${column.storage}\0${key}`)) continue;
      let index = this.#columns.indexOf(column);
      if (index === -1) index = this.#columns.push(column) - 1;
      const line = `${index} ${JSON.stringify(key)}\n`;
      this.#lines.push(line);
      this.#size += line.length;
    }
    if (this.#size >= IN_MEMORY) return this.#flush();
  }

  /** Whether this file was named. */
  has(kind: string, storage: string, key: string): boolean {
    return this.#seen.has(`${kind}\0${storage}\0${key}`);
  }

  /** Everything that was added. */
  async *files(): AsyncGenerator<NamedFile> {
    if (this.#spool) {
      await this.#flush();
      let rest = '';
      const stream = this.#spool.createReadStream({ start: 0, autoClose: false, encoding: 'utf8' });
      for await (const chunk of stream as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop()!;
        for (const line of lines) yield this.#parse(line);
      }
      return;
    }
    for (const line of this.#lines) yield this.#parse(line);
  }

  async close(): Promise<void> {
    await this.#spool?.close();
    this.#spool = undefined;
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true });
    this.#dir = undefined;
  }

  #parse(line: string): NamedFile {
    const space = line.indexOf(' ');
    const { kind, storage, from } = this.#columns[Number(line.slice(0, space))]!;
    return { kind, storage, from, key: JSON.parse(line.slice(space + 1)) as string };
  }

  async #flush(): Promise<void> {
    if (!this.#spool) {
      this.#dir = await mkdtemp(join(tmpdir(), 'dbs-names-'));
      this.#spool = await open(join(this.#dir, 'names'), 'wx+', 0o600);
      // Gone from the folder at once where the system allows it: a crash leaves no list of file names behind.
      if (process.platform !== 'win32') {
        await rm(this.#dir, { recursive: true, force: true });
        this.#dir = undefined;
      }
    }
    await this.#spool.appendFile(this.#lines.join(''));
    this.#lines = [];
    this.#size = 0;
  }
}

/** A column may hold one key, or a JSON array of them. */
export function keysOf(value: string | null): string[] {
  if (value === null || value === '') return [];
  if (!value.startsWith('[')) return [value];
  try {
    const list = JSON.parse(value) as unknown;
    if (Array.isArray(list) && list.every((key) => typeof key === 'string')) return list.filter((key) => key !== '');
  } catch {
    // A key that begins with a bracket.
  }
  return [value];
}

/** A set of texts by 128 bits of their hash: open addressing in one typed array, no object an entry. */
class HashSet {
  #slots = new Uint32Array(4 * 1024);
  #count = 0;

  add(text: string): boolean {
    const key = hash128(text);
    const at = find(this.#slots, key, 0);
    if (!isFree(this.#slots, at)) return false;
    this.#slots.set(key, at);
    if (++this.#count * 8 > this.#slots.length) this.#grow();
    return true;
  }

  has(text: string): boolean {
    return !isFree(this.#slots, find(this.#slots, hash128(text), 0));
  }

  #grow(): void {
    const old = this.#slots;
    const larger = new Uint32Array(old.length * 2);
    for (let i = 0; i < old.length; i += 4) {
      if (!isFree(old, i)) larger.set(old.subarray(i, i + 4), find(larger, old, i));
    }
    this.#slots = larger;
  }
}

/** The slot that holds this hash, or the free one where it would go. */
function find(slots: Uint32Array, key: Uint32Array, k: number): number {
  const mask = slots.length / 4 - 1;
  for (let n = key[k]! & mask; ; n = (n + 1) & mask) {
    const at = 4 * n;
    const same = slots[at] === key[k] && slots[at + 1] === key[k + 1] && slots[at + 2] === key[k + 2];
    if ((same && slots[at + 3] === key[k + 3]) || isFree(slots, at)) return at;
  }
}

function isFree(slots: Uint32Array, at: number): boolean {
  return slots[at + 3] === 0;
}

function hash128(text: string): Uint32Array {
  const digest = createHash('sha256').update(text).digest();
  const key = Uint32Array.of(0, 4, 8, 12).map((at) => digest.readUInt32LE(at));
  key[3] ||= 1; // zero marks a free slot
  return key;
}
