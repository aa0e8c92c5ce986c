/**
 * The additive FFT of size 16 in the basis of Lin, Chung and Han ("Novel polynomial basis and its application to
 * Reed-Solomon erasure codes", FOCS 2014; after Gao and Mateer, "Additive fast Fourier transforms over finite fields",
 * 2010), on strips of 16 rows x `width` vectors of 16 columns.
 *
 * A codeword of the code with m parity symbols is a polynomial of degree < 256 - m, evaluated at every x. In this basis, the
 * 16 highest coefficients are the XOR, over the 16 cosets of {0..15}, of the inverse transforms of the 16 values there. With
 * m = 16 these coefficients are zero, so the parity (coset 0) is the forward transform of the XOR over all other cosets.
 *
 * Inverse butterfly: b ^= a, a ^= t * b; forward: a ^= t * b, b ^= a. The twiddle t is the normalised subspace polynomial
 * of the layer at the butterfly's first position.
 */
import { MUL, STRIP, TWIDDLES, ZERO, inverse, product, times } from './field';

/** The polynomial that vanishes on 0 .. 2^layer - 1, at x, divided by its value at 2^layer. */
export function subspace(layer: u32, x: u32): u32 {
  let above: u32 = 1;
  let below: u32 = 1;
  for (let v: u32 = 0; v < <u32>1 << layer; v++) {
    above = product(above, x ^ v);
    below = product(below, (<u32>1 << layer) ^ v);
  }
  return above == 0 ? 0 : product(above, inverse(below));
}

/** For each coset: 4 quads of 3 twiddles for the layers 0 and 1, then 3 for the layers 2 and 3. */
export function twiddleTables(): void {
  for (let coset: u32 = 0; coset < 16; coset++) {
    const to = TWIDDLES + ((<usize>coset) << 9);
    for (let q: u32 = 0; q < 4; q++) {
      const x = (coset << 4) + (q << 2);
      table(to + 96 * q, subspace(0, x));
      table(to + 96 * q + 32, subspace(0, x + 2));
      table(to + 96 * q + 64, subspace(1, x));
    }
    table(to + 384, subspace(2, coset << 4));
    table(to + 416, subspace(2, (coset << 4) + 8));
    table(to + 448, subspace(3, coset << 4));
  }
}

function table(to: usize, c: u32): void {
  memory.copy(to, MUL + ((<usize>c) << 5), 32);
}

// @ts-ignore: decorator
@inline
function rowAt(rows: usize, r: u32, k: u32, rowLength: usize): usize {
  return r < k ? rows + <usize>r * rowLength : ZERO;
}

/**
 * XORs the inverse transform of 16 rows into `sum` (16 strips of `width` vectors, contiguous).
 * Row r of the group is at rows + (first + r) * rowLength; rows from number k on are zero.
 */
