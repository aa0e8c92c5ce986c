/** Random MariaDB or MySQL schemas and rows come back to the byte, compared by the server's own bytes of every value. */
import fc from 'fast-check';
import t from 'tap';
import {
  type Any,
  cleanUp,
  copy,
  core,
  dump,
  exec,
  isMaria,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
  withDatabase,
} from '../support/mysql.ts';
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

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const q = (name: string) => `\`${name.replaceAll('`', '``')}\``;
const hex = (bytes: Uint8Array) => `X'${Buffer.from(bytes).toString('hex')}'`;
const words = (text: string) => `CONVERT(${hex(Buffer.from(text))} USING utf8mb4)`;
const raw = (draw: Draw, most: number) => hex(draw(fc.uint8Array, { maxLength: most }));
const int = (draw: Draw, bits: bigint, unsigned = false) => {
  const [min, max] = unsigned ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  return String(chance(draw, 4) ? pick(draw, min, max, 0n, 1n) : draw(fc.bigInt, { min, max }));
};
const digits = (draw: Draw, most: number) => draw(fc.bigInt, { min: 0n, max: 10n ** BigInt(most) - 1n }).toString();
const sign = (draw: Draw) => pick(draw, '', '-');
const two = (n: number) => String(n).padStart(2, '0');
const time = (draw: Draw) =>
  `${two(draw(fc.nat, 23))}:${two(draw(fc.nat, 59))}:${two(draw(fc.nat, 59))}.${String(draw(fc.nat, 999999)).padStart(6, '0')}`;
const day = (draw: Draw) => `${two(1 + draw(fc.nat, 11))}-${two(1 + draw(fc.nat, 27))}`;
/** Zero dates and days that no month has, as ALLOW_INVALID_DATES lets them in. */
const date = (draw: Draw) =>
  chance(draw, 4)
    ? pick(draw, '0000-00-00', '2024-02-31', '2000-00-15', '9999-12-31', '1000-01-01')
    : `${1000 + draw(fc.nat, 8999)}-${day(draw)}`;
const float = (draw: Draw) =>
  chance(draw, 3)
    ? pick(draw, '0', '-0e0', '0.1', '1e-300', '1.7976931348623157e308', '-123456.789')
    : draw(fc.double, { noNaN: true, noDefaultInfinity: true }).toExponential();

/** Text in a character set: what has no form in it becomes a question mark on its way in, which is then the value. */
const text = (sql: string, most: number, key?: (n: number) => string): ColumnType => ({
  sql,
  value: (draw) => words(nastyText(draw, most)),
  ...(key ? { key } : {}),
});
const number = (n: number) => String(n * 3 - 5);
const maria = await isMaria();

