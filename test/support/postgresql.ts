/**
 * A PostgreSQL server for tests, and databases of their own on it: PGHOST, PGPORT, PGUSER and PGPASSWORD say where,
 * 127.0.0.1:5432 and postgres by default. The MikroORM is 6, or 7 with DBS_TEST_ORM=7, as in orm.ts.
 */
import { randomBytes } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import type * as Core from '@mikro-orm/core';
import t from 'tap';
import { locate, type PgConnection, type TextRow } from '../../lib/orm/drivers/postgresql-connection.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { createRowSource, type RowSourceOptions } from '../../lib/orm/row-source.ts';
import { createRowTarget, type RestoreCounts, type RowTargetOptions } from '../../lib/orm/row-target.ts';

export const major = process.env.DBS_TEST_ORM ?? '6';

/** A variable, so that the compiler does not look for the types of what may not be installed. */
const folder = 'mikro-orm-7';

const loaded =
  major === '7'
    ? ((await import(`../matrix/${folder}/orm.js`)) as {
        core: typeof Core;
        postgresql: typeof import('@mikro-orm/postgresql');
      })
    : { core: await import('@mikro-orm/core'), postgresql: await import('@mikro-orm/postgresql') };

export const { core } = loaded;
// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;

export const server = {
  host: process.env.PGHOST ?? '127.0.0.1',
  port: Number(process.env.PGPORT ?? 5432),
  user: process.env.PGUSER ?? 'postgres',
  ...(process.env.PGPASSWORD ? { password: process.env.PGPASSWORD } : {}),
};

export interface PgOrm extends OrmLike {
  em: Core.EntityManager & OrmLike['em'];
  close(force?: boolean): Promise<void>;
  database: string;
}

/** A connected ORM on a database that exists. */
export async function connect(
  database: string,
  entities: unknown[],
  options: Record<string, unknown> = {},
): Promise<PgOrm> {
  const orm = await loaded.postgresql.MikroORM.init({
    entities: entities as never,
    dbName: database,
    ...(options.clientUrl ? {} : server),
    allowGlobalContext: true,
    discovery: { warnWhenNoEntities: false, checkDuplicateTableNames: false },
    ...options,
  } as never);
  return Object.assign(orm as unknown as PgOrm, { database });
}

/** Runs `use` with a connection of its own. */
export async function withConnection<T>(orm: PgOrm, use: (db: PgConnection) => Promise<T>): Promise<T> {
  const db = await locate(orm).open();
  try {
    return await use(db);
  } finally {
    await db.close();
  }
}

export async function exec(orm: PgOrm, ...sql: string[]): Promise<void> {
  await withConnection(orm, async (db) => {
    for (const one of sql) await db.exec(one);
  });
}

export function query(orm: PgOrm, sql: string): Promise<TextRow[]> {
  return withConnection(orm, (db) => db.all(sql));
}

let admin: Promise<PgOrm> | undefined;
const made: string[] = [];

async function administrator(): Promise<PgOrm> {
  admin ??= connect('postgres', [blind('DbsNothing')]);
  return admin;
}

/** Whether the server answers. Where it does not, the file fails under CI, and is skipped with a loud reason elsewhere. */
export async function serverReady(): Promise<boolean> {
  try {
    await query(await administrator(), 'SELECT 1');
    return true;
  } catch (error) {
    const why = `CANNOT RUN: no PostgreSQL at ${server.host}:${server.port} (${error instanceof Error ? error.message : error}). Set PGHOST, PGPORT, PGUSER, PGPASSWORD.`;
    console.error(why);
    if (process.env.CI) t.fail(why);
    else t.pass('skipped', { skip: why });
    return false;
  }
}

/** An entity that knows only the key of its table: a backup must hold the rest all the same. */
export function blind(
  name: string,
  options: Record<string, unknown> = {},
  key: Record<string, string> = { id: 'integer' },
) {
  const properties = Object.fromEntries(Object.entries(key).map(([name, type]) => [name, { type, primary: true }]));
  return new EntitySchema({ name, tableName: name.toLowerCase(), properties, ...options });
}

