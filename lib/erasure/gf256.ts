/**
 * The field GF(2^8): bytes as polynomials over GF(2), modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11D). Addition is XOR. Plain
 * exp/log tables: the obvious arithmetic, for the reference code and for small matrices. The bulk of the work is done in
 * `kernel/`.
 */

/** The field polynomial. */
export const POLYNOMIAL = 0x11d;

/** `EXP[i]` is 2^i; the table is doubled so that a sum of two logarithms needs no reduction. */
export const EXP = new Uint8Array(510);
/** `LOG[a]` is the i in 0..254 with 2^i = a. `LOG[0]` is meaningless. */
export const LOG = new Uint8Array(256);

for (let i = 0, a = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = a;
  LOG[a] = i;
  a <<= 1;
  if (a & 0x100) a ^= POLYNOMIAL;
}

/** The product of two field elements (0..255). */
export function mul(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a] + LOG[b]];
}

/** The inverse of a field element. @throws RangeError for 0. */
export function inverse(a: number): number {
  if (a === 0) throw new RangeError('zero has no inverse in GF(256)');
  return EXP[255 - LOG[a]];
}

/** The quotient a / b. @throws RangeError when b is 0. */
export function div(a: number, b: number): number {
  return mul(a, inverse(b));
}

/** a to the power n (n >= 0), where 0^0 = 1: the definition of the code relies on it. */
export function pow(a: number, n: number): number {
  if (n === 0) return 1;
  return a === 0 ? 0 : EXP[(LOG[a] * n) % 255];
}
