/** What a file survives, in numbers that hold for this very file: computed from where its records stand, never promised beyond. */
import { groupSize, parityCount } from '../format/group.ts';
import { plan } from '../format/layout.ts';
import { GROUP, MAX_ROW, PARITY_ROWS } from '../format/limits.ts';
import { blockShape } from '../format/page.ts';
import type { Extent } from './record-map.ts';

/** Wrong bytes in a row that a page's 16 codewords correct, 56 each. */
const PAGE_ERRORS = 16 * 56;

/** Any damage within one of these bounds is healed. */
export interface Survival {
  /** Bytes of one overwritten run, wherever it begins. */
  burstBytes: number;
  /** Bytes missing at the end. */
  tailBytes: number;
  /** Rows (of `rowBytes`) lost in each copy of each block, wherever they are. */
  rowsPerBlock: number;
  rowBytes: number;
  /** Wrong bytes at unknown places, in each column of each copy of a block. */
  errorsPerColumn: number;
  /** Blocks lost in both copies, in each group of 128 (the last group counts). */
  blocksPerGroup: number;
}

/**
 * The two copies of a row stand `distance` bytes apart, so that a shorter burst leaves one of each. A cut tail is healed while copy A of every block is
 * before the cut. For a split pair: what one of its files survives by itself.
 */
export function survival({ layout, count, lastLength }: Extent): Survival {
  const { data, size } = plan(layout, count, lastLength);
  const [a, b] = data;
  const last = blockShape(lastLength)!;
  const groups = Math.ceil(count / GROUP);
  let distance = Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) if (b[i]! >= 0) distance = Math.min(distance, b[i]! - a[i]!);
  const alone = !Number.isFinite(distance);
  const rowBytes = count > 1 ? MAX_ROW : last.rowLength;
  return {
    burstBytes: alone ? burstAlone(count, last.rowLength) : distance - MAX_ROW,
    tailBytes: alone ? 0 : size - a[count - 1]! - last.recordLength,
    rowsPerBlock: PARITY_ROWS,
    rowBytes,
    errorsPerColumn: PARITY_ROWS / 2,
    blocksPerGroup: parityCount(groupSize(groups - 1, count)),
  };
}

/** What one copy by itself survives, at its weakest place: where a burst takes the page of the last block with it. */
function burstAlone(count: number, rowLength: number): number {
  // Nothing else in the file knows a single block's hash: its page must stay within what its own parity corrects.
  if (count === 1) return PAGE_ERRORS;
  // The page that follows, or the index, says which rows are bad. A burst of 15 rows touches at most 16.
  return (PARITY_ROWS - 1) * rowLength;
}
