/** Parity of a block's rows and of a page. */
import { PAGE_DATA, PAGE_MATRIX, PAGE_PARITY, SUM, inverse, product } from './field';
import { combine } from './combine';
import { forwardTransform, inverseTransform, subspace } from './transform';

/**
 * 16 parity rows of k data rows (m = 16). Strips of 128 columns, so that two strips of 16 rows stay in the first cache
 * although all rows begin at the same offset of a page.
 */
export function encodeRows(rows: usize, k: u32, rowLength: usize, parity: usize): void {
  for (let column: usize = 0; column < rowLength; column += 128) {
    memory.fill(SUM, 0, 2048);
    for (let first: u32 = 0, coset: u32 = 1; first < k; first += 16, coset++) {
      inverseTransform(coset, rows + column, first, k, rowLength, 8, SUM);
    }
    forwardTransform(0, SUM, 8, parity + column, rowLength);
  }
}

/**
 * A page's 112 parity symbols (m = 112) of 143 content symbols; a symbol is one vector. Inside of each coset of 16 positions it
 * is the transform above; across the cosets it is a small code of its own, 7 parity and 9 data groups.
 */
export function encodePage(content: usize, parity: usize): void {
  memory.fill(PAGE_DATA, 0, 9 * 256);
  for (let h: u32 = 0; h < 9; h++) {
    inverseTransform(7 + h, content, h << 4, 143, 16, 1, PAGE_DATA + ((<usize>h) << 8));
  }
  combine(PAGE_PARITY, 256, 7, PAGE_DATA, 256, 9, PAGE_MATRIX, 256, false);
  for (let g: u32 = 0; g < 7; g++) {
    const at = (<usize>g) << 8;
    forwardTransform(g, PAGE_PARITY + at, 1, parity + at, 16);
  }
}

/**
 * Group g stands at the point y_g = the subspace polynomial of {0..15} at 16g; group g of the parity is the sum over the data
 * groups h of prod over n != h of (y_g + y_n) / (y_h + y_n), n = 7..15.
 */
export function pageMatrix(): void {
  for (let g: u32 = 0; g < 7; g++) {
    for (let h: u32 = 7; h < 16; h++) {
      let above: u32 = 1, below: u32 = 1;
      for (let n: u32 = 7; n < 16; n++) {
        if (n == h) continue;
        const y = subspace(4, n << 4);
        above = product(above, subspace(4, g << 4) ^ y);
        below = product(below, subspace(4, h << 4) ^ y);
      }
      store<u8>(PAGE_MATRIX + g * 9 + h - 7, product(above, inverse(below)));
    }
  }
}
