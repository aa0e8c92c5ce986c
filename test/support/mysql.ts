/**
 * The MariaDB or MySQL server that the tests run against: MYSQL_HOST, MYSQL_PORT, MYSQL_USER, MYSQL_PASSWORD.
 * DBS_TEST_MYSQL=mysql takes MikroORM's package for MySQL in place of that for MariaDB. Every test makes databases of
 * its own, `dbs_test_<random>`, and drops them.
 */
import { randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type { Test } from 'tap';
import type { MysqlHandle } from '../../lib/orm/drivers/mysql-connection.ts';
import { locate } from '../../lib/orm/drivers/mysql-open.ts';
import { openSession } from '../../lib/orm/drivers/mysql-session.ts';
import { ident, literal } from '../../lib/orm/drivers/mysql-sql.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { createRowSource, type RowSourceOptions } from '../../lib/orm/row-source.ts';
import { createRowTarget, type RestoreCounts, type RowTargetOptions } from '../../lib/orm/row-target.ts';

export const major = process.env.DBS_TEST_ORM ?? '6';
const env = process.env;
export const server = {
  host: env.MYSQL_HOST ?? '127.0.0.1',
  port: Number(env.MYSQL_PORT ?? 3306),
  user: env.MYSQL_USER ?? 'root',
  password: env.MYSQL_PASSWORD ?? '',
};

/** MariaDB beside MySQL, where the suites run on that. */
export const mariaServer = {
  host: env.MARIADB_HOST ?? '127.0.0.1',
  port: Number(env.MARIADB_PORT ?? 3306),
  user: env.MARIADB_USER ?? 'root',
  password: env.MARIADB_PASSWORD ?? '',
};

const found =
  major === '7'
    ? await import('../matrix/mikro-orm-7/orm.js' as string)
    : {
        core: await import('@mikro-orm/core'),
        mariadb: await import('@mikro-orm/mariadb'),
        mysql: await import('@mikro-orm/mysql'),
      };
export const { core } = found;
const { MikroORM } = env.DBS_TEST_MYSQL === 'mysql' ? found.mysql : found.mariadb;

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their entity managers differently
export type Any = any;

export interface TestOrm extends OrmLike {
  em: Any;
  close(force?: boolean): Promise<void>;
  /** The database's name. */
  name: string;
}

const opened: TestOrm[] = [];
/** By server, what was made on it. */
const made = new Map<TestOrm, string[]>();
const admins = new Map<unknown, Promise<TestOrm>>();

/** An ORM on a database that exists. */
export async function connect(name: string, entities: unknown[] = [], more: object = {}): Promise<TestOrm> {
  const orm = await MikroORM.init({
    ...server,
    dbName: name,
    entities,
    allowGlobalContext: true,
    connect: false,
    pool: { min: 0, max: 2 },
    discovery: { warnWhenNoEntities: false, checkDuplicateTableNames: false },
    ...more,
  });
  const one = Object.assign(orm as unknown as TestOrm, { name });
  opened.push(one);
  return one;
}

/** An entity for each table, by name: the catalog says the rest. */
export function tables(...names: string[]): unknown[] {
  return names.map((name) => {
    const properties = { id: { type: 'integer', primary: true } };
    return new (core as Any).EntitySchema({ name, tableName: name, properties });
  });
}

/** An ORM that may make databases on `place`. */
function adminOf(place: typeof server): Promise<TestOrm> {
  const admin = admins.get(place) ?? connect('information_schema', [], place);
  admins.set(place, admin);
  return admin;
}

/** A new database with these tables (or what `sql` makes) and an ORM on it. */
export async function openDatabase(
  sql: string[],
  entities: unknown[],
  more: object = {},
  place = server,
): Promise<TestOrm> {
  const name = `dbs_test_${randomBytes(6).toString('hex')}`;
  const admin = await adminOf(place);
  await exec(admin, `CREATE DATABASE ${ident(name)} CHARACTER SET utf8mb4`);
  made.set(admin, [...(made.get(admin) ?? []), name]);
  const orm = await connect(name, entities, { ...place, ...more });
  await exec(orm, ...sql);
  return orm;
}

/** Runs `use` with a connection of its own, with the driver's session settings and no strict mode. */
export async function withDatabase<T>(orm: TestOrm, use: (db: MysqlHandle) => Promise<T>): Promise<T> {
  const { db } = await openSession(await locate(orm), 'read');
  try {
    return await use(db);
  } finally {
    await db.close();
  }
}

export function exec(orm: TestOrm, ...sql: string[]): Promise<void> {
  return withDatabase(orm, async (db) => {
    for (const one of sql) await db.run(one);
  });
}

export function query(orm: TestOrm, sql: string): Promise<(string | null)[][]> {
  return withDatabase(orm, (db) => db.all(sql));
}

/**
 * Every cell by the server itself: HEX() of its stored bytes in its own character set, of its own text where it has no
 * bytes, and a FLOAT or DOUBLE with all its digits.
 */
export async function dump(orm: TestOrm, except: string[] = []): Promise<Record<string, string[]>> {
  return withDatabase(orm, async (db) => {
    const all: Record<string, string[]> = {};
    const names = await db.all(
      "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE LIKE '%BASE TABLE%' ORDER BY 1",
    );
    for (const [table] of names as [string][]) {
      if (except.includes(table)) continue;
      const columns = await db.all(
        `SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(table)} ORDER BY ORDINAL_POSITION`,
      );
      const cells = (columns as [string, string][]).map(([name, type]) => {
        const q = ident(name);
        if (type === 'float' || type === 'double') return `JSON_ARRAY(${q} * 1e0)`;
        if (type === 'enum') return `CONCAT(${q} + 0, ':', HEX(${q}))`;
        if (/char|text|blob|binary|bit|set|point|geo|poly|line|uuid|inet|vector/.test(type))
          return `HEX(CAST(${q} AS BINARY))`;
        return `CONCAT(${q}, '')`;
      });
      const rows = await db.all(`SELECT ${cells.join(', ')} FROM ${ident(table)}`);
      all[table] = rows.map((row) => row.map((value, i) => `${columns[i]![0]}=${value ?? 'NULL'}`).join(' ')).sort();
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

/** The error that a promise rejects with. */
export async function failure(work: Promise<unknown>): Promise<Error & { code?: string; facts?: Record<string, Any> }> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not fail.');
}

/**
 * Whether the server answers. If not, the test fails in CI and says so elsewhere.
 */
export async function serverRuns(t: Test): Promise<boolean> {
  let reason = '';
  try {
    await query(await adminOf(server), 'SELECT 1');
    return true;
  } catch (error) {
    reason = `no MariaDB or MySQL server answers at ${server.host}:${server.port} (${(error as Error).message}). Start one, or set MYSQL_HOST, MYSQL_PORT, MYSQL_USER, MYSQL_PASSWORD.`;
  }
  if (env.CI) t.fail(`CANNOT RUN: ${reason}`);
  else t.pass(`CANNOT RUN: ${reason}`, { skip: `CANNOT RUN: ${reason}` });
  return false;
}

/** Which of the two it is. */
export async function isMaria(): Promise<boolean> {
  return (await query(await adminOf(server), 'SELECT VERSION()'))[0]![0]!.includes('Maria');
}

/** Drops what was made and closes what was opened. */
export async function cleanUp(): Promise<void> {
  for (const [admin, names] of made)
    await exec(admin, ...names.map((name) => `DROP DATABASE IF EXISTS ${ident(name)}`));
  for (const orm of opened) await orm.close(true);
}
