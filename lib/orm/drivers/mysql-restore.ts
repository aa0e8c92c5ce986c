/** What surrounds the rows of a restore: what forbids it, dangling references, AUTO_INCREMENT counters. */
import { RestoreError } from '../../errors.ts';
import type { SequenceSchema } from '../../format/items.ts';
import type { DanglingReference, TablePlan, TableRef } from '../driver.ts';
import { describeTables, type MysqlTable, readSequences, untransactional } from './mysql-catalog.ts';
import type { MysqlHandle } from './mysql-connection.ts';
import { ident, literal, qualified, schemaSql } from './mysql-sql.ts';

/** Dangling references that are listed. */
const MAX_LISTED = 20;

/**
 * @throws RestoreError ERR_RESTORE_NOT_TRANSACTIONAL: ROLLBACK would leave the rows there
 */
export async function refuseUntransactional(db: MysqlHandle, tables: MysqlTable[]): Promise<void> {
  const found = await untransactional(db, tables);
  if (!found.length) return;
  const [first] = found as [MysqlTable];
  throw new RestoreError(
    'ERR_RESTORE_NOT_TRANSACTIONAL',
    `A restore could not be taken back in ${found.map(({ table, engine }) => `"${table}" (${engine})`).join(', ')}: that storage engine knows no transactions. Run "ALTER TABLE ${qualified(first)} ENGINE=InnoDB" first, or leave the entity out with "except". Nothing was changed.`,
    { facts: { tables: found.map(({ table, engine }) => ({ table, engine })) } },
  );
}

/**
 * Triggers cannot be switched off here, and DROP TRIGGER would commit.
 *
 * @throws RestoreError ERR_RESTORE_TRIGGERS, ERR_RESTORE_PRIVILEGE where triggers would be invisible
 */
export async function refuseTriggers(db: MysqlHandle, tables: MysqlTable[], database: string): Promise<void> {
  const found: { trigger: string; table: string }[] = [];
  for (const { schema, table } of tables) {
    const rows = await db.all(
      `SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = ${schemaSql(schema)} AND EVENT_OBJECT_TABLE = ${literal(table)}`,
    );
    for (const [trigger] of rows) found.push({ trigger: trigger!, table });
  }
  if (found.length) {
    const names = found.map(({ trigger, table }) => `"${trigger}" on "${table}"`).join(', ');
    throw new RestoreError(
      'ERR_RESTORE_TRIGGERS',
      `Triggers would fire for every restored row, and ${db.flavour === 'mariadb' ? 'MariaDB' : 'the server'} cannot switch them off: ${names}. Save them (SHOW CREATE TRIGGER), DROP them, restore, and create them again; or let them fire with allowTriggers. Nothing was changed.`,
      { facts: { triggers: found } },
    );
  }
  for (const schema of new Set(tables.map((table) => table.schema ?? database))) {
    if (!(await seesTriggers(db, schema))) {
      throw new RestoreError(
        'ERR_RESTORE_PRIVILEGE',
        `The database user lacks a right: TRIGGER on ${schema}. Without it nobody can tell whether triggers would fire for restored rows. GRANT it, restore as another user, or accept whatever fires with allowTriggers. Nothing was changed.`,
        { facts: { right: `TRIGGER on ${schema}` } },
      );
    }
  }
}

