/** How a connection of ours is set before its first statement, and whether the server is one that this version knows. */
import { RestoreError, SourceError } from '../../errors.ts';
import type { MysqlHandle } from './mysql-connection.ts';
import { restoreError, sourceError } from './mysql-errors.ts';
import type { MysqlLocation } from './mysql-open.ts';

/** Seconds after which a lock is an error. */
const PATIENCE = 10;
/** Seconds: a slow sink, or a slow source, must not cost the connection. */
const DAY = 86_400;

export interface Session {
  db: MysqlHandle;
  /** `MariaDB 10.11.19`, `MySQL 8.0.36`. */
  server: string;
  maria: boolean;
  /** Bytes: the server hangs up on longer statements. */
  maxPacket: number;
}

const MODES = ['NO_AUTO_VALUE_ON_ZERO', 'ALLOW_INVALID_DATES', 'NO_ENGINE_SUBSTITUTION'];

/** Opens a connection and sets it. Strict where it writes: nothing may be cut to fit. */
export async function openSession(location: MysqlLocation, use: 'read' | 'write'): Promise<Session> {
  const db = await location.open().catch((error) => {
    throw use === 'read'
      ? sourceError(error, 'connect to the database', true)
      : restoreError(error, 'connect to the database', {}, true);
  });
  try {
    const [[version, maxPacket]] = (await db.all(
      'SELECT CAST(VERSION() AS CHAR), CAST(@@max_allowed_packet AS CHAR)',
    )) as [[string, string]];
    const { server, maria } = checkServer(version, use);
    const modes = use === 'write' ? ['STRICT_ALL_TABLES', ...MODES] : MODES;
    await db.run('SET NAMES utf8mb4');
    await db.run(
      `SET SESSION sql_mode = '${modes.join(',')}', time_zone = '+00:00', wait_timeout = ${DAY}, net_write_timeout = ${DAY}, net_read_timeout = ${DAY}, lock_wait_timeout = ${PATIENCE}, innodb_lock_wait_timeout = ${PATIENCE}, sql_safe_updates = 0, sql_select_limit = DEFAULT, autocommit = 1, unique_checks = 1`,
    );
    await db.run('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    // Each of these is known to some servers only.
    const optional = maria
      ? ['max_statement_time = 0', 'idle_transaction_timeout = 0', 'idle_readonly_transaction_timeout = 0']
      : ['max_execution_time = 0', 'information_schema_stats_expiry = 0'];
    for (const one of optional) await db.run(`SET SESSION ${one}`).catch(() => {});
    return { db, server, maria, maxPacket: Number(maxPacket) };
  } catch (error) {
    await db.close();
    throw error;
  }
}

/**
 * @param version as `VERSION()` says it
 * @throws SourceError, RestoreError ERR_SOURCE_SERVER_VERSION, ERR_RESTORE_SERVER_VERSION
 */
export function checkServer(version: string, use: 'read' | 'write'): { server: string; maria: boolean } {
  const maria = /mariadb/i.test(version);
  // Behind some proxies MariaDB 10 and later calls itself 5.5.5-10.x.
  const [number = ''] = /\d+\.\d+(\.\d+)?/.exec(version.replace(/^5\.5\.5-/, '')) ?? [];
  const [major = 0, minor = 0] = number.split('.').map(Number);
  const [name, least] = maria ? (['MariaDB', [10, 3]] as const) : (['MySQL', [5, 7]] as const);
  if (major > least[0] || (major === least[0] && minor >= least[1])) return { server: `${name} ${number}`, maria };
  const message = `The server is ${name} ${number || version}, and the oldest that is supported is ${name} ${least.join('.')}. Update it.`;
  const facts = { facts: { server: `${name} ${number}` } };
  throw use === 'read'
    ? new SourceError('ERR_SOURCE_SERVER_VERSION', message, facts)
    : new RestoreError('ERR_RESTORE_SERVER_VERSION', message, facts);
}

/**
 * Ends what the connection does, from a second one: a lock wait or a long result would otherwise go on at the server.
 *
 * @param what `QUERY` leaves the transaction as it is
 */
export async function kill(location: MysqlLocation, db: MysqlHandle, what: 'QUERY' | 'CONNECTION'): Promise<void> {
  if (!db.open) return;
  let second: MysqlHandle | undefined;
  try {
    second = await location.open();
    await second.run(`KILL ${what} ${db.threadId}`);
  } catch {
    // Out of reach, or over already. A connection that is to end is hung up instead.
    if (what === 'CONNECTION') db.destroy();
  } finally {
    await second?.close();
  }
}

/** Calls `stop` once when `signal` aborts. Answers how to forget about it. */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (!signal) return () => {};
  if (signal.aborted) throw signal.reason;
  signal.addEventListener('abort', stop, { once: true });
  return () => signal.removeEventListener('abort', stop);
}
