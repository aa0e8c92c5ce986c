/**
 * The contract between RowSource / RowTarget and one kind of database. A driver opens its OWN native connection, says
 * its dialect's SQL itself and carries rows as cells (SPEC.md, "Cell encodings"), never as entities.
 *
 *   RowSource:  open reader -> describe -> rows(table)* -> close
 *   RowTarget:  open writer -> describe -> begin -> table(plan)* -> finish -> commit | rollback -> close
 *
 * @see drivers/sqlite.ts
 */
import type { CellEncoding, ColumnSchema, ForeignKeySchema, SequenceSchema, TableSchema } from '../format/items.ts';
import type { OrmLike } from './orm-like.ts';

/** A table by name, as the metadata says it. `schema` may be `*`: every schema that holds it. */
export interface TableRef {
  schema?: string;
  table: string;
}

/** What the database's own catalog says of one table. Names are in the catalog's spelling. */
export interface CatalogTable {
  schema?: string;
  table: string;
  /** `view` and `virtual` are never read or written. */
  kind: 'table' | 'view' | 'virtual';
  columns: ColumnSchema[];
  primaryKey: string[];
  unique: string[][];
  foreignKeys: ForeignKeySchema[];
}

/** Some whole rows, ready for a ROWS frame. */
export interface RowBatch {
  /** NDJSON, each line ending in "\n". About 256 KiB, more only when one row is larger. */
  data: Buffer;
  /** Lines in `data`. */
  count: number;
  /** One array a row: the text of each column in `keyColumns`; null where it is NULL. Absent without `keyColumns`. */
  keys?: (string | null)[][];
}

export interface ReadOptions {
  /** Columns whose text is wanted beside the rows (FILE and FILE_PATH fields). They need not be in `table.columns`. */
  keyColumns?: string[];
  /** Bytes of a batch. Default 256 KiB. */
  batchBytes?: number;
}

/** One read transaction: everything that comes out of it shows ONE state of the database. */
export interface SnapshotReader {
  /** `SQLite 3.45.1`, say. */
  readonly server: string;
  readonly encoding: CellEncoding;
  /** What the operator should know: that writers wait, say. */
  readonly notes: string[];
  /** For each of `refs` what is found: nothing where it does not exist, several where `schema` is `*`. */
  describe(refs: TableRef[]): Promise<CatalogTable[][]>;
  /** Counters that belong to these tables. */
  sequences(tables: TableSchema[]): Promise<SequenceSchema[]>;
  /** The names in MikroORM's migration table, or null where there is none. Never creates it. */
  migrations(ref: TableRef): Promise<string[] | null>;
  /**
   * All rows, in the order of the table itself. Memory: one batch, or three times the largest row. Leaving the loop
   * early releases the cursor. At most one loop at a time.
   */
  rows(table: TableSchema, options?: ReadOptions): AsyncIterable<RowBatch>;
  /** Ends the transaction and closes (or gives back) the connection. Idempotent. */
  close(): Promise<void>;
}

/** A cell as JSON.parse gave it: see SPEC.md, "Cell encodings". */
export type Cell = null | string | number | boolean | Record<string, unknown>;

export interface TablePlan {
  /** As the backup says it. */
  source: TableSchema;
  /** Where it goes, as the target's catalog says it. */
  target: CatalogTable;
  /** For each cell of a row: the target's column, or null to leave the cell out (generated, or drift allowed). */
  columns: (string | null)[];
}

export interface EntityCounts {
  inserted: number;
  updated: number;
  untouched: number;
}

export interface TableWriter {
  /** Rows that stood in the table before. */
  readonly before: number;
  /** Cells in the source's column order. Throws RestoreError (unique clash, constraint), FormatError (bad cell). */
  write(rows: Cell[][]): Promise<void>;
  /**
   * The same for rows as they stand in the backup, where a driver has a shorter way for them.
   *
   * @param lines whole rows; the last line's end may be missing
   * @returns false where nothing was written and `write` must do it
   */
  writeLines?(lines: Buffer, count: number): Promise<boolean>;
  /** All rows were written: settles deferred ones and says what happened. */
  end(): Promise<EntityCounts>;
}

export interface BeginOptions {
  mode: 'merge' | 'flush';
  /** Every table that will be written: `flush` empties them, triggers and keys are switched off on them. */
  plans: TablePlan[];
  /** The server that the backup was made from, as SnapshotReader.server said it. */
  server?: string | undefined;
  /** MariaDB and MySQL cannot switch triggers off: let them fire instead of refusing. Others ignore it. */
  allowTriggers?: boolean | undefined;
}

/** A foreign key without its row, found before COMMIT. */
export interface DanglingReference {
  table: string;
  /** The key of the row that refers, as text: `id=7`. */
  row: string;
  parent: string;
}

/** One write transaction. Nothing is visible to anybody before `commit`. */
export interface RestoreWriter {
  readonly server: string;
  readonly encoding: CellEncoding;
  describe(refs: TableRef[]): Promise<CatalogTable[][]>;
  migrations(ref: TableRef): Promise<string[] | null>;
  begin(options: BeginOptions): Promise<void>;
  table(plan: TablePlan): Promise<TableWriter>;
  /** Sets the counters, brings triggers back, and looks for dangling references (at most 20 are returned). */
  finish(sequences: SequenceSchema[]): Promise<DanglingReference[]>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
  /** Idempotent; rolls back what is open. */
  close(): Promise<void>;
}

/**
 * Where `dbs_lock` is: a table with one row for each name, by which instances of an app agree who backs up (lib/orm/lock.ts). It is no entity, so no backup holds
 * it.
 */
export interface LockPlace {
  /** The table, as it stands in SQL. */
  readonly table: string;
  /** SQL that makes the table; fine where it exists. */
  readonly create: string;
  /** An SQL expression: milliseconds since 1970 by the database's own clock, to the moment. */
  readonly now: string;
  /** `INSERT INTO` that does nothing where the row exists, up to the table's name. */
  readonly insert: readonly [before: string, after: string];
  /** A connection of its own, which gives up where a lock keeps it for long. @throws SourceError */
  connect(signal?: AbortSignal): Promise<LockConnection>;
  /** Whether the table does not exist. */
  isMissing(error: unknown): boolean;
  /** What the database said, as an error of ours. */
  wrap(error: unknown, doing: string): Error;
}

export interface LockConnection {
  /** Answers how many rows were changed. */
  run(sql: string): Promise<number>;
  /** Values as the driver has them: numbers may be texts. */
  all(sql: string): Promise<unknown[][]>;
  /** Never throws. */
  close(): Promise<void>;
}

/** One database, reached the way the app's ORM reaches it. */
export interface DatabaseDriver {
  readonly dialect: 'sqlite' | 'postgresql' | 'mysql';
  /** Equal for two ORMs on the same database. Never contains a secret. */
  readonly identity: string;
  openReader(signal?: AbortSignal): Promise<SnapshotReader>;
  openWriter(signal?: AbortSignal): Promise<RestoreWriter>;
  /** Null for a database of this process alone (SQLite in memory). */
  readonly lockPlace: LockPlace | null;
}

/** Makes the driver for an ORM, or answers null where the ORM's driver is of another dialect. */
export type DriverFactory = (orm: OrmLike) => Promise<DatabaseDriver | null>;
