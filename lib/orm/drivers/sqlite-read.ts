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
import { realCell } from './sqlite-cells.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { pagedTable, readPages, rowidName } from './sqlite-pages.ts';
import { pieces } from './sqlite-remote-read.ts';
import { repairLine } from './sqlite-repair.ts';
import { chain, finite, ident, MAX_SAFE, qualified } from './sqlite-sql.ts';

/** Marks where a REAL or BLOB cell belongs. */
const HOLE = 1;
/** Marks where a TEXT cell belongs that comes as bytes. */
const TEXT_HOLE = 2;
/** A surrogate without its partner: such a text has no UTF-8. */
const LONE = /\p{Cs}/u;
const NEWLINE = Buffer.from('\n');
const BATCH = 256 * 1024;

/** What the database keeps TEXT as, where that is not UTF-8. */
type Utf16 = false | 'le' | 'be';
/** False: in the line. Else beside it, in this encoding; from a libSQL server, whose values have a limit that escapes may pass, `utf8`. */
type TextBeside = Utf16 | 'utf8';

function cellSql(column: ColumnSchema, beside: TextBeside): string {
  const q = ident(column.name);
  // A generated column's expression may carry SQLite's JSON subtype, which json_quote would pass through unquoted.
  // In a UTF-16 database json_quote would turn lone surrogates into something else.
  const text = beside ? `char(${TEXT_HOLE})` : `json_quote(${column.generated ? `${q}||''` : q})`;
  return (
    `CASE typeof(${q}) WHEN 'text' THEN ${text} WHEN 'integer' THEN ` +
    `CASE WHEN ${q} BETWEEN -${MAX_SAFE} AND ${MAX_SAFE} THEN ${q} ELSE '{"i":"'||${q}||'"}' END ` +
    `WHEN 'null' THEN 'null' ELSE char(${HOLE}) END`
  );
}

function lineSql(columns: ColumnSchema[], beside: TextBeside): string {
  const cells = columns.map((column) => cellSql(column, beside));
  return `CAST('['||${chain(cells, "||','||")}||']' AS BLOB)`;
}

/** The query of one table: the line, the cells beside it, the keys. Every result column has its own name. */
function rowsSql(
  table: TableSchema,
  catalog: SqliteTable,
  keyColumns: string[],
  textBeside: TextBeside,
  where: string,
) {
  const beside = table.columns.filter((column) => column.name !== catalog.rowidAlias).map(({ name }) => ident(name));
  const keys = keyColumns.map(ident);
  const text = textBeside ? "WHEN 'text' THEN CAST(%s AS BLOB) " : '';
  const parts = [
    lineSql(table.columns, textBeside),
    ...beside.map(
      (q) =>
        `CASE typeof(${q}) WHEN 'real' THEN ${textBeside === 'utf8' ? finite(q) : q} WHEN 'blob' THEN ${q} ${text.replace('%s', () => q)}END`,
    ),
    ...keys.map((q) => `CASE WHEN typeof(${q}) IN ('text', 'integer') THEN CAST(${q} AS BLOB) END`),
  ];
  const list = parts.map((part, i) => `${part} AS c${i}`).join(', ');
  // NOT INDEXED: the order of the table itself, never that of an index that happens to cover it.
  return { sql: `SELECT ${list} FROM ${qualified(catalog)} NOT INDEXED${where}`, beside: beside.length };
}

/** A REAL or BLOB cell. */
function encodeBeside(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'string') return realCell(value);
  return `{"b":"${bytes(value).toString('base64')}"}`;
}

function bytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  const view = value as Uint8Array;
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

/** Puts the cells that came beside a line into its holes. */
function fill(line: Buffer, row: unknown[], beside: number, textBeside: TextBeside): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (let i = 1; i <= beside; i++) {
    if (row[i] === null || row[i] === undefined) continue;
    let hole = line.indexOf(HOLE, at);
    let cell: string;
    if (textBeside) {
      const text = line.indexOf(TEXT_HOLE, at);
      const isText = text !== -1 && (hole === -1 || text < hole);
      if (isText) hole = text;
      cell = isText ? encodeText(bytes(row[i]), textBeside) : encodeBeside(row[i]);
    } else cell = encodeBeside(row[i]);
    parts.push(line.subarray(at, hole), Buffer.from(cell));
    at = hole + 1;
  }
  if (!parts.length) return line;
  parts.push(line.subarray(at));
  return Buffer.concat(parts);
}

