/** The stream of an upload: it fills parts, and sends them while the next ones fill. */
import { Writable } from 'node:stream';
import { SinkError } from '../../errors.ts';
import { recycle } from '../../memory.ts';
import { MAX_PARTS, partSizeOf } from './parts.ts';

/** Sends one part; resolves when the server has it. Must not look at `bytes` afterwards. */
export type SendPart = (number: number, bytes: Buffer) => Promise<void>;

export interface PartsOptions {
  /** For messages. */
  name: string;
  partSize: number;
  parallelParts: number;
  send: SendPart;
  /** The stream broke: what is under way must end. */
  onBroken: (error: Error | null) => void;
}

/**
 * Copies what it is given into parts. A part that is full is sent; of those under way, and the one that fills, at most `partSize * (parallelParts + 1)` bytes are
 * held, or two parts once they are larger than that. A stream that ends within its first part sends nothing: `single` has it.
 */
export class PartsWriter extends Writable {
  readonly #options: PartsOptions;
  #part: Buffer | undefined;
  #filled = 0;
  #number = 0;
  #length = 0;
  readonly #underWay = new Map<number, { bytes: number; done: Promise<void> }>();
  readonly #free: Buffer[] = [];

  constructor(options: PartsOptions) {
    super({ highWaterMark: 1024 * 1024 });
    this.#options = options;
  }

  /** Bytes that were written. */
  get length(): number {
    return this.#length;
  }

  /** Everything, if it fits into one part; after the end of the stream. */
  get single(): Buffer | undefined {
    if (this.#number > 0 && this.#sent > 0) return undefined;
    return this.#part?.subarray(0, this.#filled) ?? Buffer.alloc(0);
  }

  #sent = 0;

  /** Resolves when no part is under way any more, whether it arrived or not. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all([...this.#underWay.values()].map(({ done }) => done));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#take(chunk).then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    const last = async () => {
      if (this.#sent === 0) return;
      if (this.#filled > 0) await this.#send();
      await this.settled();
      // A part that failed has destroyed the stream.
      if (this.errored) throw this.errored;
    };
    last().then(() => callback(), callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (error || !this.writableFinished) {
      this.#part = undefined;
      this.#options.onBroken(error);
    }
    this.#free.length = 0;
    callback(error);
  }

  async #take(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      // Only when more comes than fits is it clear that there will be several parts.
      if (this.#part && this.#filled === this.#part.length) await this.#send();
      this.#part ??= this.#newPart();
      const taken = chunk.copy(this.#part, this.#filled, at);
      this.#filled += taken;
      at += taken;
    }
    this.#length += chunk.length;
    recycle(chunk);
  }

  #newPart(): Buffer {
    const { name, partSize } = this.#options;
    if (++this.#number > MAX_PARTS) {
      throw new SinkError(
        'ERR_SINK_TOO_LARGE',
        `${name}: an upload has at most ${MAX_PARTS} parts, and these are used up. Set a larger partSize.`,
        { facts: { path: name, parts: MAX_PARTS } },
      );
    }
    const size = partSizeOf(this.#number, partSize);
    const used = this.#free.pop();
    return used?.length === size ? used : Buffer.allocUnsafeSlow(size);
  }

  /** Sends the part at hand, as soon as there is room for one more under way. */
  async #send(): Promise<void> {
    const { partSize, parallelParts, send } = this.#options;
    const part = this.#part!;
    const bytes = part.subarray(0, this.#filled);
    const number = this.#number;
    this.#part = undefined;
    this.#filled = 0;
    this.#sent++;
    const room = partSize * parallelParts;
    for (;;) {
      const held = [...this.#underWay.values()].reduce((sum, one) => sum + one.bytes, 0);
      if (held === 0 || held + part.length <= room) break;
      await Promise.race([...this.#underWay.values()].map(({ done }) => done));
    }
    if (this.destroyed) throw this.errored ?? new Error('destroyed');
    const done = send(number, bytes).then(
      () => {
        if (!this.destroyed) this.#free.push(part);
        this.#underWay.delete(number);
      },
      (error: Error) => {
        this.#underWay.delete(number);
        this.destroy(error);
      },
    );
    this.#underWay.set(number, { bytes: part.length, done });
  }
}
