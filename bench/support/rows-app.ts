/** An app of small rows in two tables, on SQLite, PostgreSQL or MariaDB. */
import { EntitySchema } from '@mikro-orm/core';
import type { OrmLike } from '../../lib/orm/orm-like.ts';

export type Dialect = 'sqlite' | 'postgresql' | 'mariadb';

/** Where the servers are: the variables of the tests. */
export const servers = {
  postgresql: {
    host: process.env.PGHOST ?? '127.0.0.1',
    port: Number(process.env.PGPORT ?? 5432),
    user: process.env.PGUSER ?? 'postgres',
    password: process.env.PGPASSWORD ?? '',
  },
  mariadb: {
    host: process.env.MYSQL_HOST ?? '127.0.0.1',
    port: Number(process.env.MYSQL_PORT ?? 3306),
    user: process.env.MYSQL_USER ?? 'root',
    password: process.env.MYSQL_PASSWORD ?? '',
  },
};

/** The tables as each database has them. The catalog says the rest: entities need their names only. */
export const ddl: Record<Dialect, string[]> = {
  sqlite: [
    'CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE)',
    'CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), price REAL NOT NULL, at TEXT NOT NULL, note TEXT)',
  ],
  postgresql: [
    'CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE)',
    'CREATE TABLE purchase (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer (id), price numeric(12,2) NOT NULL, at timestamptz NOT NULL, note text)',
  ],
  mariadb: [
    'CREATE TABLE customer (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL, email VARCHAR(100) NOT NULL UNIQUE)',
    'CREATE TABLE purchase (id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, price DECIMAL(12,2) NOT NULL, at DATETIME(6) NOT NULL, note TEXT, FOREIGN KEY (customer_id) REFERENCES customer (id))',
  ],
};

/** Rows in all, a tenth of them customers. In pieces, so that no transaction is very large. */
export function fill(dialect: Dialect, rows: number): string[] {
  const customers = Math.ceil(rows / 10);
  const all: string[] = [];
  const pieces = (count: number, insert: (from: number, to: number) => string) => {
    for (let from = 1; from <= count; from += 1e6) all.push(insert(from, Math.min(count, from + 1e6 - 1)));
  };
  const series = (from: number, to: number) =>
    dialect === 'postgresql'
      ? `pg_catalog.generate_series(${from}, ${to}) AS s (i)`
      : dialect === 'mariadb'
        ? `(SELECT seq AS i FROM seq_${from}_to_${to}) AS s`
        : `(WITH RECURSIVE c (i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM c WHERE i < ${to}) SELECT i FROM c) AS s`;
  const at = {
    sqlite: "datetime(1600000000 + i * 7, 'unixepoch')",
    postgresql: "timestamptz '2020-09-13 12:26:40.123456+00' + i * interval '7.000001 seconds'",
    mariadb: "TIMESTAMPADD(MICROSECOND, i * 7000001, '2020-09-13 12:26:40.123456')",
  }[dialect];
  const text = (parts: string[]) => (dialect === 'mariadb' ? `CONCAT(${parts.join(', ')})` : parts.join(' || '));
  pieces(
    customers,
    (from, to) =>
      `INSERT INTO customer SELECT i, ${text(["'Customer '", 'i'])}, ${text(["'c'", 'i', "'@shop.example'"])} FROM ${series(from, to)}`,
  );
  pieces(
    rows - customers,
    (from, to) =>
      `INSERT INTO purchase SELECT i, 1 + ${dialect === 'mariadb' ? '(i - 1) DIV 9' : '(i - 1) / 9'}, ${dialect === 'sqlite' ? 'i * 7 % 100000 / 100.0' : 'i * 7 % 100000 * 0.01'}, ${at}, CASE WHEN i % 3 = 0 THEN ${text(["'note \"'", 'i', "'\", left at the door'"])} END FROM ${series(from, to)}`,
  );
  return all;
}

function entities(): unknown[] {
  return ['Customer', 'Purchase'].map(
    (name) =>
      new EntitySchema({
        name,
        tableName: name.toLowerCase(),
        properties: { id: { type: 'bigint', primary: true } },
      }),
  );
}

/** @param database a name, or the path of a file */
export async function openRows(
  dialect: Dialect,
  database: string,
): Promise<OrmLike & { close(force: boolean): Promise<void> }> {
  const options = { entities: entities() as never, dbName: database, connect: false };
  const orm =
    dialect === 'sqlite'
      ? await (await import('@mikro-orm/libsql')).MikroORM.init(options)
      : dialect === 'postgresql'
        ? await (await import('@mikro-orm/postgresql')).MikroORM.init({ ...options, ...servers.postgresql })
        : await (await import('@mikro-orm/mariadb')).MikroORM.init({ ...options, ...servers.mariadb });
  return orm as unknown as OrmLike & { close(force: boolean): Promise<void> };
}
