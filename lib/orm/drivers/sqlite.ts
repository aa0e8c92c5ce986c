/**
 * The SQLite driver: one connection of its own, one read transaction for a backup, one write transaction for a restore.
 *
 * - File databases are read and written beside the app. In-memory ones have a single connection: it is borrowed, and
 *   the app's queries wait (6) or must not open a transaction meanwhile (7).
 * - In journal_mode=WAL writers go on during a backup. With a rollback journal they wait for its rows (not its files).
 * - TEXT, INTEGER, REAL, BLOB and NULL come back to the bit (one exception: merge takes 0.0 and -0.0 for equal).
 *   Implicit rowids are not kept, as VACUUM does not keep them either.
 * - Triggers do not fire during a restore.
 * - On a libSQL server (sqlite-remote.ts) the same, as far as it allows.
 */

import { RestoreError, SourceError } from '../../errors.ts';
import type { SequenceSchema, TableSchema } from '../../format/items.ts';
import type {
  BeginOptions,
  DanglingReference,
  DatabaseDriver,
  ReadOptions,
  RestoreWriter,
  RowBatch,
  SnapshotReader,
  TablePlan,
  TableRef,
  TableWriter,
} from '../driver.ts';
import { type OrmLike, platformNames } from '../orm-like.ts';
import { describeTable, readMigrations, readSequences, type SqliteTable, serverOf } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { restoreError, rightsError, sourceError } from './sqlite-errors.ts';
import { sqliteLock } from './sqlite-lock.ts';
import { locate, type SqliteLocation } from './sqlite-open.ts';
import { patiently } from './sqlite-patience.ts';
import { readRows } from './sqlite-read.ts';
import { commitUnknown } from './sqlite-remote-errors.ts';
import { findDangling, restoreSequences, switchTriggersOff } from './sqlite-restore.ts';
import { ident, qualified } from './sqlite-sql.ts';
import { SqliteTableWriter } from './sqlite-write.ts';

/** Answers null for ORMs on other databases. */
export async function sqliteDriver(orm: OrmLike): Promise<DatabaseDriver | null> {
  if (!platformNames(orm).some((name) => /sqlite|libsql/i.test(name))) return null;
  let location: SqliteLocation;
  try {
    location = await locate(orm);
  } catch (error) {
    throw sourceError(error, 'connect to the SQLite database');
  }
  return {
    dialect: 'sqlite',
    identity: `sqlite:${location.identity}`,
    openReader: (signal) => SqliteReader.open(location, signal),
    openWriter: (signal) => SqliteWriter.open(location, signal),
    lockPlace: sqliteLock(location),
  };
}

class SqliteReader implements SnapshotReader {
  readonly encoding = 'sqlite-typed';
  readonly server: string;
  readonly notes: string[] = [];
  readonly #db: SqliteHandle;
  readonly #utf16: false | 'le' | 'be';
  readonly #tables = new Map<string, SqliteTable>();
  #open = true;

  private constructor(db: SqliteHandle, facts: { server: string; utf16: false | 'le' | 'be' }) {
    this.#db = db;
    this.server = facts.server;
    this.#utf16 = facts.utf16;
  }

