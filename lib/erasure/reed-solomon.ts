/**
 * The code, plainly: the reference that the kernel is tested against, one codeword at a time.
 *
 * A codeword gives each field element x = 0, 1, 2, ... a symbol c_x such that the sum of c_x * x^l is 0 for
 * l = 0 .. m-1 (0^0 = 1). Parity symbol j stands at x = j, data symbol i at x = m + i; positions beyond the data are zero
 * and not stored. Any m erasures, or e errors and f erasures with 2e + f <= m, are recovered.
 *
 * The container uses m = 16 (rows, at most 239 data), m = 112 (pages, 143) and m = 8 (groups, 128). See SPEC.md, "Codes".
 */
import { mul } from './gf256.ts';
import { lagrange } from './linear.ts';

export { decode, decodeErasures, syndromes } from './decoder.ts';

/** The last position that a codeword may use. Position 255 stays empty: the decoder's locators are x + 255, never 0. */
export const LAST_POSITION = 254;

/** @throws RangeError unless m parity symbols and k data symbols make a codeword */
export function checkShape(m: number, k: number): void {
  if (!Number.isInteger(m) || m < 1 || !Number.isInteger(k) || k < 0 || m + k > LAST_POSITION + 1) {
    throw new RangeError(`no code has ${m} parity and ${k} data symbols`);
  }
}

const matrices = new Map<number, Uint8Array[]>();

/**
 * The share of each data symbol in each parity symbol: `parity[j]` is the sum over i of `generator(m)[i][j] * data[i]`.
 *
 * @param m parity symbols, 1..254
 * @returns 255 - m rows of m coefficients; shared, do not change
 */
export function generator(m: number): readonly Uint8Array[] {
  checkShape(m, 0);
  let rows = matrices.get(m);
  if (!rows) {
    const nodes = Uint8Array.from({ length: m }, (_, j) => j);
    rows = Array.from({ length: 255 - m }, (_, i) => nodes.map((j) => lagrange(nodes, j, m + i)));
    matrices.set(m, rows);
  }
  return rows;
}

/**
 * The parity of one codeword: p_j = sum over i of d_i * prod over n != j of (x_i + n) / (j + n).
 *
 * @param data 1 to 255 - m symbols
 * @param m parity symbols
 * @returns m symbols, new
 * @throws RangeError where data and parity do not make a codeword
 */
export function encode(data: Uint8Array, m: number): Uint8Array {
  checkShape(m, data.length);
  const shares = generator(m);
  const parity = new Uint8Array(m);
  for (let i = 0; i < data.length; i++) {
    if (data[i] === 0) continue;
    for (let j = 0; j < m; j++) parity[j] ^= mul(shares[i][j], data[i]);
  }
  return parity;
}
