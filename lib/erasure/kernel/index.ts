/**
 * The fast half of the erasure code: AssemblyScript compiled to WebAssembly with SIMD (sources in assembly/), behind typed
 * methods. `reed-solomon.ts` is the same code written plainly; a test holds the two together.
 */
export { ErasureKernel, type KernelOptions, sharedKernel } from './erasure-kernel.ts';
export { MAX_GROUP, OUTER_CAPACITY, OUTER_PARITY, OuterParity } from './outer-parity.ts';
export { OuterSums } from './outer-sums.ts';
export { MAX_DATA_ROWS, MAX_ROW_LENGTH, PAGE_CONTENT, PAGE_PARITY, ROW_PARITY, SLOT_LENGTH } from './sizes.ts';
