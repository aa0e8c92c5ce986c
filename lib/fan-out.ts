/** One stream of bytes into several outputs. */
import { Writable } from 'node:stream';
import { FULL_RECORD } from './format/limits.ts';
import { share } from './memory.ts';
import type { Output } from './outputs.ts';
import type { ReadBack } from './stages/dual-copy-interleaver.ts';

/**
 * Hands every chunk to each output that lives. The slowest sets the pace, a dead one no longer does; it fails when none is left. Each output recycles a view of its
 * own, so that the memory of a chunk serves again when all are done with it.
 *
 * Memory: what the outputs' own streams buffer, and the chunks that the slowest has not taken.
 */
export class FanOut extends Writable {
  readonly #outputs: Output[];
  readonly #allFailed: () => Error;

  /** @param allFailed makes the error to end with when no output is left */
  constructor(outputs: Output[], fail: (output: Output, error: unknown) => void, allFailed: () => Error) {
    super({ highWaterMark: 1 });
    this.#outputs = outputs;
    this.#allFailed = allFailed;
    for (const output of outputs)
      output.watch((error) => {
        fail(output, error);
        if (this.#living.length === 0) this.destroy(allFailed());
      });
  }

  get #living(): Output[] {
    return this.#outputs.filter(({ failure }) => !failure);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const living = this.#living;
    const views = share(chunk, living.length);
    Promise.all(living.map((output, i) => take(output, views[i]!))).then(() => this.#ended(callback), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    Promise.all(this.#living.map(end)).then(() => this.#ended(callback), callback);
  }

  #ended(callback: (error?: Error | null) => void): void {
    callback(this.#living.length === 0 ? this.#allFailed() : null);
  }
}

/** Resolves when the output can take more, or never will. */
async function take(output: Output, chunk: Buffer): Promise<void> {
  const { stream } = output.writer;
  if (stream.write(chunk) || output.failure) return;
  await output.whileAlive(new Promise<void>((drained) => stream.once('drain', drained)));
}

async function end(output: Output): Promise<void> {
  const { stream } = output.writer;
  const ended = new Promise<void>((resolve) => stream.once('finish', resolve));
  stream.end();
  await output.whileAlive(ended);
}

/** Reading back what every output has: from the first that lives. One that cannot, or that gives back something else, fails. */
export function readBackOfAny(
  outputs: Output[],
  fail: (output: Output, error: unknown) => void,
  wrong: (output: Output) => Error,
): { readBack: ReadBack; nextReadBack: () => boolean } {
  const first = () => outputs.find(({ failure }) => !failure);
  let scratch: Buffer | undefined;
  return {
    async readBack(offset, into) {
      for (let output = first(); output; output = first()) {
        scratch ??= Buffer.allocUnsafeSlow(FULL_RECORD);
        const place = scratch.subarray(0, into.length);
        let read: number | null = null;
        try {
          read = await output.whileAlive(output.writer.readBack!(offset, place));
        } catch (error) {
          fail(output, error);
        }
        if (read !== null) {
          place.copy(into, 0, 0, read);
          return read;
        }
        // A dead output's read may still be under way: its memory is never used again.
        scratch = undefined;
      }
      return 0;
    },
    nextReadBack() {
      const output = first();
      if (output) fail(output, wrong(output));
      return first() !== undefined;
    },
  };
}
