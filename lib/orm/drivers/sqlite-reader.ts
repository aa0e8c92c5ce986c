/**
 * One consistent snapshot of an SQLite database.
 *
 * @see sqlite-writer.ts
 */
import { SourceError } from '../../errors.ts';
import type { SequenceSchema, TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch, SnapshotReader, TableRef } from '../driver.ts';
import { describeTable, readMigrations, readSequences, type SqliteTable, serverOf } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { sourceError } from './sqlite-errors.ts';
import type { SqliteLocation } from './sqlite-open.ts';
import { patiently } from './sqlite-patience.ts';
import { readRows } from './sqlite-read.ts';
import { ident, qualified } from './sqlite-sql.ts';

export class SqliteReader implements SnapshotReader {
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