const simple: ColumnType[] = [
  { sql: 'TINYINT', value: (draw) => int(draw, 8n) },
  { sql: 'SMALLINT UNSIGNED', value: (draw) => int(draw, 16n, true) },
  { sql: 'MEDIUMINT', value: (draw) => int(draw, 24n) },
  { sql: 'INT', value: (draw) => int(draw, 32n), key: number },
  { sql: 'INT(8) ZEROFILL', value: (draw) => int(draw, 32n, true) },
  { sql: 'BIGINT', value: (draw) => int(draw, 64n), key: (n) => String(9007199254740990n + BigInt(n)) },
  { sql: 'BIGINT UNSIGNED', value: (draw) => int(draw, 64n, true), key: (n) => String(2n ** 64n - 1n - BigInt(n)) },
  {
    sql: 'DECIMAL(65,30)',
    value: (draw) => `${sign(draw)}${digits(draw, 35)}.${digits(draw, 30)}`,
    key: (n) => `${n}.${n}`,
  },
  { sql: 'DECIMAL(10,2)', value: (draw) => `${sign(draw)}${digits(draw, 8)}.${digits(draw, 2)}` },
  { sql: 'DOUBLE', value: float },
  { sql: 'FLOAT', value: (draw) => draw(fc.float, { noNaN: true, noDefaultInfinity: true }).toExponential() },
  text('CHAR(20)', 20, (n) => `'k${n}'`),
  text('VARCHAR(60)', 40, (n) => `'key ''${n}'`),
  text('VARCHAR(60) COLLATE utf8mb4_bin', 40, (n) => `'${n} é'`),
  text('TEXT', 60),
  text('LONGTEXT CHARACTER SET latin1', 60),
  text('VARCHAR(30) CHARACTER SET utf16', 20, (n) => `'${n}'`),
  text('VARCHAR(30) CHARACTER SET sjis', 20),
  { sql: 'BINARY(8)', value: (draw) => raw(draw, 8), key: (n) => `X'${n.toString(16).padStart(16, '0')}'` },
  { sql: 'VARBINARY(40)', value: (draw) => raw(draw, 30), key: (n) => `X'ff${n.toString(16).padStart(6, '0')}'` },
  { sql: 'BLOB', value: (draw) => raw(draw, 40) },
  { sql: 'LONGBLOB', value: (draw) => raw(draw, 40) },
  { sql: 'BIT(1)', value: (draw) => pick(draw, "b'0'", "b'1'") },
  { sql: 'BIT(64)', value: (draw) => int(draw, 64n, true) },
  { sql: 'BOOLEAN', value: (draw) => pick(draw, 'TRUE', 'FALSE') },
  { sql: 'DATE', value: (draw) => `'${date(draw)}'`, key: (n) => `DATE_ADD('2020-01-01', INTERVAL ${n} DAY)` },
  {
    sql: 'DATETIME(6)',
    value: (draw) => `'${date(draw)} ${time(draw)}'`,
    key: (n) => `TIMESTAMPADD(MICROSECOND, ${n}, '2020-01-01')`,
  },
  { sql: 'DATETIME', value: (draw) => `'${date(draw)} ${time(draw)}'` },
  {
    sql: 'TIMESTAMP(6) NULL',
    value: (draw) =>
      chance(draw, 3)
        ? pick(draw, "'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'")
        : `'${2000 + draw(fc.nat, 36)}-${day(draw)} ${time(draw)}'`,
  },
  {
    sql: 'TIME(6)',
    value: (draw) => pick(draw, `'${time(draw)}'`, "'-838:59:59'", "'838:59:59'", "'-00:00:00.000001'"),
  },
  { sql: 'YEAR', value: (draw) => pick(draw, '0', '1901', '2155', "'0000'") },
  { sql: "ENUM('a','B','','it''s','é')", value: (draw) => pick(draw, '1', '2', '3', '4', '5') },
  { sql: "SET('a','b','c d','é')", value: (draw) => String(draw(fc.nat, 15)) },
  {
    sql: 'JSON',
    value: (draw) =>
      words(
        chance(draw, 4)
          ? pick(draw, 'null', ' { "b" : 1, "a" : 1.0 } ', '"😀"', '12345678901234567890')
          : JSON.stringify(draw(fc.jsonValue, { maxDepth: 2 })),
      ),
  },
  { sql: 'POINT', value: (draw) => `ST_GeomFromText('POINT(${draw(fc.nat, 99)} ${draw(fc.nat, 99)}.5)')` },
  { sql: 'GEOMETRY', value: () => "ST_GeomFromText('POLYGON((0 0,0 5,5 5,0 0))')" },
  ...(maria
    ? [
        {
          sql: 'UUID',
          value: (draw: Draw) => `'${draw(fc.uuid)}'`,
          key: (n: number) => `'00000000-0000-4000-8000-${String(n).padStart(12, '0')}'`,
        },
        { sql: 'INET6', value: (draw: Draw) => pick(draw, "'::1'", "'fe80::1'", "'::ffff:10.0.0.1'") },
        { sql: 'INET4', value: (draw: Draw) => pick(draw, "'10.0.0.1'", "'255.255.255.255'") },
      ]
    : []),
];

const dialect: Dialect = {
  types: (draw) => pick(draw, ...simple),
  keyTypes: simple.filter(({ key }) => key),
  generated: (draw, over) =>
    /^(INT|BIGINT|SMALLINT|DATE|DECIMAL)/.test(over.sql)
      ? {
          sql: 'VARCHAR(100)',
          generated: true,
          value: () => '',
          more: ` GENERATED ALWAYS AS (CONCAT('x', ${q(over.name)})) ${pick(draw, 'STORED', 'VIRTUAL')}`,
        }
      : undefined,
  counters: [
    { sql: 'BIGINT', value: () => '', key: (n) => String(n * 2), more: ' AUTO_INCREMENT', required: true },
    { sql: 'SMALLINT UNSIGNED', value: () => '', key: (n) => String(n - 1), more: ' AUTO_INCREMENT', required: true },
  ],
  names: ['select', 'a b', 'ü', 'x`y', "it's", 'User', 'r', 'x\\y', 'c"d'],
};

