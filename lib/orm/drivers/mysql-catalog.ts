/** What `information_schema` says of tables, counters and MikroORM's migration table. */
import type { ColumnSchema, ForeignKeySchema, SequenceSchema, TableSchema } from '../../format/items.ts';
import type { CatalogTable, TableRef } from '../driver.ts';
import type { MysqlHandle } from './mysql-connection.ts';
import { ident, literal, qualified, schemaSql } from './mysql-sql.ts';
import { type MysqlColumn, typeName } from './mysql-types.ts';

/** A unique index: columns beyond `length` characters are not compared. */
export interface UniqueKey {
  name: string;
  /** null: an expression (MySQL 8). */
  columns: { name: string | null; length: string | null }[];
}

/** A catalog entry with the facts that only MariaDB and MySQL have. */
export interface MysqlTable extends CatalogTable {
  engine: string;
  details: Map<string, MysqlColumn>;
  uniqueKeys: UniqueKey[];
  /** Rows that were deleted or changed are kept by the server (MariaDB): never backed up. */
  versioned: boolean;
  /** The column that counts by itself. */
  autoIncrement?: string;
}

type Row = (string | null)[];

const SYSTEM = "('mysql', 'information_schema', 'performance_schema', 'sys')";

/**
 * For each ref what is found: several tables where its schema is `*`.
 *
 * @param refs names are compared as the server compares them
 */
export async function describeTables(db: MysqlHandle, refs: TableRef[]): Promise<MysqlTable[][]> {
  const found: MysqlTable[][] = refs.map(() => []);
  for (const schema of new Set(refs.map((ref) => ref.schema))) {
    const mine = refs.flatMap((ref, i) => (ref.schema === schema ? [{ ref, i }] : []));
    const names = [...new Set(mine.map(({ ref }) => literal(ref.table)))].join(', ');
    const rows = await db.all(
      `SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE ${
        schema === '*' ? `TABLE_SCHEMA NOT IN ${SYSTEM}` : `TABLE_SCHEMA = ${schemaSql(schema)}`
      } AND TABLE_NAME IN (${names}) ORDER BY TABLE_SCHEMA`,
    );
    const tables = await describeAll(db, schema, rows);
    for (const { ref, i } of mine) {
      const same = tables.filter(({ table }) => table === ref.table);
      found[i] = same.length ? same : tables.filter(({ table }) => table.toLowerCase() === ref.table.toLowerCase());
    }
  }
  return found;
}

async function describeAll(db: MysqlHandle, schema: string | undefined, rows: Row[]): Promise<MysqlTable[]> {
  const tables: MysqlTable[] = [];
  for (const [database, table, type, engine] of rows as [string, string, string, string | null][]) {
    const isTable = type === 'BASE TABLE' || type === 'SYSTEM VERSIONED';
    tables.push({
      ...(schema === undefined ? {} : { schema: database }),
      table,
      kind: type === 'VIEW' ? 'view' : isTable ? 'table' : 'virtual',
      engine: engine ?? '',
      versioned: type === 'SYSTEM VERSIONED',
      columns: [],
      primaryKey: [],
      unique: [],
      foreignKeys: [],
      details: new Map(),
      uniqueKeys: [],
    });
  }
  const real = tables.filter(({ kind }) => kind === 'table');
  for (const database of new Set(real.map((table) => table.schema))) {
    const here = real.filter((table) => table.schema === database);
    await fill(db, database, here);
  }
  return tables;
}

