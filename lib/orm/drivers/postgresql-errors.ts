/** What `pg` throws, as this library's errors. The native error stays as `cause`, without connection secrets. */
import { BackupError, RestoreError, SourceError } from '../../errors.ts';

/** The fields of PostgreSQL's own error messages that are used here. */
interface ServerError {
  code?: unknown;
  message?: unknown;
  detail?: unknown;
  constraint?: unknown;
  where?: unknown;
  table?: unknown;
  errors?: unknown[];
}

/** What stands between the database and its reader or writer, whichever of the two it is. */
type Trouble =
  | 'connection'
  | 'unreachable'
  | 'login'
  | 'no-database'
  | 'timeout'
  | 'locked'
  | 'privilege'
  | 'row-security'
  | 'read-only'
  | 'full'
  | 'encoding'
  | 'corrupt';

const STATES: [RegExp, Trouble][] = [
  [/^(08|57P0[1-5]|57P05|25P0[34]|40001|72000)/, 'connection'],
  [/^28/, 'login'],
  [/^3D000/, 'no-database'],
  [/^57014/, 'timeout'],
  [/^(55P03|40P01)/, 'locked'],
  [/^42501/, 'privilege'],
  [/^25006/, 'read-only'],
  [/^(53100|54023)/, 'full'],
  [/^(53|57P03)/, 'unreachable'],
  [/^22(021|P05)/, 'encoding'],
  [/^(XX001|XX002)/, 'corrupt'],
];
const UNREACHABLE = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ENOENT|EHOSTUNREACH|ENETUNREACH|ERR_INVALID_URL|EACCES)$/;
const LOST =
  /^(ECONNRESET|EPIPE|ETIMEDOUT)$|Connection terminated|connection (?:ended|closed)|not queryable|was closed/i;

/** The SQLSTATE, where the error came from the server. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as ServerError | null)?.code;
  return typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** An error's sentence, without the password that a connection string carries. */
export function errorText(error: unknown): string {
  const e = error as ServerError | null;
  // Node joins failures of several addresses in an error without a message.
  const first = Array.isArray(e?.errors) && !e.message ? e.errors[0] : error;
  const text = first instanceof Error ? first.message : String(first);
  return text.replace(/(\/\/[^\s/:@]*:)[^\s@]*@/g, '$1***@').replace(/(password=)\S+/gi, '$1***');
}

/** The native error for `cause`. Node's own carry the address, or the whole connection string, as properties. */
function causeOf(error: unknown): unknown {
  if (sqlState(error) !== undefined) return error;
  const plain = new Error(errorText(error));
  const code = (error as ServerError | null)?.code;
  return typeof code === 'string' ? Object.assign(plain, { code }) : plain;
}

function troubleOf(error: unknown): Trouble | undefined {
  const state = sqlState(error);
  const text = errorText(error);
  if (state === '42501' && /row-level security/i.test(text)) return 'row-security';
  if (state === '0A000' && /row-level security/i.test(text)) return 'row-security';
  if (state) return STATES.find(([pattern]) => pattern.test(state))?.[1];
  const code = String((error as ServerError | null)?.code ?? (error as { errors?: ServerError[] })?.errors?.[0]?.code);
  if (UNREACHABLE.test(code)) return 'unreachable';
  if (LOST.test(code) || LOST.test(text)) return 'connection';
  return undefined;
}

/** Whether a unique or exclusion constraint refused a row. */
export function isClash(error: unknown): boolean {
  return sqlState(error) === '23505' || sqlState(error) === '23P01';
}

/** Whether a foreign key refused a row. */
export function isDangling(error: unknown): boolean {
  return sqlState(error) === '23503';
}

/** The constraint that refused, and `email=x` from the server's detail `Key (email)=(x) already exists.` */
export function clashOf(error: unknown): { constraint: string; row: string; columns: string[] } {
  const { constraint, detail } = error as ServerError;
  const found = /^Key \((.*?)\)=\((.*?)\) (?:already exists|conflicts|is duplicated)/s.exec(String(detail ?? ''));
  return {
    constraint: String(constraint ?? ''),
    row: found ? `${found[1]}=${found[2]}` : `(${constraint})`,
    columns: found ? found[1]!.split(', ') : [String(constraint ?? '')],
  };
}

/** The table that the server's error is about. */
export function tableOf(error: unknown): string | undefined {
  const { table } = error as ServerError;
  return typeof table === 'string' ? table : undefined;
}

/** `row 17`: where in a COPY the server stopped. The row's values stay out of the message. */
export function copyLine(error: unknown): number | undefined {
  const found = /^COPY .*?, line (\d+)/m.exec(String((error as ServerError | null)?.where ?? ''));
  return found ? Number(found[1]) : undefined;
}

/** Found by the server (text in a database with ENCODING 'SQL_ASCII'), or by us (a "char" beyond ASCII, which old servers write as a raw byte). */
export const NOT_UTF8 =
  "it holds bytes that are no UTF-8, and a backup could not bring them back. In a database with ENCODING 'SQL_ASCII' any text may: find out what encoding it is in, dump it with pg_dump --encoding, and load it into a database with ENCODING 'UTF8'.";

