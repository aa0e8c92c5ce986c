/** Loads the kernel's WebAssembly: compiled once per thread, instantiated with a memory that never grows again. */
import { KERNEL_BASE64 } from './kernel-binary.ts';

/** What assembly/index.ts exports. Pointers and lengths are bytes. */
export interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  arena(): number;
  encodeRows(rows: number, k: number, rowLength: number, parity: number): void;
  encodePage(content: number, parity: number): void;
  combine(
    out: number,
    outStride: number,
    outputs: number,
    input: number,
    inputStride: number,
    inputs: number,
    coefficients: number,
    length: number,
    accumulate: boolean,
  ): void;
  columnSyndromes(block: number, k: number, rowLength: number, residual: number, syndromes: number): void;
  correctColumn(
    block: number,
    k: number,
    rowLength: number,
    column: number,
    syndromes: number,
    stride: number,
    erasures: number,
    f: number,
    fixed: number,
  ): number;
  correctColumns(
    block: number,
    k: number,
    rowLength: number,
    syndromes: number,
    erasures: number,
    f: number,
    fixed: number,
    status: number,
  ): void;
  correctPage(page: number, erasures: number): number;
  addQuad(sums: number, stride: number, input: number, inputStride: number, quad: number, length: number): void;
  sumsToParity(sums: number, stride: number, length: number): void;
  parityToSums(sums: number, stride: number, length: number): void;
  xor(to: number, from: number, length: number): void;
}

// The types of Node do not declare WebAssembly; these two are all that is used of it.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
};

let compiled: object | undefined;

/**
 * A new instance of the kernel with its own memory.
 *
 * @param bytes how much of its memory the caller needs from `arena()` on; allocated here, once
 */
export function instantiate(bytes: number): KernelExports {
  compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_BASE64, 'base64'));
  const exports = new WebAssembly.Instance(compiled).exports as KernelExports;
  const missing = exports.arena() + bytes - exports.memory.buffer.byteLength;
  exports.memory.grow(Math.max(0, Math.ceil(missing / 65536)));
  return exports;
}
