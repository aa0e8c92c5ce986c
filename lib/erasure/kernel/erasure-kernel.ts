/** Row and page codes on the WebAssembly kernel. */
import type { Matrix } from '../linear.ts';
import { instantiate, type KernelExports } from './module.ts';
import {
  checkByte,
  checkLength,
  checkRows,
  MAX_ROW_LENGTH,
  PAGE_CONTENT,
  PAGE_PARITY,
  ROW_PARITY,
  SLOT_LENGTH,
} from './sizes.ts';

const BLOCK_LENGTH = 255 * MAX_ROW_LENGTH;
const SCRATCH_LENGTH = ROW_PARITY * MAX_ROW_LENGTH;

export interface KernelOptions {
  /** Records that the kernel's memory holds for the caller, see `slot`. Default 0. */
  slots?: number;
}

/**
 * Row and page codes. Every method is synchronous and keeps no state between calls; arguments are not retained.
 *
 * Memory: 1,310,720 bytes of WebAssembly, and 1 MiB for each slot, allocated once, never grown: views stay valid.
 * Arguments that lie in a slot are used where they are; all others are copied in and out.
 */
export class ErasureKernel {
  readonly #exports: KernelExports;
  readonly #memory: Uint8Array;
  readonly #residual: number;
  readonly #scratch: number;
  readonly #coefficients: number;
  readonly #block: number;
  readonly #slots: Uint8Array[];

  constructor({ slots = 0 }: KernelOptions = {}) {
    if (!Number.isInteger(slots) || slots < 0 || slots > 64) throw new RangeError(`0..64 slots, not ${slots}`);
    const own = 2 * SCRATCH_LENGTH + 4096 + BLOCK_LENGTH;
    this.#exports = instantiate(own + slots * SLOT_LENGTH);
    this.#memory = new Uint8Array(this.#exports.memory.buffer);
    this.#residual = this.#exports.arena();
    this.#scratch = this.#residual + SCRATCH_LENGTH;
    this.#coefficients = this.#scratch + SCRATCH_LENGTH;
    this.#block = this.#coefficients + 4096;
    const first = this.#block + BLOCK_LENGTH;
    this.#slots = Array.from({ length: slots }, (_, n) => this.#view(first + n * SLOT_LENGTH, SLOT_LENGTH));
  }

  /**
   * Slot n: 1 MiB of the kernel's memory, aligned to 4096, which belongs to the caller. What is encoded or decoded there is not
   * copied. @throws RangeError where there is no such slot
   */
  slot(n: number): Uint8Array {
    const slot = this.#slots[n];
    if (!slot) throw new RangeError(`this kernel has ${this.#slots.length} slots, not a slot ${n}`);
    return slot;
  }

