/**
 * From the temporary table into the real one: missing rows are inserted, those that differ in any bit updated, others
 * left alone. Each is one statement over all rows; the table is locked, so nobody comes between.
 */
import { RestoreError } from '../../errors.ts';
import type { TablePlan } from '../driver.ts';
import type { PgTable } from './postgresql-catalog.ts';
import type { PgConnection } from './postgresql-connection.ts';
import { clashOf, isClash } from './postgresql-errors.ts';
import { ident, list, only, qualified } from './postgresql-sql.ts';

/** Clashes that are listed. */
const MAX_LISTED = 20;

/** Where a row would break a unique constraint. */
export interface Clash {
  /** The row's key: `id=7`. */
  row: string;
  columns: string[];
}

/** What the merge needs of the whole restore. */
export interface MergeContext {
  /** Takes the foreign keys away that refer to this table, until the end of the restore. */
  detach(table: PgTable): Promise<void>;
}

interface Merge extends MergeContext {
  plan: TablePlan;
  target: PgTable;
  /** Written columns. */
  columns: string[];
  /** The temporary table that holds the backup's rows. */
  rows: string;
}

/** @throws RestoreError ERR_RESTORE_UNIQUE_CLASH with up to 20 rows */
export async function mergeRows(db: PgConnection, merge: Merge): Promise<{ inserted: number; updated: number }> {
  const { plan, target, columns, rows } = merge;
  await db.exec(`ANALYZE ${rows}`);
  const keys = plan.source.primaryKey;
  const sameKey = keys.length === target.primaryKey.length && keys.every((key) => target.primaryKey.includes(key));
  if (!sameKey) await requireDistinct(db, merge);
  // The server refuses to update a column that is GENERATED ALWAYS AS IDENTITY; it may be inserted.
  const fixed = target.columns.some(
    ({ name, identity }) => identity === 'always' && columns.includes(name) && !target.primaryKey.includes(name),
  );
  const first = fixed ? undefined : await attempt(db, () => update(db, merge));
  if (first && !('clash' in first)) return first;
  // Perhaps rows only exchanged their unique values: then all old ones must go before the new ones come.
  await merge.detach(target);
  const second = await attempt(db, () => replace(db, merge));
  if (!('clash' in second)) return second;
  const clashes = await findClashes(db, merge);
  throw clashError(plan, clashes.length ? clashes : [clashOf(second.clash)], 'target');
}

async function attempt<T>(db: PgConnection, step: () => Promise<T>): Promise<T | { clash: unknown }> {
  await db.exec('SAVEPOINT dbs_merge');
  try {
    const result = await step();
    await db.exec('RELEASE SAVEPOINT dbs_merge');
    return result;
  } catch (clash) {
    if (!isClash(clash)) throw clash;
    await db.exec('ROLLBACK TO SAVEPOINT dbs_merge; RELEASE SAVEPOINT dbs_merge');
    return { clash };
  }
}

/** `t` and another table agree in the primary key. */
function match({ target }: Merge, one: string, other: string): string {
  return target.primaryKey.map((key) => `${one}.${ident(key)} = ${other}.${ident(key)}`).join(' AND ');
}

/** `t` and `n` differ in a bit: 1.0 and 1.00, or two spellings that a collation takes for equal. */
function differ({ columns }: Merge): string {
  // As records: two plain rows would be compared column by column, with operators that not every type has.
  return `ROW(${list(columns, 't.')})::record OPERATOR(pg_catalog.*<>) ROW(${list(columns, 'n.')})::record`;
}

async function update(db: PgConnection, merge: Merge): Promise<{ inserted: number; updated: number }> {
  const { target, columns, rows } = merge;
  const identity = new Set(target.columns.filter((one) => one.identity === 'always').map(({ name }) => name));
  const set = columns.filter((name) => !identity.has(name)).map((name) => `${ident(name)} = n.${ident(name)}`);
  const updated = set.length
    ? await db.run(
        `UPDATE ${only(target)} AS t SET ${set.join(', ')} FROM ${rows} AS n WHERE ${match(merge, 't', 'n')} AND ${differ(merge)}`,
      )
    : 0;
  return { updated, inserted: await insertMissing(db, merge) };
}

async function insertMissing(db: PgConnection, merge: Merge): Promise<number> {
  const { target, columns, rows } = merge;
  return db.run(
    `INSERT INTO ${qualified(target)} (${list(columns)}) OVERRIDING SYSTEM VALUE SELECT ${list(columns, 'n.')} FROM ${rows} AS n
     WHERE NOT EXISTS (SELECT 1 FROM ${only(target)} AS t WHERE ${match(merge, 't', 'n')})`,
  );
}

