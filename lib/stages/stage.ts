/** What all stages share: a Transform whose body is async functions, with backpressure on both sides. */
import { Transform, type TransformCallback } from 'node:stream';

export interface StageShape {
  /** Chunks in are objects, not bytes. */
  objectsIn?: boolean;
  objectsOut?: boolean;
}

/**
 * A Transform that may emit any number of chunks for one, and waits for its reader between them: a plain Transform would pile up
 * everything that one `_transform` or `_flush` pushes. Object sides hold one chunk, as one can be a megabyte.
 */
export abstract class Stage<In, Out> extends Transform {
  #resume: (() => void) | undefined;

  constructor({ objectsIn = false, objectsOut = false }: StageShape = {}) {
    super({
      writableObjectMode: objectsIn,
      readableObjectMode: objectsOut,
      writableHighWaterMark: objectsIn ? 1 : 256 * 1024,
      readableHighWaterMark: objectsOut ? 1 : 256 * 1024,
    });
  }

  /** Takes one chunk. */
  protected abstract accept(chunk: In): void | Promise<void>;

  /** After the last chunk. */
  protected finish(): void | Promise<void> {}

  /** Hands a chunk on, and resolves when the reader wants more. */
  protected send(chunk: Out): void | Promise<void> {
    if (this.push(chunk)) return;
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  override _read(size: number): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
    super._read(size);
  }

  override _transform(chunk: In, _encoding: BufferEncoding, callback: TransformCallback): void {
    settle(() => this.accept(chunk), callback);
  }

  override _flush(callback: TransformCallback): void {
    settle(() => this.finish(), callback);
  }
}

/** Runs a body that may or may not be asynchronous. The callback is never called from inside the `try`. */
function settle(body: () => void | Promise<void>, callback: TransformCallback): void {
  let result: void | Promise<void>;
  try {
    result = body();
  } catch (error) {
    callback(error as Error);
    return;
  }
  if (result) result.then(() => callback(), callback);
  else callback();
}
