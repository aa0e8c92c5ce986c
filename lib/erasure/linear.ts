/**
 * Small linear algebra over GF(256): all that a decoder for erasures needs. Matrices are arrays of rows.
 */
import { div, inverse, mul } from './gf256.ts';

/** Rows of coefficients; `matrix[r][c]`. */
export type Matrix = Uint8Array[];

/**
 * The inverse of a square matrix, by Gauss-Jordan elimination.
 *
 * @param matrix n rows of n coefficients; not changed
 * @returns a new matrix, or null where `matrix` is singular
 * @throws RangeError where the matrix is not square
 */
export function invert(matrix: Matrix): Matrix | null {
  const n = matrix.length;
  if (matrix.some((row) => row.length !== n)) throw new RangeError('only a square matrix can be inverted');
  const work = matrix.map((row, r) => {
    const wide = new Uint8Array(2 * n);
    wide.set(row);
    wide[n + r] = 1;
    return wide;
  });
  for (let c = 0; c < n; c++) {
    const pivot = work.findIndex((row, r) => r >= c && row[c] !== 0);
    if (pivot < 0) return null;
    [work[c], work[pivot]] = [work[pivot], work[c]];
    const scale = inverse(work[c][c]);
    for (let i = c; i < 2 * n; i++) work[c][i] = mul(work[c][i], scale);
    for (let r = 0; r < n; r++) {
      const factor = work[r][c];
      if (r === c || factor === 0) continue;
      for (let i = c; i < 2 * n; i++) work[r][i] ^= mul(factor, work[c][i]);
    }
  }
  return work.map((row) => row.slice(n));
}

/** The product of a (n x m) and b (m x p). @throws RangeError where the shapes do not fit. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  const width = b.length === 0 ? 0 : b[0].length;
  return a.map((row) => {
    if (row.length !== b.length) throw new RangeError(`a row of ${row.length} does not fit ${b.length} rows`);
    const out = new Uint8Array(width);
    for (let i = 0; i < row.length; i++) for (let c = 0; c < width; c++) out[c] ^= mul(row[i], b[i][c]);
    return out;
  });
}

/**
 * Lagrange's basis: the polynomial of least degree that is 1 at `nodes[i]` and 0 at the other nodes, evaluated at `x`.
 * Every matrix of this code is made of these values.
 *
 * @param nodes distinct field elements
 * @throws RangeError where two nodes are equal
 */
export function lagrange(nodes: ArrayLike<number>, i: number, x: number): number {
  let above = 1;
  let below = 1;
  for (let n = 0; n < nodes.length; n++) {
    if (n === i) continue;
    above = mul(above, x ^ nodes[n]);
    below = mul(below, nodes[i] ^ nodes[n]);
  }
  return div(above, below);
}

/**
 * What recovers erased symbols, written on the residual. Let r_j (j < m) be the parity computed anew from the data as
 * received (erased symbols read as whatever stands there), XOR the parity as received. Then the value to XOR into the
 * symbol at `erased[i]` is the sum over j of `matrix[i][j] * r_j`.
 *
 * Why: r, placed at x = 0..m-1, fails the same checks as the damage e does: sum of e_x f(x) = sum of r_j f(j) for
 * every polynomial f of degree < m. Take for f the Lagrange polynomial of one erased position.
 *
 * @param erased at most m distinct positions x
 * @param m parity symbols of the code
 * @returns `erased.length` rows of m coefficients
 * @throws RangeError for too many or repeated positions
 */
export function erasureMatrix(erased: ArrayLike<number>, m: number): Matrix {
  if (erased.length > m) throw new RangeError(`${erased.length} erasures exceed ${m} parity symbols`);
  return Array.from(erased, (_, i) => Uint8Array.from({ length: m }, (_, j) => lagrange(erased, i, j)));
}

/**
 * The same for a punctured code, of which only some parity symbols exist. Let T_j be parity j XOR what the KNOWN data
 * give for it (unknown data read as zero), for each j of `parities`. Then data symbol `unknown[i]` is the sum over c of
 * `matrix[i][c] * T_parities[c]`.
 *
 * @param unknown positions x of the lost data symbols (x >= m), at most `parities.length`
 * @param parities the parity numbers at hand; the first `unknown.length` are used
 * @param m parity symbols of the full code
 * @returns `unknown.length` rows of `unknown.length` coefficients
 * @throws RangeError where there are more unknowns than parities, or a number is out of range or repeated
 */
export function puncturedMatrix(unknown: ArrayLike<number>, parities: ArrayLike<number>, m: number): Matrix {
  if (unknown.length > parities.length) {
    throw new RangeError(`${unknown.length} unknowns exceed ${parities.length} parity symbols`);
  }
  const nodes = Uint8Array.from({ length: m }, (_, j) => j);
  const chosen = Array.from(parities).slice(0, unknown.length);
  if (chosen.some((j) => !Number.isInteger(j) || j < 0 || j >= m))
    throw new RangeError('a parity number is out of range');
  if (Array.from(unknown).some((x) => !Number.isInteger(x) || x < m || x > 254)) {
    throw new RangeError('an unknown position is out of range');
  }
  const inverted = invert(chosen.map((j) => Uint8Array.from(unknown, (x) => lagrange(nodes, j, x))));
  if (!inverted) throw new RangeError('a position is repeated');
  return inverted;
}
