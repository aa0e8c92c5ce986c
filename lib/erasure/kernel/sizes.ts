/** The sizes that the container fixes (SPEC.md), and the checks of arguments against them. */

/** Parity rows of a block. */
export const ROW_PARITY = 16;
/** The most data rows of a block. */
export const MAX_DATA_ROWS = 239;
/** The longest row, bytes. */
export const MAX_ROW_LENGTH = 4096;
/** Bytes of a page that are protected, and bytes of its parity. */
export const PAGE_CONTENT = 2288;
export const PAGE_PARITY = 1792;
/** Bytes of a slot: one record of the largest size. */
export const SLOT_LENGTH = 1 << 20;

/** @throws RangeError unless k rows of this length are a block */
export function checkRows(k: number, rowLength: number): void {
  if (!Number.isInteger(k) || k < 1 || k > MAX_DATA_ROWS)
    throw new RangeError(`a block has 1..239 data rows, not ${k}`);
  if (!Number.isInteger(rowLength) || rowLength < 512 || rowLength > MAX_ROW_LENGTH || rowLength % 512 !== 0) {
    throw new RangeError(`a row is a multiple of 512 bytes up to 4096, not ${rowLength}`);
  }
}

/** @throws RangeError unless `bytes` has exactly this length */
export function checkLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what}: ${length} bytes expected, ${bytes.length} given`);
}

/** @throws RangeError unless c is a byte */
export function checkByte(c: number): number {
  if (!Number.isInteger(c) || c < 0 || c > 255) throw new RangeError(`${c} is not a field element`);
  return c;
}
