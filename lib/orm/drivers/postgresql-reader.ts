/** The reading side: one REPEATABLE READ transaction on a connection of its own. */
import { SourceError } from '../../errors.ts';
import type { SequenceSchema, TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch, SnapshotReader, TableRef } from '../driver.ts';
import {
  describeTables,
  findRelations,
  type PgTable,
  readMigrations,
  readSequences,
  serverOf,
} from './postgresql-catalog.ts';
import type { PgConnection, PgLocation } from './postgresql-connection.ts';
import { sourceError } from './postgresql-errors.ts';
import { readRows } from './postgresql-read.ts';
import { literal, only, qualified, SESSION } from './postgresql-sql.ts';

/** How long a table's lock is waited for: reading needs the weakest there is. */
const LOCK_TIMEOUT = '10s';

export class PgReader implements SnapshotReader {
  readonly encoding = 'text';
  readonly server: string;
  readonly notes: string[] = [];
  readonly #db: PgConnection;
  readonly #schema: string | undefined;
  readonly #tables = new Map<string, PgTable>();
  /** The app's own search path, by which names are looked up, while values are read without any. */
  readonly #path: string;
  #pathNow: string;
  #began = false;
  #open = true;

  private constructor(db: PgConnection, facts: { server: string; path: string; schema: string | undefined }) {
    this.#db = db;
    this.server = facts.server;
    this.#path = this.#pathNow = facts.path;
    this.#schema = facts.schema;
  }

  static async open(location: PgLocation, signal?: AbortSignal): Promise<PgReader> {
    let db: PgConnection | undefined;
    try {
      db = await location.open(signal);
      const server = await serverOf(db, 'source');
      const [[path]] = (await db.all("SELECT pg_catalog.current_setting('search_path')")) as [[string]];
      return new PgReader(db, { server, path, schema: location.schema });
    } catch (error) {
      await db?.close();
      signal?.throwIfAborted();
      throw sourceError(error, 'connect to the database');
    }
  }

  async describe(refs: TableRef[]): Promise<PgTable[][]> {
    try {
      await this.#searchPath(this.#path);
      // The app's own time limit is for its short queries; LOCAL, as a connection pooler may give the session to others.
      if (!this.#began) await this.#db.exec('BEGIN READ ONLY; SET LOCAL statement_timeout = 0');
      const before = await findRelations(this.#db, refs, this.#schema);
      const tables = before.flat().filter(({ kind }) => kind === 'r' || kind === 'p');
      await this.#requireRights(tables.map(({ oid }) => oid));
      if (!this.#began) {
        await this.#db.exec('COMMIT');
        await this.#begin();
      }
      // Before the snapshot: a TRUNCATE or a rewrite that came between would show empty tables in it.
      if (tables.length) {
        const names = tables.map((one) => only({ ...one, partitioned: one.kind === 'p' }));
        await this.#db.exec(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`);
      }
      const found = await describeTables(this.#db, refs, await findRelations(this.#db, refs, this.#schema));
      for (const table of found.flat()) this.#tables.set(keyOf(table), table);
      return found;
    } catch (error) {
      throw sourceError(error, 'read the catalog');
    }
  }

  async #begin(): Promise<void> {
    const settings = Object.entries({ ...SESSION, lock_timeout: LOCK_TIMEOUT });
    // SET takes no snapshot, where a SELECT of set_config would.
    await this.#db.exec(
      [
        'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
        ...settings.map(([name, value]) => `SET LOCAL ${name} = ${literal(value)}`),
      ].join('; '),
    );
    this.#began = true;
  }

  /** @throws SourceError ERR_SOURCE_PRIVILEGE, ERR_SOURCE_ROW_SECURITY: with all tables at once */
  async #requireRights(oids: string[]): Promise<void> {
    const rows = await this.#db.all(
      `SELECT n.nspname, c.relname, current_user, pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
         pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid)
       FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1)`,
      [oids],
    );
    const named = (pick: (row: (string | null)[]) => boolean) =>
      rows.filter(pick).map(([namespace, table]) => qualified({ namespace: namespace!, table: table! }));
    const user = rows[0]?.[2];
    const schemas = named(([, , , usage]) => usage === 'f');
    const tables = named(([, , , , select]) => select === 'f');
    if (schemas.length || tables.length) {
      const grants = [
        ...new Set(
          schemas.map((name) => `GRANT USAGE ON SCHEMA ${name.slice(0, name.indexOf('".') + 1)} TO "${user}"`),
        ),
        ...(tables.length ? [`GRANT SELECT ON ${tables.join(', ')} TO "${user}"`] : []),
      ];
      throw new SourceError(
        'ERR_SOURCE_PRIVILEGE',
        `The database user "${user}" may not read ${(tables.length ? tables : schemas).join(', ')}. As the owner: ${grants.join('; ')}`,
        { facts: { user, tables, schemas } },
      );
    }
    const hidden = named(([, , , , , active]) => active === 't');
    if (hidden.length)
      throw new SourceError(
        'ERR_SOURCE_ROW_SECURITY',
        `Row-level security hides rows of ${hidden.join(', ')} from the database user "${user}", and a backup must hold all of them. Make it as the tables' owner (without FORCE ROW LEVEL SECURITY), or as a user with BYPASSRLS: ALTER ROLE "${user}" BYPASSRLS`,
        { facts: { user, tables: hidden } },
      );
  }

  async #searchPath(path: string): Promise<void> {
    if (path === this.#pathNow) return;
    await this.#db.all("SELECT pg_catalog.set_config('search_path', $1, true)", [path]);
    this.#pathNow = path;
  }

  async sequences(tables: TableSchema[]): Promise<SequenceSchema[]> {
    try {
      return await readSequences(this.#db, tables, (table) => this.#table(table));
    } catch (error) {
      throw sourceError(error, 'read the sequences');
    }
  }

  async migrations(ref: TableRef): Promise<string[] | null> {
    try {
      if (!this.#began) await this.#begin();
      await this.#searchPath(this.#path);
      return await readMigrations(this.#db, ref, this.#schema);
    } catch (error) {
      throw sourceError(error, `read the table "${ref.table}"`);
    }
  }

  #table(table: { schema?: string; table: string }): PgTable {
    const found = this.#tables.get(keyOf(table));
    if (!found) throw new SourceError('ERR_SOURCE_MISSING_TABLE', `The table "${table.table}" was not described.`);
    return found;
  }

  async *rows(table: TableSchema, options?: ReadOptions): AsyncGenerator<RowBatch> {
    const catalog = this.#table(table);
    try {
      // With an empty one, names in values (regclass and the like) are written with their schema.
      await this.#searchPath('');
      yield* readRows(this.#db, table, catalog, options);
    } catch (error) {
      throw sourceError(error, `read the table "${table.table}"`);
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    // The end of the connection is the end of the transaction.
    await this.#db.close();
  }
}

function keyOf({ schema, table }: { schema?: string; table: string }): string {
  return `${schema ?? ''}\0${table}`;
}
