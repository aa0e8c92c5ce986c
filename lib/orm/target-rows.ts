/** Rows of a backup on their way into a table that is not quite like theirs: converted in place, and counted. */
import { RestoreError } from '../errors.ts';
import { Unconvertible } from './convert/index.ts';
import type { Cell, TablePlan } from './driver.ts';
import type { ColumnConversion, Drift } from './target-drift.ts';

interface Converted {
  cell: number;
  column: string;
  by: NonNullable<ColumnConversion>;
  lost: number;
  /** What the first of them lost. */
  what?: string;
}

/** Memory: one number a column. */
export class TableRows {
  /** By cell: the largest whole number that passed, of columns that a counter fills. */
  readonly largest = new Map<number, bigint>();
  readonly #plan: TablePlan;
  readonly #converted: Converted[] = [];
  readonly #dropped: { cell: number; column: string; values: number }[] = [];
  readonly #mayLose: boolean;

  /**
   * @param mayLose whether a value may lose something
   * @param counted cells whose largest number is wanted
   */
  constructor(plan: TablePlan, conversions: ColumnConversion[], mayLose: boolean, counted: number[]) {
    this.#plan = plan;
    this.#mayLose = mayLose;
    for (const [cell, { name, generated }] of plan.source.columns.entries()) {
      const by = conversions[cell];
      if (by) this.#converted.push({ cell, column: name, by, lost: 0 });
      else if (plan.columns[cell] === null && !generated) this.#dropped.push({ cell, column: name, values: 0 });
    }
    for (const cell of counted) this.largest.set(cell, 0n);
  }

  /** Rows go as they are, and nothing of them is counted: they need not be looked at. */
  get idle(): boolean {
    return !this.#converted.length && !this.#dropped.length && !this.largest.size;
  }

  /**
   * Changes the rows in place.
   *
   * @throws RestoreError ERR_RESTORE_VALUE with the row's key
   */
  take(rows: Cell[][]): void {
    for (const row of rows) {
      for (const one of this.#dropped) if (row[one.cell] !== null && row[one.cell] !== undefined) one.values++;
      // A row that is too short is the writer's to refuse.
      if (row.length === this.#plan.columns.length && this.#converted.length) this.#convert(row);
      for (const [cell, most] of this.largest) {
        const value = row[cell];
        const text = typeof value === 'number' ? String(value) : value;
        if (typeof text === 'string' && /^\d{1,19}$/.test(text) && BigInt(text) > most)
          this.largest.set(cell, BigInt(text));
      }
    }
  }

  /** Adds what was counted to a table's drift. */
  count(drift: Drift[]): Drift[] {
    const { table, entities } = this.#plan.source;
    const mine = drift.filter((one) => one.table === table);
    for (const { column, values } of this.#dropped) {
      const found = mine.find((one) => one.column === column && one.kind === 'dropped');
      if (found) found.values = values;
    }
    const more: Drift[] = [];
    for (const { column, lost, what, by } of this.#converted) {
      const found = mine.find((one) => one.column === column && one.kind === 'converted');
      if (found) found.values = lost;
      else if (lost) {
        // By their types nothing could be lost; SQLite holds what it likes in a column.
        const types = { from: by.conversion.from.name, to: by.conversion.to.name };
        more.push({ table, entities, column, kind: 'converted', ...types, note: what!, values: lost });
      }
    }
    return more;
  }

  #convert(row: Cell[]): void {
    // The key, as it was in the backup.
    const before = this.#converted.length ? [...row] : row;
    for (const one of this.#converted) {
      let loses: string | undefined;
      try {
        row[one.cell] = one.by.conversion.convert(row[one.cell] as Cell, (what) => {
          loses ??= what;
        });
      } catch (error) {
        if (!(error instanceof Unconvertible)) throw error;
        // In one kind of database, the database itself decides what it takes.
        if (!one.by.strict) continue;
        throw this.#refused(one, before, error.message);
      }
      if (loses === undefined) continue;
      if (!this.#mayLose) throw this.#refused(one, before, `it would lose ${loses}, which allowLossy accepts`);
      one.lost++;
      one.what ??= loses;
    }
  }

  #refused({ column, by }: Converted, row: Cell[], why: string): RestoreError {
    const { table, entities } = this.#plan.source;
    const key = rowKey(this.#plan, row);
    const { from, to } = by.conversion;
    return new RestoreError(
      'ERR_RESTORE_VALUE',
      `A value does not fit into the target: row ${key} of the table "${table}", column "${column}" (${from.name} into ${to.name}): ${why}. Change it in the source, or the target's type. Nothing was changed.`,
      { facts: { table, entities, row: key, column, from: from.name, to: to.name } },
    );
  }
}

/** `id=7`, as the backup has it. */
function rowKey({ source }: TablePlan, row: Cell[]): string {
  const names = source.primaryKey.length ? source.primaryKey : source.columns.slice(0, 3).map(({ name }) => name);
  return names.map((name) => `${name}=${show(row[source.columns.findIndex((one) => one.name === name)])}`).join(', ');
}

function show(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return 'NULL';
  const text = typeof cell === 'object' ? String(Object.values(cell)[0]) : String(cell);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
