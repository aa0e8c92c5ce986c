/**
 * Healing inside of a block: k data rows and 16 parity rows, in the order in which a record stores them (data first).
 * Row r < k is symbol x = 16 + r of every column's codeword, row k + j is symbol x = j.
 */
import { type ErasureKernel, sharedKernel } from './kernel/erasure-kernel.ts';
import { checkRows, ROW_PARITY } from './kernel/sizes.ts';
import { erasureMatrix } from './linear.ts';

/** The position x of row r, counted as stored. */
export function positionOf(row: number, k: number): number {
  return row < k ? ROW_PARITY + row : row - k;
}

/** The row, counted as stored, of position x. */
export function rowOf(x: number, k: number): number {
  return x < ROW_PARITY ? k + x : x - ROW_PARITY;
}

/**
 * Rebuilds whole rows that are known to be bad, from all others. The result is not verified: the block's hash decides.
 *
 * @param block (k + 16) * rowLength bytes; the bad rows may hold anything and are overwritten, the others are read
 * @param k data rows, 1..239
 * @param rowLength bytes of a row, a multiple of 512 up to 4096
 * @param bad distinct rows as stored, 0..k+15; at most 16
 * @param kernel whose slot holds the block, if one does; else the block is copied in and out
 * @throws RangeError for other sizes, or more than 16 rows
 */
export function recoverRows(
  block: Uint8Array,
  k: number,
  rowLength: number,
  bad: readonly number[],
  kernel: ErasureKernel = sharedKernel(),
): void {
  checkRows(k, rowLength);
  checkStored(bad, k);
  if (bad.length === 0) return;
  const matrix = erasureMatrix(
    bad.map((r) => positionOf(r, k)),
    ROW_PARITY,
  );
  kernel.applyResidual(block, k, rowLength, bad, matrix);
}

export interface ColumnOptions {
  /** Rows, as stored, whose symbols are unknown in every column. */
  erasedRows?: readonly number[];
  /** Rows, as stored, that are known to be right: a column whose correction would change one of them fails. */
  goodRows?: readonly number[];
  /** The columns to look at; all by default. */
  columns?: Iterable<number>;
  /**
   * More rows that are unknown in one column, for instance where two copies differ. Called for dirty columns only, while
   * the kernel holds the block: it must not call the kernel itself.
   */
  erasuresOf?: (column: number) => readonly number[];
}

export interface ColumnReport {
  /** Columns that were not codewords. */
  dirty: number;
  /** Symbols that were changed. */
  corrected: number;
  /** Columns that are beyond correction and were left as they are, ascending. */
  failed: number[];
}

/**
 * Corrects errors and erasures column by column, in place: e errors and f erasures in a column are found whenever
 * 2e + f <= 16. Beyond that a column fails or, rarely, becomes another codeword: the block's hash decides.
 *
 * @param block (k + 16) * rowLength bytes, changed in the columns that are corrected
 * @param kernel see `recoverRows`
 * @throws RangeError for other sizes, rows or columns
 */
export function decodeColumns(
  block: Uint8Array,
  k: number,
  rowLength: number,
  options: ColumnOptions = {},
  kernel: ErasureKernel = sharedKernel(),
): ColumnReport {
  checkRows(k, rowLength);
  const { erasedRows = [], goodRows = [], columns, erasuresOf } = options;
  checkStored(goodRows, k, 255);
  checkStored(erasedRows, k, 255);
  const fixed = new Uint8Array(256);
  for (const r of goodRows) fixed[positionOf(r, k)] = 1;
  const erasures = erasedRows.map((r) => positionOf(r, k));
  const together = (column: number): number[] => {
    const own = erasuresOf!(column);
    checkStored(own, k, 255);
    return [...new Set([...erasures, ...own.map((r) => positionOf(r, k))])];
  };
  const status = kernel.correctColumns(
    block,
    k,
    rowLength,
    erasures,
    fixed,
    columns,
    erasuresOf ? together : undefined,
  );
  const report: ColumnReport = { dirty: 0, corrected: 0, failed: [] };
  for (let c = 0; c < rowLength; c++) {
    if (status[c] === 0) continue;
    report.dirty++;
    if (status[c] < 0) report.failed.push(c);
    else report.corrected += status[c];
  }
  return report;
}

function checkStored(rows: readonly number[], k: number, most = ROW_PARITY): void {
  if (rows.length > most) throw new RangeError(`${rows.length} lost rows exceed ${most} parity rows`);
  if (new Set(rows).size !== rows.length || rows.some((r) => !Number.isInteger(r) || r < 0 || r >= k + ROW_PARITY)) {
    throw new RangeError('a row is repeated or outside of the block');
  }
}
