/** Two shops, compared without the help of what made the second one: rows by the database itself, files by their bytes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MikroORM } from '@mikro-orm/libsql';

export interface Comparison {
  compared: number;
  differences: string[];
}

/**
 * Every row of every table of two SQLite files, by value and by type.
 *
 * @param emptied columns, as `table.column`, that the second shop must hold as NULL
 */
export async function compareRows(orm: MikroORM, other: string, emptied: string[] = []): Promise<Comparison> {
  const result: Comparison = { compared: 0, differences: [] };
  const db = orm.em.getConnection();
  const all = (sql: string, params: unknown[] = []) => db.execute<Record<string, string>[]>(sql, params);
  await db.execute('ATTACH DATABASE ? AS other', [other]);
  const tablesOf = async (schema: string) =>
    (await all(`SELECT name FROM ${schema}.sqlite_master WHERE type = 'table' ORDER BY name`)).map(({ name }) => name!);
  const tables = await tablesOf('main');
  if (String(tables) !== String(await tablesOf('other'))) result.differences.push('the tables are not the same');
  for (const table of tables) {
    const columns = (await all(`SELECT name FROM pragma_table_info(?)`, [table])).map(({ name }) => name!);
    // As SQL literals: 1, 1.0, '1', X'31' and NULL all differ.
    const cells = (schema: string) =>
      columns
        .map((name) => (schema === 'main' && emptied.includes(`${table}.${name}`) ? `'NULL'` : `quote("${name}")`))
        .join(', ');
    const rows = (schema: string) => `SELECT ${cells(schema)} FROM ${schema}."${table}"`;
    const [counts] = await all(
      `SELECT (SELECT count(*) FROM main."${table}") AS here, (SELECT count(*) FROM other."${table}") AS there,
        (SELECT count(*) FROM (${rows('main')} EXCEPT ${rows('other')})) AS missing,
        (SELECT count(*) FROM (${rows('other')} EXCEPT ${rows('main')})) AS foreign_rows`,
    );
    const { here, there, missing, foreign_rows } = counts as Record<string, unknown> as Record<string, number>;
    // SQLite's own table of AUTOINCREMENT counters is compared too, but no row of the shop's.
    if (!table.startsWith('sqlite_')) result.compared += here!;
    if (here !== there || missing || foreign_rows)
      result.differences.push(
        `${table}: ${here} rows became ${there}, ${missing} are missing, ${foreign_rows} are new`,
      );
  }
  await db.execute('DETACH DATABASE other');
  return result;
}

/** Every file of two folders, byte for byte. */
export async function compareFiles(one: string, other: string): Promise<Comparison & { bytes: number }> {
  const result = { compared: 0, bytes: 0, differences: [] as string[] };
  const [mine, theirs] = [await filesIn(one), await filesIn(other)];
  for (const path of theirs) if (!mine.includes(path)) result.differences.push(`${path} was not there before`);
  for (const path of mine) {
    const before = await readFile(join(one, path));
    const after = theirs.includes(path) ? await readFile(join(other, path)) : null;
    result.compared++;
    result.bytes += before.length;
    if (!after) result.differences.push(`${path} is missing`);
    else if (!before.equals(after)) result.differences.push(`${path} has other content`);
  }
  return result;
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
