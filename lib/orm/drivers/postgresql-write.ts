/**
 * Rows into PostgreSQL, by COPY: straight into the table where it is empty, else into a temporary table, from which
 * postgresql-merge.ts goes on.
 *
 * @see postgresql-read.ts
 */
import { FormatError } from '../../errors.ts';
import type { Cell, EntityCounts, TablePlan, TableWriter } from '../driver.ts';
import { noKey, wrongLength } from '../target-errors.ts';
import type { PgTable } from './postgresql-catalog.ts';
import type { PgConnection } from './postgresql-connection.ts';
import type { CopyIn } from './postgresql-copy-in.ts';
import { clashOf, copyLine, isClash, restoreError } from './postgresql-errors.ts';
import { jsonToCopy } from './postgresql-json-copy.ts';
import { clashError, type MergeContext, mergeRows } from './postgresql-merge.ts';
import { list, only, qualified } from './postgresql-sql.ts';

/** Characters that are sent at once. */
const CHUNK = 1 << 16;
/** Bytes of lines that are turned at once, at most. */
const LINES = 4 << 20;
/** Longer texts are sent in pieces: their escaped form never exists as a whole. */
const PIECE = 1 << 20;
const SPECIAL = /[\\\n\r\t]/;
const ALL_SPECIAL = /[\\\n\r\t]/g;
const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(ALL_SPECIAL, (found) => ESCAPES[found]!) : text;
}

export class PgTableWriter implements TableWriter {
  readonly before: number;
  readonly #plan: TablePlan;
  readonly #target: PgTable;
  readonly #db: PgConnection;
  readonly #context: MergeContext;
  /** Positions of the cells that are written, and the target's columns for them. */
  readonly #cells: number[] = [];
  readonly #columns: string[] = [];
  readonly #written: boolean[];
  /** Where the COPY goes. */
  readonly #into: string;
  #staged = false;
  #rows = 0;

  private constructor(db: PgConnection, plan: TablePlan, before: number, context: MergeContext) {
    this.#db = db;
    this.#plan = plan;
    this.#target = plan.target as PgTable;
    this.#context = context;
    this.before = before;
    plan.columns.forEach((column, i) => {
      if (column === null) return;
      this.#cells.push(i);
      this.#columns.push(column);
    });
    this.#written = plan.columns.map((column) => column !== null);
    this.#into = before ? `pg_temp."dbs_rows_${plan.source.stream}"` : qualified(this.#target);
    const keys = this.#target.primaryKey;
    if (before && (!keys.length || keys.some((key) => !this.#columns.includes(key)))) throw noKey(plan);
  }

  /** @throws RestoreError ERR_RESTORE_NO_PRIMARY_KEY where rows cannot be told apart and the table is not empty */
  static async open(db: PgConnection, plan: TablePlan, context: MergeContext): Promise<PgTableWriter> {
    const [row] = await db.all(`SELECT pg_catalog.count(*) FROM ${only(plan.target as PgTable)}`);
    return new PgTableWriter(db, plan, Number(row![0]), context);
  }

  async write(rows: Cell[][]): Promise<void> {
    try {
      if (this.#columns.length) await this.#write(rows);
      else await this.#writeEmpty(rows.length);
    } catch (error) {
      throw restoreError(error, `write the table "${this.#target.table}"`, { table: this.#target.table });
    }
  }

  async writeLines(lines: Buffer, count: number): Promise<boolean> {
    if (!this.#columns.length || lines.length > LINES) return false;
    const text = jsonToCopy(lines, count, this.#written);
    if (!text) return false;
    try {
      const copy = await this.#open();
      this.#rows += count;
      for (let at = 0; at < text.length; at += CHUNK) await copy.write(text.subarray(at, at + CHUNK));
      return true;
    } catch (error) {
      throw restoreError(error, `write the table "${this.#target.table}"`, { table: this.#target.table });
    }
  }

  /** The COPY that rows go into. */
  async #open(): Promise<CopyIn> {
    if (this.before && !this.#staged) {
      await this.#db.exec(
        `CREATE TEMPORARY TABLE ${this.#into.slice('pg_temp.'.length)} ON COMMIT DROP AS SELECT ${list(this.#columns)} FROM ${qualified(this.#target)} WITH NO DATA`,
      );
      this.#staged = true;
    }
    const base = this.#rows;
    return this.#db.copyIn(`COPY ${this.#into} (${list(this.#columns)}) FROM STDIN`, (error) =>
      this.#refused(error, base),
    );
  }

  async #write(rows: Cell[][]): Promise<void> {
    const copy = await this.#open();
    let text = '';
    for (const row of rows) {
      if (row.length !== this.#plan.columns.length) throw wrongLength(this.#plan, row.length);
      this.#rows++;
      let separator = '';
      for (const at of this.#cells) {
        const cell = row[at];
        if (cell === null) text += `${separator}\\N`;
        else if (typeof cell !== 'string') throw badCell(cell);
        else if (cell.length < PIECE) text += separator + escaped(cell);
        else {
          await copy.write(Buffer.from(text + separator));
          text = '';
          for (let from = 0, to: number; from < cell.length; from = to) {
            to = Math.min(from + PIECE, cell.length);
            // Never between the two halves of a surrogate pair.
            if ((cell.charCodeAt(to - 1) & 0xfc00) === 0xd800) to++;
            await copy.write(Buffer.from(escaped(cell.slice(from, to))));
          }
        }
        separator = '\t';
      }
      text += '\n';
      if (text.length >= CHUNK) {
        await copy.write(Buffer.from(text));
        text = '';
      }
    }
    if (text) await copy.write(Buffer.from(text));
  }

  async end(): Promise<EntityCounts> {
    try {
      await this.#db.settle();
      if (!this.before) return { inserted: this.#rows, updated: 0, untouched: 0 };
      if (!this.#staged) return { inserted: 0, updated: 0, untouched: 0 };
      const { inserted, updated } = await mergeRows(this.#db, {
        ...this.#context,
        plan: this.#plan,
        target: this.#target,
        columns: this.#columns,
        rows: this.#into,
      });
      return { inserted, updated, untouched: this.#rows - inserted - updated };
    } catch (error) {
      throw restoreError(error, `write the table "${this.#target.table}"`, { table: this.#target.table });
    }
  }

  /** Rows that consist of defaults: COPY has no form for them. */
  async #writeEmpty(count: number): Promise<void> {
    this.#rows += count;
    await this.#db.run(
      `INSERT INTO ${qualified(this.#target)} SELECT FROM pg_catalog.generate_series(1, $1::pg_catalog.int8)`,
      [count],
    );
  }

  #refused(error: unknown, base: number): unknown {
    const { table } = this.#target;
    if (isClash(error)) return clashError(this.#plan, [clashOf(error)], 'backup');
    const line = copyLine(error);
    const row = line === undefined ? undefined : base + line;
    return restoreError(error, `write ${row === undefined ? 'rows' : `row ${row}`} of the table "${table}"`, {
      table,
      ...(row === undefined ? {} : { row }),
    });
  }
}

function badCell(cell: Cell | undefined): FormatError {
  return new FormatError(
    'ERR_FORMAT_CELL',
    `A row of the backup holds a cell that this version cannot read (a JSON ${typeof cell} where text or null is expected). Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.`,
  );
}
