/**
 * One connection of our own to the app's database, opened by the app's own `pg`, outside of its pool. Values come and
 * go as the server's text: no parser of pg or MikroORM sees them.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { ConfigError } from '../../errors.ts';
import { type ConnectionLike, type OrmLike, setting } from '../orm-like.ts';
import { CopyIn } from './postgresql-copy-in.ts';

/** A row as the server's text of each column. */
export type TextRow = (string | null)[];

/** What is used of pg's Client. */
interface PgClient {
  connect(): Promise<unknown>;
  query(config: object): Promise<{ rows: TextRow[]; rowCount: number | null; command: string }>;
  end(): Promise<void>;
  on(event: string, listener: (error?: Error) => void): unknown;
  connection?: { stream?: { destroy(): void } };
  connectionParameters?: { query_timeout?: unknown };
}

/** MikroORM's connection, as far as both majors have it; what is optional differs between them. */
interface OrmConnection extends ConnectionLike {
  getConnectionOptions(): { host?: string; port?: number; database?: string };
  mapOptions?(overrides: object): object;
  connect(options?: { skipOnConnect?: boolean }): Promise<void>;
  isConnected(): Promise<boolean>;
}

interface KnexClient {
  acquireRawConnection(): Promise<PgClient>;
}

/** pg's Pool: `Client` is the class that it makes its connections of. */
interface PgPool {
  Client: new (options: object) => PgClient;
  options: object;
}

/** How to open one more connection, and what tells two databases apart. */
export interface PgLocation {
  /** `host:port/database`: never a user or a password. */
  identity: string;
  /** The schema of entities that name none, where MikroORM's configuration sets it. */
  schema?: string;
  open(signal?: AbortSignal): Promise<PgConnection>;
}

const RAW = { getTypeParser: () => (value: unknown) => value };

/** @throws ConfigError ERR_CONFIG_POSTGRESQL_CLIENT where `pg` is out of reach */
export function locate(orm: OrmLike): PgLocation {
  const connection = orm.em.getConnection() as OrmConnection;
  const { host, port, database } = connection.getConnectionOptions();
  const schema = setting(orm, 'schema');
  return {
    identity: `${host ?? 'localhost'}:${port ?? 5432}/${database ?? setting(orm, 'dbName')}`,
    // MikroORM sets `public` by itself, and leaves it out of its SQL: the search path decides.
    ...(typeof schema === 'string' && schema !== '*' && schema !== 'public' ? { schema } : {}),
    async open(signal) {
      signal?.throwIfAborted();
      return new PgConnection(await openClient(orm, connection), signal);
    },
  };
}

async function openClient(orm: OrmLike, connection: OrmConnection): Promise<PgClient> {
  if (connection.getKnex) {
    const { client } = connection.getKnex() as { client: KnexClient };
    return guarded(await client.acquireRawConnection());
  }
  const { Client, options } = await poolOf(orm, connection);
  const client = guarded(new Client(options));
  await client.connect();
  return client;
}

async function poolOf(orm: OrmLike, connection: OrmConnection): Promise<PgPool> {
  try {
    // What else an ORM does when it connects would make a missing database.
    if (!(await connection.isConnected())) await connection.connect({ skipOnConnect: true });
    if (connection.getNativeClient) return (await connection.getNativeClient()) as PgPool;
    // MikroORM 7.0 and 7.1: the options as it makes them, and the `pg` that it would load.
    const base = createRequire(join(String(setting(orm, 'baseDir') ?? process.cwd()), 'package.json'));
    const pg = createRequire(base.resolve('@mikro-orm/postgresql'))('pg') as { Client: PgPool['Client'] };
    return { Client: pg.Client, options: connection.mapOptions!((setting(orm, 'driverOptions') as object) ?? {}) };
  } catch (cause) {
    throw new ConfigError(
      'ERR_CONFIG_POSTGRESQL_CLIENT',
      'The PostgreSQL connection is owned by the dialect or Kysely instance in "driverOptions", so no second one can be opened beside it. Give host, user and dbName and let MikroORM (7.2 or later) open it, or back up with a separate ORM configuration.',
      { cause },
    );
  }
}

