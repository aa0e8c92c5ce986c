/**
 * A libSQL server (Turso, sqld), as the module `libsql` reaches it by HTTP. Every statement is a request, and a few things are not as
 * in a file:
 *
 * - A connection that asks nothing for 10 seconds is gone, and its transaction with it. So something small is asked meanwhile.
 * - After the server took a transaction back it says so ONCE: the statement after that runs outside of any, and stays. So nothing
 *   more is sent once the server has said anything but a plain refusal.
 * - Results are read to their end at once, in pieces of a bounded size (sqlite-remote-read.ts): while one is half read, nothing
 *   else could be asked, and the connection's 10 seconds would run.
 */
import {
  type Bind,
  type NativeDatabase,
  type SqliteHandle,
  type SqliteStatement,
  SyncSqliteHandle,
} from './sqlite-connection.ts';
import { isRefusal } from './sqlite-remote-errors.ts';

/** `libsql` knows these; `ws` it takes for a file's name. */
export const REMOTE = /^(https?|wss?|libsql):/i;

/** Milliseconds after which an idle connection is used: a third of what the server allows. */
const IDLE = 3000;
/** Characters of a statement, from which on it may be interrupted: those that were had 400,000. */
const LONG = 20_000;

/** One connection. Nothing is kept between calls: every result is whole. */
export class RemoteHandle implements SqliteHandle {
  readonly flavour = 'remote';
  readonly #native: SyncSqliteHandle;
  readonly #timer: NodeJS.Timeout;
  #used = performance.now();
  #lost: { error: unknown } | undefined;

  constructor(native: NativeDatabase) {
    this.#native = new SyncSqliteHandle(native);
    this.#timer = setInterval(() => this.#stayAlive(), IDLE / 3).unref();
  }

  exec(sql: string): void {
    try {
      this.#ask(() => this.#native.exec(sql));
    } catch (error) {
      // What the server does not hear of, it rolls back by itself.
      if (sql !== 'ROLLBACK') throw error;
      this.#lost ??= { error };
    }
  }

  all(sql: string, params: Bind[] = []): unknown[][] {
    this.#clear(sql);
    return this.#ask(() => this.#native.all(sql, params));
  }

  /** Holds all rows: for results that are known to be small. */
  scan(sql: string): unknown[][] {
    this.#clear(sql);
    return this.#ask(() => this.#native.query(sql, true).all([]));
  }

  prepare(sql: string): SqliteStatement {
    this.#clear(sql);
    const statement = this.#ask(() => this.#native.prepare(sql));
    return { run: (params) => this.#ask(() => statement.run(params)) };
  }

  query(sql: string): { all(params: Bind[]): unknown[][] } {
    this.#clear(sql);
    const query = this.#ask(() => this.#native.query(sql));
    return { all: (params) => this.#ask(() => query.all(params)) };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#native.close();
  }

  /**
   * sqld 0.24 keeps it in mind, at times, that somebody hung up: whoever reads a result does so when he has its last row. It then
   * interrupts the parsing of the next statement, if that is a long one. Running any other first clears that.
   */
  #clear(sql: string): void {
    if (sql.length > LONG) this.#ask(() => this.#native.exec('SELECT 1'));
  }

  #ask<T>(what: () => T): T {
    if (this.#lost) throw this.#lost.error;
    try {
      return what();
    } catch (error) {
      if (!isRefusal(error)) this.#lost = { error };
      throw error;
    } finally {
      this.#used = performance.now();
    }
  }

  #stayAlive(): void {
    if (this.#lost || performance.now() - this.#used < IDLE) return;
    try {
      this.#ask(() => this.#native.exec('SELECT 1'));
    } catch (error) {
      // Whoever asks next learns of it.
      this.#lost ??= { error };
    }
  }
}

/** What tells two databases of servers apart: no user, no token. */
export function remoteIdentity(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname === '/' ? '' : pathname}`;
}
