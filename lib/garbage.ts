/**
 * Memory that lies outside of V8's heap (WebAssembly, Buffers) hardly counts for V8's garbage collector, which lets tens of megabytes of it wait. Where much has
 * just become garbage, this asks for a collection.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options?: { type: 'minor' | 'major' }) => void;

let collect: Collect | undefined;

/** Only a hint: without V8's `gc`, nothing happens. */
function hint(type: 'minor' | 'major'): void {
  try {
    collect ??= find();
    collect({ type });
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

/** After something of 64 MiB. Costs tens of milliseconds. */
export function freeAll(): void {
  hint('major');
}

/** Between two collections of short-lived Buffers. */
const YOUNG = 8 * 1024 * 1024;
let young = 0;

/** Says that so many bytes of short-lived Buffers were made. Costs a tenth of a millisecond, every 8 MiB. */
export function freeYoung(bytes: number): void {
  young += bytes;
  if (young < YOUNG) return;
  young = 0;
  hint('minor');
}
