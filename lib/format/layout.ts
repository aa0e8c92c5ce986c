/**
 * Where every record stands: the orders of SPEC.md section 5 as pure functions of the block count and the last block's length.
 * The writer emits records in this order and the reader predicts offsets from it, so the two cannot disagree.
 */
import { indexShape, parityCount } from './group.ts';
import {
  DELAY,
  FULL_PAYLOAD,
  FULL_RECORD,
  GROUP,
  GROUP_PARITY,
  type LayoutName,
  MIN_PAYLOAD,
  PAGE,
  RecordType,
} from './limits.ts';
import { blockShape, bodyPages } from './page.ts';

/** One record of the order. `sequence` is as in the page. */
export interface Slot {
  type: RecordType;
  copy: 0 | 1;
  sequence: number;
}

/** The steps that follow when copy A of block i was written; `last` says that it is the file's last. */
export function* afterA(layout: LayoutName, i: number, last: boolean): Generator<Slot> {
  if (layout === 'interleaved' && i >= DELAY) yield* delayedB(i - DELAY, false);
  const closes = last || (i + 1) % GROUP === 0;
  if (!closes) return;
  const group = Math.floor(i / GROUP);
  const n = i + 1 - group * GROUP;
  for (let j = 0; j < parityCount(n); j++) yield { type: RecordType.PARITY, copy: 0, sequence: 256 * group + j };
  // It tells of the parity, too.
  if (!(last && i === 0)) yield { type: RecordType.INDEX, copy: 0, sequence: group };
}

/** What follows END-A: the copies B that were not written yet, and END-B. Nothing in split layout. */
export function* afterEnd(layout: LayoutName, count: number): Generator<Slot> {
  if (layout === 'split') return;
  for (let i = layout === 'interleaved' ? Math.max(0, count - DELAY) : 0; i < count; i++) {
    yield* delayedB(i, i === count - 1, count);
  }
  yield { type: RecordType.END, copy: 1, sequence: count };
}

function* delayedB(i: number, last: boolean, count = Number.POSITIVE_INFINITY): Generator<Slot> {
  yield { type: RecordType.DATA, copy: 1, sequence: i };
  if (count > 1 && (last || (i + 1) % GROUP === 0)) {
    yield { type: RecordType.INDEX, copy: 1, sequence: Math.floor(i / GROUP) };
  }
}

/** The whole order of one file. In split layout `copy` says which of the two. */
export function* order(layout: LayoutName, count: number, copy: 0 | 1 = 0): Generator<Slot> {
  const own = (slot: Slot): Slot => (layout === 'split' ? { ...slot, copy } : slot);
  for (let i = 0; i < count; i++) {
    if (i % GROUP === 0) yield own({ type: RecordType.HEADER, copy: 0, sequence: i / GROUP });
    yield own({ type: RecordType.DATA, copy: 0, sequence: i });
    for (const slot of afterA(layout, i, i === count - 1)) yield own(slot);
  }
  yield own({ type: RecordType.END, copy: 0, sequence: count });
  yield* afterEnd(layout, count);
}

/** Bytes of a record in a file of `count` blocks, the last with a payload of `lastLength`. */
export function recordLength(slot: Slot, count: number, lastLength: number): number {
  switch (slot.type) {
    case RecordType.DATA:
      return slot.sequence === count - 1 ? blockShape(lastLength)!.recordLength : FULL_RECORD;
    case RecordType.PARITY:
      return FULL_RECORD;
    case RecordType.INDEX:
      return PAGE * bodyPages(indexShape(slot.sequence, count, lastLength).length);
    default:
      return PAGE;
  }
}

/** Predicted offsets of all records, in compact arrays; -1 where a file has no such record. */
export interface Plan {
  size: number;
  /** By copy, then block. */
  data: [Float64Array, Float64Array];
  /** By copy, then group * 8 + j. */
  parity: [Float64Array, Float64Array];
  /** By copy, then group. */
  index: [Float64Array, Float64Array];
  /** By copy, then group. */
  headers: [Float64Array, Float64Array];
  ends: [number, number];
}

/**
 * Where everything should be. Memory: 16 bytes a block. The caller bounds `count` by the size of the file first.
 * @param copy which file of a split pair
 */
export function plan(layout: LayoutName, count: number, lastLength: number, copy: 0 | 1 = 0): Plan {
  const groups = Math.ceil(count / GROUP);
  const pair = (n: number): [Float64Array, Float64Array] => [
    new Float64Array(n).fill(-1),
    new Float64Array(n).fill(-1),
  ];
  const result: Plan = {
    size: 0,
    data: pair(count),
    parity: pair(groups * GROUP_PARITY),
    index: pair(groups),
    headers: pair(groups),
    ends: [-1, -1],
  };
  for (const slot of order(layout, count, copy)) {
    const at = result.size;
    if (slot.type === RecordType.DATA) result.data[slot.copy][slot.sequence] = at;
    else if (slot.type === RecordType.PARITY) {
      result.parity[slot.copy][Math.floor(slot.sequence / 256) * GROUP_PARITY + (slot.sequence % 256)] = at;
    } else if (slot.type === RecordType.INDEX) result.index[slot.copy][slot.sequence] = at;
    else if (slot.type === RecordType.HEADER) result.headers[slot.copy][slot.sequence] = at;
    else result.ends[slot.copy] = at;
    result.size += recordLength(slot, count, lastLength);
  }
  return result;
}

/** Block count and last payload length for the sum of all payload lengths, or `null` if no file has that sum. */
export function countOf(total: number): { count: number; lastLength: number } | null {
  if (!(total >= MIN_PAYLOAD)) return null;
  const count = Math.ceil(total / FULL_PAYLOAD);
  const lastLength = total - (count - 1) * FULL_PAYLOAD;
  return lastLength < MIN_PAYLOAD ? null : { count, lastLength };
}
