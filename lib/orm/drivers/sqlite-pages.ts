/**
 * Rows out of SQLite, many at a time. What a row costs is its way through the module, several times what SQLite itself
 * does for it; so SQLite joins the lines of a page of rows into one value. Three things do not fit into it:
 *
 * - REAL cells that have no short decimal form: a hole, `0x01 column : rowid 0x01`, is filled by a second query.
 * - BLOB cells come as `0x02 hex 0x02`.
 * - Rows of more than 2 KiB come as `0x03 rowid`, and are read one by one: a page stays small whatever is in the table.
 *
 * None of these bytes occurs in JSON.
 */
import type { ColumnSchema, TableSchema } from '../../format/items.ts';
import type { SqliteTable } from './sqlite-catalog.ts';
import { realCell } from './sqlite-cells.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { isTooBig } from './sqlite-remote-errors.ts';
import { chain, finite, ident, MAX_SAFE, qualified } from './sqlite-sql.ts';

const HOLE = 1;
const HEX = 2;
const LARGE = 3;
const NEWLINE = 10;
/** Rows of a page. */
const ROWS = 256;
/** From a libSQL server, which each page is a request to. With rows of 2 KiB, half of what its values may be (5 MB). */
const REMOTE_ROWS = 1024;
const LARGE_ROW = 2048;
/** Large rows of a server's page, beyond which all of it is read in pieces instead: each alone would be some requests. */
const REMOTE_MANY = 4;
/** The part of a page's rows that are large, beyond which the next page is read row by row at once. */
const MANY = 1 / 4;
/** Half of SQLite's default limit for a statement. */
const LONGEST = 500_000;

/** What page reading needs to know of a table. */
export interface Paged {
  table: TableSchema;
  catalog: SqliteTable;
  /** The rowid under a name that no column has. */
  rowid: string;
  /** One row as JSON, as SQL. */
  line: string;
}

/** One page: whole lines. */
export interface Page {
  data: Buffer;
  count: number;
}

/** Null where a table has no rowid, columns of all its names, or so many that the statement would be too long. */
export function pagedTable(table: TableSchema, catalog: SqliteTable, remote: boolean): Paged | null {
  const rowid = rowidName(catalog);
  if (!rowid) return null;
  const line = lineSql(table.columns, rowid, remote);
  return line.length > LONGEST ? null : { table, catalog, rowid, line };
}

/** The rowid under a name that no column has, where there is one. */
export function rowidName(catalog: SqliteTable): string | undefined {
  if (catalog.withoutRowid) return undefined;
  if (catalog.rowidAlias) return ident(catalog.rowidAlias);
  const taken = new Set(catalog.columns.map(({ name }) => name.toLowerCase()));
  return ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name));
}

/**
 * A REAL as decimal text: fourteen digits, where `k / 1000000` gives the value again. That division is rounded correctly, as reading
 * the decimal is, so that equality proves the decimal k / 1000000 to be the value; with at most fourteen digits it is what printf
 * writes, which errs in the sixteenth at worst. Between these bounds it writes no exponent, and zero has two signs, which SQL does
 * not tell apart.
 */
function realSql(q: string, hole: string): string {
  const known = `abs(${q}) BETWEEN 0.0001 AND 99999999.0 AND round(${q}*1000000.0)/1000000.0=${q}`;
  return `CASE WHEN ${known} THEN printf('{"r":"%.14g"}',${q}) ELSE ${hole} END`;
}

