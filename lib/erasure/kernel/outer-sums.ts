/** The outer code of a healer: the same 8 sums, over whatever byte ranges are at hand. */
import { generator } from '../reed-solomon.ts';
import { instantiate, type KernelExports } from './module.ts';
import { checkCapacity, checkIndex, checkParity, OUTER_CAPACITY, OUTER_PARITY, strideFor } from './outer-parity.ts';

/**
 * Sums T_j = parity_j XOR what the data that were added give for it, j = 0..7. Everything is added by XOR: the same
 * bytes added twice are taken out again.
 *
 * Memory: 9 payloads of WebAssembly (8 are state), 8.8 MB with the default capacity, allocated once by the constructor.
 */
export class OuterSums {
  readonly capacity: number;
  readonly #exports: KernelExports;
  readonly #memory: Uint8Array;
  readonly #stride: number;
  readonly #sums: number;
  readonly #staging: number;
  readonly #coefficients: number;
  #length = 0;

  /** @param options.capacity bytes of the longest payload to come, 1..978944 @throws RangeError otherwise */
  constructor({ capacity = OUTER_CAPACITY }: { capacity?: number } = {}) {
    checkCapacity(capacity);
    this.capacity = capacity;
    this.#stride = strideFor(capacity);
    this.#exports = instantiate(16 + (OUTER_PARITY + 1) * this.#stride);
    this.#memory = new Uint8Array(this.#exports.memory.buffer);
    this.#coefficients = this.#exports.arena();
    this.#sums = this.#coefficients + 16;
    this.#staging = this.#sums + OUTER_PARITY * this.#stride;
  }

  /** The end of the longest range that was added since `reset`: the length of every sum. */
  get length(): number {
    return this.#length;
  }

  /** Begins a new group. */
  reset(): void {
    for (let j = 0; j < OUTER_PARITY; j++) this.#memory.fill(0, this.#sum(j), this.#sum(j) + this.#length + 16);
    this.#length = 0;
  }

  /**
   * Adds data to all 8 sums.
   *
   * @param index the payload's number in its group, 0..127
   * @param bytes of the payload, from `offset` on; copied
   * @throws RangeError for another index, or beyond the capacity
   */
  add(index: number, bytes: Uint8Array, offset = 0): void {
    checkIndex(index);
    const [start, length] = this.#stage(bytes, offset);
    this.#memory.set(generator(OUTER_PARITY)[index], this.#coefficients);
    const { combine } = this.#exports;
    combine(this.#sum(0) + start, this.#stride, OUTER_PARITY, this.#staging, 0, 1, this.#coefficients, length, true);
  }

  /** XORs bytes of parity payload j, from `offset` on, into sum j. @throws RangeError for another j, or beyond the capacity */
  addParity(j: number, bytes: Uint8Array, offset = 0): void {
    checkParity(j);
    const [start, length] = this.#stage(bytes, offset);
    this.#exports.xor(this.#sum(j) + start, this.#staging, length);
  }

  /** Sum j, `length` bytes: a view, valid until the next `add`, `addParity` or `reset`. @throws RangeError for another j */
  sum(j: number): Uint8Array {
    checkParity(j);
    return this.#memory.subarray(this.#sum(j), this.#sum(j) + this.#length);
  }

  #sum(j: number): number {
    return this.#sums + j * this.#stride;
  }

  /** Copies bytes to the staging area, with zeros around them up to multiples of 16. */
  #stage(bytes: Uint8Array, offset: number): [start: number, length: number] {
    const end = offset + bytes.length;
    if (!Number.isInteger(offset) || offset < 0 || end > this.capacity) {
      throw new RangeError(`bytes ${offset}..${end} exceed a capacity of ${this.capacity}`);
    }
    this.#length = Math.max(this.#length, end);
    const start = offset & ~15;
    const length = ((end + 15) & ~15) - start;
    this.#memory.fill(0, this.#staging, this.#staging + 16);
    this.#memory.fill(0, this.#staging + Math.max(0, length - 16), this.#staging + length);
    this.#memory.set(bytes, this.#staging + offset - start);
    return [start, length];
  }
}
