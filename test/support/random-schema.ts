/**
 * Random schemas and rows, in a database's own SQL: what test/orm/random, test/orm-postgresql/random and
 * test/orm-mysql/random have in common. Each says its types; tables, keys and references come from here.
 */
import fc from 'fast-check';
import type { Test } from 'tap';

/** Draws values, as `fc.gen()` gives it: a failing case shrinks. */
export type Draw = <T, A extends unknown[]>(arbitrary: (...args: A) => fc.Arbitrary<T>, ...args: A) => T;

export interface ColumnType {
  /** As DDL says it. */
  sql: string;
  /** A value as an SQL expression; never NULL. */
  value: (draw: Draw) => string;
  /** Where it can be a key: the n-th value, unlike all others. */
  key?: (n: number) => string;
  /** After the type: `GENERATED ...`, say. Such a column gets no value. */
  generated?: boolean;
  /** Further words, for columns whose values are given all the same: an identity. */
  more?: string;
  /** Never NULL. */
  required?: boolean;
}

export interface RandomColumn extends ColumnType {
  name: string;
  nullable: boolean;
}

export interface RandomTable {
  name: string;
  columns: RandomColumn[];
  primaryKey: string[];
  unique: string[][];
  foreignKeys: { columns: string[]; table: RandomTable; references: string[] }[];
  /** Expressions in the order of the columns that take values. */
  rows: string[][];
}

export interface Dialect {
  types: (draw: Draw) => ColumnType;
  keyTypes: ColumnType[];
  /** A generated column over another one, or nothing. */
  generated: (draw: Draw, over: RandomColumn) => ColumnType | undefined;
  /** Columns that count by themselves; at most one a table, and it is the primary key. */
  counters: ColumnType[];
  /** Names that need quoting, and those that mean something here. */
  names: string[];
}

export const pick = <T>(draw: Draw, ...values: T[]): T => draw(fc.constantFrom<T[]>, ...values) as T;
export const chance = (draw: Draw, ofTen: number): boolean => draw(fc.nat, 9) < ofTen;

/** Text that breaks quoting, escaping, COPY, JSON and character sets. */
export function nastyText(draw: Draw, most = 24): string {
  const known = [
    '',
    ' ',
    '  both  ',
    '\\',
    '\\N',
    '\\.',
    '"',
    "'",
    "''",
    '`',
    '\t',
    '\n',
    '\r\n',
    '\b\f\u000b\u0001\u001f\u007f',
    'null',
    'NULL',
    '[]',
    '{"b":""}',
    '😀👩‍👩‍👧',
    'é',
    'e\u0301',
    '\u2028\u2029',
    '\ufeff',
    '\uffff',
    '\u{10ffff}',
    '%s$1\\u0000',
    '0',
    '-0',
    '1e5',
    'ß',
    'İ',
  ];
  const text = chance(draw, 5) ? pick(draw, ...known) : draw(fc.string, { unit: 'binary', maxLength: most });
  return [...text].slice(0, most).join('');
}

export function randomTables(draw: Draw, dialect: Dialect, mostRows: number): RandomTable[] {
  const tables: RandomTable[] = [];
  const count = 1 + draw(fc.nat, 3);
  for (let i = 0; i < count; i++) tables.push(table(draw, dialect, i, mostRows));
  for (const one of tables) references(draw, one, tables);
  return tables;
}

