/** Two shops, compared without the help of what made the second one: rows by the database itself, files by their bytes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MikroORM } from '@mikro-orm/libsql';

export interface Comparison {
  compared: number;
  differences: string[];
}

/**
 * Every row of every table of two shops, by value and by type.
 *
 * @param emptied columns, as `table.column`, that the second shop must hold as NULL
 */
export async function compareRows(one: MikroORM, other: MikroORM, emptied: string[] = []): Promise<Comparison> {
  const result: Comparison = { compared: 0, differences: [] };
  const all = (orm: MikroORM, sql: string, params: unknown[] = []) =>
    orm.em.getConnection().execute<Record<string, string>[]>(sql, params);
  const tablesOf = async (orm: MikroORM) =>
    (await all(orm, `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`)).map(({ name }) => name!);
  const tables = await tablesOf(one);
  const others = await tablesOf(other);
  if (String(tables) !== String(others)) result.differences.push('the tables are not the same');
  for (const table of tables.filter((name) => others.includes(name))) {
    const columns = (await all(one, `SELECT name FROM pragma_table_info(?)`, [table])).map(({ name }) => name!);
    // As SQL literals: 1, 1.0, '1', X'31' and NULL all differ.
    const rowsOf = async (orm: MikroORM) => {
      const cells = columns.map((name) =>
        orm === one && emptied.includes(`${table}.${name}`) ? `'NULL'` : `quote("${name}")`,
      );
      return (await all(orm, `SELECT ${cells.join(` || ', ' || `)} AS cells FROM "${table}"`)).map((row) => row.cells!);
    };
    const [here, there] = [await rowsOf(one), await rowsOf(other)];
    const [mine, theirs] = [new Set(here), new Set(there)];
    const missing = here.filter((row) => !theirs.has(row)).length;
    const foreign = there.filter((row) => !mine.has(row)).length;
    // SQLite's own table of AUTOINCREMENT counters is compared too, but no row of the shop's.
    if (!table.startsWith('sqlite_')) result.compared += here.length;
    if (here.length !== there.length || missing || foreign)
      result.differences.push(
        `${table}: ${here.length} rows became ${there.length}, ${missing} are missing, ${foreign} are new`,
      );
  }
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
