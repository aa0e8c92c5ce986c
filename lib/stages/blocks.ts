/** What travels between the stages of the container's half, and the pool that its memory comes from. */
import { ErasureKernel } from '../erasure/kernel/index.ts';
import { FULL_RECORD, type RecordType } from '../format/limits.ts';
import { Slot } from '../memory.ts';

/** A sealed segment: what Encryptor emits and Decryptor takes. */
export interface Segment {
  index: number;
  final: boolean;
  /** Ciphertext and tag. */
  payload: Buffer;
  /** The memory that `payload` lies in, where it has rows of room around it. */
  slot?: Slot;
}

/** A block with its rows: what Blocker emits (parity rows still empty) and RSEncoder completes. */
export interface Block {
  type: typeof RecordType.DATA | typeof RecordType.PARITY;
  sequence: number;
  final: boolean;
  payload: Buffer;
  k: number;
  rowLength: number;
  /** k data rows, then 16 parity rows. */
  rows: Buffer;
  hash: Buffer;
  /** CRC-32 of each of the k + 16 rows. */
  rowCrcs: Uint32Array;
  /** The memory that `rows` begins at the rows of. */
  slot: Slot;
}

/** The hashes of a complete group: what RSEncoder emits after the group's parity. */
export interface GroupIndex {
  type: typeof RecordType.INDEX;
  group: number;
  body: Buffer;
}

/** Everything that RSEncoder emits. */
export type Encoded = Block | GroupIndex;

/** A pool of slots in the Reed-Solomon kernel's own memory, where encoding copies nothing. Holds `size` MiB. */
export class SlotPool {
  readonly kernel: ErasureKernel;
  readonly #free: Slot[];

  constructor(size: number) {
    this.kernel = new ErasureKernel({ slots: size });
    this.#free = Array.from({ length: size }, (_, n) => {
      const bytes = this.kernel.slot(n);
      return new Slot(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), (slot) => this.#free.push(slot));
    });
  }

  /** A slot with undefined content. When all are out, fresh memory, which the garbage collector takes back: never waits. */
  take(): Slot {
    return this.#free.pop()?.reset() ?? new Slot(Buffer.allocUnsafeSlow(FULL_RECORD));
  }
}

/** A slot from the pool, or fresh memory without one. */
export function takeSlot(pool: SlotPool | undefined): Slot {
  return pool?.take() ?? new Slot(Buffer.allocUnsafeSlow(FULL_RECORD));
}