  /**
   * The 16 parity rows of a block.
   *
   * @param rows k * rowLength bytes, row after row; byte c of all rows is one codeword
   * @param k data rows, 1..239
   * @param rowLength bytes of a row: a multiple of 512, at most 4096
   * @param parity 16 * rowLength bytes, overwritten: parity row j at j * rowLength
   * @throws RangeError for other sizes
   */
  encodeRows(rows: Uint8Array, k: number, rowLength: number, parity: Uint8Array): void {
    checkRows(k, rowLength);
    checkLength(rows, k * rowLength, 'rows');
    checkLength(parity, ROW_PARITY * rowLength, 'parity');
    const to = this.#at(parity) ?? this.#scratch;
    this.#exports.encodeRows(this.#stage(rows), k, rowLength, to);
    if (to === this.#scratch) parity.set(this.#view(to, parity.length));
  }

  /**
   * The parity computed anew from the data rows, XOR the parity rows as received: column c of the result is zero exactly
   * where column c is a codeword.
   *
   * @param parity the received parity rows, 16 * rowLength bytes
   * @param residual 16 * rowLength bytes, overwritten
   * @throws RangeError for other sizes
   */
  rowResidual(rows: Uint8Array, k: number, rowLength: number, parity: Uint8Array, residual: Uint8Array): void {
    checkLength(residual, ROW_PARITY * rowLength, 'residual');
    checkLength(parity, ROW_PARITY * rowLength, 'parity');
    this.encodeRows(rows, k, rowLength, this.#view(this.#residual, residual.length));
    let from = this.#at(parity);
    if (from === undefined) this.#memory.set(parity, (from = this.#scratch));
    this.#exports.xor(this.#residual, from, residual.length);
    residual.set(this.#view(this.#residual, residual.length));
  }

  /**
   * The parity of a page: 16 interleaved codewords of 143 content and 112 parity symbols. Content byte b is symbol
   * floor(b / 16) of codeword b % 16; parity byte 16n + j is parity symbol n of codeword j.
   *
   * @param content 2288 bytes
   * @param parity 1792 bytes, overwritten
   * @throws RangeError for other sizes
   */
  encodePage(content: Uint8Array, parity: Uint8Array): void {
    checkLength(content, PAGE_CONTENT, 'content');
    checkLength(parity, PAGE_PARITY, 'parity');
    this.#exports.encodePage(this.#stage(content), this.#scratch);
    parity.set(this.#view(this.#scratch, PAGE_PARITY));
  }

  /** dst ^= c * src. @param c a field element @throws RangeError where the lengths differ or c is not a byte */
  mulAdd(dst: Uint8Array, src: Uint8Array, c: number): void {
    this.#combine([dst], [src], [Uint8Array.of(checkByte(c))], true);
  }

  /**
   * outputs[o] = the sum over i of coefficients[o][i] * inputs[i], byte by byte.
   *
   * @param outputs vectors of one length, overwritten; they must not overlap the inputs
   * @param inputs at most 255 vectors of the same length
   * @param coefficients a row for each output, a column for each input
   * @throws RangeError where the shapes do not fit
   */
  combine(outputs: readonly Uint8Array[], inputs: readonly Uint8Array[], coefficients: Matrix): void {
    this.#combine(outputs, inputs, coefficients, false);
  }

  /**
   * XORs into the rows `bad` what `matrix` makes of the block's residual: `recoverRows` in rows.ts knows why.
   *
   * @param block k + 16 rows, data rows first; its bad rows are changed in place
   * @param matrix a row of 16 coefficients for each bad row, of which there are at most 16
   */
  applyResidual(block: Uint8Array, k: number, rowLength: number, bad: readonly number[], matrix: Matrix): void {
    checkRows(k, rowLength);
    checkLength(block, (k + ROW_PARITY) * rowLength, 'block');
    if (bad.length > ROW_PARITY || matrix.length !== bad.length)
      throw new RangeError(`${bad.length} rows are too many`);
    for (const row of matrix) checkLength(row, ROW_PARITY, 'coefficients');
    const at = this.#stage(block);
    const { encodeRows, xor, combine } = this.#exports;
    encodeRows(at, k, rowLength, this.#residual);
    xor(this.#residual, at + k * rowLength, ROW_PARITY * rowLength);
    this.#setCoefficients(matrix, ROW_PARITY);
    const [coefficients, residual, scratch] = [this.#coefficients, this.#residual, this.#scratch];
    combine(scratch, rowLength, bad.length, residual, rowLength, ROW_PARITY, coefficients, rowLength, false);
    bad.forEach((r, i) => {
      xor(at + r * rowLength, scratch + i * rowLength, rowLength);
      if (at === this.#block) block.set(this.#view(at + r * rowLength, rowLength), r * rowLength);
    });
  }

  /**
   * Corrects errors and erasures in the columns of a block, in place: `decodeColumns` in rows.ts, with positions for rows.
   *
   * @param block k + 16 rows, data rows first
   * @param erasures positions x that are unknown in all columns
   * @param fixed 256 flags: positions that must not change
   * @param columns the columns to look at; all if undefined
   * @param erasuresOf positions for one column, in place of `erasures`; called for columns that are not
   *   codewords, and must not call this kernel
   * @returns for each column: 0 clean or not looked at, -1 beyond correction and left alone, else how many symbols changed
   */
  correctColumns(
    block: Uint8Array,
    k: number,
    rowLength: number,
    erasures: readonly number[],
    fixed: Uint8Array,
    columns?: Iterable<number>,
    erasuresOf?: (column: number) => readonly number[],
  ): Int8Array {
    checkRows(k, rowLength);
    checkLength(block, (k + ROW_PARITY) * rowLength, 'block');
    checkLength(fixed, 256, 'fixed');
    if (erasures.length > 255) throw new RangeError('a codeword has at most 255 positions');
    const memory = this.#memory;
    const [at, erased, flags, syndromes] = [
      this.#stage(block),
      this.#coefficients,
      this.#coefficients + 256,
      this.#scratch,
    ];
    const status = new Int8Array(rowLength);
    this.#exports.columnSyndromes(at, k, rowLength, this.#residual, syndromes);
    memory.set(fixed, flags);
    memory.set(erasures, erased);
    if (!columns && !erasuresOf) {
      this.#exports.correctColumns(at, k, rowLength, syndromes, erased, erasures.length, flags, this.#residual);
      status.set(new Int8Array(memory.buffer, this.#residual, rowLength));
    } else {
      for (const c of columns ?? status.keys()) {
        if (!Number.isInteger(c) || c < 0 || c >= rowLength) throw new RangeError(`no column ${c}`);
        let any = 0;
        for (let l = 0; l < ROW_PARITY; l++) any |= memory[syndromes + l * rowLength + c];
        if (any === 0 || status[c] !== 0) continue;
        const own = erasuresOf?.(c) ?? erasures;
        if (erasuresOf) memory.set(own, erased);
        const { correctColumn } = this.#exports;
        status[c] = correctColumn(at, k, rowLength, c, syndromes + c, rowLength, erased, own.length, flags);
      }
    }
    if (at === this.#block && status.some((n) => n > 0)) block.set(this.#view(at, block.length));
    return status;
  }

  /**
   * Corrects a page in place: `decodePage` in page.ts, with positions for byte ranges.
   *
   * @param page 4080 bytes, content then parity; left alone where the answer is false
   * @param erasures for each of the 16 codewords, the positions that are unknown
   * @returns whether every codeword is right now
   */
  correctPage(page: Uint8Array, erasures: readonly (readonly number[])[]): boolean {
    checkLength(page, PAGE_CONTENT + PAGE_PARITY, 'page');
    for (let j = 0; j < 16; j++) {
      const lost = erasures[j] ?? [];
      this.#memory[this.#coefficients + 128 * j] = Math.min(255, lost.length);
      if (lost.length <= 112) this.#memory.set(lost, this.#coefficients + 128 * j + 1);
    }
    this.#memory.set(page, this.#block);
    if (this.#exports.correctPage(this.#block, this.#coefficients) === 0) return false;
    page.set(this.#view(this.#block, page.length));
    return true;
  }

  #combine(outputs: readonly Uint8Array[], inputs: readonly Uint8Array[], matrix: Matrix, accumulate: boolean): void {
    const n = outputs.length;
    const total = n + inputs.length;
    const length = (outputs[0] ?? inputs[0])?.length ?? 0;
    if (inputs.length > 255 || n * inputs.length > 4096) throw new RangeError(`${n} x ${inputs.length} is too much`);
    for (const v of [...outputs, ...inputs]) checkLength(v, length, 'vector');
    if (matrix.length !== n) throw new RangeError(`${matrix.length} rows of coefficients for ${n} outputs`);
    for (const row of matrix) checkLength(row, inputs.length, 'coefficients');
    if (n === 0) return;
    this.#setCoefficients(matrix, inputs.length);
    const stride = Math.min(Math.floor(BLOCK_LENGTH / total) & ~31, (length + 31) & ~31);
    const from = this.#block + n * stride;
    for (let start = 0; start < length; start += stride) {
      const end = Math.min(length, start + stride);
      for (let i = 0; i < inputs.length; i++) this.#memory.set(inputs[i].subarray(start, end), from + i * stride);
      for (let o = 0; accumulate && o < n; o++) {
        this.#memory.set(outputs[o].subarray(start, end), this.#block + o * stride);
      }
      const padded = (end - start + 15) & ~15;
      const [c, block] = [this.#coefficients, this.#block];
      this.#exports.combine(block, stride, n, from, stride, inputs.length, c, padded, accumulate);
      for (let o = 0; o < n; o++) outputs[o].set(this.#view(block + o * stride, end - start), start);
    }
  }

  #setCoefficients(matrix: Matrix, width: number): void {
    for (let o = 0; o < matrix.length; o++) this.#memory.set(matrix[o], this.#coefficients + o * width);
  }

  /** The address of bytes that lie in this kernel's memory already. */
  #at(bytes: Uint8Array): number | undefined {
    return bytes.buffer === this.#memory.buffer ? bytes.byteOffset : undefined;
  }

  #stage(bytes: Uint8Array): number {
    const at = this.#at(bytes);
    if (at !== undefined) return at;
    this.#memory.set(bytes, this.#block);
    return this.#block;
  }

  #view(at: number, length: number): Uint8Array {
    return this.#memory.subarray(at, at + length);
  }
}

let shared: ErasureKernel | undefined;

/** The kernel of this thread, without slots, made at the first call: for those who decode now and then. */
export function sharedKernel(): ErasureKernel {
  return (shared ??= new ErasureKernel());
}
