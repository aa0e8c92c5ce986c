/** What the tests of this room share: a printed seed, random bytes, and plain per-codeword views of blocks and pages. */
import fc from 'fast-check';
import { encode } from '../../lib/erasure/reed-solomon.ts';

/** The seed of a run; repeat a failure with `SEED=... tap test/erasure/x.test.ts`. */
export const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff);

interface Subject {
  comment(message: string): unknown;
  pass(message: string): unknown;
}

/** Runs a property and reports it as one assertion; fast-check throws with the counterexample otherwise. */
export function holds<T>(t: Subject, name: string, arbitrary: fc.Arbitrary<T>, check: (v: T) => void, runs = 30): void {
  fc.assert(
    fc.property(arbitrary, (v) => void check(v)),
    { seed, numRuns: runs },
  );
  t.pass(`${name} (${runs} runs, SEED=${seed})`);
}

/** A small generator (xorshift), so that a counterexample with big random buffers is printed as one number. */
export class Random {
  readonly #seed: number;
  #state: number;
  constructor(seed: number) {
    this.#seed = seed;
    this.#state = seed | 1;
  }
  /** fast-check runs a case again while it shrinks: from the same state. */
  [fc.cloneMethod](): Random {
    return new Random(this.#seed);
  }
  [fc.toStringMethod](): string {
    return `new Random(${this.#seed})`;
  }
  next(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }
  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => this.next(256));
  }
  /** `count` distinct numbers below n. */
  sample(count: number, n: number): number[] {
    const all = Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const at = i + this.next(n - i);
      [all[i], all[at]] = [all[at], all[i]];
    }
    return all.slice(0, count);
  }
}

export const randoms = fc.integer({ min: 1, max: 0x7fffffff }).map((state) => new Random(state));

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export function must(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Column c of rows of this length. */
export function columnOf(rows: Uint8Array, rowLength: number, c: number): Uint8Array {
  return Uint8Array.from({ length: rows.length / rowLength }, (_, r) => rows[r * rowLength + c]);
}

/** A block by the reference: data rows, then parity rows. */
export function referenceBlock(data: Uint8Array, k: number, rowLength: number): Uint8Array {
  const block = new Uint8Array((k + 16) * rowLength);
  block.set(data);
  for (let c = 0; c < rowLength; c++) {
    encode(columnOf(data, rowLength, c), 16).forEach((p, j) => {
      block[(k + j) * rowLength + c] = p;
    });
  }
  return block;
}

/** A page by the reference: content, then parity. */
export function referencePage(content: Uint8Array): Uint8Array {
  const page = new Uint8Array(4080);
  page.set(content);
  for (let j = 0; j < 16; j++) {
    encode(columnOf(content, 16, j), 112).forEach((p, n) => {
      page[2288 + n * 16 + j] = p;
    });
  }
  return page;
}
