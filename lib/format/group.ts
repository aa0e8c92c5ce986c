/**
 * Groups: their size, their parity, and the body of their INDEX (SPEC.md section 5): the hashes of a group's blocks and of its parity, and the row CRCs of
 * the two records that fewest pages know, the last block and the last parity block.
 */
import { FULL_PAYLOAD, GROUP, GROUP_PARITY, MAX_DATA_ROWS, PARITY_ROWS } from './limits.ts';
import { blockShape } from './page.ts';

/** Blocks in a group of a file of `count` blocks. */
export function groupSize(group: number, count: number): number {
  return Math.min(GROUP, count - group * GROUP);
}

/** Outer parity blocks of a group of n blocks. */
export function parityCount(n: number): number {
  return n <= 1 ? 0 : Math.ceil((n * GROUP_PARITY) / GROUP);
}

const HASH = 32;
const CRC = 4;

/** Where everything stands in the body. */
export interface IndexShape {
  /** Blocks of the group. */
  blocks: number;
  /** Its parity blocks; may be none. */
  parities: number;
  hashAt(block: number): number;
  parityHashAt(parity: number): number;
  /** Row CRCs of the group's last block. */
  lastRows: { at: number; rows: number };
  /** Row CRCs of the group's last parity block; no rows where there is none. */
  parityRows: { at: number; rows: number };
  length: number;
}

/** @param lastLength payload of the file's last block */
export function indexShape(group: number, count: number, lastLength: number): IndexShape {
  const blocks = groupSize(group, count);
  const parities = parityCount(blocks);
  const last = blockShape(group * GROUP + blocks === count ? lastLength : FULL_PAYLOAD)!;
  const hashesEnd = 8 + HASH * (blocks + parities);
  const lastRows = { at: hashesEnd, rows: last.k + last.m };
  const parityRows = { at: hashesEnd + CRC * lastRows.rows, rows: parities > 0 ? MAX_DATA_ROWS + PARITY_ROWS : 0 };
  return {
    blocks,
    parities,
    hashAt: (block) => 8 + HASH * block,
    parityHashAt: (parity) => 8 + HASH * (blocks + parity),
    lastRows,
    parityRows,
    length: parityRows.at + CRC * parityRows.rows,
  };
}

/** @param hashes of the blocks, then of the parity blocks */
export function writeIndex(index: {
  payloadBytes: number;
  hashes: Buffer[];
  lastCrcs: Uint32Array;
  parityCrcs: Uint32Array | undefined;
}): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64BE(BigInt(index.payloadBytes), 0);
  return Buffer.concat([head, ...index.hashes, crcBytes(index.lastCrcs), crcBytes(index.parityCrcs ?? [])]);
}

function crcBytes(crcs: Uint32Array | number[]): Buffer {
  const bytes = Buffer.alloc(CRC * crcs.length);
  crcs.forEach((crc, r) => void bytes.writeUInt32BE(crc, CRC * r));
  return bytes;
}
