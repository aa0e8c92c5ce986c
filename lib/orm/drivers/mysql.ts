/**
 * The driver of MariaDB and MySQL: one connection of its own, one consistent snapshot for a backup, one transaction for a
 * restore.
 *
 * - Reading blocks nobody but an ALTER TABLE of the table that is being read, and no writer blocks it. Tables that are not
 *   InnoDB's are read as they are at that moment; the notes say so.
 * - A restore locks the rows that it writes, and those that their foreign keys refer to, until COMMIT. Foreign keys are
 *   checked before it, all at once.
 * - AUTO_INCREMENT counters can only be set after COMMIT (ALTER TABLE would commit by itself). Should that fail, the rows
 *   are safe and `close` says what to run.
 * - Triggers would fire: a restore refuses tables that have some, unless `allowTriggers`.
 *
 * docs/types-mysql.md lists how each type travels.
 */
import type { DatabaseDriver } from '../driver.ts';
import { type OrmLike, platformNames } from '../orm-like.ts';
import { sourceError } from './mysql-errors.ts';
import { mysqlLock } from './mysql-lock.ts';
import { locate, type MysqlLocation } from './mysql-open.ts';
import { MysqlReader } from './mysql-reader.ts';
import { MysqlWriter } from './mysql-writer.ts';

/** Answers null for ORMs on other databases. */
export async function mysqlDriver(orm: OrmLike): Promise<DatabaseDriver | null> {
  if (!platformNames(orm).some((name) => /mysql|mariadb/i.test(name))) return null;
  let location: MysqlLocation;
  try {
    location = await locate(orm);
  } catch (error) {
    throw sourceError(error, 'connect to the database', true);
  }
  return {
    dialect: 'mysql',
    identity: `mysql:${location.identity}`,
    openReader: (signal) => MysqlReader.open(location, signal),
    openWriter: (signal) => MysqlWriter.open(location, signal),
    lockPlace: mysqlLock(location),
  };
}
