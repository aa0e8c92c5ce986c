/**
 * Random numbers that can be had again: sfc32 (Chris Doty-Humphrey's Small Fast Counter, 128 bits of state), seeded from any number
 * or text. For damage and for test data; never for keys.
 */

/** A generator. Two with one seed give one sequence, on every machine and in every version of this package. */
export class Random {
  readonly seed: number | string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number | string) {
    this.seed = seed;
    const state = hashOf(String(seed));
    this.#a = state();
    this.#b = state();
    this.#c = state();
    // Seeds that differ in one bit have nothing in common after 12 rounds.
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** 0 .. 2^32 - 1. */
  u32(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 0 <= x < 1, with 53 bits. */
  unit(): number {
    return ((this.u32() >>> 5) * 2 ** 26 + (this.u32() >>> 6)) / 2 ** 53;
  }

  /** An integer, 0 .. below - 1; 0 where `below` is 0. Up to 2^53. */
  below(below: number): number {
    return Math.floor(this.unit() * below);
  }

  /** An integer, from .. to, both included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** `count` distinct integers 0 .. below - 1, ascending. */
  sample(count: number, below: number): number[] {
    const chosen = new Set<number>();
    while (chosen.size < Math.min(count, below)) chosen.add(this.below(below));
    return [...chosen].sort((a, b) => a - b);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    this.fill(bytes);
    return bytes;
  }

  fill(bytes: Buffer): void {
    let at = 0;
    for (; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(this.u32(), at);
    for (; at < bytes.length; at++) bytes[at] = this.u32();
  }

  /** Another generator, which does not depend on how far this one has come. */
  branch(name: number | string): Random {
    return new Random(`${this.seed}/${name}`);
  }
}

/** xmur3: text to as many 32-bit states as are asked for. */
function hashOf(text: string): () => number {
  let h = 1779033703 ^ text.length;
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 3432918353);
    h = (h << 13) | (h >>> 19);
  }
  return () => {
    h = Math.imul(h ^ (h >>> 16), 2246822507);
    h = Math.imul(h ^ (h >>> 13), 3266489909);
    return (h ^= h >>> 16) >>> 0;
  };
}
