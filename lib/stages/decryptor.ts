/** Sealed segments to stream bytes (SPEC.md section 7). */
import { type AeadKey, openSegment } from '../crypto/aead.ts';
import { TamperError, TruncatedError } from '../errors.ts';
import { MIN_PAYLOAD, SEGMENT_HEAD, TAG } from '../format/limits.ts';
import type { Segment } from './blocks.ts';
import { Stage } from './stage.ts';

export interface DecryptorOptions {
  key: AeadKey;
  fileId: Buffer;
  /** The number of the first segment, for a reader that starts in the middle. Default 0. */
  first?: number;
  /** Other payloads for a segment whose tag does not verify: the other copy, the outer code. */
  alternatives?: (index: number) => AsyncIterable<Buffer>;
}

/**
 * Takes `Segment`s in order and emits stream bytes, each only after its tag verified.
 *
 * Memory: one segment. Errors: TamperError ERR_TAMPER_BLOCK (with the block), ERR_TAMPER_ORDER; TruncatedError
 * ERR_TRUNCATED_STREAM when the last segment is not final.
 * @see Encryptor, the mirror
 */
export class Decryptor extends Stage<Segment, Buffer> {
  readonly #options: DecryptorOptions;
  #next: number;
  #final = false;

  constructor(options: DecryptorOptions) {
    super({ objectsIn: true });
    this.#options = options;
    this.#next = options.first ?? 0;
  }

  protected override async accept(segment: Segment): Promise<void> {
    if (segment.index !== this.#next || this.#final) {
      throw new TamperError('ERR_TAMPER_ORDER', `Segment ${segment.index} came where segment ${this.#next} belongs.`);
    }
    const bytes = await this.open(segment);
    segment.slot?.release();
    this.#next++;
    this.#final = segment.final;
    await this.send(bytes);
  }

  /** The stream bytes of one segment, for a reader that wants only some. @throws TamperError ERR_TAMPER_BLOCK */
  async open(segment: Segment): Promise<Buffer> {
    return (await this.openPlain(segment)).subarray(SEGMENT_HEAD);
  }

  /** The whole plaintext of one segment: the pointer to its first frame, then stream bytes. @throws as `open` */
  async openPlain(segment: Segment): Promise<Buffer> {
    const { key, fileId, alternatives } = this.#options;
    const attempt = (payload: Buffer): Buffer | null => {
      if (payload.length < MIN_PAYLOAD) return null;
      const plain = Buffer.allocUnsafeSlow(payload.length - TAG);
      return openSegment(key, fileId, segment.index, segment.final, payload, plain) ? plain : null;
    };
    const plain = attempt(segment.payload);
    if (plain) return plain;
    for await (const other of alternatives?.(segment.index) ?? []) {
      const healed = attempt(other);
      if (healed) return healed;
    }
    throw new TamperError(
      'ERR_TAMPER_BLOCK',
      `Block ${segment.index} was changed by somebody: its checksum fits and its authentication fails. Use another copy of this backup.`,
      { facts: { block: segment.index } },
    );
  }

  protected override finish(): void {
    if (!this.#final) {
      throw new TruncatedError(
        'ERR_TRUNCATED_STREAM',
        `The encrypted stream ends after segment ${this.#next - 1}, which is not its last.`,
      );
    }
  }
}
