/**
 * Rows into MariaDB and MySQL by INSERTs of many rows, made from the backup's lines where those go as they are. Into an empty table they go straight; where rows stand already,
 * they go into a temporary table first, and mysql-merge.ts makes one of the two.
 *
 * @see mysql-read.ts
 */
import { RestoreError } from '../../errors.ts';
import type { Cell, EntityCounts, TablePlan, TableWriter } from '../driver.ts';
import { parseRows } from '../row-lines.ts';
import { wrongLength } from '../target-errors.ts';
import type { MysqlTable } from './mysql-catalog.ts';
import { base64Of, cellLiteral, cellMark, cellSize, cellValue, mustBeWellFormed, showCell } from './mysql-cells.ts';
import { errorNumber, isConstraint, restoreError, uniqueClash } from './mysql-errors.ts';
import { jsonToValues, type Take } from './mysql-json-values.ts';
import { clashError, MergeStage } from './mysql-merge.ts';
import type { Session } from './mysql-session.ts';
import { ident, qualified } from './mysql-sql.ts';
import { charsetOf, sameBytes } from './mysql-types.ts';

/** Characters of one INSERT. Larger ones are not faster (measured), and smaller ones are slower. */
const STATEMENT = 500_000;
/** A row beyond this goes alone, in the binary protocol: its bytes as they are, and no long JavaScript string. */
const LARGE_ROW = 1 << 20;
/** For the rest of a packet. */
const SPARE = 4096;
/** Data truncated: what the server says of an ENUM value that is no member. */
const TRUNCATED = 1265;

export class MysqlTableWriter implements TableWriter {
  readonly plan: TablePlan;
  readonly before: number;
  readonly #session: Session;
  readonly #target: MysqlTable;
  readonly #stage: MergeStage | undefined;
  /** Positions of the cells that are written. */
  readonly #cells: number[] = [];
  /** Positions of text cells that may arrive as bytes, with what those mean. */
  readonly #guarded: Map<number, 'enum' | 'same' | 'other'> = new Map();
  readonly #takes: Take[];
  readonly #insert: string;
  readonly #limit: number;
  #values: string[] = [];
  /** What `#values` were made from: rows, or lines of rows. */
  #waiting: (Cell[] | Buffer)[] = [];
  #size = 0;
  #rows = 0;