function ddl(draw: Draw, table: RandomTable): string {
  const parts = table.columns.map(({ name, sql, more, nullable }) =>
    `${q(name)} ${sql.replace(/ NULL$/, '')}${more ?? (nullable ? ' NULL' : ' NOT NULL')}`.replace(
      / TIMESTAMP\(6\) NOT NULL/,
      "$& DEFAULT '0000-00-00 00:00:00'",
    ),
  );
  if (table.primaryKey.length) parts.push(`PRIMARY KEY (${table.primaryKey.map(q).join(', ')})`);
  for (const set of table.unique) parts.push(`UNIQUE (${set.map(q).join(', ')})`);
  return `CREATE TABLE ${q(table.name)} (${parts.join(', ')}) CHARACTER SET ${pick(draw, 'utf8mb4', 'utf8mb4', 'latin1')}`;
}

function keys(tables: RandomTable[]): string[] {
  return tables.flatMap((table) =>
    table.foreignKeys.map(
      ({ columns, table: parent, references }) =>
        `ALTER TABLE ${q(table.name)} ADD FOREIGN KEY (${columns.map(q).join(', ')}) REFERENCES ${q(parent.name)} (${references.map(q).join(', ')})`,
    ),
  );
}

t.test('random schemas and rows', { timeout: 3_600_000 }, async (t) => {
  let rows = 0;
  await randomly(t, 4, async (draw) => {
    const tables = randomTables(draw, dialect, 300);
    for (const table of tables) {
      for (const key of table.foreignKeys)
        for (const name of key.columns) {
          const column = table.columns.find((one) => one.name === name)!;
          delete column.more;
          // The column's character set must be that of the key it refers to.
          const parent = key.table.columns.find((one) => one.name === key.references[key.columns.indexOf(name)])!;
          if (/^(VAR)?CHAR\(\d+\)$/.test(parent.sql)) parent.sql += ' CHARACTER SET utf8mb4';
          column.sql = parent.sql;
        }
    }
    const entities = tables.map(
      ({ name, columns: [first] }, i) =>
        new (core as Any).EntitySchema({
          name: `Random${i}`,
          tableName: name,
          properties: { key: { type: 'string', primary: true, fieldName: first!.name } },
        }),
    );
    const made = tables.map((table) => ddl(draw, table));
    const later = keys(tables);
    const from = await openDatabase([], entities);
    const to = await openDatabase([], entities);
    try {
      await withDatabase(from, async (db) => {
        for (const one of made) await db.run(one);
        for (const table of tables) {
          if (!table.rows.length) continue;
          rows += table.rows.length;
          const list = valueColumns(table).map(({ name }) => q(name));
          // IGNORE: too long, or without a form in the character set, is cut to what is then the value.
          await db.run(
            `INSERT IGNORE INTO ${q(table.name)} (${list.join(', ')}) VALUES ${table.rows.map((row) => `(${row.join(', ')})`).join(', ')}`,
          );
        }
        for (const one of later) await db.run(one);
      });
      await exec(to, ...made, ...later);
      await compare(from, to, tables, [...made, ...later], chance(draw, 5));
    } finally {
      await exec(from, `DROP DATABASE ${q(from.name)}`);
      await exec(to, `DROP DATABASE ${q(to.name)}`);
      for (const orm of [from, to]) await orm.close(true);
    }
  });
  t.comment(`${rows} rows`);
});

async function compare(
  from: TestOrm,
  to: TestOrm,
  tables: RandomTable[],
  sql: string[],
  flush: boolean,
): Promise<void> {
  const counters = async (orm: TestOrm) =>
    (
      await query(
        orm,
        'SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1',
      )
    ).map((row) => row.join(' '));
  const same = async (how: string) => {
    const [a, b] = [await dump(from), await dump(to)];
    a.counters = await counters(from);
    b.counters = await counters(to);
    for (const table of Object.keys(a)) {
      if (JSON.stringify(a[table]) !== JSON.stringify(b[table])) {
        const i = a[table]!.findIndex((row, at) => row !== b[table]![at]);
        throw new Error(
          `${how}: ${table} differs (${a[table]!.length} and ${b[table]!.length}):\n${a[table]![i]}\n${b[table]![i]}\n${sql.join('\n')}`,
        );
      }
    }
  };
  await copy(from, to);
  await same('restored');
  const keyed = tables.every(({ primaryKey, rows }) => primaryKey.length || !rows.length);
  await copy(from, to, { mode: flush || !keyed ? 'flush' : 'merge' });
  await same(flush || !keyed ? 'flushed' : 'merged');
}
