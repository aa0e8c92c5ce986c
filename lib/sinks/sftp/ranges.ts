/** Ranges of a remote file: large ones in several requests at once, and read ahead where one range follows the other. */
import { Flags, type SftpConnection } from './connection.ts';
import { sourceReplaced } from './errors.ts';
import type { SftpSession } from './session.ts';

/** Readers that follow their own ranges, such as those of copy A and copy B; and ranges that another may follow yet. */
const LINES = 3;
const BEGINNINGS = 6;
/** Bytes that are read ahead of each: the first time, and after some that were wanted. */
const FIRST = 512 * 1024;
const MOST = 4 * 1024 * 1024;

/** A piece that was asked for before anybody wanted it. */
interface Ahead {
  offset: number;
  length: number;
  /** Bytes of it that are there. Never rejects unhandled. */
  have: Promise<number>;
  bytes: Buffer;
  /** Bytes that were copied out of it. */
  taken: number;
}

interface Line {
  /** Where the next range begins if it follows. */
  next: number;
  window: number;
  ahead: Ahead[];
}

export interface Facts {
  size: number;
  /** Seconds. */
  mtime: number;
}

/**
 * Reads of one file, in any order and at once. Memory: what the ranges hold, and 4 MiB for each of three lines of reading. When the connection is
 * lost it is opened again, and with it the file, which must be the same one.
 */
export class SftpRanges {
  readonly #session: SftpSession;
  readonly #path: string;
  readonly #limit: () => number;
  readonly #expected: Facts | undefined;
  #opened: { connection: SftpConnection; handle: Promise<Buffer> } | undefined;
  #lines: Line[] = [];
  #free: Buffer[] = [];

  /**
   * @param limit bytes of the file that may be read now
   * @param expected what it must be when it is opened again
   * @param opened where it is open already
   */
  constructor(
    session: SftpSession,
    path: string,
    limit: () => number,
    expected?: Facts,
    opened?: { connection: SftpConnection; handle: Buffer },
  ) {
    this.#session = session;
    this.#path = path;
    this.#limit = limit;
    this.#expected = expected;
    if (opened) this.#opened = { connection: opened.connection, handle: Promise.resolve(opened.handle) };
  }

  /** Fills `into` from `offset` on, as far as the file goes. @throws what the server says, or SinkError of the connection */
  async read(offset: number, into: Buffer): Promise<number> {
    const limit = this.#limit();
    if (offset < 0 || offset >= limit || into.length === 0) return 0;
    const want = into.subarray(0, Math.min(into.length, limit - offset));
    // Lines are followed in the order of the calls, before anything is waited for.
    const { readSize } = await this.#session.run(async (connection) => connection);
    const line = this.#lineAt(offset);
    const parts = this.#take(line, offset, want, readSize);
    line.next = offset + want.length;
    this.#readAhead(line, readSize);
    let have = 0;
    for (const part of await Promise.all(parts)) {
      have += part.have;
      // Short: the file ends here, whatever it said before.
      if (part.have < part.want) break;
    }
    return have;
  }

  #lineAt(offset: number): Line {
    const index = this.#lines.findIndex(({ next }) => next === offset);
    const line = index < 0 ? { next: offset, window: 0, ahead: [] } : this.#lines.splice(index, 1)[0]!;
    if (index >= 0) line.window = Math.min(MOST, line.window * 2 || FIRST);
    this.#lines.push(line);
    const [followed, begun] = [this.#lines.filter(({ window }) => window), this.#lines.filter(({ window }) => !window)];
    this.#lines = [...begun.slice(-BEGINNINGS), ...followed.slice(-LINES)];
    return line;
  }

  /** What was read ahead is copied; the rest is asked for, all at once. */
  #take(line: Line, offset: number, want: Buffer, piece: number): Promise<{ have: number; want: number }>[] {
    const parts: Promise<{ have: number; want: number }>[] = [];
    let at = 0;
    for (; at < want.length && line.ahead.length; ) {
      const ahead = line.ahead[0]!;
      const from = offset + at - ahead.offset;
      const into = want.subarray(at, at + ahead.length - from);
      parts.push(this.#copy(ahead, from, into));
      at += into.length;
      if (from + into.length === ahead.length) line.ahead.shift();
    }
    for (; at < want.length; at += piece) {
      const into = want.subarray(at, at + piece);
      parts.push(this.#fetch(offset + at, into).then((have) => ({ have, want: into.length })));
    }
    // Nobody waits for the others when one fails.
    for (const part of parts) part.catch(() => {});
    return parts;
  }

  async #copy(ahead: Ahead, from: number, into: Buffer): Promise<{ have: number; want: number }> {
    const have = Math.max(0, Math.min(into.length, (await ahead.have) - from));
    ahead.bytes.copy(into, 0, from, from + have);
    ahead.taken += into.length;
    if (ahead.taken === ahead.length) this.#free.push(ahead.bytes);
    return { have, want: into.length };
  }

  #readAhead(line: Line, piece: number): void {
    const last = line.ahead.at(-1);
    let at = last ? last.offset + last.length : line.next;
    const end = Math.min(this.#limit(), line.next + line.window);
    // Not for less than a piece, but for the end of the file.
    while (at < end && (at + piece <= end || end === this.#limit())) {
      const length = Math.min(piece, end - at);
      const bytes = this.#free.find((free) => free.length >= length) ?? Buffer.allocUnsafeSlow(piece);
      this.#free = this.#free.filter((free) => free !== bytes).slice(0, MOST / piece);
      const have = this.#fetch(at, bytes.subarray(0, length));
      have.catch(() => {});
      line.ahead.push({ offset: at, length, have, bytes, taken: 0 });
      at += length;
    }
  }

  /** One request, and more where the server answers with less. */
  #fetch(offset: number, into: Buffer): Promise<number> {
    return this.#session.run(async (connection) => {
      const handle = await this.#handleOn(connection);
      for (let have = 0; ; ) {
        const more = await connection.read(handle, into.subarray(have), offset + have);
        have += more;
        if (more === 0 || have === into.length) return have;
      }
    });
  }

  #handleOn(connection: SftpConnection): Promise<Buffer> {
    if (this.#opened?.connection !== connection) this.#opened = { connection, handle: this.#open(connection) };
    return this.#opened.handle;
  }

  async #open(connection: SftpConnection): Promise<Buffer> {
    const handle = await connection.open(this.#path, Flags.READ);
    if (!this.#expected) return handle;
    const { size, mtime } = await connection.fstat(handle);
    if (size === this.#expected.size && mtime === this.#expected.mtime) return handle;
    await connection.closeHandle(handle).catch(() => {});
    throw sourceReplaced(this.#path);
  }

  /** Never throws. */
  async close(): Promise<void> {
    const { connection, handle } = this.#opened ?? {};
    this.#lines = [];
    this.#free = [];
    if (!connection || connection.isLost) return;
    await handle!.then((open) => connection.closeHandle(open)).catch(() => {});
  }
}
