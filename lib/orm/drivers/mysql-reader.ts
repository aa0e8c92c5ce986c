/**
 * One consistent snapshot of a MariaDB or MySQL database.
 *
 * @see mysql-writer.ts
 */
import { SourceError } from '../../errors.ts';
import type { SequenceSchema, TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch, SnapshotReader, TableRef } from '../driver.ts';
import { describeTables, type MysqlTable, readMigrations, readSequences, untransactional } from './mysql-catalog.ts';
import { sourceError } from './mysql-errors.ts';
import type { MysqlLocation } from './mysql-open.ts';
import { readRows } from './mysql-read.ts';
import { kill, onAbort, openSession, type Session } from './mysql-session.ts';
import { qualified } from './mysql-sql.ts';

export class MysqlReader implements SnapshotReader {
  readonly encoding = 'text';
  readonly server: string;
  readonly notes: string[] = [];
  readonly #location: MysqlLocation;
  readonly #session: Session;
  readonly #tables = new Map<string, MysqlTable>();
  readonly #forget: () => void;
  #open = true;

  private constructor(location: MysqlLocation, session: Session, signal: AbortSignal | undefined) {
    this.#location = location;
    this.#session = session;
    this.server = session.server;
    this.#forget = onAbort(signal, () => void kill(location, session.db, 'CONNECTION'));
  }

  static async open(location: MysqlLocation, signal?: AbortSignal): Promise<MysqlReader> {
    let session: Session | undefined;
    try {
      session = await openSession(location, 'read');
      const reader = new MysqlReader(location, session, signal);
      await session.db.run('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
      return reader;
    } catch (error) {
      await session?.db.close();
      signal?.throwIfAborted();
      throw sourceError(error, 'start a read transaction');
    }
  }

  async describe(refs: TableRef[]): Promise<MysqlTable[][]> {
    try {
      const found = await describeTables(this.#session.db, refs);
      for (const table of found.flat()) this.#tables.set(qualified(table), table);
      await this.#mustSeeAll(found.flat());
      await this.#note(found.flat());
      return found;
    } catch (error) {
      throw sourceError(error, 'read the catalog');
    }
  }

  /** The catalog shows only columns that the user has a right on; the others would be missing without a word. */
  async #mustSeeAll(tables: MysqlTable[]): Promise<void> {
    const { db } = this.#session;
    await db.run('SAVEPOINT dbs');
    for (const table of tables) {
      if (table.kind === 'table') await db.all(`SELECT * FROM ${qualified(table)} LIMIT 0`);
    }
    // As in mysqldump: what was locked against ALTER TABLE since the savepoint is free again, and the snapshot stays.
    await db.run('ROLLBACK TO SAVEPOINT dbs');
  }

  async #note(tables: MysqlTable[]): Promise<void> {
    const loose = await untransactional(this.#session.db, tables);
    if (loose.length)
      this.notes.push(
        `These tables know no transactions, so what writers change while the backup runs may show up half: ${loose.map(({ table, engine }) => `"${table}" (${engine})`).join(', ')}. ALTER TABLE ... ENGINE=InnoDB mends that.`,
      );
    const versioned = tables.filter((table) => table.versioned);
    if (versioned.length)
      this.notes.push(
        `The server keeps old versions of the rows of ${versioned.map(({ table }) => `"${table}"`).join(', ')} (WITH SYSTEM VERSIONING). Only the current ones are backed up.`,
      );
  }

  async sequences(tables: TableSchema[]): Promise<SequenceSchema[]> {
    try {
      return await readSequences(this.#session.db, tables);
    } catch (error) {
      throw sourceError(error, 'read the AUTO_INCREMENT counters');
    }
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      return await readMigrations(this.#session.db, ref);
    } catch (error) {
      throw sourceError(error, 'read the executed migrations');
    }
  }

  async *rows(table: TableSchema, options: ReadOptions = {}): AsyncGenerator<RowBatch> {
    const catalog = this.#tables.get(qualified(table));
    if (!catalog) throw new SourceError('ERR_SOURCE_MISSING_TABLE', `The table "${table.table}" was not described.`);
    try {
      // The transaction, and its snapshot, outlive a query that is ended.
      const { db } = this.#session;
      const stop = () => kill(this.#location, db, 'QUERY');
      await db.run('SAVEPOINT dbs');
      yield* readRows(db, table, catalog, options, stop);
      // A migration need not wait for the rest of the backup.
      await db.run('ROLLBACK TO SAVEPOINT dbs');
    } catch (error) {
      throw sourceError(error, `read the table "${table.table}"`);
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#forget();
    // Hanging up ends the transaction.
    await this.#session.db.close();
  }
}
