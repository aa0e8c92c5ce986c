/**
 * One write transaction on a MariaDB or MySQL database.
 *
 * @see mysql-reader.ts
 */
import { RestoreError } from '../../errors.ts';
import type { SequenceSchema } from '../../format/items.ts';
import type { BeginOptions, DanglingReference, RestoreWriter, TablePlan, TableRef, TableWriter } from '../driver.ts';
import { describeTables, type MysqlTable, readMigrations } from './mysql-catalog.ts';
import { errorText, isLost, restoreError } from './mysql-errors.ts';
import type { MysqlLocation } from './mysql-open.ts';
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

export class MysqlWriter implements RestoreWriter {
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
