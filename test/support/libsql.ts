/** Real libSQL servers for tests: one process and one folder each, on loopback. test/services.mjs says where the program is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type t from 'tap';
import { openOrm, scratch, type TestOrm } from './orm.ts';
import { query } from './orm-database.ts';

type Test = typeof t;

const program = process.env.DBS_TEST_SQLD;

/** Says so loudly where there is no server, and ends the file. */
export function serverRuns(t: Test): boolean {
  if (program) return true;
  t.fail('CANNOT RUN: no libSQL server (npm test -- test/orm-libsql, which fetches it with DBS_TEST_INSTALL=1)');
  return false;
}

export interface Server {
  url: string;
  /** Kills it as a crash would; `again` starts it on the same data and port. */
  kill(): Promise<void>;
  again(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** @param options further ones of sqld, and environment variables for it */
export async function startServer(t: Test, options: string[] = []): Promise<Server> {
  const port = await freePort();
  const folder = mkdtempSync(join(scratch, 'sqld-'));
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    child = spawn(program!, ['--db-path', folder, '--http-listen-addr', `127.0.0.1:${port}`, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(`${folder}.log`, { flags: 'a' });
    child.stdout!.pipe(log, { end: false });
    child.stderr!.pipe(log, { end: false });
    running.add(child);
    for (let left = 100; ; left--) {
      const answer = await fetch(`${url}/health`).catch(() => undefined);
      if (answer?.ok) return;
      if (!left || child.exitCode !== null) throw new Error(`sqld did not start: see ${folder}.log`);
      await setTimeout(100);
    }
  };
  const kill = async () => {
    if (!running.delete(child)) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  };
  await start();
  t.teardown(kill);
  return { url, kill, again: start };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** A connected ORM on a server, closed with the test. No tables are made. */
export async function openRemote(
  t: Test,
  { url }: { url: string },
  entities: unknown[],
  more: Record<string, unknown> = {},
): Promise<TestOrm> {
  const orm = await openOrm(entities, { file: url, schema: false, ...more });
  t.teardown(() => orm.close(true));
  return orm;
}

/** Each value as the database itself writes it: its class, `quote()`, and its bytes. Works in a file and on a server. */
export async function texts(orm: TestOrm, except: string[] = []): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  const tables = (await query(
    orm,
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'libsql%' ORDER BY name",
  )) as [string][];
  for (const [table] of tables) {
    if (except.includes(table)) continue;
    const columns = (await query(orm, `SELECT name FROM pragma_table_xinfo('${table}') ORDER BY name`)) as [string][];
    const cells = columns.map(([name]) => {
      const q = `"${name.replaceAll('"', '""')}"`;
      const blob = `CAST(${q} AS BLOB)`;
      const ends = `length(${blob})||' '||hex(substr(${blob}, 1, 9999))||' '||hex(substr(${blob}, -9999))`;
      const bytes = `CASE WHEN length(${blob}) > 20000 THEN ${ends} ELSE hex(${blob}) END`;
      // quote() ends a text at its first NUL, and shows no sign of a zero.
      return `'${name.replaceAll("'", "''")}='||typeof(${q})||' '||CASE typeof(${q}) WHEN 'real' THEN quote(${q})||' '||printf('%!.20e', ${q}) WHEN 'null' THEN '' ELSE ${bytes} END`;
    });
    const lines: string[] = [];
    // The server's values have a limit, and so has a sum of many.
    for (let at = 0; at < cells.length; at += 50) {
      const part = cells.slice(at, at + 50).join("||' '||");
      const rows = (await query(orm, `SELECT ${part} AS line FROM "${table}" NOT INDEXED`)) as [string][];
      rows.forEach(([line], i) => {
        lines[i] = `${lines[i] ?? ''} ${line}`;
      });
    }
    all[table] = lines.sort();
  }
  return all;
}
