/** Stream bytes to sealed segments (SPEC.md section 7). */
import { type AeadKey, sealSegment } from '../crypto/aead.ts';
import { SourceError } from '../errors.ts';
import { FRAME_HEAD, NO_FRAME, SEGMENT, SEGMENT_HEAD, SEGMENT_STREAM, TAG } from '../format/limits.ts';
import { type Segment, type SlotPool, takeSlot } from './blocks.ts';
import { Stage } from './stage.ts';

export interface EncryptorOptions {
  key: AeadKey;
  fileId: Buffer;
  pool?: SlotPool;
}

/**
 * Takes the bytes of a stream of frames, cut anywhere, and emits `Segment`s: each full but the last. Finds the frames' beginnings
 * from their heads, for the pointer that a reader needs who starts in the middle.
 *
 * Memory: one plaintext segment, and a slot of 1 MiB for each segment on its way.
 * @see Decryptor, the mirror
 */
export class Encryptor extends Stage<Buffer, Segment> {
  readonly #options: EncryptorOptions;
  readonly #plain = Buffer.alloc(SEGMENT);
  #filled = 0;
  #firstFrame = NO_FRAME;
  #index = 0;
  readonly #frames = new FrameStarts();

  constructor(options: EncryptorOptions) {
    super({ objectsOut: true });
    this.#options = options;
  }

  protected override async accept(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      // Only when more bytes come is it known that a full segment is not the last.
      if (this.#filled === SEGMENT_STREAM) await this.#seal(false);
      const part = chunk.subarray(at, at + SEGMENT_STREAM - this.#filled);
      const first = this.#frames.scan(part);
      if (first >= 0 && this.#firstFrame === NO_FRAME) this.#firstFrame = this.#filled + first;
      part.copy(this.#plain, SEGMENT_HEAD + this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  protected override async finish(): Promise<void> {
    if (this.#filled === 0)
      throw new SourceError('ERR_SOURCE_EMPTY', 'There is no stream to encrypt: not even its END frame came.');
    await this.#seal(true);
  }

  async #seal(final: boolean): Promise<void> {
    const { key, fileId, pool } = this.#options;
    const plain = this.#plain.subarray(0, SEGMENT_HEAD + this.#filled);
    plain.writeUInt32BE(this.#firstFrame, 0);
    const slot = takeSlot(pool);
    const payload = slot.rows.subarray(0, plain.length + TAG);
    sealSegment(key, fileId, this.#index, final, plain, payload);
    const segment: Segment = { index: this.#index++, final, payload, slot };
    this.#filled = 0;
    this.#firstFrame = NO_FRAME;
    await this.send(segment);
  }
}

/** Follows frame heads through bytes that are cut anywhere. */
class FrameStarts {
  readonly #head = Buffer.alloc(FRAME_HEAD);
  #have = 0;
  #body = 0;

  /** Where in `part` the first frame starts, or -1. */
  scan(part: Buffer): number {
    let first = -1;
    for (let at = 0; at < part.length; ) {
      if (this.#body > 0) {
        const step = Math.min(this.#body, part.length - at);
        this.#body -= step;
        at += step;
        continue;
      }
      if (this.#have === 0 && first < 0) first = at;
      const step = Math.min(FRAME_HEAD - this.#have, part.length - at);
      part.copy(this.#head, this.#have, at, at + step);
      this.#have += step;
      at += step;
      if (this.#have === FRAME_HEAD) {
        this.#body = this.#head.readUInt32BE(12);
        this.#have = 0;
      }
    }
    return first;
  }
}
