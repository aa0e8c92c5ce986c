/**
 * One transaction that writes into an SQLite database.
 *
 * @see sqlite-reader.ts
 */
import { RestoreError } from '../../errors.ts';
import type { SequenceSchema } from '../../format/items.ts';
import type { BeginOptions, DanglingReference, RestoreWriter, TablePlan, TableRef, TableWriter } from '../driver.ts';
import { describeTable, readMigrations, type SqliteTable, serverOf } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { restoreError, rightsError } from './sqlite-errors.ts';
import type { SqliteLocation } from './sqlite-open.ts';
import { patiently } from './sqlite-patience.ts';
import { commitUnknown } from './sqlite-remote-errors.ts';
import { findDangling, restoreSequences, switchTriggersOff } from './sqlite-restore.ts';
import { qualified } from './sqlite-sql.ts';
import { SqliteTableWriter } from './sqlite-write.ts';

export class SqliteWriter implements RestoreWriter {
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
