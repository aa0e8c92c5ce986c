/** Linear combinations of long vectors: matrices of constants. */
import { high, low, times } from './field';

/**
 * output[o] = (accumulate ? output[o] : 0) XOR the sum over i of coefficients[o * inputs + i] * input[i], on `length` bytes
 * (a multiple of 16). Vector o of the outputs is at out + o * outStride; so for the inputs.
 */
export function combine(
  out: usize, outStride: usize, outputs: u32,
  input: usize, inputStride: usize, inputs: u32,
  coefficients: usize, length: usize, accumulate: bool,
): void {
  let o: u32 = 0;
  for (; o + 4 <= outputs; o += 4) {
    const to = out + <usize>o * outStride;
    const row = coefficients + <usize>o * inputs;
    let v: usize = 0;
    for (; v + 32 <= length; v += 32) {
      const p0 = to + v, p1 = p0 + outStride, p2 = p1 + outStride, p3 = p2 + outStride;
      let a0 = i8x16.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      if (accumulate) {
        a0 = v128.load(p0), a1 = v128.load(p0, 16), b0 = v128.load(p1), b1 = v128.load(p1, 16);
        c0 = v128.load(p2), c1 = v128.load(p2, 16), d0 = v128.load(p3), d1 = v128.load(p3, 16);
      }
      let from = input + v;
      for (let i: u32 = 0; i < inputs; i++, from += inputStride) {
        const x = v128.load(from), y = v128.load(from, 16);
        const mask = i8x16.splat(15);
        const xl = v128.and(x, mask), xh = v128.and(i16x8.shr_u(x, 4), mask);
        const yl = v128.and(y, mask), yh = v128.and(i16x8.shr_u(y, 4), mask);
        let c = <u32>load<u8>(row + i);
        let l = low(c), h = high(c);
        a0 = v128.xor(a0, v128.xor(i8x16.swizzle(l, xl), i8x16.swizzle(h, xh)));
        a1 = v128.xor(a1, v128.xor(i8x16.swizzle(l, yl), i8x16.swizzle(h, yh)));
        c = <u32>load<u8>(row + inputs + i);
        l = low(c), h = high(c);
        b0 = v128.xor(b0, v128.xor(i8x16.swizzle(l, xl), i8x16.swizzle(h, xh)));
        b1 = v128.xor(b1, v128.xor(i8x16.swizzle(l, yl), i8x16.swizzle(h, yh)));
        c = <u32>load<u8>(row + 2 * inputs + i);
        l = low(c), h = high(c);
        c0 = v128.xor(c0, v128.xor(i8x16.swizzle(l, xl), i8x16.swizzle(h, xh)));
        c1 = v128.xor(c1, v128.xor(i8x16.swizzle(l, yl), i8x16.swizzle(h, yh)));
        c = <u32>load<u8>(row + 3 * inputs + i);
        l = low(c), h = high(c);
        d0 = v128.xor(d0, v128.xor(i8x16.swizzle(l, xl), i8x16.swizzle(h, xh)));
        d1 = v128.xor(d1, v128.xor(i8x16.swizzle(l, yl), i8x16.swizzle(h, yh)));
      }
      v128.store(p0, a0), v128.store(p0, a1, 16), v128.store(p1, b0), v128.store(p1, b1, 16);
      v128.store(p2, c0), v128.store(p2, c1, 16), v128.store(p3, d0), v128.store(p3, d1, 16);
    }
    for (let n: u32 = 0; n < 4; n++) {
      one(to + <usize>n * outStride + v, input + v, inputStride, inputs, row + n * inputs, length - v, accumulate);
    }
  }
  for (; o < outputs; o++) {
    one(out + <usize>o * outStride, input, inputStride, inputs, coefficients + <usize>o * inputs, length, accumulate);
  }
}

function one(
  out: usize, input: usize, inputStride: usize, inputs: u32, coefficients: usize, length: usize, accumulate: bool,
): void {
  for (let v: usize = 0; v < length; v += 16) {
    let sum = accumulate ? v128.load(out + v) : i8x16.splat(0);
    let from = input + v;
    for (let i: u32 = 0; i < inputs; i++, from += inputStride) {
      const c = <u32>load<u8>(coefficients + i);
      sum = v128.xor(sum, times(v128.load(from), low(c), high(c)));
    }
    v128.store(out + v, sum);
  }
}

/** to ^= from, on `length` bytes (a multiple of 16). */
export function xor(to: usize, from: usize, length: usize): void {
  for (let v: usize = 0; v < length; v += 16) v128.store(to + v, v128.xor(v128.load(to + v), v128.load(from + v)));
}
