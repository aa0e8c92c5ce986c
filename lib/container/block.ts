/** What is known of a block: whole, or what is left of it. */
import type { RecordType } from '../format/limits.ts';
import type { PageFields } from '../format/page.ts';
import type { RecordMap } from './record-map.ts';

export type RowsType = typeof RecordType.DATA | typeof RecordType.PARITY;
/** How a block was had: of what stood in its copies, or rebuilt. */
export type How = 'copy' | 'rows' | 'columns' | 'outer';

/** What is known of a block that could not be healed from its own copies. */
export interface Remains {
  type: RowsType;
  sequence: number;
  shape: Shape;
  /** k + 16 rows; meaningful where `good`. 1 MiB of the holder's own. */
  rows: Buffer;
  good: boolean[];
  hashes: Buffer[];
  crcs: Uint32Array | undefined;
}

export interface Shape {
  /** Of the payload. */
  length: number;
  final: boolean;
  k: number;
  m: number;
  rowLength: number;
  recordLength: number;
}

/** A payload, a view of the buffer that the caller gave. */
export interface Whole {
  payload: Buffer;
  final: boolean;
  how: How;
}

/** Which copy of a block, of which source. */
export interface Replica {
  map: RecordMap;
  copy: 0 | 1;
}

/** What one replica is worth by itself: `page` where its rows are good and something else of the record is not as it was written. */
export type StateOfReplica = { state: 'damaged'; page?: undefined } | { state: 'good' | 'page'; page: PageFields };

export function isWhole(result: Whole | Remains): result is Whole {
  return 'payload' in result;
}