/** Triggers show only to those who hold the right TRIGGER. */
async function seesTriggers(db: MysqlHandle, schema: string): Promise<boolean> {
  const grants = (await db.all('SHOW GRANTS')).map(([line]) => line ?? '');
  return grants.some((line) => {
    const [, rights = '', pattern = ''] = /^GRANT (.*?) ON (?:TABLE )?[`"']?(.*?)[`"']?\.\S+ TO /.exec(line) ?? [];
    if (!/\bALL PRIVILEGES\b|\bTRIGGER\b/.test(rights)) return false;
    // In a grant, % and _ of a database's name are wildcards unless a backslash stands before them.
    const like = pattern.replace(/\\?[%_]|[.*+?^${}()|[\]\\]/g, (c) =>
      c === '%' ? '.*' : c === '_' ? '.' : c.length > 1 ? c[1]! : `\\${c}`,
    );
    return pattern === '*' || new RegExp(`^${like}$`, 'i').test(schema);
  });
}

/** Foreign keys without their row: in what was written, and in what refers to it. */
export async function findDangling(
  db: MysqlHandle,
  plans: TablePlan[],
  mode: 'merge' | 'flush',
): Promise<DanglingReference[]> {
  const written = plans.map(({ target }) => target as MysqlTable);
  const found: DanglingReference[] = [];
  const check = async (child: MysqlTable, keys: MysqlTable['foreignKeys']) => {
    for (const key of keys) {
      if (found.length < MAX_LISTED) found.push(...(await dangling(db, child, key, MAX_LISTED - found.length)));
    }
  };
  for (const table of written) await check(table, table.foreignKeys);
  const isWritten = (ref: TableRef) => written.find((table) => qualified(table) === qualified(ref));
  for (const child of await referring(db, written)) {
    if (isWritten(child)) continue;
    await check(
      child,
      child.foreignKeys.filter((key) => {
        const parent = isWritten(key);
        // A merge takes no primary key away, but it may change other columns.
        return parent && (mode === 'flush' || key.references.join('\0') !== parent.primaryKey.join('\0'));
      }),
    );
  }
  return found;
}

/** Tables with foreign keys to these. */
async function referring(db: MysqlHandle, tables: MysqlTable[]): Promise<MysqlTable[]> {
  const refs = new Map<string, TableRef>();
  for (const { schema, table } of tables) {
    const rows = await db.all(
      `SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, TABLE_SCHEMA = DATABASE() FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_SCHEMA = ${schemaSql(schema)} AND REFERENCED_TABLE_NAME = ${literal(table)}`,
    );
    for (const [place, name, own] of rows as [string, string, string | null][]) {
      const ref = own === '1' && schema === undefined ? { table: name } : { schema: place, table: name };
      refs.set(qualified(ref), ref);
    }
  }
  return (await describeTables(db, [...refs.values()])).flat();
}

async function dangling(
  db: MysqlHandle,
  child: MysqlTable,
  key: MysqlTable['foreignKeys'][number],
  limit: number,
): Promise<DanglingReference[]> {
  const names = [...new Set([...child.primaryKey, ...key.columns])];
  const shown = names.map((name) => `CONVERT(c.${ident(name)} USING utf8mb4)`).join(', ');
  const on = key.columns.map((column, i) => `c.${ident(column)} = p.${ident(key.references[i]!)}`).join(' AND ');
  const given = key.columns.map((column) => `c.${ident(column)} IS NOT NULL`).join(' AND ');
  // Locking: a parent that somebody else deleted since this transaction began is gone, whatever its snapshot shows.
  const rows = await db.all(
    `SELECT ${shown} FROM ${qualified(child)} AS c LEFT JOIN ${qualified(key)} AS p ON ${on} WHERE ${given} AND p.${ident(key.references[0]!)} IS NULL LIMIT ${limit} LOCK IN SHARE MODE`,
  );
  return rows.map((row) => ({
    table: child.table,
    row: names.map((name, i) => `${name}=${row[i] ?? 'NULL'}`).join(', '),
    parent: key.table,
  }));
}

/** A counter that is to be set, with the SQL that does. */
export interface Counter {
  table: string;
  sql: string;
}

/**
 * AUTO_INCREMENT counters that differ from the backup's: set back after a flush, never turned back by a merge. The
 * server itself has moved each past the largest restored value already.
 */
export async function countersToSet(
  db: MysqlHandle,
  plans: TablePlan[],
  sequences: SequenceSchema[],
  mode: 'merge' | 'flush',
): Promise<Counter[]> {
  const found: Counter[] = [];
  const tables = plans.map(({ target }) => target as MysqlTable);
  const current = await readSequences(db, tables);
  for (const { source, target } of plans) {
    const wanted = sequences.find((one) => one.table === source.table && one.schema === source.schema);
    const now = current.find((one) => one.table === target.table && one.schema === target.schema);
    if (!wanted || !now || !/^\d{1,20}$/.test(wanted.value) || wanted.value === now.value) continue;
    if (mode === 'merge' && BigInt(wanted.value) <= BigInt(now.value)) continue;
    found.push({ table: target.table, sql: `ALTER TABLE ${qualified(target)} AUTO_INCREMENT = ${wanted.value}` });
  }
  return found;
}

/** Thrown after COMMIT: by then there is no way back. */
export function countersError(failed: Counter[], reason: string, cause: unknown): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_COUNTERS',
    `All rows are restored and committed, but the AUTO_INCREMENT counters of ${failed.map(({ table }) => `"${table}"`).join(', ')} could not be set (${reason}), so numbers of deleted rows may be given out again. Run: ${failed.map(({ sql }) => sql).join('; ')}.`,
    { cause, facts: { tables: failed.map(({ table }) => table), sql: failed.map(({ sql }) => sql) } },
  );
}
