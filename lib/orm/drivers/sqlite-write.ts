/**
 * Rows into SQLite. Two ways: plain INSERT where the table is empty, and an upsert by primary key that changes only
 * rows that differ, so that what happened can be counted without looking rows up one by one. To a libSQL server they go in batches.
 *
 * @see sqlite-read.ts
 */
import { RestoreError } from '../../errors.ts';
import type { Cell, EntityCounts, TablePlan, TableWriter } from '../driver.ts';
import { noKey, wrongLength } from '../target-errors.ts';
import { type BoundRow, RowBatches } from './sqlite-batches.ts';
import type { SqliteTable } from './sqlite-catalog.ts';
import { decodeCell, type Form, showCell } from './sqlite-cells.ts';
import type { Bind, SqliteHandle, SqliteStatement } from './sqlite-connection.ts';
import { DeferredRows } from './sqlite-deferred.ts';
import { restoreError, uniqueClash } from './sqlite-errors.ts';
import { chain, ident, qualified } from './sqlite-sql.ts';

/** Statements kept prepared: one for plain values and a few for rows with casts. */
const MAX_STATEMENTS = 32;

/** Where a row would break a unique constraint. */
export interface Clash {
  /** The row's key: `id=7`. */
  row: string;
  columns: string[];
}

/** TEXT in the target: UTF-8; UTF-16; or another encoding than the source's, where ill-formed bytes do not fit. */
export type TextKind = 'utf8' | 'utf16' | 'foreign';

const TEXT_CAST: Form = 'CAST(? AS TEXT)';

export class SqliteTableWriter implements TableWriter {
  readonly plan: TablePlan;
  readonly target: SqliteTable;
  readonly #db: SqliteHandle;
  readonly #merging: boolean;
  readonly #text: TextKind;
  /** Positions of the cells that are written, and the target's columns for them. */
  readonly #cells: number[] = [];
  readonly columns: string[] = [];
  readonly #keyCells: number[];
  readonly #statements = new Map<string, SqliteStatement>();
  #values: Bind[] = [];
  #forms: Form[] = [];
  /** To a server, each statement is a request. */
  readonly #batches: RowBatches | undefined;
  #batchSql: { sql: string; statements: SqliteStatement[] } | undefined;
  #deferred: DeferredRows | undefined;
  #rows = 0;
  #changed = 0;
  readonly before: number;

