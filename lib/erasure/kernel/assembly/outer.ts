/**
 * The outer code (m = 8): sums of inverse transforms of size 8 over cosets of {0..7}, four payloads at a time: 2
 * multiplications a byte in place of 8, and the 8 sums pass through memory once for four payloads.
 */
import { high, low, times } from './field';
import { subspace } from './transform';

/**
 * Adds the payloads 4 * quad .. 4 * quad + 3 of a group (at `input`, `inputStride` apart; `length` a multiple of 16) to the 8 sums.
 */
export function addQuad(sums: usize, stride: usize, input: usize, inputStride: usize, quad: u32, length: usize): void {
  const x = 8 + (quad << 2);
  const t0 = subspace(0, x), t1 = subspace(0, x + 2), t2 = subspace(1, x);
  // The last layer meets the coset's other quad, which comes later: this quad's share of both halves instead.
  const t3 = subspace(2, x & ~7) ^ (x & 4 ? 0 : 1);
  const l0 = low(t0), h0 = high(t0), l1 = low(t1), h1 = high(t1);
  const l2 = low(t2), h2 = high(t2), l3 = low(t3), h3 = high(t3);
  const half = stride << 2;
  for (let v: usize = 0; v < length; v += 16) {
    let p = input + v;
    let a = v128.load(p), b = v128.load(p += inputStride);
    let c = v128.load(p += inputStride), d = v128.load(p + inputStride);
    b = v128.xor(b, a);
    a = v128.xor(a, times(b, l0, h0));
    d = v128.xor(d, c);
    c = v128.xor(c, times(d, l1, h1));
    c = v128.xor(c, a);
    a = v128.xor(a, times(c, l2, h2));
    d = v128.xor(d, b);
    b = v128.xor(b, times(d, l2, h2));
    let s = sums + v;
    v128.store(s, v128.xor(v128.load(s), times(a, l3, h3)));
    v128.store(s + half, v128.xor(v128.load(s + half), a));
    s += stride;
    v128.store(s, v128.xor(v128.load(s), times(b, l3, h3)));
    v128.store(s + half, v128.xor(v128.load(s + half), b));
    s += stride;
    v128.store(s, v128.xor(v128.load(s), times(c, l3, h3)));
    v128.store(s + half, v128.xor(v128.load(s + half), c));
    s += stride;
    v128.store(s, v128.xor(v128.load(s), times(d, l3, h3)));
    v128.store(s + half, v128.xor(v128.load(s + half), d));
  }
}

/** The forward transform of the 8 sums, in place: they become the parity payloads. */
export function sumsToParity(sums: usize, stride: usize, length: usize): void {
  for (let layer: i32 = 2; layer >= 0; layer--) {
    for (let i: u32 = 0; i < 8; i++) {
      if (i & (1 << layer)) continue;
      const a = sums + <usize>i * stride;
      const b = a + (stride << layer);
      const t = subspace(layer, i);
      const l = low(t), h = high(t);
      for (let v: usize = 0; v < length; v += 16) {
        const x = v128.xor(v128.load(a + v), times(v128.load(b + v), l, h));
        v128.store(a + v, x);
        v128.store(b + v, v128.xor(v128.load(b + v), x));
      }
    }
  }
}

/** The inverse of `sumsToParity`: more payloads can be added then. */
export function parityToSums(sums: usize, stride: usize, length: usize): void {
  for (let layer: i32 = 0; layer < 3; layer++) {
    for (let i: u32 = 0; i < 8; i++) {
      if (i & (1 << layer)) continue;
      const a = sums + <usize>i * stride;
      const b = a + (stride << layer);
      const t = subspace(layer, i);
      const l = low(t), h = high(t);
      for (let v: usize = 0; v < length; v += 16) {
        const y = v128.xor(v128.load(b + v), v128.load(a + v));
        v128.store(b + v, y);
        v128.store(a + v, v128.xor(v128.load(a + v), times(y, l, h)));
      }
    }
  }
}
