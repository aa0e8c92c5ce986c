/**
 * The names of files that rows hold, each once, in the order in which they were first seen.
 *
 * Memory: 16 bytes a name in a hash table that doubles (so up to 48 while it grows: a million names take 32 to 48 MB at the most), and up to 4 MiB of
 * names; more go to a temporary file without a name (on POSIX), so nothing is left behind.
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

  /** @param value a column's text: a key, or a JSON array of keys. Empty and null ones are passed over. */
  async add(column: FileColumn, value: string | null): Promise<void> {
    for (const key of keysOf(value)) {
      if (!this.#seen.add(`${column.kind}\0${column.storage}\0${key}`)) continue;
      let index = this.#columns.indexOf(column);
      if (index === -1) index = this.#columns.push(column) - 1;
      const line = `${index} ${JSON.stringify(key)}\n`;
      this.#lines.push(line);
      this.#size += line.length;
      if (this.#size >= IN_MEMORY) await this.#flush();
    }
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
  #slots = new BigUint64Array(2 * 1024);
  #count = 0;

  add(text: string): boolean {
    const [high, low] = hash(text);
    const at = this.#find(this.#slots, high, low);
    if (this.#slots[at] !== 0n) return false;
    this.#slots[at] = high;
    this.#slots[at + 1] = low;
    if (++this.#count * 4 > this.#slots.length) this.#grow();
    return true;
  }

  has(text: string): boolean {
    const [high, low] = hash(text);
    return this.#slots[this.#find(this.#slots, high, low)] !== 0n;
  }

  /** The slot that holds this hash, or the free one where it would go. */
  #find(slots: BigUint64Array, high: bigint, low: bigint): number {
    const mask = slots.length / 2 - 1;
    let at = Number(low & BigInt(mask));
    while (slots[2 * at] !== 0n && !(slots[2 * at] === high && slots[2 * at + 1] === low)) at = (at + 1) & mask;
    return 2 * at;
  }

  #grow(): void {
    const larger = new BigUint64Array(this.#slots.length * 2);
    for (let i = 0; i < this.#slots.length; i += 2) {
      if (this.#slots[i] === 0n) continue;
      const at = this.#find(larger, this.#slots[i]!, this.#slots[i + 1]!);
      larger[at] = this.#slots[i]!;
      larger[at + 1] = this.#slots[i + 1]!;
    }
    this.#slots = larger;
  }
}

function hash(text: string): [bigint, bigint] {
  const digest = createHash('sha256').update(text).digest();
  // Zero marks a free slot.
  return [digest.readBigUInt64LE(0) || 1n, digest.readBigUInt64LE(8)];
}