function table(draw: Draw, dialect: Dialect, index: number, mostRows: number): RandomTable {
  const columns: RandomColumn[] = [];
  const primaryKey: string[] = [];
  const add = (type: ColumnType, nullable: boolean, key = false) => {
    const n = columns.length;
    const plain = `c${n}`;
    const name = chance(draw, 7) ? plain : `${pick(draw, ...dialect.names)}${chance(draw, 5) ? n : ''}`;
    const taken = columns.some((column) => column.name.toLowerCase() === name.toLowerCase());
    const column = { ...type, nullable: nullable && !type.required, name: taken ? plain : name };
    columns.push(column);
    if (key) primaryKey.push(column.name);
    return column;
  };
  // No key, one that counts, one of any type, or several columns.
  const kind = draw(fc.nat, 9);
  if (kind >= 2 && kind < 5) add(pick(draw, ...dialect.counters), false, true);
  else if (kind >= 5 && kind < 8) add(pick(draw, ...dialect.keyTypes), false, true);
  else if (kind >= 8) for (let i = 0; i < 2 + draw(fc.nat, 1); i++) add(pick(draw, ...dialect.keyTypes), false, true);
  for (let i = draw(fc.nat, 6) + (kind < 2 ? 1 : 0); i > 0; i--) {
    const column = add(dialect.types(draw), chance(draw, 7));
    const generated = chance(draw, 2) ? dialect.generated(draw, column) : undefined;
    if (generated) add(generated, true);
  }
  const unique: string[][] = [];
  if (chance(draw, 4)) unique.push([add({ ...pick(draw, ...dialect.keyTypes) }, chance(draw, 5)).name]);
  const uniqueNames = new Set([...primaryKey, ...unique.flat()]);
  const rows: string[][] = [];
  const n = draw(fc.nat, 9) === 0 ? mostRows : draw(fc.nat, 12);
  for (let r = 0; r < n; r++) {
    rows.push(
      columns
        .filter(({ generated }) => !generated)
        .map((column) => {
          if (column.nullable && chance(draw, 3)) return 'NULL';
          return uniqueNames.has(column.name) ? column.key!(r + 1) : column.value(draw);
        }),
    );
  }
  return {
    name: `t${index}${pick(draw, '', '', ' x', '"q', 'Ü')}`,
    columns,
    primaryKey,
    unique,
    foreignKeys: [],
    rows,
  };
}

/** Foreign keys to any table with a key, itself and those that refer back included. */
function references(draw: Draw, child: RandomTable, tables: RandomTable[]): void {
  for (const parent of tables) {
    if (!parent.primaryKey.length || !chance(draw, 4)) continue;
    const keys = parent.primaryKey.map((name) => parent.columns.find((column) => column.name === name)!);
    const places = keys.map((key) => parent.columns.filter(({ generated }) => !generated).indexOf(key));
    const columns = keys.map((key, i): RandomColumn => {
      const { generated: _, more: __, required: ___, ...type } = key;
      return { ...type, name: `r${child.columns.length + i}`, nullable: true };
    });
    // A copy: a child that is its own parent changes its rows.
    const values = parent.rows.map((row) => places.map((place) => row[place]!));
    child.columns.push(...columns);
    child.foreignKeys.push({ columns: columns.map(({ name }) => name), table: parent, references: parent.primaryKey });
    for (const row of child.rows) {
      const chosen =
        values.length && chance(draw, 8) ? values[draw(fc.nat, values.length - 1)]! : keys.map(() => 'NULL');
      row.push(...chosen);
    }
  }
}

/** For `INSERT INTO ... (columns) VALUES`. */
export const valueColumns = (table: RandomTable): RandomColumn[] => table.columns.filter(({ generated }) => !generated);

/**
 * Runs `check` on random cases: DBS_TEST_RANDOM says how many, DBS_TEST_SEED which. A failure prints seed and path.
 *
 * @param few cases without DBS_TEST_RANDOM
 */
export async function randomly(t: Test, few: number, check: (draw: Draw) => Promise<void>): Promise<void> {
  const numRuns = Number(process.env.DBS_TEST_RANDOM ?? few);
  const seed = Number(process.env.DBS_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.comment(`seed ${seed}, ${numRuns} cases: DBS_TEST_SEED=${seed} DBS_TEST_RANDOM=${numRuns}`);
  const property = fc.asyncProperty(fc.gen(), (gen) => check(gen as unknown as Draw));
  const outcome = await fc.check(property, { numRuns, seed, endOnFailure: process.env.DBS_TEST_SHRINK === undefined });
  // Whole, with the values that led here.
  if (outcome.failed) t.comment(`path ${outcome.counterexamplePath}: ${(outcome.errorInstance as Error)?.stack}`);
  t.notOk(outcome.failed, `${numRuns} random schemas, seed ${seed}`);
}
