/** Where the records of one source stand: predicted where the file is as it was written, found by scanning where it is not. */

import { type Plan, plan } from '../format/layout.ts';
import { GROUP, GROUP_PARITY, type LayoutName, RecordType } from '../format/limits.ts';
import { type FoundRecord, scan } from './scan.ts';
import type { ByteSource } from './source.ts';

/** What a reader knows of the whole file. */
export interface Extent {
  layout: LayoutName;
  count: number;
  lastLength: number;
}

/** Places in which one record is believed to stand. */
const PLACES = 4;

export class RecordMap {
  readonly source: ByteSource;
  readonly #fileId: string;
  #plan: Plan | undefined;
  #records: FoundRecord[] | undefined;
  #byKey = new Map<string, number[]>();
  /** Records in the order in which the writer put them, for the shift of a place between two of them. */
  #byOrigin: FoundRecord[] = [];

  constructor(source: ByteSource, fileId: Buffer, records?: FoundRecord[]) {
    this.source = source;
    this.#fileId = fileId.toString('hex');
    if (records) this.#learn(records);
  }

  /** Sets the plan. @param copy which half of a split pair this source is */
  extend(extent: Extent, copy: 0 | 1): void {
    this.#plan = plan(extent.layout, extent.count, extent.lastLength, copy);
  }

  get plan(): Plan | undefined {
    return this.#plan;
  }

  get scanned(): boolean {
    return this.#records !== undefined;
  }

  /** All records that a scan found, of this file only; empty before one. */
  get records(): readonly FoundRecord[] {
    return this.#records ?? [];
  }

  /** Looks for records everywhere, once. @returns whether that was news */
  async scan(): Promise<boolean> {
    if (this.#records) return false;
    this.#learn((await scan(this.source)).records);
    return true;
  }

  #learn(all: FoundRecord[]): void {
    this.#records = all.filter((r) => r.fileId === this.#fileId);
    for (const r of this.#records) {
      const key = keyOf(r.type, r.copy, r.sequence);
      const places = this.#byKey.get(key);
      if (!places) this.#byKey.set(key, [r.offset]);
      else if (places.length < PLACES) places.push(r.offset);
    }
    this.#byOrigin = [...this.#records].sort((a, b) => a.origin - b.origin);
  }

  /** Where the writer put it, or -1. */
  planned(type: RecordType, copy: 0 | 1, sequence: number): number {
    const p = this.#plan;
    if (!p) return -1;
    if (type === RecordType.DATA) return p.data[copy][sequence] ?? -1;
    if (type === RecordType.INDEX) return p.index[copy][sequence] ?? -1;
    if (type === RecordType.HEADER) return p.headers[copy][sequence] ?? -1;
    if (type === RecordType.END) return p.ends[copy];
    return p.parity[copy][Math.floor(sequence / 256) * GROUP_PARITY + (sequence % 256)] ?? -1;
  }

  /**
   * Offsets at which the record, or what is left of it, may start: where it was found, then where its neighbours say it should be. Bytes
   * that were inserted or lost inside of it leave two such places, one right for its head and one for its tail.
   */
  places(type: RecordType, copy: 0 | 1, sequence: number): number[] {
    const planned = this.planned(type, copy, sequence);
    if (!this.#records) return planned < 0 ? [] : [planned];
    const places = new Set(this.#byKey.get(keyOf(type, copy, sequence)) ?? []);
    if (planned >= 0) for (const shift of this.#shifts(planned)) places.add(planned + shift);
    return [...places].filter((p) => p > -(1 << 20) && p < this.source.size);
  }

  /** How far the records before and after an origin have moved. */
  #shifts(origin: number): number[] {
    let low = 0;
    let high = this.#byOrigin.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#byOrigin[middle]!.origin <= origin) low = middle + 1;
      else high = middle;
    }
    // One that stands in several places has as many shifts.
    let first = low - 1;
    while (first > low - PLACES && this.#byOrigin[first - 1]?.origin === this.#byOrigin[first]?.origin) first--;
    let end = low + 1;
    while (end < low + PLACES && this.#byOrigin[end]?.origin === this.#byOrigin[low]?.origin) end++;
    const neighbours = this.#byOrigin.slice(Math.max(0, first), end);
    return neighbours.length > 0 ? neighbours.map((r) => r.offset - r.origin) : [0];
  }
}

function keyOf(type: RecordType, copy: number, sequence: number): string {
  return `${type}.${copy}.${sequence}`;
}

/** The group that a block or a parity record belongs to, and its number there. */
export function placeInGroup(type: RecordType, sequence: number): { group: number; index: number } {
  return type === RecordType.PARITY
    ? { group: Math.floor(sequence / 256), index: sequence % 256 }
    : { group: Math.floor(sequence / GROUP), index: sequence % GROUP };
}
