/**
 * Rows of a backup into a table that holds rows already: told apart by PRIMARY KEY and nothing else. (INSERT ... ON
 * DUPLICATE KEY UPDATE would also take a row for another one that merely shares its e-mail address.)
 *
 * The rows wait in a temporary table. Those that the target holds to the bit leave it again; of the others the old
 * version is deleted and the new one inserted, all at once, so that two rows may swap a unique value.
 */
import { RestoreError } from '../../errors.ts';
import type { EntityCounts, TablePlan } from '../driver.ts';
import { noKey } from '../target-errors.ts';
import type { MysqlTable, UniqueKey } from './mysql-catalog.ts';
import type { MysqlHandle } from './mysql-connection.ts';
import { ident, qualified } from './mysql-sql.ts';
import { cellSql, formOf } from './mysql-types.ts';

/** Clashes that are listed. */
const MAX_LISTED = 20;

export class MergeStage {
  /** Quoted. */
  readonly name: string;
  readonly #db: MysqlHandle;
  readonly #plan: TablePlan;
  readonly #target: MysqlTable;
  readonly #columns: string[];
  /** `s` and `t` are the same row. */
  readonly #sameRow: string;

  private constructor(db: MysqlHandle, plan: TablePlan) {
    this.#db = db;
    this.#plan = plan;
    this.#target = plan.target as MysqlTable;
    this.#columns = plan.columns.filter((column) => column !== null);
    // With its schema: the connection's own database may differ from the table's.
    this.name = qualified({ schema: plan.target.schema, table: `dbs_stage_${plan.source.stream}` });
    this.#sameRow = this.#target.primaryKey.map((key) => `s.${ident(key)} = t.${ident(key)}`).join(' AND ');
  }

  /** @throws RestoreError ERR_RESTORE_NO_PRIMARY_KEY */
  static async open(db: MysqlHandle, plan: TablePlan): Promise<MergeStage> {
    const { primaryKey } = plan.target;
    if (!primaryKey.length || primaryKey.some((key) => !plan.columns.includes(key))) throw noKey(plan);
    const stage = new MergeStage(db, plan);
    const keys = stage.#keys().map((key, i) => `UNIQUE KEY u${i} (${key.columns.map(indexPart).join(', ')})`);
    const list = stage.#columns.map(ident).join(', ');
    // Not LIKE: that refuses partitioned tables, and brings generated columns.
    await db.run(
      `CREATE TEMPORARY TABLE ${stage.name} (${[`PRIMARY KEY (${primaryKey.map(ident).join(', ')})`, ...keys].join(', ')}) ENGINE=InnoDB SELECT ${list} FROM ${qualified(plan.target)} WHERE 1 = 0`,
    );
    return stage;
  }

  /** @param rows that were written into the stage */
  async merge(rows: number): Promise<EntityCounts> {
    const { name } = this;
    const both = `${name} AS s JOIN ${qualified(this.#target)} AS t ON ${this.#sameRow}`;
    const same = this.#columns.map((column) => this.#sameCell(column)).join(' AND ');
    const untouched = await this.#db.run(`DELETE s FROM ${both} WHERE ${same}`);
    const updated = await this.#replaceOld(both);
    await this.#refuseClashes();
    const list = this.#columns.map(ident).join(', ');
    await this.#db.run(`INSERT INTO ${qualified(this.#target)} (${list}) SELECT ${list} FROM ${name}`);
    await this.#db.run(`DROP TEMPORARY TABLE ${name}`);
    return { inserted: rows - untouched - updated, updated, untouched };
  }

  /** Takes the old versions of changed rows away, or changes them where columns must live on that the backup lacks. */
  async #replaceOld(both: string): Promise<number> {
    const extras = this.#target.columns.filter(({ name, generated }) => !generated && !this.#columns.includes(name));
    if (!extras.length) return this.#db.run(`DELETE t FROM ${both}`);
    const set = [
      ...this.#columns.map((column) => `t.${ident(column)} = s.${ident(column)}`),
      // Said, or ON UPDATE CURRENT_TIMESTAMP would change them.
      ...extras.map(({ name }) => `t.${ident(name)} = t.${ident(name)}`),
    ];
    await this.#db.run(`UPDATE ${both} SET ${set.join(', ')}`);
    return this.#db.run(`DELETE s FROM ${both}`);
  }

  /** What is left in the stage will be inserted: no row of the target may hold its unique values. */
  async #refuseClashes(): Promise<void> {
    const { primaryKey } = this.#target;
    const shown = primaryKey.map((key) => `CONVERT(s.${ident(key)} USING utf8mb4)`).join(', ');
    for (const key of this.#keys()) {
      const on = key.columns.map(({ name, length }) => {
        const c = ident(name!);
        return length ? `LEFT(s.${c}, ${length}) = LEFT(t.${c}, ${length})` : `s.${c} = t.${c}`;
      });
      // Locking: rows that others committed since this transaction began count too.
      const rows = await this.#db.all(
        `SELECT ${shown} FROM ${this.name} AS s JOIN ${qualified(this.#target)} AS t ON ${on.join(' AND ')} LIMIT ${MAX_LISTED} LOCK IN SHARE MODE`,
      );
      const names = rows.map((row) => row.map((value, i) => `${primaryKey[i]}=${value}`).join(', '));
      if (names.length) throw clashError(this.#plan, names, key.name);
    }
  }

  /** Unique keys whose columns are all written. Others the server itself checks, with a message that knows no row. */
  #keys(): UniqueKey[] {
    return this.#target.uniqueKeys.filter(({ columns }) =>
      columns.every(({ name }) => name !== null && this.#columns.includes(name)),
    );
  }

  /** Equal to the bit: a collation would call "a" and "A" equal. */
  #sameCell(name: string): string {
    const column = this.#target.details.get(name)!;
    if (!formOf(column)) return `t.${ident(name)} <=> s.${ident(name)}`;
    return `${cellSql(column, 't.')} <=> ${cellSql(column, 's.')}`;
  }
}

function indexPart({ name, length }: UniqueKey['columns'][number]): string {
  return `${ident(name!)}${length ? `(${length})` : ''}`;
}

/** @param rows keys of the backup's rows, where they are known */
export function clashError(plan: TablePlan, rows: string[], key: string): RestoreError {
  const { table } = plan.target;
  const columns = (plan.target as MysqlTable).uniqueKeys.find(({ name }) => key === name || key.endsWith(`.${name}`));
  const names = columns?.columns.flatMap(({ name }) => name ?? []) ?? [key];
  const which = rows.length
    ? `: ${rows.slice(0, 5).join('; ')}${rows.length > 5 ? ` and ${rows.length - 5} more` : ''}`
    : '';
  return new RestoreError(
    'ERR_RESTORE_UNIQUE_CLASH',
    `Rows of the backup would share unique values (key "${key}": ${names.join(', ')}) with other rows of the table "${table}"${which}. Change or delete those rows, or restore with mode "flush". Nothing was changed.`,
    { facts: { table, entities: plan.source.entities, key, clashes: rows.map((row) => ({ row, columns: names })) } },
  );
}
