/**
 * The PostgreSQL driver (12 and later): one connection of its own, one transaction for a backup, one for a restore.
 *
 * - Values travel as the server's own text, in both directions, by COPY. docs/types-postgresql.md has every type.
 * - A backup reads in REPEATABLE READ, READ ONLY: writers go on, and what they do meanwhile is not in it.
 * - A restore needs the tables' owner and locks them. Foreign keys are dropped and added again, which validates every
 *   row; triggers and rules are off meanwhile. All in one transaction, sequences included: a dry run leaves nothing.
 */
import type { DatabaseDriver } from '../driver.ts';
import { type OrmLike, platformNames } from '../orm-like.ts';
import { locate } from './postgresql-connection.ts';
import { postgresqlLock } from './postgresql-lock.ts';
import { PgReader } from './postgresql-reader.ts';
import { PgWriter } from './postgresql-writer.ts';

/** Answers null for ORMs on other databases. */
export async function postgresqlDriver(orm: OrmLike): Promise<DatabaseDriver | null> {
  if (!platformNames(orm).some((name) => /postgresql/i.test(name))) return null;
  const location = locate(orm);
  return {
    dialect: 'postgresql',
    identity: `postgresql:${location.identity}`,
    openReader: (signal) => PgReader.open(location, signal),
    openWriter: (signal) => PgWriter.open(location, signal),
    lockPlace: postgresqlLock(location),
  };
}
