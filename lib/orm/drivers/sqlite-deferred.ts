/**
 * Rows that a unique constraint refused on the first try, though a later row of the same backup may make room: two
 * rows that swapped their e-mail addresses since, say. They wait in a temporary table (on disk, so any number does); on a libSQL
 * server, which allows none, in one that the same transaction makes and drops.
 */
import { randomUUID } from 'node:crypto';
import type { Cell } from '../driver.ts';
import type { Bind, SqliteHandle } from './sqlite-connection.ts';
import { ident, qualified } from './sqlite-sql.ts';
import type { Clash, SqliteTableWriter } from './sqlite-write.ts';

/** Clashes that are listed; all are counted by their absence from the database. */
const MAX_LISTED = 20;
const PAGE = 200;

export class DeferredRows {
  readonly #db: SqliteHandle;
  readonly #writer: SqliteTableWriter;
  readonly #waiting: string;
  readonly #parked: string;

  private constructor(db: SqliteHandle, writer: SqliteTableWriter) {
    this.#db = db;
    this.#writer = writer;
    const { stream } = writer.plan.source;
    const table = (name: string) =>
      db.flavour === 'remote' ? ident(`dbs_${name}_${randomUUID()}`) : `temp."dbs_${name}_${stream}"`;
    this.#waiting = table('waiting');
    this.#parked = table('parked');
  }

  static async open(db: SqliteHandle, writer: SqliteTableWriter): Promise<DeferredRows> {
    const rows = new DeferredRows(db, writer);
    await db.exec(`CREATE TABLE ${rows.#waiting} (n INTEGER PRIMARY KEY, line TEXT)`);
    return rows;
  }

  async add(row: Cell[]): Promise<void> {
    await this.#once(`INSERT INTO ${this.#waiting} (line) VALUES (?)`, [JSON.stringify(row)]);
  }

  /**
   * Tries the rows again until nothing moves, then takes the old versions of what is left out of the way, which
   * opens circles.
   *
   * @returns clashes with rows that the backup does not hold, at most 20
   */
  async settle(): Promise<Clash[]> {
    while (await this.#pass()) if (!(await this.#count())) break;
    if (await this.#count()) {
      await this.#park();
      while (await this.#pass()) if (!(await this.#count())) break;
      await this.#restoreExtras();
    }
    const left: Clash[] = [];
    await this.#each(async (row) => {
      const clash = left.length < MAX_LISTED ? await this.#writer.tryRow(row) : undefined;
      if (clash) left.push(clash);
      return left.length < MAX_LISTED;
    });
    await this.#db.exec(`DROP TABLE ${this.#waiting}`);
    return left;
  }

  async #once(sql: string, params: Bind[]): Promise<void> {
    const statement = this.#db.prepare(sql);
    await statement.run(params);
    await statement.free?.();
  }

  async #count(): Promise<number> {
    const [row] = await this.#db.all(`SELECT count(*) AS n FROM ${this.#waiting}`);
    return Number(row?.[0]);
  }

  /** Calls `use` with each waiting row until it answers false. */
  async #each(use: (row: Cell[], n: number) => Promise<boolean>): Promise<void> {
    for (let last = 0; ; ) {
      const page = await this.#db.all(
        `SELECT n, line FROM ${this.#waiting} WHERE n > ${last} ORDER BY n LIMIT ${PAGE}`,
      );
      for (const [n, line] of page as [number, string][]) {
        last = Number(n);
        if (!(await use(JSON.parse(line) as Cell[], last))) return;
      }
      if (page.length < PAGE) return;
    }
  }

  /** One try of every waiting row. Answers whether any got through. */
  async #pass(): Promise<boolean> {
    let moved = false;
    await this.#each(async (row, n) => {
      if (await this.#writer.tryRow(row)) return true;
      moved = true;
      await this.#db.exec(`DELETE FROM ${this.#waiting} WHERE n = ${n}`);
      return true;
    });
    return moved;
  }

  async #park(): Promise<void> {
    const { target } = this.#writer;
    await this.#db.exec(`CREATE TABLE ${this.#parked} AS SELECT * FROM ${qualified(target)} WHERE 0`);
    const names = target.columns.filter((column) => !column.generated).map(({ name }) => ident(name));
    await this.#each(async (row) => {
      const { sql, params } = this.#writer.keyMatch(row, 'old');
      const from = `FROM ${qualified(target)} AS old WHERE ${sql}`;
      await this.#once(`INSERT INTO ${this.#parked} (${names.join(', ')}) SELECT ${names.join(', ')} ${from}`, params);
      await this.#once(`DELETE ${from}`, params);
      return true;
    });
  }

  /** Columns that the backup does not know keep the values they had before their row was parked. */
  async #restoreExtras(): Promise<void> {
    const { target, columns } = this.#writer;
    const extras = target.columns.filter(({ name, generated }) => !generated && !columns.includes(name));
    if (extras.length) {
      const same = target.primaryKey.map((key) => `p.${ident(key)} = old.${ident(key)}`).join(' AND ');
      const set = extras.map(({ name }) => `${ident(name)} = p.${ident(name)}`).join(', ');
      await this.#db.exec(`UPDATE ${qualified(target)} AS old SET ${set} FROM ${this.#parked} AS p WHERE ${same}`);
    }
    await this.#db.exec(`DROP TABLE ${this.#parked}`);
  }
}
