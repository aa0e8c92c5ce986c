/** Apps on libSQL servers (sqld.ts), and what is in their tables. */
import type t from 'tap';
import { openOrm, type TestOrm } from './orm.ts';
import { query } from './orm-database.ts';
import { program, type Server, startServer } from './sqld.ts';

export { freePort, type Server } from './sqld.ts';

type Test = Pick<typeof t, 'fail' | 'teardown'>;

/** Says so loudly where there is no server. */
export function serverRuns(t: Test): boolean {
  if (program) return true;
  t.fail('CANNOT RUN: no libSQL server (npm test -- test/orm-libsql fetches it, with DBS_TEST_INSTALL=1)');
  return false;
}

/** A server of its own, killed with the test. */
export async function server(t: Test, options: string[] = []): Promise<Server> {
  const started = await startServer(options);
  t.teardown(started.kill);
  return started;
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
