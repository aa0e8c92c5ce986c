/** What a restore would lack, found without touching anything: for `dbs doctor`. */
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { LockConnection } from './driver.ts';
import { driverFor } from './drivers/index.ts';
import type { OrmLike } from './orm-like.ts';

/** What MariaDB and MySQL ask for; ALTER sets the AUTO_INCREMENT counters. */
const MYSQL = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'ALTER', 'CREATE TEMPORARY TABLES'];

/**
 * @param tables as a backup's schema names them
 * @returns sentences' ends, such as `the ownership of public.users`; none where nothing is missing
 * @throws SourceError
 */
export async function missingForRestore(orm: OrmLike, tables: { schema?: string; table: string }[]): Promise<string[]> {
  const { dialect, identity, lockPlace } = await driverFor(orm);
  if (dialect === 'sqlite') return lockPlace ? missingForFile(identity.replace(/^sqlite:/, '')) : [];
  const db = await lockPlace!.connect();
  try {
    return dialect === 'postgresql' ? await notOwned(db, tables) : await missingGrants(db);
  } catch (error) {
    throw lockPlace!.wrap(error, 'read the rights of this user');
  } finally {
    await db.close();
  }
}

async function missingForFile(path: string): Promise<string[]> {
  const missing: string[] = [];
  // The journal is made beside the database.
  for (const one of [path, dirname(path)])
    await access(one, constants.W_OK).catch(() => missing.push(`the right to write ${one}`));
  return missing;
}

/** Foreign keys are dropped and added again, which only the owner may. */
async function notOwned(db: LockConnection, tables: { schema?: string; table: string }[]): Promise<string[]> {
  const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const names = tables.map(({ schema, table }) =>
    schema === undefined ? quote(table) : `${quote(schema)}.${quote(table)}`,
  );
  const list = names.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ');
  const rows = await db.all(
    `SELECT c.oid::regclass::text FROM unnest(ARRAY[${list}]::text[]) AS t(name) JOIN pg_catalog.pg_class c ON c.oid = to_regclass(t.name) WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1`,
  );
  return rows.map(([name]) => `the ownership of ${name}`);
}

async function missingGrants(db: LockConnection): Promise<string[]> {
  const rows = await db.all('SHOW GRANTS');
  const here = String((await db.all('SELECT DATABASE()'))[0]?.[0]);
  const granted = new Set<string>();
  for (const [line] of rows as [string][]) {
    const [, rights, place] = /^GRANT (.*) ON (\S+) TO /.exec(line) ?? [];
    if (rights === undefined || place === undefined) continue;
    const name = place.replaceAll('`', '').replaceAll('\\_', '_');
    if (name !== '*.*' && name !== `${here}.*`) continue;
    for (const right of rights.split(', ')) granted.add(right);
  }
  if (granted.has('ALL PRIVILEGES')) return [];
  return MYSQL.filter((right) => !granted.has(right)).map((right) => `${right} on ${here}`);
}
