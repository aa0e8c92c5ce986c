/**
 * One face for the two modules under MikroORM: `mariadb` (@mikro-orm/mariadb 6) and `mysql2` (@mikro-orm/mysql, and both
 * packages of MikroORM 7). Values arrive as the server's own bytes: no parser of either module runs.
 */
import type { Readable } from 'node:stream';

/** A result's row: raw bytes, or null for NULL. Valid until the next row only: copy what is to stay. */
export type RawRow = (Buffer | null)[];

/** The part of a connection of either module that we use: both keep the callback style of the module `mysql`. */
export interface NativeConnection {
  threadId: number | null;
  query(options: object, callback: (error: Error | null, result: unknown) => void): unknown;
  query(options: object): NativeQuery;
  /** `mariadb` only. */
  queryStream?(options: object): Readable;
  execute(options: object, values: unknown[], callback: (error: Error | null, result: unknown) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  connect(callback: (error: Error | null) => void): unknown;
  end(callback: () => void): unknown;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** `mysql2`: the socket. */
  stream?: { destroy?(): void };
}

interface NativeQuery {
  on(event: 'result', listener: (row: RawRow) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
}

/** What a running `scan` offers. */
export interface Scan {
  /** Stops the server's rows after those that are on their way. */
  pause(): void;
  resume(): void;
  /** Settles when the last row was given, or with the error that ended it. */
  done: Promise<void>;
}

/** One open connection. Statements wait for one another; a scan must be over before the next. */
export class MysqlHandle {
  readonly flavour: 'mariadb' | 'mysql2';
  /** The server's number of this connection, for KILL. */
  readonly threadId: number;
  readonly #native: NativeConnection;
  /** Called when the connection is lost: mysql2 tells the connection, not always the statement that waits. */
  readonly #waiting = new Set<(error: Error) => void>();
  #lost: Error | undefined;
  #open = true;

  /** @param native connected */
  constructor(native: NativeConnection) {
    this.#native = native;
    this.flavour = typeof native.queryStream === 'function' ? 'mariadb' : 'mysql2';
    this.threadId = Number(native.threadId);
    // Without a listener, a connection that is lost while it is idle would end the process.
    native.on('error', (error) => this.#lose(error));
    native.on('end', () => this.#lose(Object.assign(new Error('The server closed the connection'), { fatal: true })));
  }

  get open(): boolean {
    return this.#open;
  }

  /** All rows, as text: for catalogs and counts. Integers and dates come as the server writes them. */
  async all(sql: string): Promise<(string | null)[][]> {
    const typeCast =
      this.flavour === 'mariadb' ? (field: { buffer(): Buffer | null }) => field.buffer()?.toString() ?? null : false;
    const rows = (await this.#query({ sql, ...RAW, typeCast })) as (Buffer | string | null)[][];
    return rows.map((row) => row.map((value) => (Buffer.isBuffer(value) ? value.toString() : value)));
  }

  /** A statement without rows. Answers how many rows it changed. */
  async run(sql: string): Promise<number> {
    return affected(await this.#query({ sql, ...RAW }));
  }

  /** The same in the binary protocol: `?` in `sql` stand for values, whose bytes travel as they are. */
  async execute(sql: string, values: (string | Buffer | null)[]): Promise<number> {
    return affected(
      await this.#guard((settle) => {
        this.#native.execute({ sql }, values, settle);
      }),
    );
  }

  /**
   * Calls `row` for one row after another. Memory: what one read of the socket brings (64 KiB), or the largest row.
   *
   * @param sql every column of the result is binary (a BLOB or CAST(... AS BINARY)): `mariadb` parses others
   */
  scan(sql: string, row: (row: RawRow) => void): Scan {
    const options = { sql, ...RAW, typeCast: false };
    if (this.#native.queryStream) {
      const stream = this.#native.queryStream(options);
      const done = this.#guard<void>((settle) => {
        stream.on('error', (error) => settle(error));
        stream.on('end', () => settle(null));
      });
      stream.on('data', row);
      return { pause: () => void stream.pause(), resume: () => void stream.resume(), done };
    }
    const query = this.#native.query(options);
    const done = this.#guard<void>((settle) => {
      query.on('error', (error) => settle(error));
      query.on('end', () => settle(null));
    });
    query.on('result', row);
    return { pause: () => this.#native.pause(), resume: () => this.#native.resume(), done };
  }

  /** Says goodbye, or after a second hangs up. Idempotent. */
  async close(): Promise<void> {
    if (!this.#open) return;
    if (this.#lost) return this.destroy();
    this.#open = false;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((done) => {
      timer = setTimeout(done, 1000);
    });
    await Promise.race([new Promise<void>((done) => this.#native.end(() => done())), late]);
    clearTimeout(timer);
    this.#hangUp();
  }

  /** Hangs up: what runs fails, and the server rolls back. */
  destroy(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#hangUp();
  }

  #hangUp(): void {
    this.#native.destroy();
    // mysql2 says goodbye and waits for an answer, which a paused socket never reads.
    this.#native.stream?.destroy?.();
  }

  #query(options: object): Promise<unknown> {
    return this.#guard((settle) => {
      this.#native.query(options, settle);
    });
  }

  /** A promise that also a lost connection settles. */
  #guard<T>(start: (settle: (error: Error | null, result?: unknown) => void) => void): Promise<T> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise<T>((done, fail) => {
      this.#waiting.add(fail);
      start((error, result) => {
        this.#waiting.delete(fail);
        if (error) fail(error);
        else done(result as T);
      });
    });
  }

  #lose(error: Error): void {
    this.#lost ??= error;
    for (const fail of this.#waiting) fail(this.#lost);
    this.#waiting.clear();
  }
}

/** What an app's own options might have set otherwise. */
const RAW = {
  rowsAsArray: true,
  nestTables: false,
  bitOneIsBoolean: false,
  checkDuplicate: false,
  namedPlaceholders: false,
  timeout: 0,
};

function affected(result: unknown): number {
  return Number((result as { affectedRows?: number | bigint } | undefined)?.affectedRows ?? 0);
}