export function inverseTransform(
  coset: u32, rows: usize, first: u32, k: u32, rowLength: usize, width: usize, sum: usize,
): void {
  const tables = TWIDDLES + ((<usize>coset) << 9);
  const size = width << 4;
  for (let q: u32 = 0; q < 4; q++) {
    const tw = tables + 96 * <usize>q;
    const l0 = v128.load(tw), h0 = v128.load(tw, 16);
    const l1 = v128.load(tw, 32), h1 = v128.load(tw, 48);
    const l2 = v128.load(tw, 64), h2 = v128.load(tw, 80);
    const r = first + (q << 2);
    const pa = rowAt(rows, r, k, rowLength), pb = rowAt(rows, r + 1, k, rowLength);
    const pc = rowAt(rows, r + 2, k, rowLength), pd = rowAt(rows, r + 3, k, rowLength);
    const to = STRIP + <usize>q * size * 4;
    for (let v: usize = 0; v < size; v += 16) {
      let a = v128.load(pa + v), b = v128.load(pb + v), c = v128.load(pc + v), d = v128.load(pd + v);
      b = v128.xor(b, a);
      a = v128.xor(a, times(b, l0, h0));
      d = v128.xor(d, c);
      c = v128.xor(c, times(d, l1, h1));
      c = v128.xor(c, a);
      a = v128.xor(a, times(c, l2, h2));
      d = v128.xor(d, b);
      b = v128.xor(b, times(d, l2, h2));
      v128.store(to + v, a);
      v128.store(to + size + v, b);
      v128.store(to + 2 * size + v, c);
      v128.store(to + 3 * size + v, d);
    }
  }
  const l0 = v128.load(tables, 384), h0 = v128.load(tables, 400);
  const l1 = v128.load(tables, 416), h1 = v128.load(tables, 432);
  const l2 = v128.load(tables, 448), h2 = v128.load(tables, 464);
  const quarter = size << 2;
  for (let v: usize = 0; v < quarter; v += 16) {
    const p = STRIP + v, s = sum + v;
    let a = v128.load(p), b = v128.load(p + quarter), c = v128.load(p + 2 * quarter), d = v128.load(p + 3 * quarter);
    b = v128.xor(b, a);
    a = v128.xor(a, times(b, l0, h0));
    d = v128.xor(d, c);
    c = v128.xor(c, times(d, l1, h1));
    c = v128.xor(c, a);
    a = v128.xor(a, times(c, l2, h2));
    d = v128.xor(d, b);
    b = v128.xor(b, times(d, l2, h2));
    v128.store(s, v128.xor(v128.load(s), a));
    v128.store(s + quarter, v128.xor(v128.load(s + quarter), b));
    v128.store(s + 2 * quarter, v128.xor(v128.load(s + 2 * quarter), c));
    v128.store(s + 3 * quarter, v128.xor(v128.load(s + 3 * quarter), d));
  }
}

/** The forward transform of 16 contiguous strips at `from` (overwritten) to 16 rows at `to`, `rowLength` apart. */
export function forwardTransform(coset: u32, from: usize, width: usize, to: usize, rowLength: usize): void {
  const tables = TWIDDLES + ((<usize>coset) << 9);
  const size = width << 4;
  const quarter = size << 2;
  let l0 = v128.load(tables, 384), h0 = v128.load(tables, 400);
  let l1 = v128.load(tables, 416), h1 = v128.load(tables, 432);
  let l2 = v128.load(tables, 448), h2 = v128.load(tables, 464);
  for (let v: usize = 0; v < quarter; v += 16) {
    const p = from + v;
    let a = v128.load(p), b = v128.load(p + quarter), c = v128.load(p + 2 * quarter), d = v128.load(p + 3 * quarter);
    a = v128.xor(a, times(c, l2, h2));
    c = v128.xor(c, a);
    b = v128.xor(b, times(d, l2, h2));
    d = v128.xor(d, b);
    a = v128.xor(a, times(b, l0, h0));
    b = v128.xor(b, a);
    c = v128.xor(c, times(d, l1, h1));
    d = v128.xor(d, c);
    v128.store(p, a);
    v128.store(p + quarter, b);
    v128.store(p + 2 * quarter, c);
    v128.store(p + 3 * quarter, d);
  }
  for (let q: usize = 0; q < 4; q++) {
    const tw = tables + 96 * q;
    l0 = v128.load(tw), h0 = v128.load(tw, 16);
    l1 = v128.load(tw, 32), h1 = v128.load(tw, 48);
    l2 = v128.load(tw, 64), h2 = v128.load(tw, 80);
    const p = from + q * quarter;
    const row = to + (q << 2) * rowLength;
    for (let v: usize = 0; v < size; v += 16) {
      let a = v128.load(p + v), b = v128.load(p + size + v);
      let c = v128.load(p + 2 * size + v), d = v128.load(p + 3 * size + v);
      a = v128.xor(a, times(c, l2, h2));
      c = v128.xor(c, a);
      b = v128.xor(b, times(d, l2, h2));
      d = v128.xor(d, b);
      a = v128.xor(a, times(b, l0, h0));
      b = v128.xor(b, a);
      c = v128.xor(c, times(d, l1, h1));
      d = v128.xor(d, c);
      v128.store(row + v, a);
      v128.store(row + rowLength + v, b);
      v128.store(row + 2 * rowLength + v, c);
      v128.store(row + 3 * rowLength + v, d);
    }
  }
}