function cellSql(column: ColumnSchema, at: number, rowid: string, remote: boolean): string {
  const q = ident(column.name);
  const hole = `char(${HOLE})||'${at}:'||${rowid}||char(${HOLE})`;
  // A generated column's expression may carry SQLite's JSON subtype, which json_quote would pass through unquoted.
  const quoted = `json_quote(${column.generated ? `${q}||''` : q})`;
  // On a server with a limit for values, a text that makes its row a large one must not be quoted: escapes may pass the limit.
  const long = `CASE WHEN length(CAST(${q} AS BLOB))>${LARGE_ROW} THEN printf('%.*c',${LARGE_ROW + 1},'x') ELSE ${quoted} END`;
  const text = remote ? long : quoted;
  return (
    `CASE typeof(${q}) WHEN 'text' THEN ${text} WHEN 'integer' THEN ` +
    `CASE WHEN ${q} BETWEEN -${MAX_SAFE} AND ${MAX_SAFE} THEN ${q} ELSE '{"i":"'||${q}||'"}' END ` +
    `WHEN 'null' THEN 'null' WHEN 'real' THEN ${realSql(q, hole)} ` +
    // One byte more than fits: a longer BLOB makes its row a large one without being spelled out.
    `ELSE char(${HEX})||hex(substr(${q},1,${LARGE_ROW / 2 + 1}))||char(${HEX}) END`
  );
}

function lineSql(columns: ColumnSchema[], rowid: string, remote: boolean): string {
  const cells = columns.map((column, i) => cellSql(column, i, rowid, remote));
  return `'['||${chain(cells, "||','||")}||']'`;
}

/** Reads rows one by one. @param where what ends the SELECT; @param single it is one row */
export type OneByOne = (where: string, single: boolean) => AsyncIterable<Page>;

/**
 * Pages in the order of rowids, for which the statement is run anew each time: the transaction holds them together.
 * Memory: two pages of 256 rows of up to 2 KiB, or about three times the largest row.
 */
export async function* readPages(db: SqliteHandle, paged: Paged, oneByOne: OneByOne): AsyncGenerator<Page> {
  const { rowid, catalog, line } = paged;
  const most = db.flavour === 'remote' ? REMOTE_ROWS : ROWS;
  // NOT INDEXED: the order of the table itself, never that of an index that happens to cover it. A LIMIT inside keeps
  // SQLite from evaluating the line twice, for its length and for itself.
  const page = (what: string, where: string) =>
    `FROM (SELECT ${what}${rowid} AS r FROM ${qualified(catalog)} NOT INDEXED${where} ORDER BY ${rowid} LIMIT ${most})`;
  const facts = 'count(*) AS n, CAST(min(r) AS TEXT) AS a, CAST(max(r) AS TEXT) AS z';
  const shown = `CASE WHEN length(CAST(l AS BLOB))<=${LARGE_ROW} THEN l ELSE char(${LARGE})||r END`;
  const data = `CAST(group_concat(${shown}, char(${NEWLINE}))||char(${NEWLINE}) AS BLOB) AS d`;
  const small = (where: string) => `SELECT ${facts}, ${data} ${page(`${line} AS l, `, where)}`;
  // As text: one module rounds large integers.
  const later = ` WHERE ${rowid} > CAST(? AS INTEGER)`;
  const query = await db.query(small(later));
  try {
    let after: string | undefined;
    for (let large = false; ; ) {
      let row: unknown[] | undefined;
      try {
        const given = after === undefined ? [] : [after];
        if (large) [row] = await db.all(`SELECT ${facts} ${page('', given.length ? later : '')}`, given);
        else [row] = given.length ? await query.all(given) : await db.all(small(''));
      } catch (error) {
        // A server's limit for values, passed by a row of many texts that are mostly escapes.
        if (large || db.flavour !== 'remote' || !isTooBig(error)) throw error;
        large = true;
        continue;
      }
      const [n, first, last, bytes] = row as [number | bigint, string, string, Uint8Array];
      const count = Number(n);
      if (!count) return;
      const range = ` WHERE ${rowid} BETWEEN ${first} AND ${last}`;
      if (large || (most === REMOTE_ROWS && countOf(bytes, LARGE) > REMOTE_MANY)) {
        let size = 0;
        for await (const piece of oneByOne(range, false)) {
          size += piece.data.length;
          yield piece;
        }
        large = size > most * MANY * LARGE_ROW;
      } else {
        const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        const reals = lines.includes(HOLE) ? await readReals(db, paged, lines, range) : new Map<string, unknown[]>();
        let many = 0;
        for (const piece of fill(lines, count, reals)) {
          if (typeof piece !== 'string') yield piece;
          else {
            many++;
            yield* oneByOne(` WHERE ${rowid} = ${piece}`, true);
          }
        }
        large = many > most * MANY;
      }
      if (count < most) return;
      after = last;
    }
  } finally {
    await query.free?.();
  }
}

