/** Parity: 16 rows for each block, and the outer parity blocks of each group (SPEC.md sections 2, 4 and 5). */
import { crc32 } from 'node:zlib';
import { type ErasureKernel, OuterParity, sharedKernel } from '../erasure/kernel/index.ts';
import { parityCount, writeIndex } from '../format/group.ts';
import { GROUP, PARITY_ROWS, RecordType } from '../format/limits.ts';
import { blockOf } from './blocker.ts';
import { type Block, type Encoded, type SlotPool, takeSlot } from './blocks.ts';
import { Stage } from './stage.ts';

export interface RSEncoderOptions {
  fileId: Buffer;
  pool?: SlotPool;
}

/**
 * Takes `Block`s and emits them with parity rows; after the last of a group its parity blocks and its `GroupIndex` (neither in a file of
 * one block).
 *
 * Memory: 12 MB for the outer parity, allocated with the second block.
 * @see RSDecoder, the mirror
 */
export class RSEncoder extends Stage<Block, Encoded> {
  readonly #fileId: Buffer;
  readonly #pool: SlotPool | undefined;
  readonly #kernel: ErasureKernel;
  #outer: OuterParity | undefined;
  #hashes: Buffer[] = [];
  #bytes = 0;

  constructor(options: RSEncoderOptions) {
    super({ objectsIn: true, objectsOut: true });
    this.#fileId = options.fileId;
    this.#pool = options.pool;
    this.#kernel = options.pool?.kernel ?? sharedKernel();
  }

  protected override async accept(block: Block): Promise<void> {
    this.#addParityRows(block);
    this.#hashes.push(block.hash);
    this.#bytes += block.payload.length;
    const place = block.sequence % GROUP;
    // A file of one block has no outer code, and need not hold its memory.
    if (!(block.final && block.sequence === 0)) (this.#outer ??= new OuterParity()).add(place, block.payload);
    const closes = block.final || place === GROUP - 1;
    await this.send(block);
    if (closes && this.#outer) await this.#closeGroup(Math.floor(block.sequence / GROUP), this.#outer, block.rowCrcs);
  }

  #addParityRows(block: Block): void {
    const { k, rowLength, rows, rowCrcs } = block;
    const split = k * rowLength;
    this.#kernel.encodeRows(rows.subarray(0, split), k, rowLength, rows.subarray(split));
    for (let r = k; r < k + PARITY_ROWS; r++) rowCrcs[r] = crc32(rows.subarray(r * rowLength, (r + 1) * rowLength));
  }

  async #closeGroup(group: number, outer: OuterParity, lastCrcs: Uint32Array): Promise<void> {
    const n = this.#hashes.length;
    let parityCrcs: Uint32Array | undefined;
    for (let j = 0; j < parityCount(n); j++) {
      const slot = takeSlot(this.#pool);
      const parity = outer.parity(j);
      slot.rows.set(parity);
      const block = blockOf(
        RecordType.PARITY,
        256 * group + j,
        false,
        slot.rows.subarray(0, parity.length),
        slot,
        this.#fileId,
      );
      this.#addParityRows(block);
      this.#hashes.push(block.hash);
      parityCrcs = block.rowCrcs;
      await this.send(block);
    }
    const body = writeIndex({ payloadBytes: this.#bytes, hashes: this.#hashes, lastCrcs, parityCrcs });
    await this.send({ type: RecordType.INDEX, group, body });
    outer.reset();
    this.#hashes = [];
    this.#bytes = 0;
  }
}
