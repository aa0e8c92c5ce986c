/** The writing side: one transaction on a connection of its own. */
import { RestoreError } from '../../errors.ts';
import type { SequenceSchema } from '../../format/items.ts';
import type { BeginOptions, DanglingReference, RestoreWriter, TablePlan, TableRef, TableWriter } from '../driver.ts';
import { describeTables, findRelations, type PgTable, readMigrations, serverOf } from './postgresql-catalog.ts';
import type { PgConnection, PgLocation } from './postgresql-connection.ts';
import { clashOf, errorText, isClash, restoreError, tableOf } from './postgresql-errors.ts';
import { clashError } from './postgresql-merge.ts';
import {
  addForeignKeys,
  dropForeignKeys,
  type ForeignKey,
  findForeignKeys,
  notOwner,
  requireOwned,
  restoreSequences,
  switchOff,
} from './postgresql-restore.ts';
import { literal, only, qualified, SESSION } from './postgresql-sql.ts';
import { PgTableWriter } from './postgresql-write.ts';

/** How long a table's lock is waited for. */
const LOCK_TIMEOUT = '10s';

export class PgWriter implements RestoreWriter {
  readonly encoding = 'text';
  readonly server: string;
  readonly #db: PgConnection;
  readonly #schema: string | undefined;
  #options: BeginOptions | undefined;
  #began = false;
  #open = true;
  #foreignKeys: ForeignKey[] = [];
  #again: string[] = [];

  private constructor(db: PgConnection, server: string, schema: string | undefined) {
    this.#db = db;
    this.server = server;
    this.#schema = schema;
  }

  static async open(location: PgLocation, signal?: AbortSignal): Promise<PgWriter> {
    let db: PgConnection | undefined;
    try {
      db = await location.open(signal);
      return new PgWriter(db, await serverOf(db, 'restore'), location.schema);
    } catch (error) {
      await db?.close();
      signal?.throwIfAborted();
      throw restoreError(error, 'connect to the database');
    }
  }

  /** Begins the transaction: the catalog itself waits for locks, and that must have an end. */
  async #start(): Promise<void> {
    if (this.#began) return;
    const settings = Object.entries({ ...SESSION, lock_timeout: LOCK_TIMEOUT });
    const set = settings.map(([name, value]) => `SET LOCAL ${name} = ${literal(value)}`);
    await this.#db.exec(['BEGIN ISOLATION LEVEL READ COMMITTED', ...set].join('; '));
    this.#began = true;
  }

  async describe(refs: TableRef[]): Promise<PgTable[][]> {
    try {
      await this.#start();
      return await describeTables(this.#db, refs, await findRelations(this.#db, refs, this.#schema));
    } catch (error) {
      throw restoreError(error, 'read the catalog');
    }
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      await this.#start();
      return await readMigrations(this.#db, ref, this.#schema);
    } catch (error) {
      throw restoreError(error, `read the table "${ref.table}"`);
    }
  }

  async begin(options: BeginOptions): Promise<void> {
    this.#options = options;
    const tables = options.plans.map(({ target }) => target as PgTable);
    const oids = tables.map(({ oid }) => oid);
    const flush = options.mode === 'flush';
    try {
      await this.#start();
      await this.#requireRights(oids);
      this.#foreignKeys = await findForeignKeys(this.#db, oids, flush ? 'both' : 'children');
      requireOwned(this.#foreignKeys);
      // All at once and before anything is done, so that a lock in the way costs no work.
      const locked = new Map([...tables, ...this.#foreignKeys.map(({ child }) => child)].map((t) => [qualified(t), t]));
      const names = [...locked.values()].map(only).sort();
      if (names.length) await this.#db.exec(`LOCK TABLE ${names.join(', ')} IN ACCESS EXCLUSIVE MODE`);
      await dropForeignKeys(this.#db, this.#foreignKeys);
      this.#again = await switchOff(this.#db, oids);
      await this.#db.exec('SET CONSTRAINTS ALL DEFERRED');
      if (flush && tables.length) await this.#db.exec(`TRUNCATE ${tables.map(only).join(', ')}`);
    } catch (error) {
      throw restoreError(error, 'start a write transaction');
    }
  }

  /** @throws RestoreError ERR_RESTORE_READ_ONLY, ERR_RESTORE_PRIVILEGE: with all tables at once */
  async #requireRights(oids: string[]): Promise<void> {
    const [state] = await this.#db.all("SELECT pg_catalog.current_setting('transaction_read_only')");
    if (state![0] === 'on')
      throw new RestoreError(
        'ERR_RESTORE_READ_ONLY',
        'The database is read-only: it is a standby, or default_transaction_read_only is on. Restore into the primary, or switch that setting off for this user. Nothing was changed.',
      );
    const rows = await this.#db.all(
      `SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
       WHERE c.oid = ANY ($1) AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2`,
      [oids],
    );
    if (rows.length)
      throw notOwner(rows.map(([namespace, table]) => qualified({ namespace: namespace!, table: table! })));
  }

  async table(plan: TablePlan): Promise<TableWriter> {
    try {
      return await PgTableWriter.open(this.#db, plan, { detach: (table) => this.#detach(table) });
    } catch (error) {
      throw restoreError(error, `write the table "${plan.target.table}"`);
    }
  }

  /** A merge has to delete and insert rows of this table: nobody's ON DELETE may see it. */
  async #detach(table: PgTable): Promise<void> {
    const more = await findForeignKeys(this.#db, [table.oid], 'parents');
    requireOwned(more);
    await dropForeignKeys(this.#db, more);
    this.#foreignKeys.push(...more);
  }

  async finish(sequences: SequenceSchema[]): Promise<DanglingReference[]> {
    const { plans, mode } = this.#options!;
    try {
      // What deferrable constraints have put off is checked now; ALTER TABLE would refuse tables with such debts.
      await this.#db.exec('SET CONSTRAINTS ALL IMMEDIATE').catch((error) => {
        const plan = plans.find(({ target }) => target.table === tableOf(error));
        throw plan && isClash(error)
          ? clashError(plan, [clashOf(error)], mode === 'merge' ? 'target' : 'backup')
          : error;
      });
      const dangling = await addForeignKeys(this.#db, this.#foreignKeys);
      for (const sql of this.#again) await this.#db.exec(sql);
      await restoreSequences(this.#db, plans, sequences, mode);
      return dangling;
    } catch (error) {
      throw restoreError(error, 'finish the transaction');
    }
  }

  async commit(): Promise<void> {
    try {
      const tag = await this.#db.tag('COMMIT');
      this.#began = false;
      if (tag !== 'COMMIT') throw new Error(`the server answered ${tag} to COMMIT`);
    } catch (error) {
      const known = restoreError(error, 'commit the transaction');
      if (known.code !== 'ERR_RESTORE_CONNECTION') throw known;
      throw new RestoreError(
        'ERR_RESTORE_CONNECTION',
        `The connection to PostgreSQL was lost while it committed (${errorText(error)}), so that it is not known whether the rows are there. Restore again: what is there is left alone.`,
        { cause: known.cause },
      );
    }
  }

  async rollback(): Promise<void> {
    if (!this.#began) return;
    this.#began = false;
    try {
      await this.#db.exec('ROLLBACK');
    } catch {
      // The connection is gone, and the transaction with it; or a COPY failed: close() ends both.
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.rollback();
    await this.#db.close();
  }
}
