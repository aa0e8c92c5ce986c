/**
 * The SQLite driver: one connection of its own, one read transaction for a backup, one write transaction for a restore.
 *
 * - File databases are read and written beside the app. In-memory ones have a single connection: it is borrowed, and
 *   the app's queries wait (6) or must not open a transaction meanwhile (7).
 * - In journal_mode=WAL writers go on during a backup. With a rollback journal they wait for its rows (not its files).
 * - TEXT, INTEGER, REAL, BLOB and NULL come back to the bit (one exception: merge takes 0.0 and -0.0 for equal).
 *   Implicit rowids are not kept, as VACUUM does not keep them either.
 * - Triggers do not fire during a restore.
 * - On a libSQL server (sqlite-remote.ts) the same, as far as it allows.
 */
import type { DatabaseDriver } from '../driver.ts';
import { type OrmLike, platformNames } from '../orm-like.ts';
import { sourceError } from './sqlite-errors.ts';
import { sqliteLock } from './sqlite-lock.ts';
import { locate, type SqliteLocation } from './sqlite-open.ts';
import { SqliteReader } from './sqlite-reader.ts';
import { SqliteWriter } from './sqlite-writer.ts';

/** Answers null for ORMs on other databases. */
export async function sqliteDriver(orm: OrmLike): Promise<DatabaseDriver | null> {
  if (!platformNames(orm).some((name) => /sqlite|libsql/i.test(name))) return null;
  let location: SqliteLocation;
  try {
    location = await locate(orm);
  } catch (error) {
    throw sourceError(error, 'connect to the SQLite database');
  }
  return {
    dialect: 'sqlite',
    identity: `sqlite:${location.identity}`,
    openReader: (signal) => SqliteReader.open(location, signal),
    openWriter: (signal) => SqliteWriter.open(location, signal),
    lockPlace: sqliteLock(location),
  };
}
