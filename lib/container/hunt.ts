/** Rows of a block that stand where no neighbour says: between two places at which bytes came or went inside of its record (SPEC.md section 9). */
import { crc32 } from 'node:zlib';
import type { ByteSource } from './source.ts';

const WINDOW = 1 << 20;
/** The most that is searched for one copy: a record, and as many bytes that do not belong to it fifteen times. */
const MOST = 16 * WINDOW;
/** Rows that must agree on a place: one alone may fit by chance, as it is compared with millions of offsets. */
const AGREE = 2;
/** Hits after which a search ends: an honest file has one for each row of each copy. One made of zeros could have millions. */
const HITS = 4096;

/** What is looked for. */
export interface Wanted {
  /** Of each row as stored. */
  crcs: Uint32Array;
  rowLength: number;
  /** Rows that are there already: not looked for. */
  good: readonly boolean[];
}

/**
 * Looks at every byte offset for rows whose CRC is known, with a rolling CRC-32.
 *
 * Memory: 1 MiB. Time: a few milliseconds for each MiB, 16 MiB at most.
 * @param from first byte searched; `to` is the end of the last row that may be found
 * @returns offsets at which the row area may begin, as two rows or more say: the one with most rows first. May be negative.
 */
export async function huntRows(source: ByteSource, from: number, to: number, wanted: Wanted): Promise<number[]> {
  const { crcs, rowLength, good } = wanted;
  const rowOf = new Map<number, number>();
  for (const [r, crc] of crcs.entries()) if (!good[r]) rowOf.set(crc, r);
  const roll = new RollingCrc(rowLength, rowOf.keys());
  const rowsAt = new Map<number, Set<number>>();
  let hits = 0;
  const first = Math.max(0, from);
  const end = Math.min(to, source.size, first + MOST);
  const window = Buffer.allocUnsafe(WINDOW + rowLength - 1);
  for (let at = first; at + rowLength <= end && hits < HITS; at += WINDOW) {
    const have = await source.read(at, window.subarray(0, Math.min(window.length, end - at)));
    for (const [offset, crc] of roll.hits(window.subarray(0, have))) {
      const r = rowOf.get(crc)!;
      const begin = at + offset - r * rowLength;
      rowsAt.set(begin, (rowsAt.get(begin) ?? new Set()).add(r));
      if (++hits === HITS) break;
    }
  }
  const found = [...rowsAt].filter(([, rows]) => rows.size >= AGREE);
  return found.sort(([, a], [, b]) => b.size - a.size).map(([begin]) => begin);
}

/** CRC-32 (the one of zlib) of every `length` bytes, in one pass. A CRC is affine: all tables are made of CRCs of single bytes. */
class RollingCrc {
  readonly #length: number;
  /** What a byte that comes in, and one that leaves, adds to the register. */
  readonly #in: Uint32Array;
  readonly #out: Uint32Array;
  /** The CRC of zeros: what initial and final inversion add. */
  readonly #base: number;
  readonly #wanted: Set<number>;
  /** By the low 16 bits of a wanted CRC: spares nearly all look-ups. */
  readonly #maybe = new Uint8Array(1 << 16);

  constructor(length: number, wanted: Iterable<number>) {
    this.#length = length;
    this.#in = tableOf(0);
    this.#out = tableOf(length);
    this.#base = crc32(Buffer.alloc(length));
    this.#wanted = new Set(wanted);
    for (const crc of this.#wanted) this.#maybe[(crc ^ this.#base) & 0xffff] = 1;
  }

  /** Offsets at which a wanted CRC begins. */
  *hits(bytes: Uint8Array): Generator<[offset: number, crc: number]> {
    const [length, comes, leaves, maybe] = [this.#length, this.#in, this.#out, this.#maybe];
    let register = 0;
    for (let i = 0; i < bytes.length; i++) {
      register = comes[(register ^ bytes[i]!) & 0xff]! ^ (register >>> 8);
      if (i >= length) register ^= leaves[bytes[i - length]!]!;
      if (i < length - 1 || maybe[register & 0xffff] === 0) continue;
      const crc = (register ^ this.#base) >>> 0;
      if (this.#wanted.has(crc)) yield [i - length + 1, crc];
    }
  }
}

/** For each byte, what it does to the register with so many zeros behind it. */
function tableOf(zeros: number): Uint32Array {
  const bytes = Buffer.alloc(1 + zeros);
  const none = crc32(bytes);
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    bytes[0] = byte;
    return crc32(bytes) ^ none;
  });
}
