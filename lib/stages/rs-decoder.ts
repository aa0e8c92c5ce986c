/** One copy's parity rows put to use: damaged blocks to whole ones, without a second copy. */
import { crc32 } from 'node:zlib';
import { blockHash } from '../crypto/hash.ts';
import { recoverRows } from '../erasure/rows.ts';
import { DamageError } from '../errors.ts';
import { FINAL, PARITY_ROWS, RecordType } from '../format/limits.ts';
import type { Block, Encoded } from './blocks.ts';
import { Stage } from './stage.ts';

/** Rows of a block whose CRC does not fit, as stored. */
export function badRows(rows: Buffer, rowCrcs: Uint32Array, rowLength: number): number[] {
  const bad: number[] = [];
  for (let r = 0; r < rowCrcs.length; r++) {
    if (crc32(rows.subarray(r * rowLength, (r + 1) * rowLength)) !== rowCrcs[r]) bad.push(r);
  }
  return bad;
}

/**
 * Takes what RSEncoder emits, possibly damaged since, and emits the data blocks as they were: up to 16 rows whose CRC does not fit are
 * solved for. Drops indexes and outer parity, which the HealingMerger uses.
 *
 * Memory: none of its own; blocks are repaired in place. Errors: DamageError ERR_DAMAGE_BLOCK.
 * @see RSEncoder, the mirror; HealingMerger, which reads two copies and goes further
 */
export class RSDecoder extends Stage<Encoded, Block> {
  readonly #fileId: Buffer;

  constructor(options: { fileId: Buffer }) {
    super({ objectsIn: true, objectsOut: true });
    this.#fileId = options.fileId;
  }

  protected override accept(block: Encoded): void | Promise<void> {
    if (block.type !== RecordType.DATA) return;
    if (!this.#matches(block)) {
      const bad = badRows(block.rows, block.rowCrcs, block.rowLength);
      if (bad.length <= PARITY_ROWS) recoverRows(block.rows, block.k, block.rowLength, bad);
      if (!this.#matches(block)) {
        throw new DamageError(
          'ERR_DAMAGE_BLOCK',
          `Block ${block.sequence} has ${bad.length} bad rows; one copy corrects 16.`,
          {
            blocks: [{ block: block.sequence, ranges: [] }],
          },
        );
      }
    }
    return this.send(block);
  }

  #matches(block: Block): boolean {
    return blockHash(this.#fileId, block.type, block.sequence, block.final ? FINAL : 0, block.payload).equals(
      block.hash,
    );
  }
}
