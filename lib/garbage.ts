/**
 * Memory that lies outside of V8's heap (WebAssembly, Buffers) hardly counts for V8's garbage collector, which lets tens of megabytes of it wait. Where much has
 * just become garbage, this asks for a collection.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Without options: everything. (Node 20 takes any other `type` for `minor`.) */
type Collect = (options?: { type: 'minor' }) => void;

let collect: Collect | undefined;

/** Only a hint: without V8's `gc`, nothing happens. */
function hint(options?: { type: 'minor' }): void {
  try {
    collect ??= find();
    if (options) collect(options);
    else collect();
  } catch {
    collect = () => {};
  }
}

function find(): Collect {
  const { gc } = globalThis as { gc?: Collect };
  if (gc) return gc;
  // The flag shows `gc` to contexts that are made while it is set: to the one of the next line, and not to the program.
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc') as Collect;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}

const YOUNG = 1024 * 1024;
let young = 0;
/** Buffers that outlived two small collections wait for a full one, which V8 itself begins only beyond 64 MiB of them. */
const WAITING = 6 * 1024 * 1024;
/** A full collection walks the whole heap. In a process whose heap is larger than this, an app is at work that must not be stopped for it. */
const SMALL_HEAP = 128 * 1024 * 1024;
/** The least that there was since the last full collection: what is in use, the app's own included. */
let least = 0;

/**
 * Says that so many bytes of rows or files went by, with short-lived objects and Buffers of about that size. Costs a tenth of a millisecond for
 * each MiB. Without it V8 lets young objects fill 2 x 16 MiB, and Buffers of 30 MiB and more wait beside them.
 */
export function freeYoung(bytes: number): void {
  young += bytes;
  if (young < YOUNG) return;
  young = 0;
  hint({ type: 'minor' });
  const { arrayBuffers: used, heapUsed } = process.memoryUsage();
  least = Math.min(least, used);
  if (used - least < WAITING || heapUsed > SMALL_HEAP) return;
  hint();
  least = process.memoryUsage().arrayBuffers;
}
