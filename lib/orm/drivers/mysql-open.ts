/** From an ORM to our own connection on the same MariaDB or MySQL database, through the app's module and options. */
import { ConfigError } from '../../errors.ts';
import { type ConnectionLike, type OrmLike, setting } from '../orm-like.ts';
import { MysqlHandle, type NativeConnection } from './mysql-connection.ts';

/** How to open one more connection, and what tells two databases apart. */
export interface MysqlLocation {
  /** `host:port/database`; no user, no password. */
  identity: string;
  /** The database's name. */
  database: string;
  open(): Promise<MysqlHandle>;
}

type Settings = Record<string, unknown>;

/** Knex's client, as MikroORM 6 holds it. */
interface KnexClient {
  driver: { createConnection(settings: Settings): NativeConnection };
  connectionSettings?: Settings;
  /** Where the password comes from a function: asks it again. */
  connectionConfigProvider?: () => Promise<Settings> | Settings;
}

type ConnectionClass = new (options: { config: Settings }) => NativeConnection;

/** mysql2's pool, as MikroORM 7 holds it. */
interface Mysql2Pool {
  config?: { connectionConfig?: Settings };
  getConnection(callback: (error: Error | null, connection: NativeConnection & { release(): void }) => void): void;
}

/** utf8mb4_general_ci: mysql2 encodes SQL by this number, whatever SET NAMES says later. */
const UTF8MB4 = 45;
/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000;

const classes = new WeakMap<object, ConnectionClass>();

/** @throws ConfigError ERR_CONFIG_MYSQL_CLIENT where the native client is out of reach */
export async function locate(orm: OrmLike): Promise<MysqlLocation> {
  const connection = orm.em.getConnection() as ConnectionLike;
  return connection.getKnex
    ? locateKnex(orm, connection.getKnex() as { client: KnexClient })
    : await locatePool(orm, connection);
}

async function locateKnex(orm: OrmLike, { client }: { client: KnexClient }): Promise<MysqlLocation> {
  const { connectionConfigProvider: provider } = client;
  const current = async () => (provider ? await provider() : client.connectionSettings) ?? {};
  return {
    ...placeOf(orm, await current()),
    async open() {
      const theirs = await current();
      const settings: Settings = { ...theirs, charset: 'utf8mb4', connectTimeout: CONNECT_TIMEOUT };
      // Knex hides it from enumeration.
      if (theirs.password !== undefined) settings.password = theirs.password;
      // `mariadb` prefers a collation to a charset, and ends slow queries and idle sockets by the others.
      for (const name of ['collation', 'queryTimeout', 'socketTimeout', 'typeCast']) delete settings[name];
      return connect(client.driver.createConnection(settings));
    },
  };
}

async function locatePool(orm: OrmLike, connection: ConnectionLike): Promise<MysqlLocation> {
  const lazy = connection as ConnectionLike & Partial<Lazy>;
  const wasClosed = lazy.connected === false;
  const pool = await poolOf(lazy);
  const config = pool?.config?.connectionConfig;
  if (!pool || !config) throw unreachable();
  return {
    ...placeOf(orm, config),
    async open() {
      const Connection = await connectionClass(pool).catch((error) => {
        // There is nothing to close yet, and the app's first query is to do what it always does.
        if (wasClosed) lazy.connected = false;
        throw error;
      });
      // One query of the ORM's own: without any, `orm.close()` forgets the pool, and the process never ends.
      if (wasClosed) await orm.isConnected();
      const own = Object.create(Object.getPrototypeOf(config), Object.getOwnPropertyDescriptors(config)) as Settings;
      const password = setting(orm, 'password') as unknown;
      if (typeof password === 'function') own.password = await password();
      return connect(
        new Connection({ config: Object.assign(own, { charsetNumber: UTF8MB4, connectTimeout: CONNECT_TIMEOUT }) }),
      );
    },
  };
}

/** A connection of MikroORM 7. */
interface Lazy {
  connected: boolean;
  connect(options: { skipOnConnect: boolean }): Promise<void>;
}

async function poolOf(connection: ConnectionLike & Partial<Lazy>): Promise<Mysql2Pool | undefined> {
  // MikroORM 7 connects with the first query, and then makes a database that does not exist. Looking must not.
  try {
    if (connection.connected === false) await connection.connect?.({ skipOnConnect: true });
    return (await connection.getNativeClient?.()) as Mysql2Pool | undefined;
  } catch (error) {
    // Owned by a dialect of the app's, or not to be reached: only the latter has a code.
    if ((error as { code?: string }).code !== undefined) throw error;
    return undefined;
  }
}

/** The class of the pool's connections without the pool in it: ours must not be given back to the app. */
async function connectionClass(pool: Mysql2Pool): Promise<ConnectionClass> {
  let found = classes.get(pool);
  if (!found) {
    const pooled = await new Promise<NativeConnection & { release(): void }>((done, fail) => {
      pool.getConnection((error, one) => (error ? fail(error) : done(one)));
    });
    found = Object.getPrototypeOf(pooled.constructor) as ConnectionClass;
    pooled.release();
    classes.set(pool, found);
  }
  return found;
}

async function connect(native: NativeConnection): Promise<MysqlHandle> {
  native.on('error', () => {});
  await new Promise<void>((done, fail) => {
    native.connect((error) => (error ? fail(error) : done()));
  });
  return new MysqlHandle(native);
}

function placeOf(orm: OrmLike, settings: Settings): { identity: string; database: string } {
  const database = String(settings.database ?? setting(orm, 'dbName') ?? '');
  const place = settings.socketPath ?? `${String(settings.host ?? 'localhost').toLowerCase()}:${settings.port ?? 3306}`;
  return { identity: `${place}/${database}`, database };
}

function unreachable(): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_MYSQL_CLIENT',
    'The connection to MariaDB or MySQL is owned by the dialect or Kysely instance in "driverOptions", or by a MikroORM before 7.2, so no second one can be opened beside it. Update MikroORM, or give "dbName", "host", "user" and "password" and let it connect.',
  );
}
