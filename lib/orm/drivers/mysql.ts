/**
 * The driver of MariaDB and MySQL: one connection of its own, one consistent snapshot for a backup, one transaction for a
 * restore.
 *
 * - Reading blocks nobody but an ALTER TABLE of the table that is being read, and no writer blocks it. Tables that are not
 *   InnoDB's are read as they are at that moment; the notes say so.
 * - A restore locks the rows that it writes, and those that their foreign keys refer to, until COMMIT. Foreign keys are
 *   checked before it, all at once.
 * - AUTO_INCREMENT counters can only be set after COMMIT (ALTER TABLE would commit by itself). Should that fail, the rows
 *   are safe and `close` says what to run.
 * - Triggers would fire: a restore refuses tables that have some, unless `allowTriggers`.
 *
 * docs/types-mysql.md lists how each type travels.
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
import { describeTables, type MysqlTable, readMigrations, readSequences, untransactional } from './mysql-catalog.ts';
import { errorText, isLost, restoreError, sourceError } from './mysql-errors.ts';
import { locate, type MysqlLocation } from './mysql-open.ts';
import { readRows } from './mysql-read.ts';
import {
  type Counter,
  countersError,
  countersToSet,
  findDangling,
  refuseTriggers,
  refuseUntransactional,
} from './mysql-restore.ts';
import { kill, onAbort, openSession, type Session } from './mysql-session.ts';
import { qualified } from './mysql-sql.ts';
import { MysqlTableWriter } from './mysql-write.ts';

/** Answers null for ORMs on other databases. */
export async function mysqlDriver(orm: OrmLike): Promise<DatabaseDriver | null> {
  if (!platformNames(orm).some((name) => /mysql|mariadb/i.test(name))) return null;
  let location: MysqlLocation;
  try {
    location = await locate(orm);
  } catch (error) {
    throw sourceError(error, 'connect to the database', true);
  }
  return {
    dialect: 'mysql',
    identity: `mysql:${location.identity}`,
    openReader: (signal) => MysqlReader.open(location, signal),
    openWriter: (signal) => MysqlWriter.open(location, signal),
  };
}

class MysqlReader implements SnapshotReader {
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

class MysqlWriter implements RestoreWriter {
  readonly encoding = 'text';
  readonly server: string;
  readonly #location: MysqlLocation;
  readonly #session: Session;
  readonly #forget: () => void;
  #began = false;
  #open = true;
  #options: BeginOptions | undefined;
  #sequences: SequenceSchema[] = [];
  /** What `close` is to say: the rows were committed. */
  #late: RestoreError | undefined;

  private constructor(location: MysqlLocation, session: Session, signal: AbortSignal | undefined) {
    this.#location = location;
    this.#session = session;
    this.server = session.server;
    this.#forget = onAbort(signal, () => void kill(location, session.db, 'CONNECTION'));
  }

  static async open(location: MysqlLocation, signal?: AbortSignal): Promise<MysqlWriter> {
    let session: Session | undefined;
    try {
      session = await openSession(location, 'write');
      return new MysqlWriter(location, session, signal);
    } catch (error) {
      await session?.db.close();
      signal?.throwIfAborted();
      throw restoreError(error, 'open the database');
    }
  }

  async describe(refs: TableRef[]): Promise<MysqlTable[][]> {
    try {
      return await describeTables(this.#session.db, refs);
    } catch (error) {
      throw restoreError(error, 'read the catalog');
    }
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      return await readMigrations(this.#session.db, ref);
    } catch (error) {
      throw restoreError(error, 'read the executed migrations');
    }
  }

  async begin(options: BeginOptions): Promise<void> {
    this.#options = options;
    const { db } = this.#session;
    const tables = options.plans.map(({ target }) => target as MysqlTable);
    let doing = 'start a write transaction';
    try {
      await refuseUntransactional(db, tables);
      if (!options.allowTriggers) await refuseTriggers(db, tables, this.#location.database);
      await db.run('SET SESSION foreign_key_checks = 0');
      await db.run('START TRANSACTION READ WRITE');
      this.#began = true;
      if (options.mode !== 'flush') return;
      for (const table of tables) {
        doing = `empty the table "${table.table}"`;
        // Not TRUNCATE, which commits.
        await db.run(`DELETE FROM ${qualified(table)}`);
      }
    } catch (error) {
      throw restoreError(error, doing);
    }
  }

  async table(plan: TablePlan): Promise<TableWriter> {
    try {
      return await MysqlTableWriter.open(this.#session, plan);
    } catch (error) {
      throw restoreError(error, `write the table "${plan.target.table}"`, { table: plan.target.table });
    }
  }

  async finish(sequences: SequenceSchema[]): Promise<DanglingReference[]> {
    this.#sequences = sequences;
    const { plans, mode } = this.#options!;
    try {
      return await findDangling(this.#session.db, plans, mode);
    } catch (error) {
      throw restoreError(error, 'check the foreign keys');
    }
  }

  async commit(): Promise<void> {
    try {
      await this.#session.db.run('COMMIT');
      this.#began = false;
    } catch (error) {
      if (isLost(error)) throw commitUnknown(error);
      throw restoreError(error, 'commit the transaction');
    }
    await this.#setCounters();
  }

  /** Never throws: the rows are there, and files must follow them. */
  async #setCounters(): Promise<void> {
    const { db } = this.#session;
    const { plans, mode } = this.#options!;
    const failed: Counter[] = [];
    let reason: unknown;
    try {
      for (const counter of await countersToSet(db, plans, this.#sequences, mode)) {
        try {
          await db.run(counter.sql);
        } catch (error) {
          reason ??= error;
          failed.push(counter);
        }
      }
    } catch (error) {
      reason = error;
    }
    if (reason) this.#late = countersError(failed, errorText(reason), restoreError(reason, 'set the counters').cause);
  }

  async rollback(): Promise<void> {
    if (!this.#began) return;
    this.#began = false;
    try {
      await this.#session.db.run('ROLLBACK');
    } catch {
      // The connection is gone, and the transaction with it.
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#forget();
    if (this.#session.db.open) await this.rollback();
    await this.#session.db.close();
    if (this.#late) throw this.#late;
  }
}

function commitUnknown(error: unknown): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_CONNECTION',
    `The connection was lost during COMMIT (${errorText(error)}), so it is not known whether the rows were restored: either all of them or none. Look at one of the tables, and restore again if they are not.`,
  );
}
