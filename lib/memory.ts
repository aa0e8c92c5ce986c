/** Memory that serves again: slots of one mebibyte, and the leases by which their last consumer returns them. */

const PAGE = 4096;

/** One mebibyte: room for a full record. The first 4096 bytes are the page's, the rows follow. */
export class Slot {
  readonly bytes: Buffer;
  readonly #release: ((slot: Slot) => void) | undefined;
  #holders = 1;

  constructor(bytes: Buffer, release?: (slot: Slot) => void) {
    this.bytes = bytes;
    this.#release = release;
  }

  /** The rows, all 255 of them. */
  get rows(): Buffer {
    return this.bytes.subarray(PAGE);
  }

  /** One more holder, who calls `release` too. */
  retain(): this {
    this.#holders++;
    return this;
  }

  /** When all holders have let go, the memory serves the next block. */
  release(): void {
    if (--this.#holders === 0) this.#release?.(this);
  }

  /** Makes a slot from the pool its taker's alone. */
  reset(): this {
    this.#holders = 1;
    return this;
  }
}

const leases = new WeakMap<object, Slot>();

/** Marks a chunk as lying in `slot`: whoever consumes it last calls `recycle`. */
export function lease(chunk: Buffer, slot: Slot | undefined): Buffer {
  if (slot) leases.set(chunk, slot);
  return chunk;
}

/**
 * Says that a chunk has been consumed and its memory may serve again. Sinks of this library call it; for chunks that no pool owns it does
 * nothing, and a chunk that nobody recycles is garbage-collected.
 */
export function recycle(chunk: object): void {
  const slot = leases.get(chunk);
  if (!slot) return;
  leases.delete(chunk);
  slot.release();
}

/** One chunk for several consumers: each gets a view of its own and recycles that; the chunk itself is then nobody's. */
export function share(chunk: Buffer, consumers: number): Buffer[] {
  const slot = leases.get(chunk);
  if (!slot || consumers === 1) return Array.from({ length: consumers }, () => chunk);
  leases.delete(chunk);
  for (let i = 1; i < consumers; i++) slot.retain();
  if (consumers === 0) slot.release();
  return Array.from({ length: consumers }, () => lease(chunk.subarray(), slot));
}