  /** A libSQL server refuses most pragmas, and has nothing but WAL. */
  get #remote(): boolean {
    return this.#db.flavour === 'remote';
  }

  static async open(location: SqliteLocation, signal?: AbortSignal): Promise<SqliteReader> {
    let db: SqliteHandle | undefined;
    try {
      db = await location.open();
      const reader = new SqliteReader(db, await serverOf(db));
      const [[journal]] = (await db.all('SELECT journal_mode FROM pragma_journal_mode')) as [[string]];
      if (journal !== 'wal' && journal !== 'memory' && !reader.#remote)
        reader.notes.push(
          `SQLite runs with journal_mode=${journal}: while rows are read, writers of other processes wait and those of this process fail as locked. journal_mode=WAL avoids both.`,
        );
      if (location.replicaOf !== undefined)
        reader.notes.push(
          `The database is an embedded replica of ${location.replicaOf}, and is backed up as its last sync left it. To back up what the server has, give its URL as "dbName".`,
        );
      if (!reader.#remote) await db.exec('PRAGMA query_only = 1');
      await db.exec('BEGIN');
      // The snapshot starts with the first read of each file, not with BEGIN.
      for (const [name] of (await db.all('SELECT name FROM pragma_database_list')) as [string][]) {
        const first = `SELECT count(*) AS n FROM ${ident(name)}.sqlite_master`;
        await patiently(() => reader.#db.all(first), signal);
      }
      return reader;
    } catch (error) {
      await db?.close();
      throw sourceError(error, 'start a read transaction');
    }
  }

  async describe(refs: TableRef[]): Promise<SqliteTable[][]> {
    try {
      const found: SqliteTable[][] = [];
      for (const ref of refs) {
        const table = await describeTable(this.#db, ref);
        if (table) this.#tables.set(qualified(table), table);
        found.push(table ? [table] : []);
      }
      return found;
    } catch (error) {
      throw sourceError(error, 'read the catalog');
    }
  }

  async sequences(tables: TableSchema[]): Promise<SequenceSchema[]> {
    try {
      return await readSequences(this.#db, tables);
    } catch (error) {
      throw sourceError(error, 'read the counters');
    }
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      return await readMigrations(this.#db, ref);
    } catch (error) {
      throw sourceError(error, 'read the migrations');
    }
  }

  async *rows(table: TableSchema, options?: ReadOptions): AsyncGenerator<RowBatch> {
    const catalog = this.#tables.get(qualified(table));
    if (!catalog) throw new SourceError('ERR_SOURCE_MISSING_TABLE', `The table "${table.table}" was not described.`);
    try {
      yield* readRows(this.#db, table, catalog, this.#utf16, options);
    } catch (error) {
      throw sourceError(error, `read the table "${table.table}"`);
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    try {
      await this.#db.exec('ROLLBACK');
      if (!this.#remote) await this.#db.exec('PRAGMA query_only = 0');
    } finally {
      await this.#db.close();
    }
  }
}

class SqliteWriter implements RestoreWriter {
  readonly encoding = 'sqlite-typed';
  readonly server: string;
  readonly #db: SqliteHandle;
  readonly #signal: AbortSignal | undefined;
  /** Its path, where it is a file. */
  readonly #file: string;
  #foreignKeys = false;
  #began = false;
  #open = true;
  #options: BeginOptions | undefined;
  #triggers: string[] = [];

  private constructor(db: SqliteHandle, server: string, file: string, signal: AbortSignal | undefined) {
    this.#db = db;
    this.server = server;
    this.#file = file;
    this.#signal = signal;
  }

  static async open(location: SqliteLocation, signal?: AbortSignal): Promise<SqliteWriter> {
    let db: SqliteHandle | undefined;
    if (location.replicaOf !== undefined)
      throw new RestoreError(
        'ERR_RESTORE_READ_ONLY',
        `The database is an embedded replica of ${location.replicaOf}: what is written to its file, the next sync undoes. Restore into the server itself, with its URL as "dbName". Nothing was changed.`,
      );
    try {
      db = await location.open();
      const opened = db;
      const { server } = await patiently(() => serverOf(opened), signal);
      return new SqliteWriter(db, server, location.identity, signal);
    } catch (error) {
      await db?.close();
      throw rightsError(error, location.identity) ?? restoreError(error, 'open the database');
    }
  }

  async describe(refs: TableRef[]): Promise<SqliteTable[][]> {
    const found: SqliteTable[][] = [];
    try {
      for (const ref of refs) {
        const table = await describeTable(this.#db, ref);
        found.push(table ? [table] : []);
      }
    } catch (error) {
      throw restoreError(error, 'read the catalog');
    }
    return found;
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      return await readMigrations(this.#db, ref);
    } catch (error) {
      throw restoreError(error, 'read the migrations');
    }
  }

  async begin(options: BeginOptions): Promise<void> {
    this.#options = options;
    const tables = options.plans.map((plan) => plan.target as SqliteTable);
    try {
      await (this.#db.flavour === 'remote' ? this.#beginRemote() : this.#beginLocal());
      this.#began = true;
      this.#triggers = await switchTriggersOff(this.#db, tables);
      if (options.mode === 'flush') for (const table of tables) await this.#db.exec(`DELETE FROM ${qualified(table)}`);
    } catch (error) {
      throw rightsError(error, this.#file) ?? restoreError(error, 'start a write transaction');
    }
  }

  async #beginLocal(): Promise<void> {
    this.#foreignKeys = await this.#enforced();
    // Inside a transaction the pragma would do nothing, without a word.
    await this.#db.exec('PRAGMA foreign_keys = OFF');
    await this.#db.exec('PRAGMA cache_size = -4096');
    await patiently(() => this.#db.exec('BEGIN IMMEDIATE'), this.#signal);
  }

  /** Between two statements outside of a transaction, a libSQL server may change connections: the pragma and BEGIN go together. */
  async #beginRemote(): Promise<void> {
    await patiently(() => this.#db.exec('PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE'), this.#signal);
    if (!(await this.#enforced())) return;
    await this.#db.exec('ROLLBACK');
    throw new Error('the server does not switch foreign keys off, so that rows would delete others');
  }

  async #enforced(): Promise<boolean> {
    const [state] = await this.#db.all('SELECT foreign_keys FROM pragma_foreign_keys');
    return Number(state?.[0]) === 1;
  }

  async table(plan: TablePlan): Promise<TableWriter> {
    try {
      const encoding = (server: string) => /UTF-16..$/.exec(server)?.[0];
      const { server } = this.#options!;
      const mine = encoding(this.server);
      const foreign = server !== undefined && encoding(server) !== mine;
      return await SqliteTableWriter.open(this.#db, plan, foreign ? 'foreign' : mine ? 'utf16' : 'utf8');
    } catch (error) {
      throw restoreError(error, `write the table "${plan.target.table}"`);
    }
  }

  async finish(sequences: SequenceSchema[]): Promise<DanglingReference[]> {
    const { plans, mode } = this.#options!;
    try {
      await restoreSequences(this.#db, plans, sequences, mode);
      for (const sql of this.#triggers) await this.#db.exec(sql);
      return await findDangling(this.#db, plans, mode);
    } catch (error) {
      throw restoreError(error, 'finish the transaction');
    }
  }

  async commit(): Promise<void> {
    try {
      // With a rollback journal, readers of the old state hold a COMMIT up; it may be tried again.
      await patiently(() => this.#db.exec('COMMIT'), this.#signal);
      this.#began = false;
    } catch (error) {
      throw commitUnknown(error) ?? restoreError(error, 'commit the transaction');
    }
  }

  async rollback(): Promise<void> {
    if (!this.#began) return;
    this.#began = false;
    try {
      await this.#db.exec('ROLLBACK');
    } catch {
      // SQLite rolled back by itself (disk full, I/O error): there is nothing left to undo.
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.rollback();
    try {
      if (this.#foreignKeys) await this.#db.exec('PRAGMA foreign_keys = ON');
    } finally {
      await this.#db.close();
    }
  }
}
