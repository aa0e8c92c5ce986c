/**
 * Which rows to ask a libSQL server for at once. A result is read to its end before anything else happens (sqlite-remote.ts), so it
 * must be small: SQLite says how large each row is, and neighbours go together up to 1 MiB.
 */
import type { SqliteTable } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { ident, qualified } from './sqlite-sql.ts';

/** Bytes of values that one request answers, unless a single row is larger. */
const ASKED = 1 << 20;
/** Rows whose sizes are asked for at once. */
const ROWS = 2048;
/** Columns of a sum: SQLite's limit of an expression's depth is 1000. */
const COLUMNS_A_GROUP = 100;

/** Bytes of a row's TEXT and BLOB values, and some for each other: what a row costs on the way. */
function sizeSql(catalog: SqliteTable): string {
  const sizes = catalog.columns.map(({ name }) => {
    const q = ident(name);
    return `CASE typeof(${q}) WHEN 'text' THEN length(CAST(${q} AS BLOB)) WHEN 'blob' THEN length(${q}) ELSE 8 END`;
  });
  const groups: string[] = [];
  for (let i = 0; i < sizes.length; i += COLUMNS_A_GROUP)
    groups.push(`(${sizes.slice(i, i + COLUMNS_A_GROUP).join('+')})`);
  return groups.join('+') || '0';
}

/**
 * All rows of a table, or those of a range of rowids, as the ends of SELECTs, in the order of the table.
 * Memory: 2048 rowids and sizes.
 *
 * @param rowid undefined where the table has none, or no name for it: then rows are counted off, which costs more with each piece
 * @param where the range: ` WHERE rowid BETWEEN 1 AND 9`
 */
export async function* pieces(
  db: SqliteHandle,
  catalog: SqliteTable,
  rowid: string | undefined,
  where: string,
): AsyncGenerator<string> {
  const size = sizeSql(catalog);
  const from = `FROM ${qualified(catalog)} NOT INDEXED${where}`;
  let after: string | undefined;
  for (let done = 0; ; done += ROWS) {
    const later = after === undefined ? '' : `${where ? ' AND' : ' WHERE'} ${rowid} > ${after}`;
    const sql = rowid
      ? `SELECT CAST(${rowid} AS TEXT) AS r, ${size} AS n ${from}${later} ORDER BY ${rowid} LIMIT ${ROWS}`
      : `SELECT '' AS r, ${size} AS n ${from} LIMIT ${ROWS} OFFSET ${done}`;
    const rows = (await db.all(sql)) as [string, number][];
    for (let first = 0; first < rows.length; ) {
      let last = first;
      for (let sum = rows[first]![1]; last + 1 < rows.length && sum + rows[last + 1]![1] <= ASKED; )
        sum += rows[++last]![1];
      yield rowid
        ? ` WHERE ${rowid} BETWEEN ${rows[first]![0]} AND ${rows[last]![0]} ORDER BY ${rowid}`
        : ` LIMIT ${last - first + 1} OFFSET ${done + first}`;
      first = last + 1;
    }
    if (rows.length < ROWS) return;
    after = rows.at(-1)![0];
  }
}