  private constructor(db: SqliteHandle, plan: TablePlan, before: number, text: TextKind) {
    this.#db = db;
    this.#text = text;
    this.plan = plan;
    this.target = plan.target as SqliteTable;
    this.before = before;
    this.#merging = before > 0;
    plan.columns.forEach((column, i) => {
      if (column === null) return;
      this.#cells.push(i);
      this.columns.push(column);
    });
    this.#keyCells = this.target.primaryKey.map((column) => plan.columns.indexOf(column));
    if (this.#merging && (!this.#keyCells.length || this.#keyCells.includes(-1))) throw noKey(plan);
    if (db.flavour === 'remote' && text !== 'utf16' && this.columns.length)
      this.#batches = new RowBatches(
        { many: (rows) => this.#runMany(rows), one: (row) => this.#settle(row) },
        this.target.table,
        this.columns.length,
      );
  }

  /**
   * @throws RestoreError ERR_RESTORE_NO_PRIMARY_KEY where rows cannot be told apart and the table is not empty
   */
  static async open(db: SqliteHandle, plan: TablePlan, text: TextKind = 'utf8'): Promise<SqliteTableWriter> {
    return new SqliteTableWriter(db, plan, await countRows(db, plan.target), text);
  }

  async write(rows: Cell[][]): Promise<void> {
    for (const row of rows) {
      if (row.length !== this.plan.columns.length) throw wrongLength(this.plan, row.length);
      this.#rows++;
      if (this.#batches) {
        if (this.#decode(row)) this.#checkText(row);
        await this.#batches.add({ row, values: [...this.#values], forms: [...this.#forms] });
        continue;
      }
      const settled = this.tryRow(row);
      const clash = settled instanceof Promise ? await settled : settled;
      if (clash) await this.#defer(clash, row);
    }
  }

  /** One row of a batch. */
  async #settle(row: Cell[]): Promise<void> {
    const clash = await this.tryRow(row);
    if (clash) await this.#defer(clash, row);
  }

  async #defer(clash: Clash, row: Cell[]): Promise<void> {
    // In an empty table nothing that comes later could make room.
    if (!this.#merging) throw clashError(this.plan, [clash]);
    this.#deferred ??= await DeferredRows.open(this.#db, this);
    await this.#deferred.add(row);
  }

  async end(): Promise<EntityCounts> {
    await this.#batches?.flush();
    this.#forget();
    if (!this.#merging) return { inserted: this.#rows, updated: 0, untouched: 0 };
    let inserted: number;
    try {
      const left = await this.#deferred?.settle();
      if (left?.length) throw clashError(this.plan, left);
      inserted = (await countRows(this.#db, this.target)) - this.before;
    } catch (error) {
      throw restoreError(error, `write the table "${this.target.table}"`);
    }
    return { inserted, updated: this.#changed - inserted, untouched: this.#rows - this.#changed };
  }

  /**
   * Writes one row; a promise only from an asynchronous module.
   *
   * @returns the clash, where a unique constraint refused the row
   */
  tryRow(row: Cell[]): Clash | undefined | Promise<Clash | undefined> {
    try {
      const changed = this.#run(row);
      if (typeof changed === 'number') {
        this.#changed += changed;
        return undefined;
      }
      return changed.then(
        (n) => {
          this.#changed += n;
          return undefined;
        },
        (error) => this.#refused(error, row),
      );
    } catch (error) {
      return this.#refused(error, row);
    }
  }

  /** The key of a row, for messages: `id=7`. */
  rowKey(row: Cell[]): string {
    const names = this.target.primaryKey.length ? this.target.primaryKey : this.columns.slice(0, 3);
    return names.map((name) => `${name}=${showCell(row[this.plan.columns.indexOf(name)])}`).join(', ');
  }

  /** The bound values of a row's primary key, with the SQL that compares them. */
  keyMatch(row: Cell[], alias: string): { sql: string; params: Bind[] } {
    const values: Bind[] = [];
    const forms: Form[] = [];
    this.#keyCells.forEach((cell, i) => {
      decodeCell(row[cell] as Cell, this.#db.flavour, i, values, forms);
    });
    const sql = this.target.primaryKey.map((name, i) => `${alias}.${ident(name)} = ${forms[i]}`).join(' AND ');
    return { sql, params: values };
  }

  #refused(error: unknown, row: Cell[]): Clash {
    const columns = uniqueClash(error);
    if (columns) return { row: this.rowKey(row), columns };
    const key = this.rowKey(row);
    throw restoreError(error, `write the row ${key} of the table "${this.target.table}"`, {
      table: this.target.table,
      row: key,
    });
  }

  /** Fills `#values` and `#forms`. Answers whether any form is more than a parameter. */
  #decode(row: Cell[]): boolean {
    const { flavour } = this.#db;
    let casts = false;
    for (let i = 0; i < this.#cells.length; i++) {
      decodeCell(row[this.#cells[i]!] as Cell, flavour, i, this.#values, this.#forms);
      if (this.#forms[i] !== '?') casts = true;
    }
    if (this.#merging && this.#keyCells.some((cell) => row[cell] === null)) throw nullKey(this.plan, this.rowKey(row));
    return casts;
  }

  #run(row: Cell[]): number | Promise<number> {
    const casts = this.#decode(row);
    if (casts && this.#text !== 'utf8' && this.#forms.includes(TEXT_CAST)) return this.#runUtf16(row);
    const form = casts ? this.#forms.join() : '';
    let statement = this.#statements.get(form);
    if (!statement) {
      if (this.#statements.size >= MAX_STATEMENTS) this.#forget();
      statement = this.#prepare(this.#forms);
      this.#statements.set(form, statement);
    }
    return statement.run(this.#values);
  }

  /** A statement's changes are counted when it has run: of a pair, the second may be refused. */
  async #runMany(rows: BoundRow[]): Promise<void> {
    const sql = rows.map(({ forms }) => `(${forms.join(', ')})`).join(', ');
    const params = rows.flatMap(({ values }) => values);
    // Rows of the same make and number are the rule.
    if (this.#batchSql?.sql !== sql) this.#batchSql = { sql, statements: this.#prepareMany(sql) };
    for (const statement of this.#batchSql.statements) this.#changed += await statement.run(params);
  }

  #prepareMany(rows: string): SqliteStatement[] {
    if (!this.#generated) return [this.#db.prepare(this.#sql(rows))];
    const named = this.columns.map((column, i) => `column${i + 1} AS ${ident(column)}`).join(', ');
    return this.#pairSql(rows, `SELECT ${named} FROM (VALUES ${rows})`).map((sql) => this.#db.prepare(sql));
  }

  /** Whether this is a merge into a table with generated columns: see `#pair`. */
  get #generated(): boolean {
    return this.#merging && this.target.columns.some((column) => column.generated);
  }

  #prepare(forms: string[]): SqliteStatement {
    return this.#generated ? this.#pair(forms) : this.#db.prepare(this.#sql(`(${forms.join(', ')})`));
  }

  /**
   * For tables with generated columns: SQLite (to 3.45 at least) reads `excluded` in the wrong columns where a VIRTUAL
   * one stands before them, so that REAL's affinity rounds somebody else's large integer. An UPDATE and an INSERT do
   * the same.
   */
  #pair(forms: string[]): SqliteStatement {
    const given = this.columns.map((column, i) => `${forms[i]} AS ${ident(column)}`).join(', ');
    const statements = this.#pairSql(`(${forms.join(', ')})`, `SELECT ${given}`).map((sql) => this.#db.prepare(sql));
    return {
      run: (params) => {
        const first = statements[0]!.run(params);
        if (statements.length === 1) return first;
        // A row that is there to be updated keeps the INSERT out.
        if (typeof first === 'number') return first + (statements[1]!.run(params) as number);
        return first.then(async (changed) => changed + (await statements[1]!.run(params)));
      },
      free: async () => {
        for (const statement of statements) await statement.free?.();
      },
    };
  }

  #pairSql(rows: string, given: string): string[] {
    const { target, columns } = this;
    const key = target.primaryKey.map(ident);
    const { differs, set } = this.#differences('new');
    const same = key.map((column) => `old.${column} = new.${column}`).join(' AND ');
    const update = `UPDATE ${qualified(target)} AS old SET ${set} FROM (${given}) AS new WHERE ${same} AND (${differs})`;
    const insert = `INSERT INTO ${qualified(target)} (${columns.map(ident).join(', ')}) VALUES ${rows} ON CONFLICT (${key.join(', ')}) DO NOTHING`;
    return set ? [update, insert] : [insert];
  }

  /** What tells the old row from the new one, and what makes the one the other. */
  #differences(name: string): { differs: string; set: string } {
    const rest = this.columns.filter((column) => column !== this.target.rowidAlias).map(ident);
    // BINARY and typeof: a column's own collation, or 1 = 1.0, would hide a difference.
    const differs = rest.map(
      (c) => `old.${c} COLLATE BINARY IS NOT ${name}.${c} OR typeof(old.${c}) <> typeof(${name}.${c})`,
    );
    return { differs: chain(differs, ' OR '), set: rest.map((c) => `${c} = ${name}.${c}`).join(', ') };
  }

  #forget(): void {
    for (const statement of this.#statements.values()) statement.free?.().catch(() => {});
    this.#statements.clear();
  }

  #checkText(row: Cell[]): void {
    if (this.#text === 'foreign' && this.#forms.includes(TEXT_CAST)) throw textEncoding(this.plan, this.rowKey(row));
  }

  /** SQLite takes the bytes of a bound BLOB for UTF-8 when it casts them, but those of a literal for its own encoding. */
  #runUtf16(row: Cell[]): number | Promise<number> {
    this.#checkText(row);
    const isText = (i: number) => this.#forms[i] === TEXT_CAST;
    const forms = this.#forms.map((form, i) =>
      isText(i) ? `CAST(X'${(this.#values[i] as Buffer).toString('hex')}' AS TEXT)` : form,
    );
    return this.#prepare(forms).run(this.#values.filter((_, i) => !isText(i)));
  }

  /** @param rows `(?, ?)`, once for each */
  #sql(rows: string): string {
    const { target, columns } = this;
    const list = columns.map(ident).join(', ');
    if (!columns.length) return `INSERT INTO ${qualified(target)} DEFAULT VALUES`;
    const insert = `INSERT INTO ${qualified(target)} AS old (${list}) VALUES ${rows}`;
    if (!this.#merging) return insert;
    const key = target.primaryKey.map(ident).join(', ');
    const { differs, set } = this.#differences('excluded');
    if (!set) return `${insert} ON CONFLICT (${key}) DO NOTHING`;
    return `${insert} ON CONFLICT (${key}) DO UPDATE SET ${set} WHERE ${differs}`;
  }
}

async function countRows(db: SqliteHandle, table: { schema?: string; table: string }): Promise<number> {
  const [row] = await db.all(`SELECT count(*) AS n FROM ${qualified(table)}`);
  return Number(row?.[0]);
}

function nullKey(plan: TablePlan, row: string): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_NULL_KEY',
    `A row of the table "${plan.target.table}" has NULL in its primary key (${row}), so it cannot be merged into a table that holds rows. Restore with mode "flush", or into an empty database.`,
    { facts: { table: plan.target.table, row } },
  );
}

function textEncoding(plan: TablePlan, row: string): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_TEXT_ENCODING',
    `The row ${row} of the table "${plan.target.table}" holds text that is not well-formed, as bytes that only fit a database with the source's "PRAGMA encoding". Create the target with that encoding and restore again. Nothing was changed.`,
    { facts: { table: plan.target.table, row } },
  );
}

function clashError(plan: TablePlan, clashes: Clash[]): RestoreError {
  const shown = clashes.slice(0, 5).map(({ row, columns }) => `${row} (${columns.join(', ')})`);
  const more = clashes.length > 5 ? ` and ${clashes.length - 5} more` : '';
  return new RestoreError(
    'ERR_RESTORE_UNIQUE_CLASH',
    `The table "${plan.target.table}" already holds other rows with the same unique values as these of the backup: ${shown.join('; ')}${more}. Change or delete those rows, or restore with mode "flush". Nothing was changed.`,
    { facts: { table: plan.target.table, entities: plan.source.entities, clashes } },
  );
}