/** @param doing what was tried, as `read the table "users"` */
export function sourceError(error: unknown, doing: string): BackupError {
  if (error instanceof BackupError) return error;
  const text = errorText(error);
  const at = (code: string, message: string) =>
    new SourceError(code, `Cannot ${doing}: ${message}`, { cause: causeOf(error), facts: factsOf(error) });
  switch (troubleOf(error)) {
    case 'connection':
      return at(
        'ERR_SOURCE_CONNECTION',
        `the connection to PostgreSQL was lost (${text}). No backup was made. Make it again; on a standby, raise max_standby_streaming_delay, or back up the primary.`,
      );
    case 'unreachable':
    case 'login':
    case 'no-database':
      return at(
        'ERR_SOURCE_UNREACHABLE',
        `PostgreSQL lets nobody in there (${text}). Check host, port, user, password and dbName in the MikroORM configuration.`,
      );
    case 'timeout':
      return at(
        'ERR_SOURCE_TIMEOUT',
        `PostgreSQL cancelled the query (${text}). Somebody ran pg_cancel_backend, or a proxy limits the time: back up past it.`,
      );
    case 'locked':
      return at(
        'ERR_SOURCE_LOCKED',
        'another session holds an exclusive lock on a table: a migration, or VACUUM FULL. Make the backup when it has ended; pg_stat_activity shows it.',
      );
    case 'privilege':
      return at('ERR_SOURCE_PRIVILEGE', `the database user lacks a right (${text}). Grant it, or use another user.`);
    case 'row-security':
      return at(
        'ERR_SOURCE_ROW_SECURITY',
        `row-level security hides rows from this user (${text}), and a backup must hold all. Use the table's owner or a user with BYPASSRLS.`,
      );
    case 'encoding':
      return at('ERR_SOURCE_TEXT_ENCODING', NOT_UTF8);
    case 'corrupt':
      return at('ERR_SOURCE_CORRUPT', `PostgreSQL found its own files damaged (${text}). See its log.`);
    default:
      return at('ERR_SOURCE_DATABASE', `${text}.`);
  }
}

/** The same for the side that writes. Nothing was changed: the transaction is rolled back. */
export function restoreError(error: unknown, doing: string, facts: Record<string, unknown> = {}): BackupError {
  if (error instanceof BackupError) return error;
  const text = errorText(error);
  const at = (code: string, message: string) =>
    new RestoreError(code, `Cannot ${doing}: ${message} Nothing was changed.`, {
      cause: causeOf(error),
      facts: { ...factsOf(error), ...facts },
    });
  switch (troubleOf(error)) {
    case 'connection':
      return at(
        'ERR_RESTORE_CONNECTION',
        `the connection to PostgreSQL was lost (${text}), and with it the transaction. Restore again.`,
      );
    case 'unreachable':
    case 'login':
    case 'no-database':
      return at(
        'ERR_RESTORE_UNREACHABLE',
        `PostgreSQL lets nobody in there (${text}). Check host, port, user, password and dbName in the MikroORM configuration.`,
      );
    case 'timeout':
      return at(
        'ERR_RESTORE_TIMEOUT',
        `PostgreSQL cancelled the query (${text}). Somebody ran pg_cancel_backend, or a proxy limits the time: restore past it.`,
      );
    case 'locked':
      return at(
        'ERR_RESTORE_LOCKED',
        'another session uses the tables. Stop the app, or wait until its transactions have ended, and restore again; pg_stat_activity shows them.',
      );
    case 'privilege':
      return at('ERR_RESTORE_PRIVILEGE', `the database user lacks a right (${text}). Restore as the tables' owner.`);
    case 'row-security':
      return at(
        'ERR_RESTORE_ROW_SECURITY',
        `row-level security is in force for this user (${text}). Restore as a user with BYPASSRLS, or as the owner of tables without FORCE ROW LEVEL SECURITY.`,
      );
    case 'read-only':
      return at(
        'ERR_RESTORE_READ_ONLY',
        'the database is read-only: a standby, or default_transaction_read_only is on. Restore into the primary.',
      );
    case 'full':
      return at('ERR_RESTORE_DISK_FULL', `the database's disk is full (${text}). Make room and restore again.`);
    case 'encoding':
      return at(
        'ERR_RESTORE_TEXT_ENCODING',
        `the target's encoding has no place for a text of the backup (${text}). Create the target with ENCODING 'UTF8'.`,
      );
  }
  const state = sqlState(error) ?? '';
  if (/^(23|22|44)/.test(state))
    return at('ERR_RESTORE_CONSTRAINT', `${text}. The target's schema is stricter than the backup's data.`);
  return at('ERR_RESTORE_DATABASE', `${text}.`);
}

function factsOf(error: unknown): Record<string, unknown> {
  const state = sqlState(error);
  return state === undefined ? {} : { sqlState: state };
}
