/**
 * One block from whatever is left of it: steps 1 to 4 of the ladder (SPEC.md section 9). Each result is accepted only on its hash.
 */
import { crc32 } from 'node:zlib';
import { blockHash, chainHash } from '../crypto/hash.ts';
import { decodeColumns, recoverRows } from '../erasure/rows.ts';
import { groupSize, parityCount } from '../format/group.ts';
import { FINAL, FULL_PAYLOAD, FULL_ROWS, GROUP, PAGE, PARITY_ROWS, RecordType } from '../format/limits.ts';
import { blockShape, type PageFields } from '../format/page.ts';
import {
  type How,
  isWhole,
  type Remains,
  type Replica,
  type RowsType,
  type Shape,
  type StateOfReplica,
  type Whole,
} from './block.ts';
import { collectRows, type RowsAt, readRows } from './copies.ts';
import { huntRows } from './hunt.ts';
import { IndexReader } from './index-reader.ts';
import { isExactPage, pageAt, parsePage } from './pages.ts';
import type { Extent, RecordMap } from './record-map.ts';

/** Reads and heals blocks. Memory: 3 MiB of work space, allocated when something is first healed. */
export class BlockReader {
  readonly maps: RecordMap[];
  readonly fileId: Buffer;
  readonly extent: Extent;
  /** The extent is known, and not only the least that there must have been. */
  readonly #complete: boolean;
  readonly #chain: Buffer | undefined;
  #work: { rows: Buffer; a: Buffer; b: Buffer } | undefined;
  readonly #index: IndexReader;
  #turn: Promise<unknown> = Promise.resolve();
  /** Blocks whose copies are not worth the hash of a whole one again. */
  readonly #damaged = new Set<number>();

  /** @param chain as END says it, where one is left */
  constructor(maps: RecordMap[], fileId: Buffer, extent: Extent, complete = true, chain?: Buffer) {
    this.#chain = chain;
    this.maps = maps;
    this.fileId = fileId;
    this.extent = extent;
    this.#complete = complete;
    this.#index = new IndexReader(maps, fileId, extent);
  }

  /** All places where a copy of the record could be, the likeliest first. */
  *replicas(type: RecordType, sequence: number): Generator<Replica> {
    for (const copy of [0, 1] as const) {
      for (const map of this.maps) if (map.places(type, copy, sequence).length > 0) yield { map, copy };
    }
  }

  /** Steps 1 and 2: a copy whose hash fits. @param record 1 MiB, overwritten; the result is a view of it */
  async whole(type: RowsType, sequence: number, record: Buffer): Promise<Whole | null> {
    for (const replica of this.replicas(type, sequence)) {
      const whole = await this.replica(replica, type, sequence, record);
      if (whole) return whole;
    }
    return null;
  }