  private constructor(session: Session, plan: TablePlan, before: number, stage: MergeStage | undefined) {
    this.#session = session;
    this.plan = plan;
    this.before = before;
    this.#target = plan.target as MysqlTable;
    this.#stage = stage;
    plan.columns.forEach((column, i) => {
      if (column === null) return;
      this.#cells.push(i);
      const { dataType, charset } = this.#target.details.get(column)!;
      if (dataType === 'enum') this.#guarded.set(i, 'enum');
      else if (charset !== null)
        this.#guarded.set(i, sameBytes(charsetOf(plan.source.columns[i]!.type), charset) ? 'same' : 'other');
    });
    this.#takes = plan.columns.map((column, i) => {
      if (column === null) return 'no';
      return (this.#guarded.get(i) ?? 'same') === 'same' ? 'any' : 'text';
    });
    const list = this.#cells.map((i) => ident(plan.columns[i]!)).join(', ');
    this.#insert = `INTO ${stage?.name ?? qualified(plan.target)} (${list}) VALUES `;
    // Before its last piece a statement is smaller than this; either may come to twice as many bytes.
    this.#limit = Math.min(STATEMENT, Math.floor(session.maxPacket / 5));
  }

  /** @throws RestoreError ERR_RESTORE_NO_PRIMARY_KEY where rows cannot be told apart and the table is not empty */
  static async open(session: Session, plan: TablePlan): Promise<MysqlTableWriter> {
    const [[count] = []] = await session.db.all(`SELECT COUNT(*) FROM ${qualified(plan.target)}`);
    const before = Number(count);
    const stage = before ? await MergeStage.open(session.db, plan) : undefined;
    return new MysqlTableWriter(session, plan, before, stage);
  }

  async write(rows: Cell[][]): Promise<void> {
    for (const row of rows) {
      if (row.length !== this.plan.columns.length) throw wrongLength(this.plan, row.length);
      this.#rows++;
      let size = 2;
      for (const i of this.#cells) size += cellSize(row[i]);
      const broken = this.#brokenEnums(row);
      if (broken || size > LARGE_ROW) {
        await this.#flush();
        await this.#writeAlone(row, broken);
        continue;
      }
      this.#values.push(`(${this.#cells.map((i) => cellLiteral(row[i])).join(',')})`);
      this.#waiting.push(row);
      this.#size += size;
      if (this.#size >= this.#limit) await this.#flush();
    }
  }

  async writeLines(lines: Buffer, count: number): Promise<boolean> {
    if (lines.length > this.#limit) return false;
    const values = jsonToValues(lines, count, this.#takes);
    if (!values) return false;
    this.#rows += count;
    this.#values.push(values);
    this.#waiting.push(lines);
    this.#size += lines.length;
    if (this.#size >= this.#limit) await this.#flush();
    return true;
  }

  async end(): Promise<EntityCounts> {
    await this.#flush();
    if (!this.#stage) return { inserted: this.#rows, updated: 0, untouched: 0 };
    try {
      return await this.#stage.merge(this.#rows);
    } catch (error) {
      const key = uniqueClash(error);
      if (key !== undefined) throw clashError(this.plan, [], key);
      throw restoreError(error, `merge the table "${this.plan.target.table}"`, { table: this.plan.target.table });
    }
  }

  async #flush(): Promise<void> {
    if (!this.#values.length) return;
    const sql = `INSERT ${this.#insert}${this.#values.join(',')}`;
    const waiting = this.#waiting;
    this.#values = [];
    this.#waiting = [];
    this.#size = 0;
    mustBeWellFormed(sql);
    try {
      await this.#session.db.run(sql);
    } catch (error) {
      if (!isConstraint(error)) throw this.#refused(error);
      // The server took back the whole statement, and does not say which row it was.
      for (const one of waiting)
        for (const row of Buffer.isBuffer(one) ? parseRows(one) : [one]) await this.#writeAlone(row, 0);
      throw this.#refused(error);
    }
  }

  /** One row in the binary protocol. */
  async #writeAlone(row: Cell[], brokenEnums: number): Promise<void> {
    const broken = (i: number) => brokenEnums > 0 && this.#isBroken(i, row[i]);
    const values = this.#cells.flatMap((i) => (broken(i) ? [] : [cellValue(row[i])]));
    const size = values.reduce((sum, value) => sum + (value === null ? 1 : Buffer.byteLength(value) + 9), SPARE);
    if (size > this.#session.maxPacket) throw tooLarge(this.plan, this.rowKey(row), size, this.#session.maxPacket);
    for (const value of values) if (typeof value === 'string') mustBeWellFormed(value);
    try {
      // An ENUM value that is no member passes with IGNORE only, which turns every other error into a warning too.
      const verb = brokenEnums ? 'INSERT IGNORE' : 'INSERT';
      // The number of an ENUM value that is no member; an empty string may be one.
      const marks = this.#cells.map((i) => (broken(i) ? '0' : cellMark(row[i]))).join(',');
      const changed = await this.#session.db.execute(`${verb} ${this.#insert}(${marks})`, values);
      if (!brokenEnums) return;
      const warnings = await this.#session.db.all('SHOW WARNINGS');
      const [, errno, sqlMessage] =
        warnings.find(([, code]) => Number(code) !== TRUNCATED) ?? warnings[brokenEnums] ?? [];
      if (changed === 1 && errno === undefined) return;
      throw Object.assign(new Error(sqlMessage ?? 'the row was left out'), { errno: Number(errno ?? 0) });
    } catch (error) {
      throw this.#refused(error, row);
    }
  }

  #isBroken(i: number, cell: Cell | undefined): boolean {
    return this.#guarded.get(i) === 'enum' && typeof cell === 'object' && cell !== null && base64Of(cell) === '';
  }

  /** How many cells of the row are ENUM values that are no member; checks the others that hold bytes. */
  #brokenEnums(row: Cell[]): number {
    let broken = 0;
    for (const [i, kind] of this.#guarded) {
      const cell = row[i];
      if (typeof cell !== 'object' || cell === null) continue;
      if (this.#isBroken(i, cell)) broken++;
      else if (kind !== 'same') throw foreignText(this.plan, this.rowKey(row), this.plan.columns[i]!);
    }
    return broken;
  }

  #refused(error: unknown, row?: Cell[]): Error {
    const { table } = this.plan.target;
    const key = uniqueClash(error);
    if (key !== undefined) return clashError(this.plan, row ? [this.rowKey(row)] : [], key);
    if (errorNumber(error) === 1146 && this.#stage) return restoreError(error, `merge the table "${table}"`);
    if (!row) return restoreError(error, `write the table "${table}"`, { table });
    const at = this.rowKey(row);
    return restoreError(error, `write the row ${at} of the table "${table}"`, { table, row: at });
  }

  /** The key of a row, for messages: `id=7`. */
  rowKey(row: Cell[]): string {
    const { primaryKey } = this.#target;
    const names = primaryKey.length ? primaryKey : this.#cells.slice(0, 3).map((i) => this.plan.columns[i]!);
    return names.map((name) => `${name}=${showCell(row[this.plan.columns.indexOf(name)])}`).join(', ');
  }
}

function tooLarge(plan: TablePlan, row: string, size: number, most: number): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_PACKET',
    `The row ${row} of the table "${plan.target.table}" takes ${size} bytes, and the target server accepts ${most} (max_allowed_packet). Raise it, as "SET GLOBAL max_allowed_packet = 1073741824", and restore again. Nothing was changed.`,
    { facts: { table: plan.target.table, row, size, maxAllowedPacket: most } },
  );
}

function foreignText(plan: TablePlan, row: string, column: string): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_TEXT_ENCODING',
    `The row ${row} of the table "${plan.target.table}" holds text in "${column}" that has no form in Unicode, as bytes that only fit a column with the source's character set. Give the column that character set and restore again. Nothing was changed.`,
    { facts: { table: plan.target.table, row, column } },
  );
}
