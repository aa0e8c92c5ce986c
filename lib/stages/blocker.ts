/** Sealed segments to blocks of rows (SPEC.md section 4). */
import { crc32 } from 'node:zlib';
import { blockHash } from '../crypto/hash.ts';
import { FormatError } from '../errors.ts';
import { FINAL, FULL_RECORD, PAGE, RecordType } from '../format/limits.ts';
import { blockShape } from '../format/page.ts';
import { Slot } from '../memory.ts';
import type { Block, Segment } from './blocks.ts';
import { Stage } from './stage.ts';

/** A payload in a slot's rows, padded with zeros, with its hash and the CRCs of its data rows. Parity rows are left undefined. */
export function blockOf(
  type: Block['type'],
  sequence: number,
  final: boolean,
  payload: Buffer,
  slot: Slot,
  fileId: Buffer,
): Block {
  const shape = blockShape(payload.length);
  if (!shape) throw new FormatError('ERR_FORMAT_BLOCK', `No block holds ${payload.length} bytes.`);
  const { k, m, rowLength } = shape;
  const rows = slot.rows.subarray(0, (k + m) * rowLength);
  rows.fill(0, payload.length, k * rowLength);
  const rowCrcs = new Uint32Array(k + m);
  for (let r = 0; r < k; r++) rowCrcs[r] = crc32(rows.subarray(r * rowLength, (r + 1) * rowLength));
  const hash = blockHash(fileId, type, sequence, final ? FINAL : 0, payload);
  return { type, sequence, final, payload, k, rowLength, rows, hash, rowCrcs, slot };
}

/**
 * Takes `Segment`s and emits `Block`s. A segment that lies in a slot is used where it is; another is copied into one.
 * @see Deblocker, the mirror
 */
export class Blocker extends Stage<Segment, Block> {
  readonly #fileId: Buffer;

  constructor(options: { fileId: Buffer }) {
    super({ objectsIn: true, objectsOut: true });
    this.#fileId = options.fileId;
  }

  protected override accept(segment: Segment): void | Promise<void> {
    const slot = segment.slot ?? new Slot(Buffer.allocUnsafeSlow(FULL_RECORD));
    let { payload } = segment;
    if (!segment.slot) {
      payload.copy(slot.bytes, PAGE);
      payload = slot.rows.subarray(0, payload.length);
    }
    return this.send(blockOf(RecordType.DATA, segment.index, segment.final, payload, slot, this.#fileId));
  }
}