/** A new database with an ORM on it, dropped at the end of the test file. */
export async function database(
  entities: unknown[],
  ddl: string[] = [],
  options: Record<string, unknown> & { create?: string } = {},
): Promise<PgOrm> {
  const name = `dbs_test_${randomBytes(6).toString('hex')}`;
  const { create = '', ...more } = options;
  await exec(await administrator(), `CREATE DATABASE ${name} ${create}`);
  made.push(name);
  const orm = await connect(name, entities, more);
  open.push(orm);
  if (ddl.length) await exec(orm, ...ddl);
  return orm;
}

/** Another ORM on the same database: another user, other options. */
export async function also(orm: PgOrm, entities: unknown[], options: Record<string, unknown>): Promise<PgOrm> {
  const another = await connect(orm.database, entities, options);
  open.push(another);
  return another;
}

const twinNames: string[] = [];

/**
 * Two databases with the same tables. Making a database takes a second, so that a file has one pair, which every call
 * empties: use it for one test at a time.
 */
export async function twins(
  entities: unknown[],
  ddl: string[],
  options: Record<string, unknown> = {},
): Promise<[PgOrm, PgOrm]> {
  while (twinNames.length < 2) twinNames.push((await database([blind('DbsNothing')])).database);
  const pair: PgOrm[] = [];
  for (const name of twinNames) {
    const orm = await connect(name, entities, options);
    open.push(orm);
    pair.push(orm);
    const schemas = await query(
      orm,
      "SELECT nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'",
    );
    await exec(
      orm,
      'SET default_transaction_read_only = off',
      ...schemas.map(([schema]) => `DROP SCHEMA "${schema}" CASCADE`),
      'CREATE SCHEMA public',
      `ALTER DATABASE ${name} RESET ALL`,
    );
    if (ddl.length) await exec(orm, ...ddl);
  }
  return pair as [PgOrm, PgOrm];
}

/** 6 and 7 name it differently. */
export async function createSchema(orm: PgOrm): Promise<void> {
  const it = orm as unknown as Record<'schema', { createSchema?(): Promise<void>; create?(): Promise<void> }>;
  await (it.schema.createSchema?.() ?? it.schema.create?.());
}

const open: PgOrm[] = [];

t.teardown(async () => {
  for (const orm of open) await orm.close(true);
  if (!admin) return;
  const db = await admin.catch(() => undefined);
  for (const name of made) await exec(db!, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await db?.close(true);
});

/**
 * Every row of these tables as the server itself writes it, types and all, sorted: for equality between databases.
 * Bit by bit is stronger: see `differences`.
 */
export async function dump(orm: PgOrm, tables: string[]): Promise<Record<string, string[]>> {
  return withConnection(orm, async (db) => {
    await db.exec("SET extra_float_digits = 3; SET timezone = 'UTC'; SET search_path = ''");
    const all: Record<string, string[]> = {};
    for (const table of tables) {
      const name = table.includes('.') ? table : `public.${table}`;
      const rows = await db.all(
        `SELECT r::pg_catalog.text FROM ONLY ${name} AS r ORDER BY r::pg_catalog.text COLLATE "C"`,
      );
      all[table] = rows.map(([row]) => row!);
    }
    return all;
  });
}

/** Rows that are in one of two tables of a database only, compared bit by bit; 0 is equal. */
export async function differences(orm: PgOrm, one: string, other: string): Promise<number> {
  const side = (a: string, b: string) =>
    `SELECT 1 FROM ${a} AS a WHERE NOT EXISTS (SELECT 1 FROM ${b} AS b WHERE a.* OPERATOR(pg_catalog.*=) b.*)`;
  const [row] = await query(
    orm,
    `SELECT (SELECT count(*) FROM (${side(one, other)}) AS x) + (SELECT count(*) FROM (${side(other, one)}) AS y) + abs((SELECT count(*) FROM ${one}) - (SELECT count(*) FROM ${other}))`,
  );
  return Number(row![0]);
}

/** From one database into another, without a container between. */
export async function copy(
  from: PgOrm,
  to: PgOrm,
  options: RowTargetOptions = {},
  source: RowSourceOptions = {},
): Promise<RestoreCounts> {
  const target = createRowTarget(to, options);
  await pipeline(createRowSource(from, source), target);
  return target.result;
}

/** `inserted/updated/untouched` of each table. */
export function summary(counts: RestoreCounts): Record<string, string> {
  return Object.fromEntries(
    counts.tables.map(({ table, inserted, updated, untouched }) => [table, `${inserted}/${updated}/${untouched}`]),
  );
}
