/** From an ORM to our own connection on the same SQLite database. */
import { existsSync, realpathSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { ConfigError, SourceError } from '../../errors.ts';
import { type ConnectionLike, type OrmLike, setting } from '../orm-like.ts';
import { type NativeDatabase, type SqliteHandle, SyncSqliteHandle } from './sqlite-connection.ts';
import { REMOTE, RemoteHandle, remoteIdentity } from './sqlite-remote.ts';
import { ident, literal } from './sqlite-sql.ts';
import { openSqlite3, type Sqlite3Module } from './sqlite3-connection.ts';

/** Knex's client, as MikroORM 6 holds it. */
interface KnexClient {
  driver: unknown;
  driverName?: string;
  connectionSettings: { filename?: string } & Record<string, unknown>;
  acquireConnection(): Promise<NativeDatabase>;
  releaseConnection(connection: unknown): Promise<void>;
}

/** How to open one more connection, and what tells two databases apart. */
export interface SqliteLocation {
  /** The file's real path, `memory:<n>`, or the server's host and path. */
  identity: string;
  open(): Promise<SqliteHandle>;
  /** A small database of ours beside the app's, made where it does not exist. Null where there is no file to be beside. */
  openBeside: ((ending: string) => Promise<SqliteHandle>) | null;
  /** The server, where the file is an embedded replica of its database. */
  replicaOf?: string;
}

type NativeConstructor = new (file: string, options?: object) => NativeDatabase;

/** Milliseconds that SQLite itself waits for a lock, and blocks the process: sqlite-patience.ts waits longer. */
const BUSY_TIMEOUT = 100;

const memories = new WeakMap<object, number>();
let memoryCount = 0;

/** @throws ConfigError ERR_CONFIG_SQLITE_CLIENT where the native client is out of reach */
export async function locate(orm: OrmLike): Promise<SqliteLocation> {
  const options = nativeOptions(orm);
  // As MikroORM 7 does; 6 knows "dbName" only, and ignores the other.
  const url = String(options.url ?? setting(orm, 'dbName') ?? '');
  if (REMOTE.test(url)) return locateRemote(orm, url, options);
  // Before MikroORM connects: it would make an empty database in the place of a missing one.
  const file = String(setting(orm, 'dbName') ?? '');
  // A replica's file, MikroORM makes as it is meant to be.
  if (!inMemory(file) && !options.syncUrl) mustExist(file);
  if (!(await orm.isConnected())) await orm.connect();
  const connection = orm.em.getConnection() as ConnectionLike;
  return connection.getKnex
    ? locateKnex(orm, connection.getKnex() as { client: KnexClient })
    : locateNative(orm, connection);
}

/** Options of the native module; none where the app made a dialect of its own. */
function nativeOptions(orm: OrmLike): Record<string, unknown> {
  const options = setting(orm, 'driverOptions');
  return typeof options === 'object' && options !== null && !('createDriver' in options) ? { ...options } : {};
}

/**
 * An embedded replica is read beside the connection that syncs it, as a plain file: libSQL brings a server's pages in as any writer
 * brings its own. A second connection that syncs would be a second writer of them; and what a plain one writes, the next sync undoes.
 */
function besideReplica({ syncUrl, syncAuth: _, syncPeriod: __, offline: ___, ...options }: Record<string, unknown>) {
  return { options, ...(typeof syncUrl === 'string' && syncUrl ? { replicaOf: remoteIdentity(syncUrl) } : {}) };
}

/** On a libSQL server. It is asked when something opens, so that whoever does says that it cannot be reached. */
function locateRemote(orm: OrmLike, url: string, { url: _, ...options }: Record<string, unknown>): SqliteLocation {
  return {
    identity: remoteIdentity(url),
    openBeside: null,
    async open() {
      const Native = await remoteClient(orm);
      return new RemoteHandle(new Native(url, { authToken: setting(orm, 'password'), ...options }));
    },
  };
}

/** The module's class. The app's own connection need not be a good one: its server was restarted, or its token may only read. */
async function remoteClient(orm: OrmLike): Promise<NativeConstructor> {
  const connection = orm.em.getConnection() as ConnectionLike;
  if (connection.getKnex) {
    if (!(await orm.isConnected())) await orm.connect();
    return (connection.getKnex() as { client: KnexClient }).client.driver as NativeConstructor;
  }
  const client = async () => ((await connection.getNativeClient!()) as object).constructor as NativeConstructor;
  if (!connection.getNativeClient) throw unreachable();
  return client().catch((error) =>
    // MikroORM has the client before it sends its first statement, and then does not send that again.
    client().catch((later) => {
      throw /native client/.test(String(later)) ? unreachable() : error;
    }),
  );
}

function locateKnex(orm: OrmLike, { client }: { client: KnexClient }): SqliteLocation {
  const file = client.connectionSettings.filename ?? '';
  const asynchronous = client.driverName === 'sqlite3';
  if (inMemory(file)) {
    return {
      identity: memoryIdentity(client),
      openBeside: null,
      async open() {
        // The pool of an in-memory database has one connection: while we hold it, the app's queries wait.
        const native = await client.acquireConnection();
        const handle = asynchronous ? openSqlite3(native) : new SyncSqliteHandle(native, true);
        return sharedHandle(await handle, () => client.releaseConnection(native));
      },
    };
  }
  const { options, ...replica } = besideReplica(client.connectionSettings);
  return {
    ...replica,
    identity: identityOf(file),
    async open() {
      mustExist(file);
      if (asynchronous) return prepare(orm, await openSqlite3(client.driver as Sqlite3Module, file));
      const Native = client.driver as NativeConstructor;
      return prepare(orm, new SyncSqliteHandle(new Native(file, options)));
    },
    openBeside: beside(file, async (path) =>
      asynchronous
        ? openSqlite3(client.driver as Sqlite3Module, path, true)
        : new SyncSqliteHandle(new (client.driver as NativeConstructor)(path)),
    ),
  };
}

async function locateNative(orm: OrmLike, connection: ConnectionLike): Promise<SqliteLocation> {
  const file = String(setting(orm, 'dbName') ?? '');
  const native = await nativeClient(orm, connection);
  if (inMemory(file)) {
    if (!native.client) throw unreachable();
    const shared = native.client;
    const open = async () => sharedHandle(new SyncSqliteHandle(shared, true));
    return { identity: memoryIdentity(shared), openBeside: null, open };
  }
  const { options, ...replica } = besideReplica(nativeOptions(orm));
  return {
    ...replica,
    identity: identityOf(file),
    async open() {
      mustExist(file);
      return prepare(orm, new SyncSqliteHandle(new native.Native(file, options)));
    },
    openBeside: beside(file, async (path) => new SyncSqliteHandle(new native.Native(path))),
  };
}

/** Opens what lies beside the app's database, with the module that opened that one. */
function beside(file: string, open: (path: string) => Promise<SqliteHandle>) {
  return async (ending: string) => {
    const path = file.replace(/^file:(\/\/)?([^?]*).*$/, '$2');
    const db = await open(`${identityOf(path)}${ending}`);
    await db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    return db;
  };
}

async function nativeClient(orm: OrmLike, connection: ConnectionLike) {
  try {
    const client = (await connection.getNativeClient?.()) as NativeDatabase | undefined;
    if (client) return { client, Native: client.constructor as NativeConstructor };
  } catch {
    // Owned by a dialect of the app's: see below.
  }
  const dialect = setting(orm, 'driverOptions') as object | undefined;
  if (dialect?.constructor?.name !== 'NodeSqliteDialect') throw unreachable();
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as unknown as { DatabaseSync: NativeConstructor };
  return { client: undefined, Native: DatabaseSync };
}

function unreachable(): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_SQLITE_CLIENT',
    'The SQLite connection is owned by the dialect or Kysely instance in "driverOptions", so no second one can be opened beside it. Give "dbName" and let MikroORM (7.2 or later) open it, or back up with a separate ORM configuration.',
  );
}

