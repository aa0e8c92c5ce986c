/**
 * The asynchronous module `sqlite3`, under @mikro-orm/sqlite of MikroORM 6. It rounds integers beyond 2^53 both ways;
 * sqlite-read.ts and sqlite-cells.ts never let one through as a number.
 */
import { promisify } from 'node:util';
import type { Bind, SqliteHandle } from './sqlite-connection.ts';

interface Sqlite3Statement {
  get(callback: (error: Error | null, row?: object) => void): unknown;
  all(params: unknown[], callback: (error: Error | null, rows: object[]) => void): unknown;
  run(params: unknown[], callback: (this: { changes: number }, error: Error | null) => void): unknown;
  finalize(callback: (error: Error | null) => void): unknown;
}

interface Sqlite3Database {
  exec(sql: string, callback: (error: Error | null) => void): unknown;
  all(sql: string, params: unknown[], callback: (error: Error | null, rows: object[]) => void): unknown;
  prepare(sql: string, callback: (error: Error | null) => void): Sqlite3Statement;
  close(callback: (error: Error | null) => void): unknown;
}

export interface Sqlite3Module {
  Database: new (file: string, mode: number, callback: (error: Error | null) => void) => Sqlite3Database;
  OPEN_READWRITE: number;
  OPEN_CREATE: number;
}

/**
 * @param source the module, with the file to open; or an open connection of the app's
 * @param create make the file where there is none
 */
export async function openSqlite3(
  source: Sqlite3Module | object,
  file?: string,
  create = false,
): Promise<SqliteHandle> {
  if (file === undefined) return handleOf(source as Sqlite3Database);
  const { Database, OPEN_READWRITE, OPEN_CREATE } = source as Sqlite3Module;
  const native = await new Promise<Sqlite3Database>((done, fail) => {
    const mode = create ? OPEN_READWRITE | OPEN_CREATE : OPEN_READWRITE;
    const opened = new Database(file, mode, (error) => (error ? fail(error) : done(opened)));
  });
  return handleOf(native);
}

function handleOf(native: Sqlite3Database): SqliteHandle {
  const exec = promisify<string, void>((sql, done) => native.exec(sql, done));
  const prepare = (sql: string) =>
    new Promise<Sqlite3Statement>((done, fail) => {
      const statement = native.prepare(sql, (error) => (error ? fail(error) : done(statement)));
    });
  const prepared = new Set<Sqlite3Statement>();
  const finalize = (statement: Sqlite3Statement) => {
    prepared.delete(statement);
    return new Promise<void>((done) => {
      statement.finalize(() => done());
    });
  };
  return {
    flavour: 'sqlite3',
    exec,
    all: (sql, params: Bind[] = []) =>
      new Promise((done, fail) => {
        native.all(sql, params, (error, rows) => (error ? fail(error) : done(rows.map((row) => Object.values(row)))));
      }),
    async *scan(sql) {
      const statement = await prepare(sql);
      // Repeated `get` without parameters steps on; `each` would read ahead without bound.
      const next = () =>
        new Promise<object | undefined>((done, fail) => {
          statement.get((error, row) => (error ? fail(error) : done(row)));
        });
      try {
        for (let row = await next(); row !== undefined; row = await next()) yield Object.values(row);
      } finally {
        await finalize(statement);
      }
    },
    async query(sql) {
      const statement = await prepare(sql);
      prepared.add(statement);
      return {
        all: (params) =>
          new Promise((done, fail) => {
            statement.all(params, (error, rows) => (error ? fail(error) : done(rows.map((row) => Object.values(row)))));
          }),
        free: () => finalize(statement),
      };
    },
    prepare(sql) {
      const statement = prepare(sql);
      const ready = statement.then((one) => {
        prepared.add(one);
        return one;
      });
      ready.catch(() => {}); // reported by `run`
      return {
        run: async (params) => {
          const one = await ready;
          return new Promise<number>((done, fail) => {
            one.run(params, function (error) {
              if (error) fail(error);
              else done(this.changes);
            });
          });
        },
        free: async () => finalize(await ready),
      };
    },
    async close() {
      // An unfinished statement would keep the connection open.
      for (const statement of prepared) await finalize(statement);
      await new Promise<void>((done, fail) => {
        native.close((error) => (error ? fail(error) : done()));
      });
    },
  };
}
