/** What the INDEX records of a group say, as far as they are left: each page of a body from whichever copy has it. */
import { blockHash } from '../crypto/hash.ts';
import { type IndexShape, indexShape } from '../format/group.ts';
import { BODY_SLICE, GROUP, PAGE, RecordType } from '../format/limits.ts';
import { bodyPages, type PageFields } from '../format/page.ts';
import { pageAt } from './pages.ts';
import type { Extent, RecordMap } from './record-map.ts';

/** Hashes are candidates, to be held against the bytes; CRCs are those of one table. */
export interface IndexFacts {
  hashes: Buffer[];
  crcs: Uint32Array | undefined;
}

/** One body, or the pages of it that could be read. */
interface Body {
  slices: (Buffer | undefined)[];
}

/** Memory: the index of one group. */
export class IndexReader {
  readonly #maps: RecordMap[];
  readonly #fileId: Buffer;
  readonly #extent: Extent;
  #known: { group: number; bodies: Body[] } | undefined;

  constructor(maps: RecordMap[], fileId: Buffer, extent: Extent) {
    this.#maps = maps;
    this.#fileId = fileId;
    this.#extent = extent;
  }

  /** After a scan the places are others. */
  forget(): void {
    this.#known = undefined;
  }

  /** Of a DATA or PARITY block. */
  async facts(type: typeof RecordType.DATA | typeof RecordType.PARITY, sequence: number): Promise<IndexFacts> {
    const { count, lastLength } = this.#extent;
    const inData = type === RecordType.DATA;
    const group = Math.floor(sequence / (inData ? GROUP : 256));
    const shape = indexShape(group, count, lastLength);
    const index = sequence - group * (inData ? GROUP : 256);
    const hashAt = inData ? shape.hashAt(index) : shape.parityHashAt(index);
    const last = index === (inData ? shape.blocks : shape.parities) - 1;
    const table = inData ? shape.lastRows : shape.parityRows;
    const facts: IndexFacts = { hashes: [], crcs: undefined };
    if (count === 1) return facts;
    for (const body of await this.#bodies(group, shape)) {
      const hash = piece(body, hashAt, 32);
      if (hash) facts.hashes.push(hash);
      if (last) facts.crcs ??= crcsOf(piece(body, table.at, 4 * table.rows));
    }
    return facts;
  }

  /** The distinct bodies whose hash fits, or of which too little is left to tell. */
  async #bodies(group: number, shape: IndexShape): Promise<Body[]> {
    if (this.#known?.group === group) return this.#known.bodies;
    const pages = bodyPages(shape.length);
    const found = new Map<string, Body>();
    for (const map of this.#maps) {
      for (const copy of [0, 1] as const) {
        for (const place of map.places(RecordType.INDEX, copy, group)) {
          for (let i = 0; i < pages; i++) {
            const f = (await pageAt(map.source, place + i * PAGE))?.fields;
            if (f?.body && this.#isPageOf(f, group, i, shape.length)) keep(found, f, i, pages);
          }
        }
      }
    }
    const bodies = [...found].filter(([hash, body]) => this.#believable(group, hash, body)).map(([, body]) => body);
    this.#known = { group, bodies };
    return bodies;
  }

  #isPageOf(f: PageFields, group: number, page: number, length: number): boolean {
    return (
      f.type === RecordType.INDEX &&
      f.major === 1 &&
      f.sequence === group &&
      f.page === page &&
      f.length === length &&
      f.fileId.equals(this.#fileId)
    );
  }

  #believable(group: number, hash: string, { slices }: Body): boolean {
    const whole = slices.every((slice) => slice !== undefined);
    if (!whole) return true;
    return blockHash(this.#fileId, RecordType.INDEX, group, 0, Buffer.concat(slices)).toString('hex') === hash;
  }
}

function keep(found: Map<string, Body>, { hash, body }: PageFields, page: number, pages: number): void {
  const key = hash.toString('hex');
  const known = found.get(key) ?? { slices: Array<Buffer | undefined>(pages).fill(undefined) };
  known.slices[page] ??= body;
  // Forged records may be many; the two copies of two sources say one thing.
  if (found.size < 8) found.set(key, known);
}

/** Bytes of a body, if each page that they lie in is there. */
function piece({ slices }: Body, at: number, length: number): Buffer | undefined {
  const first = Math.floor(at / BODY_SLICE);
  const parts = slices.slice(first, Math.floor((at + length - 1) / BODY_SLICE) + 1);
  if (length === 0 || !parts.every((part) => part !== undefined)) return undefined;
  return Buffer.concat(parts).subarray(at - first * BODY_SLICE, at - first * BODY_SLICE + length);
}

function crcsOf(bytes: Buffer | undefined): Uint32Array | undefined {
  return bytes && Uint32Array.from({ length: bytes.length / 4 }, (_, r) => bytes.readUInt32BE(4 * r));
}
