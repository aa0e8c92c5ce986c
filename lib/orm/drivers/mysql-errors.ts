/**
 * What the modules `mariadb` and `mysql2` throw, as this library's errors. Their messages repeat the statement, with the
 * rows in it, so only the server's own sentence goes on, in a clean `cause`.
 */
import { BackupError, RestoreError, SourceError } from '../../errors.ts';

interface NativeError {
  message?: string;
  /** `mariadb`, `mysql2`: the server's sentence alone. */
  sqlMessage?: string;
  errno?: number;
  code?: string;
  sqlState?: string;
  fatal?: boolean;
}

const NETWORK = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_|EHOST|ENET|PROTOCOL_|ER_SOCKET|ER_CONNECTION|ER_CMD_)/;
/** Killed, shut down, idle for too long, or cut on the way. */
const LOST = [1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2055, 4031];
const LOCKED = [1099, 1205, 1213, 3572];
const TIMED_OUT = [1317, 1969, 3024];
const READ_ONLY = [1290, 1792, 1836, 3989];
const DISK_FULL = [1021, 1030, 1114];
const RIGHTS = [1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698];
const NO_LOGIN = [1045, 1698];
const CONSTRAINT = [1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1416, 1451, 1452, 1586, 3140, 3819, 3988, 4025];

export function errorNumber(error: unknown): number {
  return (error as NativeError | null)?.errno ?? 0;
}

/** The server's sentence, without statement and rows. */
export function errorText(error: unknown): string {
  const { sqlMessage, message } = (error ?? {}) as NativeError;
  if (sqlMessage) return sqlMessage.replace(/\.$/, '');
  return String(message ?? error)
    .replace(/^\(conn:[^)]*\)\s*/, '')
    .replace(/\nsql:[\s\S]*$/, '')
    .replace(/\.$/, '');
}

/** The native error without the statement that it holds. */
function clean(error: unknown): Error {
  const { errno, code, sqlState } = (error ?? {}) as NativeError;
  return Object.assign(new Error(errorText(error)), { errno, code, sqlState });
}

/** Whether the connection is gone. */
export function isLost(error: unknown): boolean {
  const { code, fatal } = (error ?? {}) as NativeError;
  if (RIGHTS.includes(errorNumber(error))) return false;
  return fatal === true || LOST.includes(errorNumber(error)) || NETWORK.test(code ?? '');
}

/** Whether a row, and not the server or the statement, is the reason. */
export function isConstraint(error: unknown): boolean {
  return CONSTRAINT.includes(errorNumber(error));
}

/** The key that two rows would share: `users.email`, `PRIMARY`. */
export function uniqueClash(error: unknown): string | undefined {
  if (errorNumber(error) !== 1062 && errorNumber(error) !== 1586) return undefined;
  return /for key '([^']*)'$/.exec(errorText(error))?.[1] ?? '?';
}

/** The right that is missing, and where: `INSERT on shop.users`. */
export function missingRight(error: unknown): string {
  const text = errorText(error);
  const command = /^([A-Z][A-Z, ]*) command denied to user .* for (?:table|column .* in table) (.*)$/.exec(text);
  if (command) return `${command[1]} on ${command[2]!.replaceAll(/[`']/g, '')}`;
  const needed = /need (?:\(at least one of\) )?the (.*) privilege/.exec(text);
  if (needed) return needed[1]!;
  const database = /to database '(.*)'$/.exec(text);
  if (database) return `access to the database ${database[1]}, or a right on it that this statement needs`;
  return text;
}

/**
 * @param doing what was tried, as `read the table "users"`
 * @param connecting no connection stood yet
 */