/** Columns, keys and foreign keys of tables in one schema. */
async function fill(db: MysqlHandle, schema: string | undefined, tables: MysqlTable[]): Promise<void> {
  const byName = new Map(tables.map((table) => [table.table, table]));
  const where = `TABLE_SCHEMA = ${schemaSql(schema)} AND TABLE_NAME IN (${tables.map(({ table }) => literal(table)).join(', ')})`;
  const columns = await db.all(
    `SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COLUMN_DEFAULT, IS_NULLABLE, EXTRA, GENERATION_EXPRESSION, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE ${where} ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
  for (const row of columns) addColumn(byName.get(row[0] as string), row);
  const indexes = await db.all(
    `SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS WHERE ${where} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
  );
  for (const [name, index, column, length] of indexes as [string, string, string | null, string | null][]) {
    const table = byName.get(name);
    if (!table) continue;
    if (index === 'PRIMARY') {
      table.primaryKey.push(column as string);
      continue;
    }
    let key = table.uniqueKeys.find((one) => one.name === index);
    if (!key) table.uniqueKeys.push((key = { name: index, columns: [] }));
    key.columns.push({ name: column, length });
  }
  for (const table of tables) {
    const whole = table.uniqueKeys.filter((key) => key.columns.every(({ name, length }) => name !== null && !length));
    table.unique = whole.map((key) => key.columns.map(({ name }) => name as string));
  }
  const keys = await db.all(
    `SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME, TABLE_SCHEMA = REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE WHERE ${where} AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION`,
  );
  for (const [name, constraint, column, otherSchema, other, reference, same] of keys as string[][]) {
    const table = byName.get(name!);
    let key = table?.foreignKeys.find((one) => one.name === constraint);
    if (!table) continue;
    if (!key) {
      const place = same === '1' ? table.schema : otherSchema;
      key = { name: constraint!, columns: [], table: other!, references: [], ...(place ? { schema: place } : {}) };
      table.foreignKeys.push(key satisfies ForeignKeySchema);
    }
    key.columns.push(column!);
    key.references.push(reference!);
  }
}

function addColumn(table: MysqlTable | undefined, row: Row): void {
  if (!table) return;
  const [, name, dataType, type, fallback, nullable, extra, expression, charset] = row as string[] & (string | null)[];
  // MySQL also says DEFAULT_GENERATED, which is only a default.
  const generated = Boolean(expression) || /(VIRTUAL|STORED|PERSISTENT) GENERATED/i.test(extra ?? '');
  const counts = /auto_increment/i.test(extra ?? '');
  const column: ColumnSchema = { name: name!, type: typeName(type!, charset ?? null), nullable: nullable === 'YES' };
  if (generated) column.generated = true;
  if (counts) {
    column.identity = 'by-default';
    table.autoIncrement = name!;
  }
  // MariaDB writes the word NULL where the column has no other default.
  if (!generated && fallback !== null && fallback !== 'NULL') column.default = fallback!;
  table.columns.push(column);
  table.details.set(name!, {
    name: name!,
    dataType: dataType!.toLowerCase(),
    charset: charset ?? null,
    scaled: /^double\(/i.test(type!),
  });
}

/** The next AUTO_INCREMENT values, as decimal text. */
export async function readSequences(
  db: MysqlHandle,
  tables: (TableRef | TableSchema)[],
): Promise<(SequenceSchema & { table: string })[]> {
  const found: (SequenceSchema & { table: string })[] = [];
  for (const schema of new Set(tables.map((table) => table.schema))) {
    const mine = tables.filter((one) => one.schema === schema);
    const names = mine.map(({ table }) => literal(table)).join(', ');
    const rows = await db.all(
      `SELECT t.TABLE_NAME, t.AUTO_INCREMENT, c.COLUMN_NAME FROM information_schema.TABLES AS t JOIN information_schema.COLUMNS AS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME AND c.EXTRA LIKE '%auto_increment%' WHERE t.TABLE_SCHEMA = ${schemaSql(schema)} AND t.TABLE_NAME IN (${names})`,
    );
    for (const { table } of mine) {
      const row = rows.find(([name]) => name === table);
      // MySQL says nothing for a table that was never written.
      if (row) {
        const place = schema === undefined ? {} : { schema };
        found.push({ name: table, ...place, table, column: row[2]!, value: row[1] ?? '1', called: false });
      }
    }
  }
  return found;
}

/** Names of executed migrations, oldest first; null where the table does not exist. */
export async function readMigrations(db: MysqlHandle, ref: TableRef): Promise<string[] | null> {
  const [[table] = []] = await describeTables(db, [ref]);
  if (table?.kind !== 'table' || !table.columns.some((column) => column.name === 'name')) return null;
  const order = table.primaryKey.length ? ` ORDER BY ${table.primaryKey.map(ident).join(', ')}` : '';
  const rows = await db.all(`SELECT name FROM ${qualified(table)}${order}`);
  return rows.map(([name]) => String(name));
}

/** Tables among these that a transaction does not protect. */
export async function untransactional(db: MysqlHandle, tables: MysqlTable[]): Promise<MysqlTable[]> {
  const rows = await db.all("SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'");
  const safe = new Set(rows.map(([engine]) => engine?.toLowerCase()));
  return tables.filter(({ kind, engine }) => kind === 'table' && !safe.has(engine.toLowerCase()));
}
