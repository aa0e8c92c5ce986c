/** One `COPY ... FROM STDIN`, with a promise for each step and the server's refusals where they belong. */
import type { from as copyFrom } from 'pg-copy-streams';

/** Bytes into a table. Memory: what the socket has not taken yet, about 256 KiB. */
export class CopyIn {
  readonly #stream: ReturnType<typeof copyFrom>;
  readonly #ended: Promise<void>;
  #failure: { error: unknown } | undefined;
  /** Ends the waiting for the socket. */
  #wake: (() => void) | undefined;

  constructor(stream: ReturnType<typeof copyFrom>, wrap: (error: unknown) => unknown) {
    this.#stream = stream;
    this.#ended = new Promise((done, fail) => {
      stream.once('finish', done);
      stream.on('error', (native) => {
        this.#failure ??= { error: wrap(native) };
        this.#wake?.();
        fail(this.#failure.error);
      });
    });
    this.#ended.catch(() => {});
    stream.on('drain', () => this.#wake?.());
  }

  /** @throws what the server said about rows written before */
  async write(data: Buffer): Promise<void> {
    this.#check();
    if (this.#stream.write(data)) return;
    await new Promise<void>((done) => {
      this.#wake = done;
    });
    this.#wake = undefined;
    this.#check();
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** The server has taken, and checked, every row. */
  async end(): Promise<void> {
    this.#check();
    this.#stream.end();
    await this.#ended;
  }
}