function decodeUtf16(raw: Buffer, order: 'le' | 'be'): string {
  return (order === 'be' ? Buffer.from(raw).swap16() : raw).toString('utf16le');
}

function encodeText(raw: Buffer, encoding: 'utf8' | 'le' | 'be'): string {
  if (encoding === 'utf8') return isUtf8(raw) ? JSON.stringify(raw.toString()) : `{"t":"${raw.toString('base64')}"}`;
  const text = raw.length % 2 ? '\ud800' : decodeUtf16(raw, encoding);
  return LONE.test(text) ? `{"t":"${raw.toString('base64')}"}` : JSON.stringify(text);
}

/**
 * All rows of a table in batches. Memory: one batch and one page, or about three times the largest row.
 *
 * @param utf16 the database keeps TEXT as UTF-16, and so does what CAST(... AS BLOB) gives
 */
export async function* readRows(
  db: SqliteHandle,
  table: TableSchema,
  catalog: SqliteTable,
  utf16: Utf16,
  options: ReadOptions = {},
): AsyncGenerator<RowBatch> {
  const paged = utf16 || options.keyColumns?.length ? null : pagedTable(table, catalog, db.flavour === 'remote');
  if (!paged) {
    yield* anyRows(db, table, catalog, utf16, options);
    return;
  }
  const limit = options.batchBytes ?? BATCH;
  let parts: Buffer[] = [];
  let size = 0;
  let count = 0;
  const take = (): RowBatch => {
    const batch = { data: parts.length === 1 ? parts[0]! : Buffer.concat(parts), count };
    parts = [];
    size = count = 0;
    return batch;
  };
  for await (const page of readPages(db, paged, (where, single) =>
    anyRows(db, table, catalog, false, options, where, single),
  )) {
    if (count && size + page.data.length > 2 * limit) yield take();
    parts.push(repaired(page.data));
    size += page.data.length;
    count += page.count;
    if (size >= limit) yield take();
  }
  if (count) yield take();
}

/** Checked once a page: TEXT that is no UTF-8 is legal in SQLite and rare. */
function repaired(data: Buffer): Buffer {
  if (isUtf8(data)) return data;
  const lines: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const end = data.indexOf(10, at) + 1;
    const line = data.subarray(at, end);
    lines.push(isUtf8(line) ? line : repairLine(line));
    at = end;
  }
  return Buffer.concat(lines);
}

/** Row by row, or piece by piece from a libSQL server. */
async function* anyRows(
  db: SqliteHandle,
  table: TableSchema,
  catalog: SqliteTable,
  utf16: Utf16,
  options: ReadOptions,
  where = '',
  single = false,
): AsyncGenerator<RowBatch> {
  if (db.flavour !== 'remote') yield* scanRows(db, table, catalog, utf16, options, where);
  else if (single) yield* scanRows(db, table, catalog, 'utf8', options, where);
  else
    for await (const piece of pieces(db, catalog, rowidName(catalog), where))
      yield* scanRows(db, table, catalog, 'utf8', options, piece);
}

/** Row by row: any table, with keys, any text encoding. */
async function* scanRows(
  db: SqliteHandle,
  table: TableSchema,
  catalog: SqliteTable,
  textBeside: TextBeside,
  options: ReadOptions,
  where: string,
): AsyncGenerator<RowBatch> {
  const keyColumns = options.keyColumns ?? [];
  const limit = options.batchBytes ?? BATCH;
  const { sql, beside } = rowsSql(table, catalog, keyColumns, textBeside, where);
  let lines: Buffer[] = [];
  let keys: (string | null)[][] = [];
  let size = 0;
  const take = (): RowBatch => {
    const data = repaired(Buffer.concat(lines));
    const batch = { data, count: lines.length / 2, ...(keyColumns.length ? { keys } : {}) };
    lines = [];
    keys = [];
    size = 0;
    return batch;
  };
  const rows = db.scan(sql);
  const utf16 = textBeside === 'utf8' ? false : textBeside;
  const each = function* (row: unknown[]): Generator<RowBatch> {
    const raw = bytes(row[0]);
    const line = fill(utf16 ? Buffer.from(decodeUtf16(raw, utf16), 'latin1') : raw, row, beside, textBeside);
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

function keyText(value: unknown, utf16: Utf16): string | null {
  if (value === null || value === undefined) return null;
  return utf16 ? decodeUtf16(bytes(value), utf16) : bytes(value).toString();
}