function inMemory(file: string): boolean {
  return file === '' || file === ':memory:' || /^file:.*(:memory:|mode=memory)/.test(file);
}

function memoryIdentity(of: object): string {
  let n = memories.get(of);
  if (n === undefined) memories.set(of, (n = ++memoryCount));
  return `memory:${n}`;
}

function identityOf(file: string): string {
  const path = isAbsolute(file) ? file : resolve(file);
  return existsSync(path) ? realpathSync(path) : path;
}

function mustExist(file: string): void {
  if (!file.startsWith('file:') && !existsSync(file))
    throw new SourceError(
      'ERR_SOURCE_NO_DATABASE',
      `The database file ${file} does not exist. Check "dbName" in the MikroORM configuration, and the folder this runs in.`,
    );
}

/** Session settings and attached databases, which every connection has for itself. */
async function prepare(orm: OrmLike, db: SqliteHandle): Promise<SqliteHandle> {
  try {
    await db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    const attached = setting(orm, 'attachDatabases') as { name: string; path: string }[] | undefined;
    for (const { name, path } of attached ?? []) {
      await db.exec(
        `ATTACH DATABASE ${literal(resolve(String(setting(orm, 'baseDir') ?? '.'), path))} AS ${ident(name)}`,
      );
    }
    return db;
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** The app's own connection: given back, never closed. */
function sharedHandle(handle: SqliteHandle, release: () => Promise<void> = async () => {}): SqliteHandle {
  let open = true;
  return {
    flavour: handle.flavour,
    exec: (sql) => handle.exec(sql),
    all: (sql, params) => handle.all(sql, params),
    scan: (sql) => handle.scan(sql),
    prepare: (sql) => handle.prepare(sql),
    query: (sql) => handle.query(sql),
    async close() {
      if (open) await release();
      open = false;
    },
  };
}
