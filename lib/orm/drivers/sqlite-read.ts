/**
 * Rows out of SQLite, as the `sqlite-typed` encoding (SPEC.md, "Cell encodings").
 *
 * SQLite itself writes most of each line: one column of the result holds the row as JSON, so that TEXT reaches the
 * backup as its own bytes, without a JavaScript string between. REAL and BLOB cells cannot be said exactly in SQL;
 * they come beside the line, and a 0x01 byte, which JSON never holds, marks where each belongs.
 *
 * @see sqlite-write.ts
 */
import { isUtf8 } from 'node:buffer';
import type { ColumnSchema, TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch } from '../driver.ts';
import type { SqliteTable } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { repairLine, utf16Line } from './sqlite-repair.ts';
import { ident, MAX_SAFE, qualified } from './sqlite-sql.ts';

const HOLE = 1;
const NEWLINE = Buffer.from('\n');
/** SQLite's default limit of an expression's depth is 1000, and each column takes two levels. */
const COLUMNS_A_GROUP = 100;

function cellSql(column: ColumnSchema): string {
  const q = ident(column.name);
  // A generated column's expression may carry SQLite's JSON subtype, which json_quote would pass through unquoted.
  const text = column.generated ? `${q}||''` : q;
  return (
    `CASE typeof(${q}) WHEN 'text' THEN json_quote(${text}) WHEN 'integer' THEN ` +
    `CASE WHEN ${q} BETWEEN -${MAX_SAFE} AND ${MAX_SAFE} THEN ${q} ELSE '{"i":"'||${q}||'"}' END ` +
    `WHEN 'null' THEN 'null' ELSE char(${HOLE}) END`
  );
}

function lineSql(columns: ColumnSchema[]): string {
  const groups: string[] = [];
  for (let i = 0; i < columns.length; i += COLUMNS_A_GROUP) {
    groups.push(
      `(${columns
        .slice(i, i + COLUMNS_A_GROUP)
        .map(cellSql)
        .join("||','||")})`,
    );
  }
  return `CAST('['||${groups.join("||','||")}||']' AS BLOB)`;
}

/** The query of one table: the line, the cells beside it, the keys. Every result column has its own name. */
export function rowsSql(
  table: TableSchema,
  catalog: SqliteTable,
  keyColumns: string[],
): { sql: string; beside: number } {
  const beside = table.columns.filter((column) => column.name !== catalog.rowidAlias).map(({ name }) => ident(name));
  const keys = keyColumns.map(ident);
  const parts = [
    lineSql(table.columns),
    ...beside.map((q) => `CASE WHEN typeof(${q}) IN ('real', 'blob') THEN ${q} END`),
    ...keys.map((q) => `CASE WHEN typeof(${q}) IN ('text', 'integer') THEN CAST(${q} AS BLOB) END`),
  ];
  const list = parts.map((part, i) => `${part} AS c${i}`).join(', ');
  // NOT INDEXED: the order of the table itself, never that of an index that happens to cover it.
  return { sql: `SELECT ${list} FROM ${qualified(catalog)} NOT INDEXED`, beside: beside.length };
}

/** A REAL or BLOB cell. */
function encodeBeside(value: unknown): string {
  if (typeof value === 'number') return `{"r":"${Object.is(value, -0) ? '-0' : String(value)}"}`;
  return `{"b":"${bytes(value).toString('base64')}"}`;
}

function bytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  const view = value as Uint8Array;
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

/** Puts the cells that came beside a line into its holes. */
function fill(line: Buffer, row: unknown[], beside: number): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 1; i <= beside; i++) {
    if (row[i] === null || row[i] === undefined) continue;
    const hole = line.indexOf(HOLE, at);
    parts.push(line.subarray(at, hole), Buffer.from(encodeBeside(row[i]), 'latin1'));
    at = hole + 1;
  }
  if (!parts.length) return line;
  parts.push(line.subarray(at));
  return Buffer.concat(parts);
}

/**
 * All rows of a table in batches. Memory: one batch, or about three times the largest row.
 *
 * @param utf16 the database keeps TEXT as UTF-16, and so does what CAST(... AS BLOB) gives
 */
export async function* readRows(
  db: SqliteHandle,
  table: TableSchema,
  catalog: SqliteTable,
  utf16: false | 'le' | 'be',
  options: ReadOptions = {},
): AsyncGenerator<RowBatch> {
  const keyColumns = options.keyColumns ?? [];
  const limit = options.batchBytes ?? 256 * 1024;
  const { sql, beside } = rowsSql(table, catalog, keyColumns);
  let lines: Buffer[] = [];
  let keys: (string | null)[][] = [];
  let size = 0;
  const take = (): RowBatch => {
    let data = Buffer.concat(lines);
    // Checked once a batch: TEXT that is no UTF-8 is legal in SQLite and rare.
    if (!isUtf8(data)) data = Buffer.concat(lines.map((line) => (isUtf8(line) ? line : repairLine(line))));
    const batch = { data, count: lines.length / 2, ...(keyColumns.length ? { keys } : {}) };
    lines = [];
    keys = [];
    size = 0;
    return batch;
  };
  const rows = db.scan(sql);
  const each = function* (row: unknown[]): Generator<RowBatch> {
    const raw = bytes(row[0]);
    const line = fill(utf16 ? utf16Line(raw, utf16) : raw, row, beside);
    lines.push(line, NEWLINE);
    size += line.length + 1;
    if (keyColumns.length) keys.push(row.slice(beside + 1).map((key) => keyText(key, utf16)));
    if (size >= limit) yield take();
  };
  // Two loops: awaiting every row of a synchronous module would cost more than the row.
  if (Symbol.asyncIterator in rows) for await (const row of rows) yield* each(row);
  else for (const row of rows) yield* each(row);
  if (lines.length) yield take();
}

function keyText(value: unknown, utf16: false | 'le' | 'be'): string | null {
  if (value === null || value === undefined) return null;
  const raw = bytes(value);
  if (utf16 === 'be') return Buffer.from(raw).swap16().toString('utf16le');
  return raw.toString(utf16 ? 'utf16le' : 'utf8');
}