/** Columns that the backup does not know keep the values of the old rows. */
async function replace(db: PgConnection, merge: Merge): Promise<{ inserted: number; updated: number }> {
  const { target, columns, rows, plan } = merge;
  const old = `"dbs_old_${plan.source.stream}"`;
  const extras = target.columns
    .filter(({ name, generated }) => !generated && !columns.includes(name))
    .map(({ name }) => name);
  await db.exec(
    `CREATE TEMPORARY TABLE ${old} ON COMMIT DROP AS SELECT t.* FROM ${only(target)} AS t JOIN ${rows} AS n ON ${match(merge, 't', 'n')} WHERE ${differ(merge)}`,
  );
  await db.exec(`ANALYZE pg_temp.${old}`);
  await db.run(`DELETE FROM ${only(target)} AS t USING pg_temp.${old} AS o WHERE ${match(merge, 't', 'o')}`);
  const updated = await db.run(
    `INSERT INTO ${qualified(target)} (${list([...columns, ...extras])}) OVERRIDING SYSTEM VALUE
     SELECT ${[list(columns, 'n.'), ...(extras.length ? [list(extras, 'o.')] : [])].join(', ')} FROM ${rows} AS n JOIN pg_temp.${old} AS o ON ${match(merge, 'n', 'o')}`,
  );
  return { updated, inserted: await insertMissing(db, merge) };
}

/** The keys of rows, as `id=7`. */
function keyText(row: (string | null)[], names: string[]): string {
  return names.map((name, i) => `${name}=${row[i] ?? 'NULL'}`).join(', ');
}

/** Rows of the backup that have a unique value of a row that the backup does not have. */
async function findClashes(db: PgConnection, merge: Merge): Promise<Clash[]> {
  const { target, columns, rows } = merge;
  const found: Clash[] = [];
  const keys = target.primaryKey;
  for (const set of target.unique) {
    if (found.length >= MAX_LISTED || set.some((name) => !columns.includes(name))) continue;
    const same = set.map((name) => `t.${ident(name)} = n.${ident(name)}`).join(' AND ');
    const hits = await db.all(
      `SELECT ${keys.map((key) => `n.${ident(key)}::pg_catalog.text`).join(', ')} FROM ${rows} AS n JOIN ${only(target)} AS t ON ${same}
       WHERE NOT EXISTS (SELECT 1 FROM ${rows} AS m WHERE ${match(merge, 't', 'm')}) LIMIT ${MAX_LISTED - found.length}`,
    );
    found.push(...hits.map((row) => ({ row: keyText(row, keys), columns: set })));
  }
  return found;
}

/** The target has another primary key than the source: two rows of the backup may have the same. */
async function requireDistinct(db: PgConnection, merge: Merge): Promise<void> {
  const keys = merge.target.primaryKey;
  const names = keys.map((key) => ident(key)).join(', ');
  const twice = await db.all(
    `SELECT ${keys.map((key) => `${ident(key)}::pg_catalog.text`).join(', ')} FROM ${merge.rows} GROUP BY ${names} HAVING pg_catalog.count(*) > 1 LIMIT ${MAX_LISTED}`,
  );
  const clashes = twice.map((row) => ({ row: keyText(row, keys), columns: keys }));
  if (clashes.length) throw clashError(merge.plan, clashes, 'backup');
}

/** @param where the other row is one of the target's, or of the backup itself, as the target's keys see it */
export function clashError(plan: TablePlan, clashes: Clash[], where: 'target' | 'backup'): RestoreError {
  const shown = clashes.slice(0, 5).map(({ row, columns }) => `${row} (${columns.join(', ')})`);
  const more = clashes.length > 5 ? ` and ${clashes.length - 5} more` : '';
  const { table } = plan.target;
  return new RestoreError(
    'ERR_RESTORE_UNIQUE_CLASH',
    where === 'target'
      ? `The table "${table}" already holds other rows with the same unique values as these of the backup: ${shown.join('; ')}${more}. Change or delete those rows, or restore with mode "flush". Nothing was changed.`
      : `Several rows of the backup have the same values where the table "${table}" wants them unique: ${shown.join('; ')}${more}. The target's schema is stricter than the backup's data. Nothing was changed.`,
    { facts: { table, entities: plan.source.entities, clashes } },
  );
}
