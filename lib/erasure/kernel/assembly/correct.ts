/** Correction in place: the columns of a block, and a page. */
import {
  COLUMNS, COLUMN_MATRIX, PAGE_RESIDUAL, PAGE_SYNDROMES, POSITIONS, SYNDROMES, VALUES, high, low, product, times,
} from './field';
import { combine, xor } from './combine';
import { findErrors } from './decoder';
import { encodePage, encodeRows } from './encode';

/** Row l: (j + 255)^l for j = 0..15. A residual is parity gone wrong, and this is its syndrome. */
export function columnMatrix(): void {
  for (let j: usize = 0; j < 16; j++) {
    let power: u32 = 1;
    for (let l: usize = 0; l < 16; l++) {
      store<u8>(COLUMN_MATRIX + (l << 4) + j, power);
      power = product(<u32>j ^ 255, power);
    }
  }
}

/**
 * The syndromes of all columns of a block (k + 16 rows, data first): 16 rows of `rowLength` bytes.
 *
 * @param residual room for 16 rows
 */
export function columnSyndromes(block: usize, k: u32, rowLength: usize, residual: usize, syndromes: usize): void {
  encodeRows(block, k, rowLength, residual);
  xor(residual, block + <usize>k * rowLength, rowLength << 4);
  combine(syndromes, rowLength, 16, residual, rowLength, 16, COLUMN_MATRIX, rowLength, false);
}

/** Corrects one column, whose 16 syndromes are `stride` bytes apart. @returns see findErrors; 0 where it is clean */
export function correctColumn(
  block: usize, k: u32, rowLength: usize, column: usize,
  syndromes: usize, stride: usize, erasures: usize, f: u32, fixed: usize,
): i32 {
  for (let l: usize = 0; l < 16; l++) store<u8>(SYNDROMES + l, load<u8>(syndromes + l * stride));
  if (!v128.any_true(v128.load(SYNDROMES))) return 0;
  const count = findErrors(16, k + 16, SYNDROMES, erasures, f, fixed);
  for (let i: i32 = 0; i < count; i++) {
    const x = <u32>load<u8>(POSITIONS + i);
    const at = block + <usize>(x < 16 ? k + x : x - 16) * rowLength + column;
    store<u8>(at, load<u8>(at) ^ load<u8>(VALUES + i));
  }
  return count;
}

/**
 * Corrects all columns with the same erasures.
 *
 * @param status a signed byte for each column: what correctColumn returned
 */
export function correctColumns(
  block: usize, k: u32, rowLength: usize,
  syndromes: usize, erasures: usize, f: u32, fixed: usize, status: usize,
): void {
  for (let column: usize = 0; column < rowLength; column += 16) {
    let any = i8x16.splat(0);
    for (let l: usize = 0; l < 16; l++) {
      const s = v128.load(syndromes + l * rowLength + column);
      v128.store(COLUMNS + (l << 4), s);
      any = v128.or(any, s);
    }
    v128.store(status + column, i8x16.splat(0));
    let dirty = ~i8x16.bitmask(i8x16.eq(any, i8x16.splat(0))) & 0xffff;
    while (dirty) {
      const c = <usize>ctz(dirty);
      dirty &= dirty - 1;
      const count = correctColumn(block, k, rowLength, column + c, COLUMNS + c, 16, erasures, f, fixed);
      store<i8>(status + column + c, count);
    }
  }
}

/**
 * Corrects a page (content, then parity) in place.
 *
 * @param erasures for each of the 16 codewords 128 bytes: their number, then the positions (more than 112: beyond correction)
 * @returns whether all codewords are right now; the page may be half corrected otherwise
 */
export function correctPage(page: usize, erasures: usize): bool {
  encodePage(page, PAGE_RESIDUAL);
  xor(PAGE_RESIDUAL, page + 2288, 1792);
  memory.fill(PAGE_SYNDROMES, 0, 1792);
  let any = i8x16.splat(0);
  for (let n: usize = 0; n < 112; n++) {
    let s = v128.load(PAGE_RESIDUAL + (n << 4));
    any = v128.or(any, s);
    const l = low(<u32>n ^ 255), h = high(<u32>n ^ 255);
    for (let at = PAGE_SYNDROMES; at < PAGE_SYNDROMES + 1792; at += 16) {
      v128.store(at, v128.xor(v128.load(at), s));
      s = times(s, l, h);
    }
  }
  let dirty = ~i8x16.bitmask(i8x16.eq(any, i8x16.splat(0))) & 0xffff;
  while (dirty) {
    const j = <usize>ctz(dirty);
    dirty &= dirty - 1;
    for (let l: usize = 0; l < 112; l++) store<u8>(SYNDROMES + l, load<u8>(PAGE_SYNDROMES + (l << 4) + j));
    const lost = erasures + (j << 7);
    const count = findErrors(112, 255, SYNDROMES, lost + 1, <u32>load<u8>(lost), 0);
    if (count < 0) return false;
    for (let i: i32 = 0; i < count; i++) {
      const x = <usize>load<u8>(POSITIONS + i);
      const at = page + ((x < 112 ? x + 143 : x - 112) << 4) + j;
      store<u8>(at, load<u8>(at) ^ load<u8>(VALUES + i));
    }
  }
  return true;
}
