/**
 * `dbs_lock` of an SQLite app. Not in the app's own file, but in a small database beside it, `NAME.dbs-lock`: with a rollback journal, a backup that reads keeps
 * all writers from committing, so the lease of that very backup could not be renewed; and with WAL it would wait for the app's long transactions.
 */
import type { LockConnection, LockPlace } from '../driver.ts';
import type { SqliteHandle } from './sqlite-connection.ts';
import { sourceError } from './sqlite-errors.ts';
import type { SqliteLocation } from './sqlite-open.ts';
import { patiently } from './sqlite-patience.ts';

const REMOTE_ONLY = /^memory:/;

/** Null for a database in memory: nobody else can open it. */
export function sqliteLock(location: SqliteLocation): LockPlace | null {
  if (REMOTE_ONLY.test(location.identity)) return null;
  // A remote libSQL server is no file: its own tables serve.
  const open = () => location.openBeside?.('.dbs-lock') ?? location.open();
  return {
    table: '"dbs_lock"',
    create:
      'CREATE TABLE IF NOT EXISTS "dbs_lock" (name TEXT PRIMARY KEY, owner TEXT NOT NULL, fence INTEGER NOT NULL, expires_at INTEGER NOT NULL)',
    now: "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    insert: ['INSERT OR IGNORE INTO', ''],
    isMissing: (error) => /no such table/i.test(String((error as Error | null)?.message)),
    wrap: (error, doing) => sourceError(error, doing),
    async connect(signal) {
      try {
        return connectionOf(await open(), signal);
      } catch (error) {
        throw sourceError(error, 'open the lock beside the database');
      }
    },
  };
}

function connectionOf(db: SqliteHandle, signal: AbortSignal | undefined): LockConnection {
  return {
    run: (sql) =>
      patiently(async () => {
        const statement = await db.prepare(sql);
        try {
          return await statement.run([]);
        } finally {
          await statement.free?.();
        }
      }, signal),
    all: (sql) => patiently(() => db.all(sql), signal),
    close: async () => {
      try {
        await db.close();
      } catch {
        // It was closed already.
      }
    },
  };
}
