/**
 * One face for the SQLite modules under MikroORM: better-sqlite3, libsql, node:sqlite (synchronous) and sqlite3
 * (asynchronous, see sqlite3-connection.ts).
 *
 * The class of the app's own connection opens ours: two copies of SQLite in one process would drop each other's file
 * locks (sqlite.org/howtocorrupt.html, 2.2), so nothing is loaded here that the app has not loaded already.
 */

/** What may be bound. `bigint` is INTEGER, `number` is REAL, `Buffer` is BLOB. */
export type Bind = null | string | number | bigint | Buffer;

/** `remote`: libsql, on a server (sqlite-remote.ts). */
export type SqliteFlavour = 'better-sqlite3' | 'libsql' | 'node:sqlite' | 'sqlite3' | 'remote';

/** A prepared write. */
export interface SqliteStatement {
  /** Answers the number of changed rows: at once from a synchronous module, else as a promise. */
  run(params: Bind[]): number | Promise<number>;
  /** Where the module does not leave that to garbage collection. */
  free?(): Promise<void>;
}

/** A prepared read, for a statement that is run many times. */
export interface SqliteQuery {
  /** As `SqliteHandle.all`. */
  all(params: Bind[]): unknown[][] | Promise<unknown[][]>;
  free?(): Promise<void>;
}

/** One open connection. At most one `scan` at a time, and nothing else meanwhile. */
export interface SqliteHandle {
  readonly flavour: SqliteFlavour;
  exec(sql: string): void | Promise<void>;
  /** All rows as arrays in column order; integers as numbers, so cast what may exceed 2^53. Columns need unique names. */
  all(sql: string, params?: Bind[]): unknown[][] | Promise<unknown[][]>;
  /** Rows one after another. Memory: one row (up to 4 with libsql). Leaving the loop early resets the statement. */
  scan(sql: string): Iterable<unknown[]> | AsyncIterable<unknown[]>;
  prepare(sql: string): SqliteStatement;
  query(sql: string): SqliteQuery | Promise<SqliteQuery>;
  close(): void | Promise<void>;
}

interface NativeStatement {
  raw?(on?: boolean): NativeStatement;
  setReturnArrays?(on: boolean): void;
  setReadBigInts?(on: boolean): void;
  safeIntegers?(on: boolean): NativeStatement;
  all(...params: unknown[]): unknown[];
  get(...params: unknown[]): unknown;
  run(...params: unknown[]): { changes: number | bigint };
  iterate(...params: unknown[]): IterableIterator<unknown>;
}

/** The part of the three synchronous modules that we use. */
export interface NativeDatabase {
  prepare(sql: string): NativeStatement;
  exec(sql: string): unknown;
  close(): unknown;
}

/** Tells the synchronous modules apart by what only one of them has. */
export function flavourOf(native: object): Exclude<SqliteFlavour, 'sqlite3' | 'remote'> {
  if ('syncUntil' in native) return 'libsql';
  return 'unsafeMode' in native ? 'better-sqlite3' : 'node:sqlite';
}

/** Rows that libsql fetches ahead: its own 100 would hold 100 large rows in memory. */
const LIBSQL_AHEAD = 4;
/** libsql 0.5 fetches anew when `nextRowIndex` has this value. */
const LIBSQL_BATCH = 100;

export class SyncSqliteHandle implements SqliteHandle {
  readonly flavour: Exclude<SqliteFlavour, 'sqlite3' | 'remote'>;
  readonly #native: NativeDatabase;
  readonly #shared: boolean;

  /** @param shared the connection is the app's own (an in-memory database): `close` leaves it open. */
  constructor(native: NativeDatabase, shared = false) {
    this.flavour = flavourOf(native);
    this.#native = native;
    this.#shared = shared;
  }

  exec(sql: string): void {
    this.#native.exec(sql);
  }

  all(sql: string, params: Bind[] = []): unknown[][] {
    return this.query(sql).all(params);
  }

  query(sql: string, bigInts = false): { all(params: Bind[]): unknown[][] } {
    const rows = this.#reading(sql, bigInts);
    return { all: (params) => this.#arrays(this.flavour === 'node:sqlite' ? rows.all(...params) : rows.all(params)) };
  }

  *scan(sql: string): Generator<unknown[]> {
    const statement = this.#reading(sql, true);
    if (this.flavour === 'libsql') return yield* scanLibsql(statement);
    for (const row of statement.iterate()) yield (Array.isArray(row) ? row : Object.values(row as object)) as unknown[];
  }

  prepare(sql: string): SqliteStatement {
    const statement = this.#native.prepare(sql);
    if (this.flavour === 'node:sqlite') return { run: (params) => Number(statement.run(...params).changes) };
    return { run: (params) => Number(statement.run(params).changes) };
  }

  close(): void {
    if (!this.#shared) this.#native.close();
  }

  #reading(sql: string, bigInts: boolean): NativeStatement {
    const statement = this.#native.prepare(sql);
    // Explicit in both directions: a shared connection may carry the app's own default.
    if (this.flavour === 'node:sqlite') {
      statement.setReadBigInts?.(bigInts);
      statement.setReturnArrays?.(true);
    } else {
      statement.raw?.(true);
      statement.safeIntegers?.(bigInts);
    }
    return statement;
  }

  #arrays(rows: unknown[]): unknown[][] {
    return rows.map((row) => (Array.isArray(row) ? row : Object.values(row as object)));
  }
}

interface LibsqlIterator extends IterableIterator<unknown> {
  nextRows?: unknown[];
  nextRowIndex?: number;
}

function* scanLibsql(statement: NativeStatement): Generator<unknown[]> {
  const rows = statement.iterate([]) as LibsqlIterator;
  const tunable = Array.isArray(rows.nextRows) && rows.nextRowIndex === LIBSQL_BATCH;
  let done = false;
  try {
    for (let left = 0; !done; ) {
      if (tunable && left === 0) {
        rows.nextRows = new Array(LIBSQL_AHEAD);
        rows.nextRowIndex = LIBSQL_BATCH;
        left = LIBSQL_AHEAD;
      }
      const next = rows.next();
      left--;
      if (next.done) done = true;
      else yield next.value as unknown[];
    }
  } finally {
    // libsql's iterator cannot be closed, and an unfinished one keeps the read lock past COMMIT: starting the
    // statement anew for one row resets it.
    if (!done) statement.get([]);
  }
}
