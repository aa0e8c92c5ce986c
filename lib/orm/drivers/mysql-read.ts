/**
 * Rows out of MariaDB and MySQL as the `text` encoding (SPEC.md, "Cell encodings"): the server's own text of each value,
 * and `{"b": base64}` for what is no text.
 *
 * @see mysql-write.ts
 */
import { SourceError } from '../../errors.ts';
import type { TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch } from '../driver.ts';
import type { MysqlTable } from './mysql-catalog.ts';
import type { MysqlHandle, RawRow } from './mysql-connection.ts';
import { LineBuilder, type LineForm } from './mysql-lines.ts';
import { qualified } from './mysql-sql.ts';
import { cellSql, formOf, type MysqlColumn } from './mysql-types.ts';

/** @throws SourceError ERR_SOURCE_UNKNOWN_TYPE */
export function columnsOf(table: TableSchema, catalog: MysqlTable, names: string[]): MysqlColumn[] {
  return names.map((name) => {
    const column = catalog.details.get(name);
    if (column && formOf(column)) return column;
    throw new SourceError(
      'ERR_SOURCE_UNKNOWN_TYPE',
      `The column "${table.table}"."${name}" is of the type ${column?.dataType ?? '(none)'}, which this version cannot carry without loss. EXCLUDE the field, or update mikro-orm-dbs.`,
      { facts: { table: table.table, column: name, type: column?.dataType } },
    );
  });
}

/** A column of the result. */
interface Selected {
  sql: string;
  form: LineForm;
}

/** Columns in one cell at most: a CONCAT must stay below any max_allowed_packet. */
const JOINED = 8;

/**
 * The columns of a table as those of a result. Neighbours whose text needs no escaping come as one, as the JSON that they are in a line: a cell
 * costs the reader more than a CONCAT costs the server.
 */
function selectedOf(columns: MysqlColumn[]): Selected[] {
  const selected: Selected[] = [];
  let run: string[] = [];
  const close = () => {
    if (run.length === 1) selected.push({ sql: run[0]!, form: 'plain' });
    if (run.length > 1) {
      const cells = run.map((sql) => `IFNULL(CONCAT('"', ${sql}, '"'), 'null')`);
      selected.push({ sql: `CAST(CONCAT_WS(',', ${cells.join(', ')}) AS BINARY)`, form: 'json' });
    }
    run = [];
  };
  for (const column of columns) {
    const form = formOf(column)!;
    if (form !== 'plain' || run.length === JOINED) close();
    if (form === 'plain') run.push(cellSql(column));
    else selected.push({ sql: cellSql(column), form });
  }
  close();
  return selected;
}

/** Without an index, rows come in the order of the table itself, never in that of an index that happens to cover it. */
function rowsSql(columns: string[], catalog: MysqlTable): string {
  // A table of which every column is EXCLUDEd still has rows.
  const list = columns.map((sql, i) => `${sql} AS c${i}`).join(', ') || 'NULL';
  return `SELECT ${list} FROM ${qualified(catalog)} USE INDEX ()`;
}

/**
 * All rows of a table in batches. Memory: one batch and what one read of the socket brings, or about three times the
 * largest row. Leaving the loop early reads and drops the rest, unless `stop` ends the query on the server.
 */
export async function* readRows(
  db: MysqlHandle,
  table: TableSchema,
  catalog: MysqlTable,
  options: ReadOptions,
  stop: () => Promise<void>,
): AsyncGenerator<RowBatch> {
  const keyColumns = options.keyColumns ?? [];
  const names = table.columns.map(({ name }) => name);
  const cells = selectedOf(columnsOf(table, catalog, names));
  const keyed = columnsOf(table, catalog, keyColumns);
  const builder = new LineBuilder(
    cells.map(({ form }) => form),
    options.batchBytes ?? 256 * 1024,
  );
  const keyForms = keyed.map((column) => formOf(column));
  const ready: RowBatch[] = [];
  let keys: (string | null)[][] = [];
  let wake = () => {};
  let dropping = false;
  const take = () => {
    ready.push({ ...builder.take(), ...(keyColumns.length ? { keys } : {}) });
    keys = [];
  };
  let failure: { error: unknown } | undefined;
  const onRow = (row: RawRow) => {
    if (dropping) return;
    try {
      builder.add(row);
    } catch (error) {
      // Thrown on, it would end the process: a socket calls this.
      failure ??= { error };
      wake();
      return;
    }
    if (keyColumns.length) keys.push(keyForms.map((form, i) => keyText(row[cells.length + i], form === 'marked')));
    if (!builder.full) return;
    take();
    scan.pause();
    wake();
  };
  const columns = [...cells.map(({ sql }) => sql), ...keyed.map((column) => cellSql(column))];
  const scan = db.scan(rowsSql(columns, catalog), onRow);
  const state = { ended: false };
  const over = scan.done
    .catch((error) => {
      failure = { error };
    })
    .then(() => {
      state.ended = true;
      wake();
    });
  try {
    for (;;) {
      while (ready.length) yield ready.shift()!;
      if (failure) throw failure.error;
      if (state.ended) break;
      const woken = new Promise<void>((done) => {
        wake = done;
      });
      scan.resume();
      await woken;
    }
    if (!builder.empty) {
      take();
      yield ready.shift()!;
    }
  } finally {
    if (!state.ended) {
      // What is on its way arrives, and goes nowhere.
      dropping = true;
      await stop();
      scan.resume();
      await over;
      // Should the KILL have come too late, it ends this instead.
      await db.run('DO 0').catch(() => {});
    }
  }
}

function keyText(value: Buffer | null | undefined, marked: boolean): string | null {
  if (value === null || value === undefined) return null;
  return value.toString('utf8', marked ? 1 : 0);
}
