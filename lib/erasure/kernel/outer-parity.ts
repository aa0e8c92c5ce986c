/** The outer code of a writer: 8 parity payloads over a group, accumulated as its payloads pass. */
import { instantiate, type KernelExports } from './module.ts';

/** Parity payloads of a group. */
export const OUTER_PARITY = 8;
/** Data payloads of a group, at most. */
export const MAX_GROUP = 128;
/** The longest payload: 239 rows of 4096 bytes. */
export const OUTER_CAPACITY = 239 * 4096;

const QUAD = 4;

/** @throws RangeError unless a payload can have this many bytes */
export function checkCapacity(capacity: number): void {
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > OUTER_CAPACITY) {
    throw new RangeError(`a payload has 1..${OUTER_CAPACITY} bytes, not ${capacity}`);
  }
}

/** @throws RangeError unless a group can have this payload */
export function checkIndex(index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= MAX_GROUP)
    throw new RangeError(`no payload ${index} in a group`);
}

/** @throws RangeError unless a group can have this parity payload */
export function checkParity(j: number): void {
  if (!Number.isInteger(j) || j < 0 || j >= OUTER_PARITY) throw new RangeError(`no outer parity ${j}`);
}

/** The distance between two payloads in memory: not a multiple of 4096, or they would evict each other from the cache. */
export function strideFor(capacity: number): number {
  const stride = (capacity + 319) & ~63;
  return stride % 4096 === 0 ? stride + 64 : stride;
}

/**
 * Parity payloads (m = 8) of a group. Payload i is symbol x = 8 + i; a payload shorter than the longest counts as padded
 * with zeros. Payloads are collected by four (an aligned quad of indices), for a fourth of the work, and may come in any
 * order, but only one after another are they fast.
 *
 * Memory: 12 payloads of WebAssembly, 11.8 MB with the default capacity, allocated once by the constructor.
 */
export class OuterParity {
  readonly capacity: number;
  readonly #exports: KernelExports;
  readonly #memory: Uint8Array;
  readonly #stride: number;
  readonly #sums: number;
  readonly #quad: number;
  readonly #lengths = [0, 0, 0, 0];
  #pending = -1;
  #length = 0;
  #transformed = false;

  /** @param options.capacity bytes of the longest payload to come, 1..978944 @throws RangeError otherwise */
  constructor({ capacity = OUTER_CAPACITY }: { capacity?: number } = {}) {
    checkCapacity(capacity);
    this.capacity = capacity;
    this.#stride = strideFor(capacity);
    this.#exports = instantiate((OUTER_PARITY + QUAD) * this.#stride);
    this.#memory = new Uint8Array(this.#exports.memory.buffer);
    this.#sums = this.#exports.arena();
    this.#quad = this.#sums + OUTER_PARITY * this.#stride;
  }

  /** The longest payload since `reset`, bytes: the length of every parity payload. */
  get length(): number {
    return this.#length;
  }

  /** Begins a new group. */
  reset(): void {
    for (let j = 0; j < OUTER_PARITY; j++) {
      const at = this.#sums + j * this.#stride;
      this.#memory.fill(0, at, at + ((this.#length + 15) & ~15));
    }
    this.#lengths.fill(0);
    this.#pending = -1;
    this.#length = 0;
    this.#transformed = false;
  }

  /**
   * Adds a payload. Adding the same one twice takes it out again.
   *
   * @param index the payload's number in its group, 0..127
   * @param payload its bytes; copied, free for reuse after the call
   * @throws RangeError for another index, or a payload beyond the capacity
   */
  add(index: number, payload: Uint8Array): void {
    checkIndex(index);
    if (payload.length > this.capacity) throw new RangeError(`${payload.length} bytes exceed ${this.capacity}`);
    const member = index % QUAD;
    const quad = (index - member) / QUAD;
    if (quad !== this.#pending || this.#lengths[member] > 0) this.#flush();
    this.#memory.set(payload, this.#quad + member * this.#stride);
    this.#pending = quad;
    this.#lengths[member] = payload.length;
    this.#length = Math.max(this.#length, payload.length);
  }

  /**
   * Parity payload j, `length` bytes. A view of this object's memory, valid until the next `add` or `reset`.
   * @throws RangeError unless j is 0..7
   */
  parity(j: number): Uint8Array {
    checkParity(j);
    this.#flush();
    if (!this.#transformed) this.#exports.sumsToParity(this.#sums, this.#stride, (this.#length + 15) & ~15);
    this.#transformed = true;
    const at = this.#sums + j * this.#stride;
    return this.#memory.subarray(at, at + this.#length);
  }

  #flush(): void {
    const longest = Math.max(...this.#lengths);
    if (longest === 0) return;
    const padded = (longest + 15) & ~15;
    if (this.#transformed) this.#exports.parityToSums(this.#sums, this.#stride, (this.#length + 15) & ~15);
    this.#transformed = false;
    this.#lengths.forEach((length, member) => {
      const at = this.#quad + member * this.#stride;
      this.#memory.fill(0, at + length, at + padded);
    });
    this.#exports.addQuad(this.#sums, this.#stride, this.#quad, this.#stride, this.#pending, padded);
    this.#lengths.fill(0);
  }
}