/** Without a listener, a connection that the server drops would end the process. */
function guarded(client: PgClient): PgClient {
  client.on('error', () => {});
  return client;
}

export class PgConnection {
  readonly #client: PgClient;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.destroy();
  /** A COPY that was left before its end. */
  #left: NodeJS.ReadableStream | undefined;
  /** The COPY that takes rows, and its SQL. */
  #copying: { sql: string; copy: CopyIn } | undefined;
  #open = true;

  constructor(client: PgClient, signal?: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
    // pg's own clock, which the app may have set for its short queries.
    if (client.connectionParameters) client.connectionParameters.query_timeout = 0;
    if (signal?.aborted) this.destroy();
    else signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Rows as text. */
  async all(text: string, values?: unknown[]): Promise<TextRow[]> {
    return (await this.#query(text, values)).rows;
  }

  /** Rows that were changed. */
  async run(text: string, values?: unknown[]): Promise<number> {
    return (await this.#query(text, values)).rowCount ?? 0;
  }

  /** Several statements, without parameters. */
  async exec(text: string): Promise<void> {
    await this.#query(text);
  }

  /** The command tag: PostgreSQL answers a COMMIT of a failed transaction with `ROLLBACK`. */
  async tag(text: string): Promise<string> {
    return (await this.#query(text)).command;
  }

  async #query(text: string, values?: unknown[]) {
    this.#signal?.throwIfAborted();
    await this.#idle();
    return this.#client.query({ text, rowMode: 'array', types: RAW, ...(values ? { values } : {}) });
  }

  /** The bytes of `COPY ... TO STDOUT`, in chunks of about 64 KiB. */
  async *copyOut(sql: string): AsyncGenerator<Buffer> {
    this.#signal?.throwIfAborted();
    await this.#idle();
    const stream = copyTo(sql, { highWaterMark: 1 << 18 });
    // Reported by the loop below; without it, a failure between two reads would be nobody's.
    const failures: unknown[] = [];
    stream.on('error', (error) => failures.push(error));
    this.#client.query(stream);
    this.#left = stream;
    let end = false;
    stream.once('end', () => (end = true));
    try {
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
      if (failures.length) throw failures[0];
      end = true;
    } catch (error) {
      end = true;
      throw error;
    } finally {
      if (end) this.#left = undefined;
    }
  }

  /** Ends the COPY that is open: PostgreSQL answers nothing else before. */
  async #idle(): Promise<void> {
    const copying = this.#copying;
    this.#copying = undefined;
    await copying?.copy.end();
    const left = this.#left;
    this.#left = undefined;
    if (!left) return;
    await new Promise<void>((done, fail) => {
      left.once('end', done);
      left.once('error', fail);
      left.resume();
    });
  }

  /**
   * Goes on with this `COPY ... FROM STDIN`, or ends the one that is open and starts it. Any other query ends it too,
   * and throws what the server said about the last rows.
   *
   * @param wrap makes the error of what goes wrong in this COPY, whenever it comes out
   */
  async copyIn(sql: string, wrap: (error: unknown) => unknown): Promise<CopyIn> {
    if (this.#copying?.sql === sql) return this.#copying.copy;
    this.#signal?.throwIfAborted();
    await this.#idle();
    const stream = copyFrom(sql, { highWaterMark: 1 << 18 });
    const copy = new CopyIn(stream, wrap);
    this.#client.query(stream);
    this.#copying = { sql, copy };
    return copy;
  }

  /** Ends the COPY that is open, if there is one. */
  settle(): Promise<void> {
    return this.#idle();
  }

  /** Cuts the connection: what is under way fails, and the server rolls back. */
  destroy(): void {
    this.#client.connection?.stream?.destroy();
  }

  /** Idempotent. A COPY that was left is cut short. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#signal?.removeEventListener('abort', this.#abort);
    if (this.#left) this.destroy();
    try {
      await this.#client.end();
    } catch {
      // It was gone already.
    }
  }
}
