/**
 * The MikroORM that the tests run against: 6 (installed at the root) or, with DBS_TEST_ORM=7, 7 from test/matrix. The
 * driver is libsql, or the one that DBS_TEST_DRIVER names (better-sqlite3, sqlite3 with 6, node:sqlite with 7; libsql-server:
 * libsql, and each database is a server of its own). test/run.mjs runs what this machine can.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as Core from '@mikro-orm/core';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { startServer } from './sqld.ts';

export const major = process.env.DBS_TEST_ORM ?? '6';
export const driverName = process.env.DBS_TEST_DRIVER ?? 'libsql';

interface Loaded {
  core: typeof Core;
  MikroORM: typeof Core.MikroORM;
  /** Further options that the driver needs. */
  options: (file: string) => Record<string, unknown>;
}

async function load(): Promise<Loaded> {
  const folder = major === '7' ? 'mikro-orm-7' : driverName === 'libsql' ? '' : 'mikro-orm-6-native';
  const found = folder
    ? await import(`../matrix/${folder}/orm.js`)
    : { core: await import('@mikro-orm/core'), libsql: await import('@mikro-orm/libsql') };
  const options = () => ({});
  if (driverName === 'node:sqlite') {
    return {
      core: found.core,
      MikroORM: found.core.MikroORM,
      options: (file) => ({ driver: found.sql.SqliteDriver, driverOptions: new found.sql.NodeSqliteDialect(file) }),
    };
  }
  const module = {
    libsql: found.libsql,
    'libsql-server': found.libsql,
    'better-sqlite3': found.betterSqlite ?? found.sqlite,
    sqlite3: found.sqlite,
  }[driverName];
  return { core: found.core, MikroORM: module.MikroORM, options };
}

export const loaded = await load();
export const { core } = loaded;

/** For the compiler: MikroORM's own type fits the structural one. */
export const fits = (orm: Core.MikroORM): OrmLike => orm;

export interface TestOrm extends OrmLike {
  em: Core.EntityManager & OrmLike['em'];
  close(force?: boolean): Promise<void>;
  file: string;
}

/** A folder of this test process, removed at its end. */
export const scratch = mkdtempSync(join(tmpdir(), 'dbs-test-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

let count = 0;

/** A connected ORM on a new SQLite file (or `file`), with the tables of its entities unless `schema` is false. */
export async function openOrm(
  entities: unknown[],
  { file: given, schema = true, ...more }: { file?: string; schema?: boolean } & Record<string, unknown> = {},
): Promise<TestOrm> {
  const server = given === undefined && driverName === 'libsql-server' ? await startServer() : undefined;
  const file = given ?? server?.url ?? join(scratch, `db-${++count}.sqlite`);
  const orm = await loaded.MikroORM.init({
    entities: entities as never,
    dbName: file,
    allowGlobalContext: true,
    discovery: { warnWhenNoEntities: false, checkDuplicateTableNames: false },
    ...loaded.options(file),
    ...more,
  } as never);
  // 7 connects, and makes the file, with the first query only.
  if (!(await orm.isConnected())) await orm.connect();
  if (schema) {
    // 6 and 7 name it differently.
    const it = orm as unknown as Record<'schema', { createSchema?(): Promise<void>; create?(): Promise<void> }>;
    await (it.schema.createSchema?.() ?? it.schema.create?.());
  }
  const test = Object.assign(orm as unknown as TestOrm, { file });
  if (server) {
    const close = orm.close.bind(orm);
    test.close = (force) => close(force).finally(server.kill);
  }
  return test;
}
