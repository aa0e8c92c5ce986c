/** Looking into a database without MikroORM and without this library's encoding: what is really in each cell. */
import { pipeline } from 'node:stream/promises';
import type { BackupItem } from '../../lib/format/items.ts';
import type { SqliteHandle } from '../../lib/orm/drivers/sqlite-connection.ts';
import { locate } from '../../lib/orm/drivers/sqlite-open.ts';
import { finite, ident } from '../../lib/orm/drivers/sqlite-sql.ts';
import { createRowSource, type RowSourceOptions } from '../../lib/orm/row-source.ts';
import { createRowTarget, type RestoreCounts, type RowTargetOptions } from '../../lib/orm/row-target.ts';
import type { TestOrm } from './orm.ts';

/** Runs `use` with a connection of its own. */
export async function withDatabase<T>(orm: TestOrm, use: (db: SqliteHandle) => T | Promise<T>): Promise<T> {
  const db = await (await locate(orm)).open();
  try {
    return await use(db);
  } finally {
    await db.close();
  }
}

export function exec(orm: TestOrm, ...sql: string[]): Promise<void> {
  return withDatabase(orm, async (db) => {
    for (const one of sql) await db.exec(one);
  });
}

export function query(orm: TestOrm, sql: string): Promise<unknown[][]> {
  return withDatabase(orm, async (db) => (await db.all(sql)) as unknown[][]);
}

/** `integer 35`, `text 6162`, `real -0`: SQLite's typeof, and the value by its bytes, or exactly as a double. */
export async function dump(orm: TestOrm, except: string[] = []): Promise<Record<string, string[]>> {
  return withDatabase(orm, async (db) => {
    const all: Record<string, string[]> = {};
    const tables = await db.all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
    for (const [table] of tables as [string][]) {
      if (except.includes(table)) continue;
      const columns = (await db.all(`SELECT name FROM pragma_table_xinfo('${table}') ORDER BY name`)) as [string][];
      const cells = columns.map(([name], i) => {
        const q = ident(name);
        return `typeof(${q}) AS t${i}, CASE typeof(${q}) WHEN 'real' THEN ${finite(q)} END AS r${i}, CASE WHEN typeof(${q}) <> 'real' THEN hex(CAST(${q} AS BLOB)) END AS h${i}`;
      });
      const rows = await db.all(`SELECT ${cells.join(', ')} FROM ${ident(table)}`);
      all[table] = rows
        .map((row) =>
          columns
            .map(([name], i) => {
              const [type, real, hex] = row.slice(3 * i, 3 * i + 3);
              return `${name}=${type} ${type === 'real' ? (Object.is(real, -0) ? '-0' : String(real)) : hex}`;
            })
            .join(' '),
        )
        .sort();
    }
    return all;
  });
}

/** From one database into another, without a container between. */
export async function copy(
  from: TestOrm,
  to: TestOrm,
  options: RowTargetOptions = {},
  source: RowSourceOptions = {},
): Promise<RestoreCounts> {
  const target = createRowTarget(to, options);
  await pipeline(createRowSource(from, source), target);
  return target.result;
}

/** Every item of a backup. */
export async function items(orm: TestOrm, options: RowSourceOptions = {}): Promise<BackupItem[]> {
  const all: BackupItem[] = [];
  for await (const item of createRowSource(orm, options)) all.push(item);
  return all;
}

/** Feeds items to a restore by hand. */
export async function restore(to: TestOrm, list: BackupItem[], options: RowTargetOptions = {}): Promise<RestoreCounts> {
  const target = createRowTarget(to, options);
  await pipeline(list, target);
  return target.result;
}

export function ofType<T extends BackupItem['type']>(list: BackupItem[], type: T): Extract<BackupItem, { type: T }>[] {
  return list.filter((item): item is Extract<BackupItem, { type: T }> => item.type === type);
}

/** The error that a promise rejects with. */
export async function failure(
  work: Promise<unknown>,
): Promise<Error & { code?: string; facts?: Record<string, unknown> }> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not fail.');
}
