/** What SQLite's own catalog says of a table, of AUTOINCREMENT counters and of MikroORM's migration table. */
import type { ColumnSchema, ForeignKeySchema, SequenceSchema } from '../../format/items.ts';
import type { CatalogTable, TableRef } from '../driver.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { ident, literal, qualified } from './sqlite-sql.ts';

/** A catalog entry with the facts that only SQLite has. */
export interface SqliteTable extends CatalogTable {
  withoutRowid: boolean;
  /** The INTEGER PRIMARY KEY column, which is the rowid under another name. */
  rowidAlias?: string;
  autoincrement: boolean;
}

/**
 * @param ref names are compared without case, as SQLite does
 * @returns null where the table does not exist
 */
export async function describeTable(db: SqliteHandle, ref: TableRef): Promise<SqliteTable | null> {
  const schema = await attached(db, ref.schema);
  const named = schema === undefined ? { table: ref.table } : { schema, table: ref.table };
  const master = `${schema === undefined ? '' : `${ident(schema)}.`}sqlite_master`;
  const [found] = await db.all(
    `SELECT name, type, sql FROM ${master} WHERE type IN ('table', 'view') AND lower(name) = lower(${literal(ref.table)})`,
  );
  if (!found) return null;
  const [name, type, sql] = found as [string, string, string | null];
  // Nothing more is asked of a view: one that refers to a dropped table would fail.
  if (type === 'view') return { ...named, ...VIEW, table: name };
  const args = schema === undefined ? literal(name) : `${literal(name)}, ${literal(schema)}`;
  const [listed] = await db.all(
    `SELECT type AS type, wr AS wr FROM pragma_table_list WHERE name = ${literal(name)} AND schema = ${literal(schema ?? 'main')}`,
  );
  const withoutRowid = Number(listed?.[1] ?? 0) === 1;
  const { columns, primaryKey, hidden } = await readColumns(db, args);
  const alias = withoutRowid ? undefined : await rowidAlias(db, named, name, primaryKey, columns);
  return {
    ...(schema === undefined ? {} : { schema }),
    table: name,
    kind: listed?.[0] === 'virtual' || hidden ? 'virtual' : 'table',
    columns,
    primaryKey,
    unique: await readUnique(db, args, schema),
    foreignKeys: await readForeignKeys(db, args),
    withoutRowid,
    ...(alias === undefined ? {} : { rowidAlias: alias }),
    autoincrement: alias !== undefined && /\bAUTOINCREMENT\b/i.test(stripQuoted(sql ?? '')),
  };
}

/** SQLite has attached databases for schemas. Any other schema is one that MikroORM leaves out on SQLite, too. */
async function attached(db: SqliteHandle, schema: string | undefined): Promise<string | undefined> {
  if (schema === undefined || schema === '*') return undefined;
  const found = await db.all(`SELECT 1 AS one FROM pragma_database_list WHERE name = ${literal(schema)} AND seq > 1`);
  return found.length ? schema : undefined;
}

const VIEW = {
  kind: 'view' as const,
  columns: [],
  primaryKey: [],
  unique: [],
  foreignKeys: [],
  withoutRowid: false,
  autoincrement: false,
} satisfies Omit<SqliteTable, 'table'>;

async function readColumns(db: SqliteHandle, args: string) {
  const rows = await db.all(
    `SELECT name, type, "notnull" AS nn, dflt_value AS dv, pk, hidden FROM pragma_table_xinfo(${args}) ORDER BY cid`,
  );
  const columns: ColumnSchema[] = [];
  const keys: [number, string][] = [];
  let hidden = false;
  for (const [name, type, notNull, fallback, pk, how] of rows as [
    string,
    string,
    number,
    string | null,
    number,
    number,
  ][]) {
    if (Number(how) === 1) hidden = true; // a virtual table's own
    if (Number(pk) > 0) keys.push([Number(pk), name]);
    columns.push({
      name,
      type,
      nullable: !Number(notNull),
      ...(Number(how) >= 2 ? { generated: true } : {}),
      ...(fallback === null ? {} : { default: fallback }),
    });
  }
  keys.sort((a, b) => a[0] - b[0]);
  return { columns, primaryKey: keys.map(([, name]) => name), hidden };
}

