/**
 * Recovery of lost payloads of a group from its outer parity (m = 8), in one pass over what is left of the group.
 *
 * The sums T_j = parity_j XOR the sum over known data of L_j(8 + i) * d_i are all that a healer needs to keep: once all
 * that is intact has been added, in any order, each byte position with u unknown data and at least u known parities is
 * solved by a u x u matrix. The unknowns may differ from byte range to byte range: bytes never added are unknown there.
 */

import { sharedKernel } from './kernel/index.ts';
import { MAX_GROUP, OUTER_PARITY } from './kernel/outer-parity.ts';
import { OuterSums } from './kernel/outer-sums.ts';
import { type Matrix, puncturedMatrix } from './linear.ts';

/**
 * The matrix for one set of unknowns: unknown data payload `unknowns[i]` = the sum over c of
 * `matrix[i][c]` * T_parities[c], on all byte positions where exactly these are unknown.
 *
 * @param unknowns distinct payload numbers 0..127
 * @param parities distinct parities 0..7 that are known there (those that exist and are intact); only the first
 *   `unknowns.length` are used
 * @returns `unknowns.length` rows of `unknowns.length` coefficients
 * @throws RangeError where there are more unknowns than parities, or a number is repeated or out of range
 */
export function solve(unknowns: readonly number[], parities: readonly number[]): Matrix {
  if (unknowns.some((i) => !Number.isInteger(i) || i < 0 || i >= MAX_GROUP)) throw new RangeError('no such payload');
  return puncturedMatrix(
    unknowns.map((i) => OUTER_PARITY + i),
    parities,
    OUTER_PARITY,
  );
}

/**
 * The accumulator of a healer. Add every intact range of every payload and of every available parity once, in any order
 * (`add`, `addParity`); then `recover` range by range. Recovered bytes may be added too: then the sums of the
 * parities that were not needed become zero there, which is a check.
 *
 * Memory: that of `OuterSums`, 8.8 MB with the default capacity.
 */
export class OuterRecovery {
  readonly #sums: OuterSums;
  readonly #matrices = new Map<string, Matrix>();

  /** @param options.capacity bytes of the longest payload, 1..978944 (default) */
  constructor(options: { capacity?: number } = {}) {
    this.#sums = new OuterSums(options);
  }

  /** Begins another group. */
  reset(): void {
    this.#sums.reset();
  }

  /** Known data: bytes of payload `index` (0..127) from `offset` on. @throws RangeError beyond index or capacity */
  add(index: number, bytes: Uint8Array, offset = 0): void {
    this.#sums.add(index, bytes, offset);
  }

  /** Known parity: bytes of parity payload j (0..7) from `offset` on. @throws RangeError beyond j or capacity */
  addParity(j: number, bytes: Uint8Array, offset = 0): void {
    this.#sums.addParity(j, bytes, offset);
  }

  /** Sum T_j: a view, valid until the next call. Zero wherever parity j and all data were added. */
  sum(j: number): Uint8Array {
    return this.#sums.sum(j);
  }

  /**
   * Solves one byte range. The result is not verified: row CRCs and block hashes decide.
   *
   * @param unknowns the payloads that were not added there
   * @param parities the parities that were added there, at least as many
   * @param start first byte of the range in the payloads
   * @param outputs one buffer for each unknown, all as long as the range, overwritten
   * @throws RangeError for impossible numbers, ranges or shapes
   */
  recover(
    unknowns: readonly number[],
    parities: readonly number[],
    start: number,
    outputs: readonly Uint8Array[],
  ): void {
    const key = `${unknowns}/${parities}`;
    let matrix = this.#matrices.get(key);
    if (!matrix) {
      matrix = solve(unknowns, parities);
      if (this.#matrices.size >= 1024) this.#matrices.clear();
      this.#matrices.set(key, matrix);
    }
    if (outputs.length !== unknowns.length) throw new RangeError('one output for each unknown is needed');
    if (unknowns.length === 0) return;
    const end = start + outputs[0].length;
    if (!Number.isInteger(start) || start < 0 || end > this.#sums.length) {
      throw new RangeError(`bytes ${start}..${end} exceed the group's ${this.#sums.length}`);
    }
    const inputs = parities.slice(0, unknowns.length).map((j) => this.#sums.sum(j).subarray(start, end));
    sharedKernel().combine(outputs, inputs, matrix);
  }
}