  /** One replica, if its page can be read and its payload's hash fits. */
  async replica({ map, copy }: Replica, type: RowsType, sequence: number, record: Buffer): Promise<Whole | null> {
    for (const place of map.places(type, copy, sequence)) {
      if (place < 0) continue;
      const wanted = this.#shape(type, sequence).recordLength;
      const have = await map.source.read(place, record.subarray(0, wanted));
      const page = have >= PAGE ? parsePage(record.subarray(0, PAGE))?.fields : undefined;
      if (!page || !this.#isPageOf(page, type, sequence) || PAGE + page.length > have) continue;
      if (!this.#hasShape(page, type, sequence)) continue;
      const payload = record.subarray(PAGE, PAGE + page.length);
      if (this.#hash(page, payload).equals(page.hash))
        return { payload, final: (page.flags & FINAL) !== 0, how: 'copy' };
    }
    return null;
  }

  /**
   * What a replica is worth by itself: page, every row's CRC, and the hash, unless `known` says that the hash in the page is that
   * of a payload seen already: then the CRCs suffice.
   */
  async state(
    { map, copy }: Replica,
    type: RowsType,
    sequence: number,
    record: Buffer,
    known?: Buffer,
  ): Promise<StateOfReplica> {
    const place = map.planned(type, copy, sequence);
    const { recordLength } = this.#shape(type, sequence);
    if (place < 0 || (await map.source.read(place, record.subarray(0, recordLength))) < recordLength)
      return { state: 'damaged' };
    const page = parsePage(record.subarray(0, PAGE));
    if (!page || !this.#isPageOf(page.fields, type, sequence) || page.fields.copy !== copy) return { state: 'damaged' };
    const { k, m, rowLength, length, rowCrcs, hash } = page.fields;
    if (!this.#hasShape(page.fields, type, sequence)) return { state: 'damaged' };
    const rows = record.subarray(PAGE);
    for (let r = 0; r < k + m; r++) {
      if (crc32(rows.subarray(r * rowLength, (r + 1) * rowLength)) !== rowCrcs![r]) return { state: 'damaged' };
    }
    if (known ? !known.equals(hash) : !this.#hash(page.fields, rows.subarray(0, length)).equals(hash))
      return { state: 'damaged' };
    const padding = rows.subarray((k + m) * rowLength, recordLength - PAGE);
    const exact = !page.decoded && isExactPage(record) && padding.every((byte) => byte === 0);
    return { state: exact ? 'good' : 'page', page: page.fields };
  }

  /** Steps 1 to 4. @param record 1 MiB, overwritten; a whole result is a view of it */
  async read(type: RowsType, sequence: number, record: Buffer): Promise<Whole | Remains> {
    if (type === RecordType.PARITY)
      return (await this.whole(type, sequence, record)) ?? (await this.heal(type, sequence, record));
    if (!this.isDamaged(sequence)) {
      const first = this.replicas(type, sequence).next().value;
      const whole = first && (await this.replica(first, type, sequence, record));
      if (whole) return whole;
      this.markDamaged(sequence);
    }
    // Another copy that is whole gives its rows, for less than its hash costs.
    const healed = await this.heal(type, sequence, record);
    return isWhole(healed) ? healed : ((await this.whole(type, sequence, record)) ?? healed);
  }

  isDamaged(sequence: number): boolean {
    return this.#damaged.has(sequence);
  }

  /** The first copy of a DATA block is known not to be whole: nobody need try it again. */
  markDamaged(sequence: number): void {
    this.#damaged.add(sequence);
  }

  /** Steps 3 and 4. */
  heal(type: RowsType, sequence: number, record: Buffer): Promise<Whole | Remains> {
    return this.#alone(() => this.#heal(type, sequence, record));
  }

  /** Step 4 again, with rows that were regained since. Leaves rows that are not good as they were where that does not help. */
  healColumns(remains: Remains): Promise<boolean> {
    return this.#alone(async () => {
      const { rows, good, shape } = remains;
      const { a, b } = this.#workSpace(rows.length);
      const filled = await this.#copiesOf(remains, [a, b]);
      const before = Buffer.from(rows);
      if (filled.length > 0 && this.#solveColumns(remains, filled)) return true;
      const row = (of: Buffer, r: number) => of.subarray(r * shape.rowLength, (r + 1) * shape.rowLength);
      for (const [r, isGood] of good.entries()) if (!isGood) row(before, r).copy(row(rows, r));
      return false;
    });
  }

  /** One at a time, as the work space is shared. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Three times the rows of a block. @param size of it */
  #workSpace(size: number): { rows: Buffer; a: Buffer; b: Buffer } {
    const most = this.extent.count > 1 ? FULL_ROWS : size;
    this.#work ??= { rows: Buffer.alloc(most), a: Buffer.alloc(most), b: Buffer.alloc(most) };
    const { rows, a, b } = this.#work;
    return { rows: rows.subarray(0, size), a: a.subarray(0, size), b: b.subarray(0, size) };
  }

  async #heal(type: RowsType, sequence: number, record: Buffer): Promise<Whole | Remains> {
    const facts = await this.#facts(type, sequence);
    const { k, rowLength, length, final } = facts.shape;
    const { rows, a, b } = this.#workSpace((k + PARITY_ROWS) * rowLength);
    rows.fill(0);
    const remains: Remains = { type, sequence, rows, good: Array(k + PARITY_ROWS).fill(false), ...facts };
    await collectRows(remains, this.#rowsAt(type, sequence), a);
    const done = (how: How): Whole => {
      const payload = record.subarray(PAGE, PAGE + length);
      rows.copy(payload, 0, 0, length);
      return { payload, final, how };
    };
    const how = remains.good.slice(0, k).every(Boolean) ? 'copy' : 'rows';
    if (this.solveRows(remains, remains.crcs !== undefined && how === 'rows')) return done(how);
    if (await this.#findRows(remains, a)) return done('rows');
    const filled = await this.#copiesOf(remains, [a, b]);
    if (filled.length > 0 && this.#solveColumns(remains, filled)) return done('columns');
    return { ...remains, rows: Buffer.from(rows) };
  }

  /** Where bytes came or went, rows may be where no neighbour says. Those of a block whose table of CRCs is lost are right or wrong together. */
  async #findRows(remains: Remains, scratch: Buffer): Promise<boolean> {
    const { type, sequence, rows, shape, crcs, good } = remains;
    for (const { map, copy } of this.replicas(type, sequence)) {
      if (!map.scanned) continue;
      const places = map.places(type, copy, sequence);
      const { source } = map;
      if (crcs) {
        const from = Math.min(...places) + PAGE;
        const to = Math.max(...places) + shape.recordLength;
        const found = await huntRows(source, from, to, { crcs, rowLength: shape.rowLength, good });
        await collectRows(
          remains,
          found.map((at) => ({ source, at })),
          scratch,
        );
        if (this.solveRows(remains, true)) return true;
      } else {
        for (const place of places) {
          await readRows(source, place + PAGE, rows);
          if (this.#fits(remains)) return true;
        }
      }
    }
    return false;
  }

  /** Step 3: up to 16 bad rows. Leaves `remains` as it was where that does not help. @param blank the bad rows hold nothing yet */
  solveRows(remains: Remains, blank = false): boolean {
    const { rows, shape, good } = remains;
    if (!blank && this.#fits(remains)) return true;
    const bad = good.flatMap((isGood, r) => (isGood ? [] : [r]));
    if (bad.length > PARITY_ROWS) return false;
    const before = bad.map((r) => Buffer.from(rows.subarray(r * shape.rowLength, (r + 1) * shape.rowLength)));
    recoverRows(rows, shape.k, shape.rowLength, bad);
    if (this.#fits(remains)) return true;
    for (const [i, r] of bad.entries()) before[i]!.copy(rows, r * shape.rowLength);
    return false;
  }

  /** Step 4: errors in A, then in B, then where A and B differ; again while more rows come out right. */
  #solveColumns(remains: Remains, [a, b]: Buffer[]): boolean {
    const { rows, good, shape } = remains;
    const { k, rowLength } = shape;
    const rowsWhere = (isGood: boolean) => good.flatMap((g, r) => (g === isGood ? [r] : []));
    for (let gained = true; gained; ) {
      const bad = rowsWhere(false);
      const goodRows = rowsWhere(true);
      const take = (from: Buffer, columns?: number[]) => {
        for (const r of bad) {
          if (!columns) from.copy(rows, r * rowLength, r * rowLength, (r + 1) * rowLength);
          else for (const c of columns) rows[r * rowLength + c] = from[r * rowLength + c]!;
        }
      };
      take(a!);
      let { failed } = decodeColumns(rows, k, rowLength, { goodRows });
      if (b && failed.length > 0) {
        take(b, failed);
        ({ failed } = decodeColumns(rows, k, rowLength, { goodRows, columns: failed }));
        const erasuresOf = (c: number) => bad.filter((r) => a![r * rowLength + c] !== b[r * rowLength + c]);
        if (failed.length > 0)
          ({ failed } = decodeColumns(rows, k, rowLength, { goodRows, columns: failed, erasuresOf }));
      }
      if (this.#fits(remains)) return true;
      // A parity block whose hash is lost is believed for now: what is rebuilt from it must fit its own hash. Zeros are codewords, too.
      if (remains.type === RecordType.PARITY && remains.hashes.length === 0) {
        good.fill(failed.length === 0 && rows.some((byte) => byte !== 0));
      }
      gained = false;
      for (const r of bad) {
        if (!this.rowFits(remains, r)) continue;
        good[r] = gained = true;
      }
      if (gained && this.solveRows(remains)) return true;
    }
    return false;
  }

  rowFits({ rows, shape, crcs }: Remains, r: number): boolean {
    return crcs !== undefined && crc32(rows.subarray(r * shape.rowLength, (r + 1) * shape.rowLength)) === crcs[r];
  }

  #fits({ type, sequence, rows, shape, hashes }: Remains): boolean {
    const hash = blockHash(this.fileId, type, sequence, shape.final ? FINAL : 0, rows.subarray(0, shape.length));
    if (hashes.some((h) => h.equals(hash))) return true;
    // The one block of a file has no neighbour and no index; END's chain is made of its hash alone.
    return this.extent.count === 1 && this.#chain !== undefined && chainHash(this.fileId, hash).equals(this.#chain);
  }

  /** Where copies of it may stand: the row area of each. */
  *#rowsAt(type: RowsType, sequence: number): Generator<RowsAt & { first: boolean }> {
    for (const { map, copy } of this.replicas(type, sequence)) {
      for (const [n, place] of map.places(type, copy, sequence).entries())
        yield { source: map.source, at: place + PAGE, first: n === 0 };
    }
  }

  /** The rows of up to two copies as they stand. @returns those of `raws` that were filled */
  async #copiesOf({ type, sequence }: Remains, raws: Buffer[]): Promise<Buffer[]> {
    const filled: Buffer[] = [];
    for (const { source, at, first } of this.#rowsAt(type, sequence)) {
      if (!first || filled.length === raws.length) continue;
      await readRows(source, at, raws[filled.length]!);
      filled.push(raws[filled.length]!);
    }
    return filled;
  }

  /** Hashes, row CRCs and shape of a block, from its own pages, the pages that follow, and the index. */
  async #facts(
    type: RowsType,
    sequence: number,
  ): Promise<{ shape: Shape; hashes: Buffer[]; crcs: Uint32Array | undefined }> {
    const votes = new Map<string, number>();
    const vote = (hash: Buffer | undefined) =>
      hash && votes.set(hash.toString('hex'), (votes.get(hash.toString('hex')) ?? 0) + 1);
    const shape = this.#shape(type, sequence);
    let crcs: Uint32Array | undefined;
    for (const { fields } of await this.#pagesOf(type, sequence)) {
      if (fields.length !== shape.length) continue;
      vote(fields.hash);
      crcs ??= fields.rowCrcs;
    }
    for (const [nextType, next] of this.#followers(type, sequence)) {
      for (const { fields } of await this.#pagesOf(nextType, next)) {
        vote(fields.previousHash);
        crcs ??= fields.previousCrcs?.subarray(0, shape.k + shape.m);
      }
    }
    const index = await this.#index.facts(type, sequence);
    for (const hash of index.hashes) vote(hash);
    crcs ??= index.crcs;
    const hashes = [...votes].sort((x, y) => y[1] - x[1]).map(([hex]) => Buffer.from(hex, 'hex'));
    return { shape, hashes, crcs };
  }

  /** Blocks whose pages say something about this one. */
  *#followers(type: RowsType, sequence: number): Generator<[RowsType, number]> {
    const { count } = this.extent;
    const group = type === RecordType.PARITY ? Math.floor(sequence / 256) : Math.floor(sequence / GROUP);
    if (type === RecordType.PARITY) {
      if ((sequence % 256) + 1 < parityCount(groupSize(group, count))) yield [RecordType.PARITY, sequence + 1];
      return;
    }
    if (sequence + 1 < count) yield [RecordType.DATA, sequence + 1];
    const closes = sequence === count - 1 || (sequence + 1) % GROUP === 0;
    if (closes && parityCount(groupSize(group, count)) > 0) yield [RecordType.PARITY, 256 * group];
  }

  async #pagesOf(type: RowsType, sequence: number): Promise<{ fields: PageFields }[]> {
    const pages: { fields: PageFields }[] = [];
    for (const { map, copy } of this.replicas(type, sequence)) {
      for (const place of map.places(type, copy, sequence)) {
        const page = await pageAt(map.source, place);
        if (page && this.#isPageOf(page.fields, type, sequence)) pages.push(page);
      }
    }
    return pages;
  }

  /** After a scan the places are others. */
  forget(): void {
    this.#damaged.clear();
    this.#index.forget();
  }

  #shape(type: RowsType, sequence: number): Shape {
    const { count, lastLength } = this.extent;
    const last = type === RecordType.DATA && sequence === count - 1;
    const length = last ? lastLength : FULL_PAYLOAD;
    return { ...blockShape(length)!, length, final: last && this.#complete };
  }

  /** What contradicts the file's extent was forged: another copy may be right. (A last block that is not FINAL is the caller's to refuse.) */
  #hasShape(page: PageFields, type: RowsType, sequence: number): boolean {
    const { length, final } = this.#shape(type, sequence);
    return page.length === length && (final || (page.flags & FINAL) === 0);
  }

  #isPageOf(page: PageFields, type: RowsType, sequence: number): boolean {
    return page.type === type && page.sequence === sequence && page.major === 1 && page.fileId.equals(this.fileId);
  }

  #hash(page: PageFields, payload: Buffer): Buffer {
    return blockHash(this.fileId, page.type, page.sequence, page.flags, payload);
  }
}
