/**
 * Errors and erasures of one codeword: Berlekamp and Massey, a search of all positions, Forney. The polynomials are vectors,
 * multiplied by constants 16 coefficients at a time; the discrepancy is read from the product of locator and syndromes,
 * which is carried along, so that no step needs a sum across a vector.
 */
import {
  EVALUATOR, EXP, LOCATOR, LOG, MUL, POSITIONS, POWERS, PREVIOUS, VALUES, VALUES_AT, high, inverse, low, product, times,
} from './field';

/** to ^= c * from. */
// @ts-ignore: decorator
@inline
function addTimes(to: usize, from: usize, c: u32, size: usize): void {
  const l = low(c), h = high(c);
  for (let v: usize = 0; v < size; v += 16) {
    v128.store(to + v, v128.xor(v128.load(to + v), times(v128.load(from + v), l, h)));
  }
}

/** p *= (1 + c z), from the top down because source and target overlap. */
// @ts-ignore: decorator
@inline
function timesRoot(p: usize, c: u32, size: usize): void {
  const l = low(c), h = high(c);
  for (let v = size; v > 0;) {
    v -= 16;
    v128.store(p + v, v128.xor(v128.load(p + v), times(v128.load(p + v - 1), l, h)));
  }
}

/** to = c * from; then from ^= d * shifted. */
// @ts-ignore: decorator
@inline
function exchange(to: usize, from: usize, c: u32, shifted: usize, d: u32, size: usize): void {
  const l = low(c), h = high(c), dl = low(d), dh = high(d);
  for (let v: usize = 0; v < size; v += 16) {
    const x = v128.load(from + v);
    v128.store(to + v, times(x, l, h));
    v128.store(from + v, v128.xor(x, times(v128.load(shifted + v), dl, dh)));
  }
}

/**
 * Finds e errors and f erasures with 2e + f <= m.
 *
 * @param m parity symbols: a multiple of 16 up to 112
 * @param n symbols of the codeword that are stored, positions 0 .. n-1
 * @param syndromes m bytes, at least one of them not zero
 * @param erasures f positions, distinct
 * @param fixed 256 flags: positions that must not change; or 0
 * @returns how many of POSITIONS and VALUES to XOR into the codeword; -1 where it is beyond correction
 */
export function findErrors(m: u32, n: u32, syndromes: usize, erasures: usize, f: u32, fixed: usize): i32 {
  if (f > m) return -1;
  const wide: usize = m + 16;
  const size: usize = m;
  memory.fill(LOCATOR, 0, wide);
  store<u8>(LOCATOR, 1);
  memory.copy(EVALUATOR, syndromes, size);
  for (let i: u32 = 0; i < f; i++) {
    const locator = <u32>load<u8>(erasures + i) ^ 255;
    timesRoot(LOCATOR, locator, wide);
    timesRoot(EVALUATOR, locator, size);
  }
  let previous = PREVIOUS, other = PREVIOUS + 512;
  memory.copy(previous, LOCATOR, wide);
  memory.copy(previous + 256, EVALUATOR, size);

  let length = f;
  let shift: usize = 1;
  for (let r = f + 1; r <= m; r++, shift++) {
    const d = <u32>load<u8>(EVALUATOR + r - 1);
    if (d == 0) continue;
    if (length << 1 <= r - 1 + f) {
      const c = inverse(d);
      exchange(other, LOCATOR, c, previous - shift, d, wide);
      exchange(other + 256, EVALUATOR, c, previous + 256 - shift, d, size);
      const swap = previous;
      previous = other;
      other = swap;
      length = r + f - length;
      shift = 0;
    } else {
      addTimes(LOCATOR, previous - shift, d, wide);
      addTimes(EVALUATOR, previous + 256 - shift, d, size);
    }
  }
  // The locator has `length` roots and the product is an evaluator below z^length: then the values found satisfy every check.
  if (length << 1 > m + f || load<u8>(LOCATOR + length) == 0) return -1;
  for (let i = length + 1; i < <u32>wide; i++) if (load<u8>(LOCATOR + i)) return -1;
  for (let i = length; i < m; i++) if (load<u8>(EVALUATOR + i)) return -1;

  if (<u32>findRoots(n, length) != length) return -1;
  let changed: i32 = 0;
  for (let i: u32 = 0; i < length; i++) {
    const x = <usize>load<u8>(POSITIONS + i);
    const value = valueAt(x, length);
    if (value == 0) continue;
    if (value < 0 || (fixed != 0 && load<u8>(fixed + x) != 0)) return -1;
    store<u8>(POSITIONS + changed, x);
    store<u8>(VALUES + changed++, value);
  }
  return changed;
}

/** Writes the stored positions whose locator is inverse to a root to POSITIONS; returns their number, at most length. */
function findRoots(n: u32, length: u32): i32 {
  if (length == 1) {
    const x = <u32>load<u8>(LOCATOR + 1) ^ 255;
    store<u8>(POSITIONS, x);
    return x < n ? 1 : 0;
  }
  const size: usize = (n + 15) & ~15;
  for (let v: usize = 0; v < size; v += 16) v128.store(VALUES_AT + v, i8x16.splat(1));
  for (let j: usize = 1; j <= length; j++) {
    const c = <u32>load<u8>(LOCATOR + j);
    if (c != 0) addTimes(VALUES_AT, POWERS + (j << 8), c, size);
  }
  let found: i32 = 0;
  for (let v: usize = 0; v < size; v += 16) {
    let bits = i8x16.bitmask(i8x16.eq(v128.load(VALUES_AT + v), i8x16.splat(0)));
    while (bits) {
      const x = <u32>v + ctz(bits);
      bits &= bits - 1;
      if (x >= n || <u32>found == length) return -1;
      store<u8>(POSITIONS + found++, x);
    }
  }
  return found;
}

/** Forney: X * evaluator / the locator's derivative, at the inverse of X = x + 255. -1 for a repeated root. */
function valueAt(x: usize, length: u32): i32 {
  let above: u32 = 0, below: u32 = 0;
  let power = POWERS + x;
  for (let j: u32 = 0; j < length; j += 2) {
    const p = <u32>load<u8>(power);
    above ^= product(p, <u32>load<u8>(EVALUATOR + j));
    below ^= product(p, <u32>load<u8>(LOCATOR + j + 1));
    if (j + 1 < length) above ^= product(<u32>load<u8>(power + 256), <u32>load<u8>(EVALUATOR + j + 1));
    power += 512;
  }
  if (below == 0) return -1;
  return product(product(<u32>x ^ 255, above), inverse(below));
}
