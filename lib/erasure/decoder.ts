/**
 * The reference decoder, for errors and erasures in one codeword: Berlekamp and Massey for the locator, trial of every
 * position for its roots, Forney for the values.
 *
 * The checks hold for every polynomial of degree < m, hence also for (x + 255)^l. Position 255 is never used, so that all
 * locators X = x + 255 are non-zero, and the textbook's algorithm works as it stands.
 */
import { div, inverse, mul, pow } from './gf256.ts';

/** Position -> locator, and back: the same XOR. */
const SHIFT = 255;

/**
 * The checks of a codeword, shifted: S_l = sum over x of c_x * (x + 255)^l. All are zero exactly for a codeword.
 *
 * @param codeword m + k symbols, parity first
 * @param m parity symbols
 * @returns m symbols, new
 * @throws RangeError where the length is impossible
 */
export function syndromes(codeword: Uint8Array, m: number): Uint8Array {
  check(codeword, m, []);
  const s = new Uint8Array(m);
  for (let x = 0; x < codeword.length; x++) {
    if (codeword[x] === 0) continue;
    for (let l = 0; l < m; l++) s[l] ^= mul(codeword[x], pow(x ^ SHIFT, l));
  }
  return s;
}

/**
 * Corrects erasures only: cheaper than `decode`, and it says no where anything else is wrong.
 *
 * @param codeword m + k symbols, parity first; corrected in place, or left alone
 * @param erasures at most m distinct positions x whose symbols are unknown
 * @returns whether the result is a codeword
 * @throws RangeError for impossible lengths or positions
 */
export function decodeErasures(codeword: Uint8Array, m: number, erasures: readonly number[]): boolean {
  check(codeword, m, erasures);
  if (erasures.length > m) return false;
  return correct(codeword, m, locatorOf(erasures), syndromes(codeword, m)) !== null;
}

/**
 * Corrects errors and erasures: e errors and f erasures are found whenever 2e + f <= m. Beyond that the answer is
 * null or, rarely, another codeword: a checksum has to decide.
 *
 * @param codeword m + k symbols, parity first; corrected in place, or left alone where null is returned
 * @param m parity symbols
 * @param erasures distinct positions x whose symbols are unknown
 * @returns the positions that were changed, ascending, or null where no codeword is near enough
 * @throws RangeError for impossible lengths or positions
 */
export function decode(
  codeword: Uint8Array,
  m: number,
  erasures: readonly number[] = [],
): { corrected: number[] } | null {
  check(codeword, m, erasures);
  const f = erasures.length;
  if (f > m) return null;
  const s = syndromes(codeword, m);
  if (s.every((v) => v === 0)) return { corrected: [] };
  const locator = findLocator(s, m, erasures);
  const corrected = locator && correct(codeword, m, locator, s);
  return corrected && { corrected };
}

/** Berlekamp and Massey, begun with the erasure locator (Blahut). Null where the errors are too many. */
function findLocator(s: Uint8Array, m: number, erasures: readonly number[]): Uint8Array | null {
  const f = erasures.length;
  let locator = new Uint8Array(m + 2);
  locator.set(locatorOf(erasures));
  let previous = locator.slice();
  let length = f;
  for (let r = f + 1; r <= m; r++) {
    let discrepancy = 0;
    for (let j = 0; j < r; j++) discrepancy ^= mul(locator[j], s[r - 1 - j]);
    previous.copyWithin(1, 0);
    previous[0] = 0;
    if (discrepancy === 0) continue;
    const next = locator.map((v, j) => v ^ mul(discrepancy, previous[j]));
    if (2 * length <= r - 1 + f) {
      length = r + f - length;
      const scale = inverse(discrepancy);
      previous = locator.map((v) => mul(v, scale));
    }
    locator = next;
  }
  if (2 * (length - f) + f > m || locator.findLastIndex((v) => v !== 0) !== length) return null;
  return locator.subarray(0, length + 1);
}

/** prod of (1 + X z) over the given positions. */
function locatorOf(positions: readonly number[]): Uint8Array {
  const locator = new Uint8Array(positions.length + 1);
  locator[0] = 1;
  positions.forEach((x, n) => {
    for (let j = n + 1; j > 0; j--) locator[j] ^= mul(locator[j - 1], x ^ SHIFT);
  });
  return locator;
}

/** Finds the locator's roots and the values there, applies them, and keeps the result only if every check holds. */
function correct(codeword: Uint8Array, m: number, locator: Uint8Array, s: Uint8Array): number[] | null {
  const degree = locator.length - 1;
  const evaluator = new Uint8Array(degree);
  for (let i = 0; i < degree; i++) for (let j = 0; j <= i; j++) evaluator[i] ^= mul(locator[j], s[i - j]);
  const slope = locator.map((_, j) => (j % 2 === 0 && j < degree ? locator[j + 1] : 0));
  const result = codeword.slice();
  const changed: number[] = [];
  let roots = 0;
  for (let x = 0; x < codeword.length; x++) {
    const z = inverse(x ^ SHIFT);
    if (evaluate(locator, z) !== 0) continue;
    const below = evaluate(slope, z);
    if (below === 0) return null;
    const value = mul(x ^ SHIFT, div(evaluate(evaluator, z), below));
    if (value !== 0) changed.push(x);
    result[x] ^= value;
    roots++;
  }
  if (roots !== degree || syndromes(result, m).some((v) => v !== 0)) return null;
  codeword.set(result);
  return changed;
}

function evaluate(polynomial: Uint8Array, z: number): number {
  let sum = 0;
  for (let j = polynomial.length - 1; j >= 0; j--) sum = mul(sum, z) ^ polynomial[j];
  return sum;
}

function check(codeword: Uint8Array, m: number, positions: readonly number[]): void {
  const n = codeword.length;
  if (!Number.isInteger(m) || m < 1 || n < m || n > 255)
    throw new RangeError(`no codeword has ${m} of ${n} symbols parity`);
  if (new Set(positions).size !== positions.length || positions.some((x) => !Number.isInteger(x) || x < 0 || x >= n)) {
    throw new RangeError('an erased position is repeated or outside of the codeword');
  }
}