export function sourceError(error: unknown, doing: string, connecting = false): BackupError {
  if (error instanceof BackupError) return error;
  const n = errorNumber(error);
  const at = (code: string, message: string, facts = {}) =>
    new SourceError(code, `Cannot ${doing}: ${message}`, { cause: clean(error), facts: { errno: n, ...facts } });
  if (connecting && NO_LOGIN.includes(n))
    return at(
      'ERR_SOURCE_UNREACHABLE',
      'the server refuses this user and password. Check both, and from where the user may come.',
    );
  if (RIGHTS.includes(n))
    return at(
      'ERR_SOURCE_PRIVILEGE',
      `the database user lacks a right: ${missingRight(error)}. GRANT it, or back up as another user.`,
      { right: missingRight(error) },
    );
  if (n === 1049)
    return at('ERR_SOURCE_NO_DATABASE', `${errorText(error)}. Check "dbName" in the MikroORM configuration.`);
  if (n === 1146 || n === 1051)
    return at('ERR_SOURCE_MISSING_TABLE', `${errorText(error)}. Run the migrations, or exclude the entity.`);
  if (n === 1412)
    return at(
      'ERR_SOURCE_CHANGED',
      'the table was altered while the backup ran, and its old state is gone. Start the backup again when the migration has ended.',
    );
  if (LOCKED.includes(n))
    return at(
      'ERR_SOURCE_LOCKED',
      'another connection holds a lock on it (LOCK TABLES, or an ALTER TABLE that waits). Try again when it has ended.',
    );
  if (TIMED_OUT.includes(n))
    return at(
      'ERR_SOURCE_TIMEOUT',
      `the server ended the query (${errorText(error)}). Raise max_statement_time (MySQL: max_execution_time) for this user, or ask who killed it, and back up again.`,
    );
  if (connecting && isLost(error))
    return at(
      'ERR_SOURCE_UNREACHABLE',
      `the server does not answer (${errorText(error)}). Check "host" and "port", and that it runs.`,
    );
  if (isLost(error))
    return at(
      'ERR_SOURCE_CONNECTION',
      `the connection to the server was lost (${errorText(error)}). Look into the server's log, and make the backup again.`,
    );
  return at('ERR_SOURCE_DATABASE', `${errorText(error)}.`);
}

/** The same for the side that writes. Nothing was changed: the server rolls the transaction back. */
export function restoreError(
  error: unknown,
  doing: string,
  facts: Record<string, unknown> = {},
  connecting = false,
): BackupError {
  if (error instanceof BackupError) return error;
  const n = errorNumber(error);
  const at = (code: string, message: string, more = {}) =>
    new RestoreError(code, `Cannot ${doing}: ${message} Nothing was changed.`, {
      cause: clean(error),
      facts: { errno: n, ...facts, ...more },
    });
  if (connecting && NO_LOGIN.includes(n))
    return at(
      'ERR_RESTORE_UNREACHABLE',
      'the server refuses this user and password. Check both, and from where the user may come.',
    );
  if (RIGHTS.includes(n))
    return at(
      'ERR_RESTORE_PRIVILEGE',
      `the database user lacks a right: ${missingRight(error)}. GRANT it, or restore as another user.`,
      { right: missingRight(error) },
    );
  if (n === 1049)
    return at('ERR_RESTORE_UNREACHABLE', `${errorText(error)}. Create it, or check "dbName" in the configuration.`);
  if (n === 1146 || n === 1051)
    return at('ERR_RESTORE_MISSING_TABLE', `${errorText(error)}. Run the migrations (or the schema generator) first.`);
  if (LOCKED.includes(n))
    return at(
      'ERR_RESTORE_LOCKED',
      `another connection holds a lock that did not go away (${errorText(error)}). Stop the app, or wait until its transactions have ended, and restore again.`,
    );
  if (READ_ONLY.includes(n))
    return at(
      'ERR_RESTORE_READ_ONLY',
      `the server is read-only (${errorText(error)}). Restore into the primary server, or switch read_only off.`,
    );
  if (DISK_FULL.includes(n))
    return at(
      'ERR_RESTORE_DISK_FULL',
      `the server has no room left (${errorText(error)}). Make room and restore again.`,
    );
  if (TIMED_OUT.includes(n))
    return at(
      'ERR_RESTORE_TIMEOUT',
      `the server ended the statement (${errorText(error)}). Raise max_statement_time for this user, or ask who killed it, and restore again.`,
    );
  if (n === 1153)
    return at(
      'ERR_RESTORE_PACKET',
      `the row is larger than the server's max_allowed_packet. Raise it and restore again.`,
    );
  if (connecting && isLost(error))
    return at(
      'ERR_RESTORE_UNREACHABLE',
      `the server does not answer (${errorText(error)}). Check "host" and "port", and that it runs.`,
    );
  if (isLost(error))
    return at(
      'ERR_RESTORE_CONNECTION',
      `the connection to the server was lost (${errorText(error)}). Look into the server's log, and restore again.`,
    );
  if (isConstraint(error))
    return at('ERR_RESTORE_CONSTRAINT', `${errorText(error)}. The target's schema is stricter than the backup's data.`);
  return at('ERR_RESTORE_DATABASE', `${errorText(error)}.`);
}
