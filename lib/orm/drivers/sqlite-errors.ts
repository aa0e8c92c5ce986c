/** What SQLite's modules throw, as this library's errors. The native error stays as `cause`. */
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { BackupError, RestoreError, SourceError } from '../../errors.ts';
import { isRemote, remoteCode, remoteRestoreError, remoteSourceError, remoteText } from './sqlite-remote-errors.ts';

/** The primary result code, whichever way the module reports it. */
function resultCode(error: unknown): number | undefined {
  if (isRemote(error)) return remoteCode(error);
  const e = error as { errcode?: unknown; rawCode?: unknown; errno?: unknown; code?: unknown } | null;
  for (const value of [e?.errcode, e?.rawCode, e?.errno]) if (typeof value === 'number') return value & 0xff;
  const name = typeof e?.code === 'string' ? e.code : '';
  const known: [string, number][] = [
    ['SQLITE_BUSY', 5],
    ['SQLITE_LOCKED', 6],
    ['SQLITE_READONLY', 8],
    ['SQLITE_IOERR', 10],
    ['SQLITE_CORRUPT', 11],
    ['SQLITE_FULL', 13],
    ['SQLITE_CANTOPEN', 14],
    ['SQLITE_CONSTRAINT', 19],
    ['SQLITE_NOTADB', 26],
  ];
  return known.find(([prefix]) => name.startsWith(prefix))?.[1];
}

function text(error: unknown): string {
  if (isRemote(error)) return remoteText(error);
  return error instanceof Error ? error.message : String(error);
}

/** Whether another connection's lock is in the way. */
export function isLocked(error: unknown): boolean {
  const code = resultCode(error);
  return code === 5 || code === 6;
}

/** Whether a value or a constraint is in the way: something is wrong with a row, and not with the connection. */
export function isRowRefused(error: unknown): boolean {
  const code = resultCode(error);
  return code === 18 || code === 19 || code === 20;
}

/** Whether a UNIQUE or PRIMARY KEY constraint refused the row, and on which columns. */
export function uniqueClash(error: unknown): string[] | undefined {
  const found = /UNIQUE constraint failed: (.*)$/m.exec(text(error));
  if (!found) return undefined;
  // `t.a, t.b`, or `index 'name'` for one on an expression.
  return (found[1] as string).split(', ').map((part) => part.slice(part.lastIndexOf('.') + 1));
}

/** @param doing what was tried, as `read the table "users"` */
export function sourceError(error: unknown, doing: string): BackupError {
  if (error instanceof BackupError) return error;
  const remote = remoteSourceError(error, doing);
  if (remote) return remote;
  const code = resultCode(error);
  const at = (area: string, message: string) => new SourceError(area, message, { cause: error });
  if (isLocked(error))
    return at(
      'ERR_SOURCE_LOCKED',
      `Cannot ${doing}: another process holds the database's lock. Try again when its transaction has ended; journal_mode=WAL lets readers and writers work side by side.`,
    );
  if (code === 11 || code === 26)
    return at(
      'ERR_SOURCE_CORRUPT',
      `Cannot ${doing}: the database file is damaged or is no SQLite database (${text(error)}). Run "PRAGMA integrity_check" on it.`,
    );
  if (code === 14 || /unable to open/i.test(text(error)))
    return at(
      'ERR_SOURCE_UNREADABLE',
      `Cannot ${doing}: the database file cannot be opened. Check its path and permissions.`,
    );
  return at('ERR_SOURCE_DATABASE', `Cannot ${doing}: ${text(error)}.`);
}

/**
 * Which right on the file or its folder is missing, where that is why SQLite refuses to write.
 *
 * @param file an absolute path; anything else is no file
 */
export function rightsError(error: unknown, file: string): RestoreError | undefined {
  const code = resultCode(error);
  const refused = code === 8 || code === 14 || code === 10 || /unable to open/i.test(text(error));
  if (!refused || !isAbsolute(file)) return undefined;
  const folder = dirname(file);
  const missing = isWritable(file) ? [] : [`write to ${file}`];
  if (!mayAdd(folder)) missing.push(`add files to ${folder}, where SQLite keeps its journal`);
  if (!missing.length) return undefined;
  return new RestoreError(
    'ERR_RESTORE_READ_ONLY',
    `The database cannot be written: this user (uid ${process.geteuid?.() ?? '?'}) may not ${missing.join(', nor ')}. Give it that right (chmod, chown), or mount it writable. Nothing was changed.`,
    { cause: error, facts: { file, missing } },
  );
}

function isWritable(file: string): boolean {
  try {
    closeSync(openSync(file, 'r+'));
    return true;
  } catch {
    return false;
  }
}

function mayAdd(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The same for the side that writes. Nothing was changed: the transaction is rolled back. */
export function restoreError(error: unknown, doing: string, facts: Record<string, unknown> = {}): BackupError {
  if (error instanceof BackupError) return error;
  const remote = remoteRestoreError(error, doing, facts);
  if (remote) return remote;
  const code = resultCode(error);
  const at = (area: string, message: string) => new RestoreError(area, message, { cause: error, facts });
  if (isLocked(error))
    return at(
      'ERR_RESTORE_LOCKED',
      `Cannot ${doing}: another connection holds the database's lock. Stop the app, or wait until its transactions have ended, and restore again. Nothing was changed.`,
    );
  if (code === 8)
    return at(
      'ERR_RESTORE_READ_ONLY',
      `Cannot ${doing}: the database is read-only. Check the permissions of its file and folder. Nothing was changed.`,
    );
  if (code === 13)
    return at(
      'ERR_RESTORE_DISK_FULL',
      `Cannot ${doing}: the disk is full. Make room and restore again. Nothing was changed.`,
    );
  if (code === 14 || /unable to open/i.test(text(error)))
    return at(
      'ERR_RESTORE_UNREACHABLE',
      `Cannot ${doing}: the database file cannot be opened. Check its path and permissions. Nothing was changed.`,
    );
  if (code === 19)
    return at(
      'ERR_RESTORE_CONSTRAINT',
      `Cannot ${doing}: ${text(error)}. The target's schema is stricter than the backup's data. Nothing was changed.`,
    );
  return at('ERR_RESTORE_DATABASE', `Cannot ${doing}: ${text(error)}. Nothing was changed.`);
}