function countOf(bytes: Uint8Array, byte: number): number {
  let count = 0;
  for (let at = bytes.indexOf(byte); at !== -1; at = bytes.indexOf(byte, at + 1)) count++;
  return count;
}

/** REAL cells by rowid, of those columns that have holes in this page. The array has one place for each column. */
async function readReals(db: SqliteHandle, { table, catalog, rowid }: Paged, lines: Buffer, range: string) {
  const holed = new Set<number>();
  for (let at = lines.indexOf(HOLE); at !== -1; at = lines.indexOf(HOLE, lines.indexOf(HOLE, at + 1) + 1))
    holed.add(Number.parseInt(lines.toString('latin1', at + 1, at + 6), 10));
  const columns = [...holed];
  const cells = columns.map((column, i) => {
    const q = ident(table.columns[column]!.name);
    return `, CASE typeof(${q}) WHEN 'real' THEN ${db.flavour === 'remote' ? finite(q) : q} END AS c${i}`;
  });
  const sql = `SELECT CAST(${rowid} AS TEXT) AS r${cells.join('')} FROM ${qualified(catalog)} NOT INDEXED${range}`;
  const found = new Map<string, unknown[]>();
  for (const [id, ...values] of await db.all(sql)) {
    const row: unknown[] = [];
    columns.forEach((column, i) => {
      row[column] = values[i];
    });
    found.set(id as string, row);
  }
  return found;
}

/** Whole lines, and between them the rowids of large rows. */
function* fill(lines: Buffer, count: number, reals: Map<string, unknown[]>): Generator<Page | string> {
  if (!reals.size && !lines.includes(HEX) && !lines.includes(LARGE)) {
    yield { data: lines, count };
    return;
  }
  let parts: Buffer[] = [];
  let rows = 0;
  /** Up to here, everything is in `parts`. */
  let done = 0;
  const take = (end: number): Page => {
    parts.push(lines.subarray(done, end));
    const page = { data: Buffer.concat(parts), count: rows };
    parts = [];
    rows = 0;
    return page;
  };
  for (let at = 0; at < lines.length; at++) {
    const byte = lines[at]!;
    if (byte > NEWLINE) continue;
    if (byte === NEWLINE) rows++;
    else if (byte === LARGE) {
      if (rows) yield take(at);
      const end = lines.indexOf(NEWLINE, at);
      yield lines.toString('latin1', at + 1, end);
      done = end + 1;
      at = end;
    } else {
      const end = lines.indexOf(byte, at + 1);
      const inside = lines.toString('latin1', at + 1, end);
      parts.push(lines.subarray(done, at), Buffer.from(byte === HEX ? blobCell(inside) : fillReal(inside, reals)));
      done = end + 1;
      at = end;
    }
  }
  if (rows) yield take(lines.length);
}

function blobCell(hex: string): string {
  return `{"b":"${Buffer.from(hex, 'hex').toString('base64')}"}`;
}

function fillReal(place: string, reals: Map<string, unknown[]>): string {
  const [column, rowid] = place.split(':') as [string, string];
  const value = reals.get(rowid)?.[Number(column)];
  if (typeof value !== 'number' && typeof value !== 'string') throw new Error(`no REAL in row ${rowid}`);
  return realCell(value);
}
