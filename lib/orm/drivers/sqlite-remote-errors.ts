/** What the module `libsql` says of a libSQL server. It has no codes: `Hrana(Api("SQLite error: UNIQUE constraint failed: t.a"))` is all. */
import { RestoreError, SourceError } from '../../errors.ts';

/** What went wrong, where it is not a statement that the database refused. */
export type RemoteTrouble = 'unreachable' | 'denied' | 'forbidden' | 'lost' | 'taken';

const CODES: [RegExp, number][] = [
  [/database (table |schema )?is locked|SQLITE_BUSY/, 5],
  [/readonly database/, 8],
  [/disk I\/O error/, 10],
  [/disk image is malformed/, 11],
  [/disk is full/, 13],
  [/too big/, 18],
  [/constraint failed|SQLITE_CONSTRAINT/, 19],
  [/datatype mismatch/, 20],
];

function raw(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isRemote(error: unknown): boolean {
  return raw(error).startsWith('Hrana(');
}

/** The sentence in it, without what the module wraps around. */
export function remoteText(error: unknown): string {
  const text = raw(error);
  const said =
    /message: "((?:[^"\\]|\\.)*)"/s.exec(text)?.[1] ?? /^Hrana\(\w+\((?:Other\()?"(.*)"\)+$/s.exec(text)?.[1] ?? text;
  const plain = said.replace(/\\(.)/gs, '$1');
  const body = /^status=\d+ .*?, body=(.*)$/s.exec(plain);
  const inside = body && /"(?:message|error)":"((?:[^"\\]|\\.)*)"/.exec(body[1]!)?.[1];
  return (inside ?? plain).replace(/^SQL(?:ite)? (?:input )?error: /, '').slice(0, 500);
}

/** SQLite's result code, where the text tells it. */
export function remoteCode(error: unknown): number | undefined {
  const text = raw(error);
  return CODES.find(([pattern]) => pattern.test(text))?.[1];
}

/** Whether a value passed the limit that the server has for values: 5,000,000 bytes, where nobody set another. */
export function isTooBig(error: unknown): boolean {
  return remoteCode(error) === 18;
}

/** Whether the database refused one statement, and nothing else changed: the transaction is still there. */
export function isRefusal(error: unknown): boolean {
  const text = raw(error);
  if (!/SQLite error: |SQL input error: |code: "(ARGS_INVALID|SQL_PARSE_ERROR|SQLITE_TOOBIG)"/.test(text)) return false;
  // After these, SQLite itself may have rolled back.
  return !/interrupt|disk is full|disk I\/O error|out of memory|malformed|no transaction/i.test(text);
}

export function troubleOf(error: unknown): RemoteTrouble | undefined {
  const text = raw(error);
  if (!isRemote(error)) return undefined;
  if (/TRANSACTION_TIMEOUT|Transaction timed out/.test(text)) return 'taken';
  if (/STREAM_EXPIRED|stream has expired|[Bb]aton/.test(text)) return 'lost';
  if (/status=401/.test(text)) return 'denied';
  if (/status=403/.test(text)) return 'forbidden';
  if (/Http\("error trying to connect|Http\("http::Error|status=(404|301|302|307|308|5\d\d)/.test(text))
    return 'unreachable';
  return /SQLite error: |SQL input error: |code: "/.test(text) ? undefined : 'lost';
}

const WHERE = 'Check "dbName" (or "url"), and "password" (or "driverOptions.authToken"), in the MikroORM configuration';

/** Undefined where the database itself refused a statement: that is the same on a server and in a file. */
export function remoteSourceError(error: unknown, doing: string): SourceError | undefined {
  const at = (code: string, message: string) => new SourceError(code, `Cannot ${doing}: ${message}`, { cause: error });
  const said = remoteText(error);
  switch (troubleOf(error)) {
    case 'unreachable':
      return at('ERR_SOURCE_UNREACHABLE', `the libSQL server cannot be reached (${said}). ${WHERE}.`);
    case 'denied':
      return at('ERR_SOURCE_UNREACHABLE', `the libSQL server does not accept the token (${said}). ${WHERE}.`);
    case 'forbidden':
      return at('ERR_SOURCE_PRIVILEGE', `the token does not permit it (${said}). Use one that does.`);
    case 'lost':
      return at(
        'ERR_SOURCE_CONNECTION',
        `the libSQL server ended the connection, and with it the snapshot (${said}). No backup was made. Make it again; a server keeps a connection for 10 seconds without a request, so nothing may hold this process up for as long.`,
      );
    case 'taken':
      return at(
        'ERR_SOURCE_LOCKED',
        `the libSQL server ended the transaction, as others were waiting for it (${said}). Try again.`,
      );
    default:
      return undefined;
  }
}

/** The same for the side that writes. */
export function remoteRestoreError(
  error: unknown,
  doing: string,
  facts: Record<string, unknown>,
): RestoreError | undefined {
  const at = (code: string, message: string) =>
    new RestoreError(code, `Cannot ${doing}: ${message} Nothing was changed.`, { cause: error, facts });
  const said = remoteText(error);
  switch (troubleOf(error)) {
    case 'unreachable':
      return at('ERR_RESTORE_UNREACHABLE', `the libSQL server cannot be reached (${said}). ${WHERE}.`);
    case 'denied':
      return at('ERR_RESTORE_UNREACHABLE', `the libSQL server does not accept the token (${said}). ${WHERE}.`);
    case 'forbidden':
      return at('ERR_RESTORE_PRIVILEGE', `the token does not permit it (${said}). Use one that may write.`);
    case 'lost':
      return at(
        'ERR_RESTORE_CONNECTION',
        `the connection to the libSQL server was lost, and with it the transaction (${said}). Restore again.`,
      );
    case 'taken':
      return at(
        'ERR_RESTORE_LOCKED',
        `the libSQL server gave the database to another writer, as it does after 5 seconds when somebody waits (${said}). Stop the app and whatever else writes, and restore again.`,
      );
    default:
      return undefined;
  }
}

/** The answer to COMMIT was lost: only the database knows. */
export function commitUnknown(error: unknown): RestoreError | undefined {
  // A server that answers says that it did not commit; one that nobody can connect to did not hear of it.
  if (troubleOf(error) !== 'lost' || /STREAM_EXPIRED|status=/.test(raw(error))) return undefined;
  return new RestoreError(
    'ERR_RESTORE_CONNECTION',
    `The connection to the libSQL server was lost while it committed (${remoteText(error)}), so that it is not known whether the rows are there. Restore again: what is there is left alone.`,
    { cause: error },
  );
}
