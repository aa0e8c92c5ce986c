/** The bytes of one file on their way: many requests at once, and those without an answer kept until it comes. */
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { SinkError } from '../../errors.ts';
import { recycle } from '../../memory.ts';
import type { Opened, SftpPart } from './part.ts';

/** Bytes without an answer: as much as OpenSSH's server takes before it must be waited for. */
const WINDOW = 2 * 1024 * 1024;
/** Between two syncs: the last one, before success is said, then stays short. */
const SYNC_EVERY = 256 * 1024 * 1024;
/** A connection that carried this much is worth all attempts again when it is lost. */
const PROGRESS = 16 * 1024 * 1024;

interface Piece {
  bytes: Buffer;
  position: number;
  /** The chunk that ends with it. */
  last?: Buffer;
  done: boolean;
}

/**
 * Writes to a part from `from` on. When the connection is lost it is made anew, and what was not acknowledged is sent again. Memory: 2 MiB of
 * requests, and the chunk that is being cut into them. Chunks are recycled when all of them is acknowledged.
 *
 * Errors: SinkError ERR_SINK_*, ERR_SSH_*.
 */
export class SftpWriter extends Writable {
  readonly #part: SftpPart;
  /** Where the next piece goes. */
  #position: number;
  /** All before it was acknowledged. */
  #acknowledged: number;
  /** In order; the first has no answer yet. */
  #pending: Piece[] = [];
  #inFlight = 0;
  #opened: Opened | undefined;
  #recovering: Promise<void> | undefined;
  #attempts = 0;
  #lostAt = 0;
  #unsynced = 0;
  #complete = false;
  #waiting: (() => void)[] = [];

  constructor(part: SftpPart, from = 0) {
    super({ highWaterMark: WINDOW });
    this.#part = part;
    this.#position = from;
    this.#acknowledged = from;
    this.#lostAt = from;
  }

  /** Bytes of the file that are there for sure. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#append(chunk).then(() => callback(), callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    const append = async () => {
      for (const { chunk } of chunks) await this.#append(chunk);
    };
    append().then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#until(() => this.#pending.length === 0).then(() => {
      this.#complete = true;
      this.#wake();
      callback();
    }, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (const { last } of this.#pending.splice(0)) if (last) recycle(last);
    this.#wake();
    callback(error);
  }

  async #append(chunk: Buffer): Promise<void> {
    if (chunk.length === 0) return recycle(chunk);
    this.#opened ??= await this.#part.use().catch(async (error) => {
      throw await this.#part.failure(error);
    });
    for (let at = 0; at < chunk.length; ) {
      await this.#until(() => this.#inFlight < WINDOW && !this.#recovering);
      // Destroyed meanwhile: nobody waits for these bytes.
      if (this.destroyed) return;
      const bytes = chunk.subarray(at, at + this.#opened.connection.writeSize);
      at += bytes.length;
      const piece: Piece = {
        bytes,
        position: this.#position,
        done: false,
        ...(at === chunk.length ? { last: chunk } : {}),
      };
      this.#position += bytes.length;
      this.#inFlight += bytes.length;
      this.#pending.push(piece);
      this.#send(piece, this.#opened);
    }
  }

  #send(piece: Piece, opened: Opened): void {
    opened.connection.write(opened.handle, piece.bytes, piece.position).then(
      () => this.#answer(piece),
      (error) => this.#fail(error, opened),
    );
  }

  #answer(piece: Piece): void {
    if (piece.done || this.destroyed) return;
    piece.done = true;
    this.#inFlight -= piece.bytes.length;
    this.#unsynced += piece.bytes.length;
    while (this.#pending[0]?.done) {
      const { bytes, position, last } = this.#pending.shift()!;
      this.#acknowledged = position + bytes.length;
      if (last) recycle(last);
    }
    if (this.#unsynced >= SYNC_EVERY) this.#sync();
    this.#wake();
  }

  /** Between the writes: the server does one after the other. */
  #sync(): void {
    this.#unsynced = 0;
    const opened = this.#opened!;
    opened.connection.sync(opened.handle).catch((error) => this.#fail(error, opened));
  }

  #fail(error: unknown, { connection }: Opened): void {
    // When all is written, whoever finishes sees for himself.
    if (this.destroyed || this.#complete || this.#recovering || connection !== this.#opened?.connection) return;
    this.#recovering = this.#recover(error)
      .catch((final) => {
        this.destroy(final);
      })
      .finally(() => {
        this.#recovering = undefined;
        this.#wake();
      });
  }

  async #recover(error: unknown): Promise<void> {
    const { session } = this.#part.place;
    if (this.#acknowledged - this.#lostAt >= PROGRESS) this.#attempts = 0;
    this.#lostAt = this.#acknowledged;
    for (let why = error; ; ) {
      if (!session.mayTryAgain(why) || this.#attempts >= session.delays.length) throw await this.#part.failure(why);
      await sleep(session.delays[this.#attempts++]);
      if (this.destroyed) return;
      try {
        const opened = await this.#part.use();
        const { size } = await opened.connection.fstat(opened.handle);
        if (size < this.#acknowledged) throw this.#forgotten(size);
        this.#opened = opened;
        break;
      } catch (again) {
        why = again;
      }
    }
    for (const piece of this.#pending) if (!piece.done) this.#send(piece, this.#opened!);
  }

  /** A server that went down before it had written what it said it had. */
  #forgotten(size: number): SinkError {
    const { name } = this.#part.place;
    return new SinkError(
      'ERR_SINK_WRITE',
      `${name}: the server has ${size} bytes, of ${this.#acknowledged} that it had taken. Nothing was kept. Write it again.`,
      { facts: { path: name, size, acknowledged: this.#acknowledged } },
    );
  }

  /** Reading back: waits for bytes that are on their way. */
  async there(end: number): Promise<void> {
    await this.#until(() => this.#acknowledged >= end || this.#complete);
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds() && !this.destroyed) await new Promise<void>((wake) => this.#waiting.push(wake));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
