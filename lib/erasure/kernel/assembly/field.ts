/**
 * Memory map, tables, and multiplication by a constant: 16 bytes at a time by two table look-ups of 4 bits each.
 * The map below is fixed; what lies above ARENA belongs to the host, which grows the memory once and hands out pointers.
 */

/** 256 constants c: 16 products c * n, then 16 products c * 16n. */
// @ts-ignore: decorator
@inline export const MUL: usize = 1024;
/** 16 cosets: the 15 twiddles of each as tables of 32 bytes. */
// @ts-ignore: decorator
@inline export const TWIDDLES: usize = 9216;
// @ts-ignore: decorator
@inline export const EXP: usize = 22528;
// @ts-ignore: decorator
@inline export const LOG: usize = 23040;
/** A strip of 16 rows between the two passes of a transform, and the sum of the transforms. */
// @ts-ignore: decorator
@inline export const STRIP: usize = 24576;
// @ts-ignore: decorator
@inline export const SUM: usize = 26624;
/** 128 bytes, always zero: the rows that a short block does not have. */
// @ts-ignore: decorator
@inline export const ZERO: usize = 28672;
/** Pages: the 7 x 9 matrix, 9 transformed groups of content, 7 of parity. */
// @ts-ignore: decorator
@inline export const PAGE_MATRIX: usize = 29696;
// @ts-ignore: decorator
@inline export const PAGE_DATA: usize = 30720;
// @ts-ignore: decorator
@inline export const PAGE_PARITY: usize = 33024;
/** POWERS[j][x] = (x + 255)^-j, j = 0..112. */
// @ts-ignore: decorator
@inline export const POWERS: usize = 40960;
/** The decoder's six polynomials: 128 bytes each, with 128 bytes below that stay zero, so that a shift is an address. */
// @ts-ignore: decorator
@inline export const LOCATOR: usize = 70400;
// @ts-ignore: decorator
@inline export const EVALUATOR: usize = 70656;
// @ts-ignore: decorator
@inline export const PREVIOUS: usize = 70912;
/** The locator's value at each position; what the decoder found; 16 columns, then one, of syndromes. */
// @ts-ignore: decorator
@inline export const VALUES_AT: usize = 71936;
// @ts-ignore: decorator
@inline export const POSITIONS: usize = 72192;
// @ts-ignore: decorator
@inline export const VALUES: usize = 72320;
// @ts-ignore: decorator
@inline export const COLUMNS: usize = 72448;
// @ts-ignore: decorator
@inline export const SYNDROMES: usize = 72704;
// @ts-ignore: decorator
@inline export const PAGE_RESIDUAL: usize = 73728;
// @ts-ignore: decorator
@inline export const PAGE_SYNDROMES: usize = 75776;
/** 16 x 16: from a block's residual to its syndromes. */
// @ts-ignore: decorator
@inline export const COLUMN_MATRIX: usize = 77824;
/** The first byte that belongs to the host. */
// @ts-ignore: decorator
@inline export const ARENA: usize = 81920;

// @ts-ignore: decorator
@inline
export function product(a: u32, b: u32): u32 {
  const row = MUL + ((<usize>a) << 5);
  return <u32>load<u8>(row + (b & 15)) ^ <u32>load<u8>(row + 16 + (b >> 4));
}

export function inverse(a: u32): u32 {
  return <u32>load<u8>(EXP + 255 - <usize>load<u8>(LOG + a));
}

// @ts-ignore: decorator
@inline
export function times(x: v128, low: v128, high: v128): v128 {
  const mask = i8x16.splat(15);
  return v128.xor(
    i8x16.swizzle(low, v128.and(x, mask)),
    i8x16.swizzle(high, v128.and(i16x8.shr_u(x, 4), mask)),
  );
}

// @ts-ignore: decorator
@inline
export function low(c: u32): v128 {
  return v128.load(MUL + ((<usize>c) << 5));
}

// @ts-ignore: decorator
@inline
export function high(c: u32): v128 {
  return v128.load(MUL + ((<usize>c) << 5), 16);
}

/** 2^i, its logarithm, the tables of all constants, and the powers that roots are searched with. */
export function fieldTables(): void {
  let a: u32 = 1;
  for (let i: usize = 0; i < 255; i++) {
    store<u8>(EXP + i, a);
    store<u8>(EXP + 255 + i, a);
    store<u8>(LOG + a, i);
    a <<= 1;
    if (a & 256) a ^= 0x11d;
  }
  for (let c: usize = 1; c < 256; c++) {
    const log = <usize>load<u8>(LOG + c);
    for (let n: usize = 1; n < 16; n++) {
      store<u8>(MUL + (c << 5) + n, load<u8>(EXP + log + <usize>load<u8>(LOG + n)));
      store<u8>(MUL + (c << 5) + 16 + n, load<u8>(EXP + log + <usize>load<u8>(LOG + (n << 4))));
    }
  }
  for (let x: usize = 0; x < 255; x++) {
    const z = inverse(<u32>x ^ 255);
    let power: u32 = 1;
    for (let j: usize = 0; j < 113; j++) {
      store<u8>(POWERS + (j << 8) + x, power);
      power = product(z, power);
    }
  }
}
