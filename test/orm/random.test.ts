/** Random SQLite schemas and rows come back to the bit: any table, any value in any column, compared by SQLite itself. */
import fc from 'fast-check';
import t from 'tap';
import { core, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec } from '../support/orm-database.ts';
import {
  type ColumnType,
  chance,
  type Dialect,
  type Draw,
  nastyText,
  pick,
  type RandomTable,
  randomly,
  randomTables,
  valueColumns,
} from '../support/random-schema.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const q = (name: string) => `"${name.replaceAll('"', '""')}"`;
const hex = (bytes: Uint8Array) => `X'${Buffer.from(bytes).toString('hex')}'`;
const text = (value: string) => `CAST(${hex(Buffer.from(value))} AS TEXT)`;

function integer(draw: Draw): string {
  const known = ['0', '1', '-1', '9007199254740991', '9007199254740992', '-9007199254740993', '9223372036854775807'];
  // The smallest one has no literal.
  if (chance(draw, 1)) return '(-9223372036854775807 - 1)';
  return chance(draw, 5)
    ? pick(draw, ...known)
    : String(draw(fc.bigInt, { min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }));
}

function real(draw: Draw): string {
  const known = [
    '0.0',
    '-0.0',
    '9e999',
    '-9e999',
    '5e-324',
    '1.7976931348623157e308',
    '0.1',
    '-12.5',
    '1.0',
    '0.3',
    '1e15',
    '123456789.123456',
    '999999999.999999',
    '4503599627370497.5',
    '0.000001',
    '-0.0000001',
    '2.5e-7',
  ];
  if (chance(draw, 5)) return pick(draw, ...known);
  if (chance(draw, 4)) return `${draw(fc.integer, { min: -1e9, max: 1e9 })}/100.0`;
  const value = draw(fc.double, { noNaN: true, noDefaultInfinity: true });
  return Object.is(value, -0) ? '-0.0' : value.toExponential();
}

function blob(draw: Draw): string {
  if (chance(draw, 1)) return `zeroblob(${pick(draw, 1023, 1024, 1025, 1026, 5000)})`;
  return hex(draw(fc.uint8Array, { maxLength: 20 }));
}

/** SQLite stores anything anywhere. */
function any(draw: Draw): string {
  switch (draw(fc.nat, 6)) {
    case 0:
    case 1:
      return integer(draw);
    case 2:
      return real(draw);
    case 3:
      return blob(draw);
    case 4:
      // Bytes that are no UTF-8, and NUL.
      return `CAST(${hex(draw(fc.uint8Array, { minLength: 1, maxLength: 8 }))} AS TEXT)`;
    case 5:
      return chance(draw, 1) ? `printf('%.*c', ${pick(draw, 2030, 2048, 3000)}, 'x')` : text(nastyText(draw));
    default:
      return text(nastyText(draw));
  }
}

const declared = [
  'INTEGER',
  'INT',
  'BIGINT',
  'TEXT',
  'VARCHAR(10)',
  'REAL',
  'DOUBLE',
  'NUMERIC',
  'DECIMAL(10,2)',
  'BLOB',
  '',
  'BOOLEAN',
  'DATETIME',
  'JSON',
  'TEXT COLLATE NOCASE',
];
const keyTypes: ColumnType[] = [
  { sql: 'TEXT', value: any, key: (n) => `'key ''${n}" é'` },
  { sql: 'INT', value: any, key: (n) => String(n * 7 - 20) },
  { sql: 'BLOB', value: any, key: (n) => `X'00${n.toString(16).padStart(6, '0')}'` },
  { sql: 'REAL', value: any, key: (n) => `${n} / 7.0` },
];
const dialect: Dialect = {
  types: (draw) => ({
    sql: pick(draw, ...declared),
    value: any,
    ...(chance(draw, 2)
      ? {
          more: ` DEFAULT ${any(draw)
            .replace(/^(?!')/, '(')
            .replace(/$/, ')')}`,
        }
      : {}),
  }),
  keyTypes,
  generated: (draw, over) => ({
    sql: 'TEXT',
    generated: true,
    value: any,
    more: ` GENERATED ALWAYS AS (typeof(${q(over.name)})) ${pick(draw, 'STORED', 'VIRTUAL')}`,
  }),
  counters: [
    { sql: 'INTEGER', value: any, key: (n) => String(n * 3) },
    {
      sql: 'INTEGER',
      value: any,
      key: (n) => (n === 1 ? '(-9223372036854775807 - 1)' : `${9007199254740990n + BigInt(n)}`),
    },
  ],
  names: ['rowid', 'oid', '_rowid_', 'select', 'a b', 'ü', 'x"y', "it's", 'l', 'r'],
};

function ddl(draw: Draw, table: RandomTable): string {
  const single =
    table.primaryKey.length === 1 ? table.columns.find(({ name }) => name === table.primaryKey[0])! : undefined;
  const alias = single?.sql === 'INTEGER';
  const counts = alias && chance(draw, 5);
  const parts = table.columns.map((column) => {
    const own = column === single && alias ? ` PRIMARY KEY${counts ? ' AUTOINCREMENT' : ''}` : '';
    return `${q(column.name)} ${column.sql}${column.more ?? ''}${own}${column.nullable || own ? '' : ' NOT NULL'}`;
  });
  if (table.primaryKey.length && !alias) parts.push(`PRIMARY KEY (${table.primaryKey.map(q).join(', ')})`);
  for (const set of table.unique) parts.push(`UNIQUE (${set.map(q).join(', ')})`);
  for (const key of table.foreignKeys)
    parts.push(
      `FOREIGN KEY (${key.columns.map(q).join(', ')}) REFERENCES ${q(key.table.name)} (${key.references.map(q).join(', ')})`,
    );
  const withoutRowid = table.primaryKey.length > 0 && !counts && chance(draw, 3);
  return `CREATE TABLE ${q(table.name)} (${parts.join(', ')})${withoutRowid ? ' WITHOUT ROWID' : ''}`;
}

/** Mirrors what the model knows: names only, the catalog says the rest. */
const entities = (tables: RandomTable[]) =>
  tables.map(
    ({ name, columns: [first] }, i) =>
      new EntitySchema({
        name: `Random${i}`,
        tableName: name,
        properties: { key: { type: 'string', primary: true, fieldName: first!.name } },
      }),
  );

t.test('random schemas and rows', { timeout: 3_600_000 }, async (t) => {
  let rows = 0;
  await randomly(t, 5, async (draw) => {
    const tables = randomTables(draw, dialect, 300);
    const made = tables.map((table) => ddl(draw, table));
    const pair: TestOrm[] = [];
    try {
      for (let i = 0; i < 2; i++) {
        pair.push(await openOrm(entities(tables), { schema: false }));
        await exec(pair[i]!, ...made);
      }
      const [from, to] = pair as [TestOrm, TestOrm];
      const inserts = tables.flatMap((table) => {
        const list = valueColumns(table).map(({ name }) => q(name));
        return table.rows.map((row) => `INSERT INTO ${q(table.name)} (${list.join(', ')}) VALUES (${row.join(', ')})`);
      });
      if (inserts.length) await exec(from, `PRAGMA foreign_keys = OFF; BEGIN; ${inserts.join('; ')}; COMMIT`);
      rows += inserts.length;
      await compare(from, to, tables, made, chance(draw, 5));
    } finally {
      for (const orm of pair) await orm.close(true);
    }
  });
  t.comment(`${rows} rows`);
});

async function compare(
  from: TestOrm,
  to: TestOrm,
  tables: RandomTable[],
  made: string[],
  flush: boolean,
): Promise<void> {
  const same = async (how: string) => {
    const [a, b] = [await dump(from), await dump(to)];
    for (const table of Object.keys(a)) {
      if (JSON.stringify(a[table]) !== JSON.stringify(b[table])) {
        const i = a[table]!.findIndex((row, at) => row !== b[table]![at]);
        throw new Error(
          `${how}: ${table} differs (${a[table]!.length} and ${b[table]!.length} rows):\n${a[table]![i]}\n${b[table]![i]}\n${made.join('\n')}`,
        );
      }
    }
  };
  await copy(from, to);
  await same('restored');
  // Once more: into what is there already.
  const keyed = tables.every(({ primaryKey, rows }) => primaryKey.length || !rows.length);
  await copy(from, to, { mode: flush || !keyed ? 'flush' : 'merge' });
  await same(flush || !keyed ? 'flushed' : 'merged');
}
