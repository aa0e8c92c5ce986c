/** Blocks to sealed segments. */
import { TruncatedError } from '../errors.ts';
import { RecordType } from '../format/limits.ts';
import type { Block, Segment } from './blocks.ts';
import { Stage } from './stage.ts';

/** What of a block its payload needs. */
export type VerifiedBlock = Pick<Block, 'type' | 'sequence' | 'final' | 'payload'> & { slot?: Block['slot'] };

/**
 * Takes healed blocks in order and emits their payloads as `Segment`s; refuses gaps.
 *
 * Errors: TruncatedError ERR_TRUNCATED_BLOCKS when a block is missing.
 * @see Blocker, the mirror
 */
export class Deblocker extends Stage<VerifiedBlock, Segment> {
  #next: number;

  constructor(options: { first?: number } = {}) {
    super({ objectsIn: true, objectsOut: true });
    this.#next = options.first ?? 0;
  }

  protected override accept(block: VerifiedBlock): void | Promise<void> {
    if (block.type !== RecordType.DATA) return;
    if (block.sequence !== this.#next) {
      throw new TruncatedError(
        'ERR_TRUNCATED_BLOCKS',
        `Block ${this.#next} is missing: block ${block.sequence} came in its place.`,
      );
    }
    this.#next++;
    const { sequence: index, final, payload, slot } = block;
    return this.send(slot ? { index, final, payload, slot } : { index, final, payload });
  }
}