/** `INTEGER PRIMARY KEY` is the rowid, `INTEGER PRIMARY KEY DESC` or `INT PRIMARY KEY` is not: those have an index. */
async function rowidAlias(db: SqliteHandle, ref: TableRef, name: string, pk: string[], columns: ColumnSchema[]) {
  const only = pk.length === 1 ? columns.find((column) => column.name === pk[0]) : undefined;
  if (only?.type.toUpperCase() !== 'INTEGER') return undefined;
  const args = ref.schema === undefined ? literal(name) : `${literal(name)}, ${literal(ref.schema)}`;
  const indexes = await db.all(`SELECT name FROM pragma_index_list(${args}) WHERE origin = 'pk'`);
  return indexes.length ? undefined : only.name;
}

async function readUnique(db: SqliteHandle, args: string, schema: string | undefined): Promise<string[][]> {
  const sets: string[][] = [];
  const indexes = await db.all(
    `SELECT name FROM pragma_index_list(${args}) WHERE "unique" = 1 AND origin <> 'pk' AND partial = 0 ORDER BY name`,
  );
  for (const [index] of indexes as [string][]) {
    const where = schema === undefined ? literal(index) : `${literal(index)}, ${literal(schema)}`;
    const columns = await db.all(`SELECT name FROM pragma_index_info(${where}) ORDER BY seqno`);
    // A null name is an expression: no set of columns stands for it.
    if (columns.every(([name]) => name !== null)) sets.push(columns.map(([name]) => name as string));
  }
  return sets;
}

async function readForeignKeys(db: SqliteHandle, args: string): Promise<ForeignKeySchema[]> {
  const rows = await db.all(
    `SELECT id, "table" AS t, "from" AS f, "to" AS r FROM pragma_foreign_key_list(${args}) ORDER BY id, seq`,
  );
  const byId = new Map<unknown, ForeignKeySchema>();
  for (const [id, table, from, to] of rows as [number, string, string, string | null][]) {
    const key = byId.get(id) ?? { columns: [], table, references: [] };
    key.columns.push(from);
    if (to !== null) key.references.push(to); // absent: the parent's primary key
    byId.set(id, key);
  }
  return [...byId.values()];
}

/** SQL without its quoted names, strings and comments, so that a word search finds keywords only. */
function stripQuoted(sql: string): string {
  return sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
}

/** The AUTOINCREMENT counters of these tables, as decimal text. */
export async function readSequences(db: SqliteHandle, tables: TableRef[]): Promise<SequenceSchema[]> {
  const found: SequenceSchema[] = [];
  for (const schema of new Set(tables.map((table) => table.schema))) {
    const prefix = schema === undefined ? '' : `${ident(schema)}.`;
    if (!(await db.all(`SELECT 1 AS one FROM ${prefix}sqlite_master WHERE name = 'sqlite_sequence'`)).length) continue;
    const values = new Map(
      (await db.all(`SELECT lower(name) AS n, CAST(seq AS TEXT) AS s FROM ${prefix}sqlite_sequence`)) as [
        string,
        string,
      ][],
    );
    for (const { table } of tables.filter((one) => one.schema === schema)) {
      const value = values.get(table.toLowerCase());
      if (value !== undefined) found.push({ name: table, table, value, ...(schema === undefined ? {} : { schema }) });
    }
  }
  return found;
}

/** Names of executed migrations, oldest first; null where the table does not exist. */
export async function readMigrations(db: SqliteHandle, ref: TableRef): Promise<string[] | null> {
  const table = await describeTable(db, ref);
  if (table?.kind !== 'table' || !table.columns.some((column) => column.name === 'name')) return null;
  const rows = await db.all(`SELECT CAST(name AS TEXT) AS name FROM ${qualified(table)} ORDER BY rowid`);
  return rows.map(([name]) => String(name));
}

/** `sqlite_version()` and, where it is not UTF-8, the encoding of TEXT. */
export async function serverOf(db: SqliteHandle): Promise<{ server: string; utf16: false | 'le' | 'be' }> {
  const [[version]] = (await db.all('SELECT sqlite_version() AS v')) as [[string]];
  const [[encoding]] = (await db.all('SELECT encoding FROM pragma_encoding')) as [[string]];
  const utf16 = encoding === 'UTF-16le' ? 'le' : encoding === 'UTF-16be' ? 'be' : false;
  return { server: `SQLite ${version}${utf16 ? ` ${encoding}` : ''}`, utf16 };
}
