/** What surrounds the rows of a restore: triggers, AUTOINCREMENT counters, dangling references. */
import type { SequenceSchema } from '../../format/items.ts';
import type { DanglingReference, TablePlan } from '../driver.ts';
import type { SqliteTable } from './sqlite-catalog.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { ident, literal, qualified } from './sqlite-sql.ts';

/** Dangling references that are listed. */
const MAX_LISTED = 20;

function master(schema: string | undefined): string {
  return schema === undefined ? 'sqlite_master' : `${ident(schema)}.sqlite_master`;
}

/**
 * Drops the triggers of these tables: SQLite cannot switch them off.
 *
 * @returns the SQL that brings them back, to be run in the same transaction
 */
export async function switchTriggersOff(db: SqliteHandle, tables: SqliteTable[]): Promise<string[]> {
  const again: string[] = [];
  for (const { schema, table } of tables) {
    const found = await db.all(
      `SELECT name, sql FROM ${master(schema)} WHERE type = 'trigger' AND lower(tbl_name) = lower(${literal(table)})`,
    );
    for (const [name, sql] of found as [string, string][]) {
      await db.exec(`DROP TRIGGER ${schema === undefined ? '' : `${ident(schema)}.`}${ident(name)}`);
      // SQLite keeps the text as `CREATE TRIGGER name ...`, without the schema that it was created in.
      again.push(schema === undefined ? sql : sql.replace(/^CREATE TRIGGER\s+/i, `CREATE TRIGGER ${ident(schema)}.`));
    }
  }
  return again;
}

/** AUTOINCREMENT counters: as in the backup after a flush, never turned back by a merge. */
export async function restoreSequences(
  db: SqliteHandle,
  plans: TablePlan[],
  sequences: SequenceSchema[],
  mode: 'merge' | 'flush',
): Promise<void> {
  for (const { source, target } of plans) {
    const wanted = sequences.find((one) => one.table === source.table && one.schema === source.schema);
    if (!wanted || !(target as SqliteTable).autoincrement) continue;
    const table = `${target.schema === undefined ? '' : `${ident(target.schema)}.`}sqlite_sequence`;
    const value = `CAST(${literal(wanted.value)} AS INTEGER)`;
    const match = `WHERE name = ${literal(target.table)}`;
    const [existing] = await db.all(`SELECT 1 AS one FROM ${table} ${match}`);
    if (!existing) await db.exec(`INSERT INTO ${table} (name, seq) VALUES (${literal(target.table)}, ${value})`);
    else await db.exec(`UPDATE ${table} SET seq = ${mode === 'flush' ? value : `max(seq, ${value})`} ${match}`);
  }
}

/** Foreign keys without their row, in what was written and, after a flush, in what refers to it. */
export async function findDangling(
  db: SqliteHandle,
  plans: TablePlan[],
  mode: 'merge' | 'flush',
): Promise<DanglingReference[]> {
  const found: DanglingReference[] = [];
  const check = new Map(plans.map(({ target }) => [qualified(target), target as { schema?: string; table: string }]));
  if (mode === 'flush') {
    const names = plans.map(({ target }) => literal(target.table.toLowerCase())).join(', ');
    const children = await db.all(
      `SELECT DISTINCT m.name AS n FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table' AND lower(f."table") IN (${names || 'NULL'})`,
    );
    for (const [table] of children as [string][]) check.set(qualified({ table }), { table });
  }
  for (const { schema, table } of check.values()) {
    const args = schema === undefined ? literal(table) : `${literal(table)}, ${literal(schema)}`;
    const rows = await db.all(
      `SELECT CAST(rowid AS TEXT) AS r, parent, fkid FROM pragma_foreign_key_check(${args}) LIMIT ${MAX_LISTED - found.length}`,
    );
    for (const [rowid, parent, fkid] of rows as [string | null, string, number][]) {
      found.push({
        table,
        parent,
        row: await rowName(db, { ...(schema === undefined ? {} : { schema }), table }, rowid, fkid),
      });
    }
    if (found.length >= MAX_LISTED) break;
  }
  return found;
}

/** `id=7, author_id=3`: the key of the row and the columns that dangle. */
async function rowName(db: SqliteHandle, ref: { schema?: string; table: string }, rowid: string | null, fkid: number) {
  // A table WITHOUT ROWID reports no row: the columns of the key say where to look.
  const args = ref.schema === undefined ? literal(ref.table) : `${literal(ref.table)}, ${literal(ref.schema)}`;
  const columns = await db.all(
    `SELECT name FROM (SELECT name, pk AS n FROM pragma_table_info(${args}) WHERE pk > 0 UNION ALL SELECT "from", 1000 + seq FROM pragma_foreign_key_list(${args}) WHERE id = ${Number(fkid)}) GROUP BY name ORDER BY min(n)`,
  );
  const names = (columns as [string][]).map(([name]) => name);
  if (rowid === null) return names.map((name) => `${name}=?`).join(', ');
  const list = names.map((name, i) => `CAST(${ident(name)} AS BLOB) AS c${i}`).join(', ');
  const [values] = await db.all(`SELECT ${list} FROM ${qualified(ref)} WHERE rowid = ${rowid}`);
  return names
    .map((name, i) => `${name}=${values?.[i] === null ? 'NULL' : String(Buffer.from(values?.[i] as Buffer))}`)
    .join(', ');
}
