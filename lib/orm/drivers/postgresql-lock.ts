/** `dbs_lock` on PostgreSQL: in the schema of MikroORM's configuration, or the first of the search path. */
import type { LockPlace } from '../driver.ts';
import type { PgLocation } from './postgresql-connection.ts';
import { sourceError, sqlState } from './postgresql-errors.ts';
import { ident } from './postgresql-sql.ts';

export function postgresqlLock(location: PgLocation): LockPlace {
  const table = location.schema === undefined ? '"dbs_lock"' : `${ident(location.schema)}."dbs_lock"`;
  return {
    table,
    create: `CREATE TABLE IF NOT EXISTS ${table} (name varchar(100) PRIMARY KEY, owner varchar(200) NOT NULL, fence bigint NOT NULL, expires_at bigint NOT NULL)`,
    // Not now(): that is when the transaction began, before it waited for another one's row.
    now: '(extract(epoch from clock_timestamp()) * 1000)::bigint',
    insert: ['INSERT INTO', ' ON CONFLICT (name) DO NOTHING'],
    isMissing: (error) => sqlState(error) === '42P01',
    wrap: (error, doing) => sourceError(error, doing),
    async connect(signal) {
      try {
        const db = await location.open(signal);
        await db.exec(
          "SET statement_timeout = '10s'; SET lock_timeout = '10s'; SET synchronous_commit = on; SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed'",
        );
        return db;
      } catch (error) {
        signal?.throwIfAborted();
        throw sourceError(error, 'connect to the database');
      }
    },
  };
}
