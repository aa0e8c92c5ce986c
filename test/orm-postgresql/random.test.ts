/** Random PostgreSQL schemas and rows come back to the bit, compared by the server's own text of every row. */
import fc from 'fast-check';
import t from 'tap';
import {
  blind,
  copy,
  dump,
  exec,
  type PgOrm,
  query,
  serverReady,
  twins,
  withConnection,
} from '../support/postgresql.ts';
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

const q = (name: string) => `"${name.replaceAll('"', '""')}"`;
const s = (text: string) => `'${text.replaceAll("'", "''")}'`;
/** PostgreSQL has no NUL in text. */
const words = (draw: Draw, most = 24) => nastyText(draw, most).replaceAll('\0', '');
const int = (draw: Draw, bits: bigint) => {
  const [min, max] = [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  return s(String(chance(draw, 4) ? pick(draw, min, max, 0n, -1n) : draw(fc.bigInt, { min, max })));
};
const digits = (draw: Draw, most: number) => draw(fc.bigInt, { min: 0n, max: 10n ** BigInt(most) }).toString();
const sign = (draw: Draw) => pick(draw, '', '-');
const two = (n: number) => String(n).padStart(2, '0');
const date = (draw: Draw) =>
  `${`${1 + draw(fc.nat, 9998)}`.padStart(4, '0')}-${two(1 + draw(fc.nat, 11))}-${two(1 + draw(fc.nat, 27))}`;
const time = (draw: Draw) =>
  `${two(draw(fc.nat, 23))}:${two(draw(fc.nat, 59))}:${two(draw(fc.nat, 59))}.${String(draw(fc.nat, 999999)).padStart(6, '0')}`;
const zone = (draw: Draw) => pick(draw, '+00', '-15:59', '+13:45', '+01:02:03');
const point = (draw: Draw) => `(${float(draw)},${float(draw)})`;
const bits = (draw: Draw, min: number, max: number) =>
  draw(fc.array<number>, fc.nat(1), { minLength: min, maxLength: max }).join('');
const hex = (draw: Draw, length: number) =>
  Buffer.from(draw(fc.uint8Array, { minLength: length, maxLength: length })).toString('hex');

function float(draw: Draw): string {
  if (chance(draw, 3))
    return pick(draw, '0', '-0', '0.1', '1e-300', '5e-324', '1.7976931348623157e308', '123456789.123');
  return String(draw(fc.double, { noNaN: true, noDefaultInfinity: true }));
}

function json(draw: Draw): string {
  if (chance(draw, 4))
    return pick(
      draw,
      'null',
      '0',
      '""',
      '[]',
      '{}',
      ' { "b" : 1, "a" : 1.0, "a" : 2 } ',
      '"\\ud83d\\ude00"',
      '1e400',
      '12345678901234567890.10',
    );
  return JSON.stringify(draw(fc.jsonValue, { maxDepth: 2 })).replaceAll('\\u0000', '');
}

/** Text of an array's or composite's element. */
const quoted = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
const list = (draw: Draw, each: () => string) => Array.from({ length: draw(fc.nat, 3) }, each);
/** A literal that the column casts. */
const of = (sql: string, value: (draw: Draw) => string, key?: (n: number) => string): ColumnType => ({
  sql,
  value: (draw) => s(value(draw)),
  ...(key ? { key } : {}),
});

const number = (n: number) => `'${n * 3 - 5}'`;
const simple: ColumnType[] = [
  { sql: 'smallint', value: (draw) => int(draw, 16n), key: number },
  { sql: 'integer', value: (draw) => int(draw, 32n), key: number },
  { sql: 'bigint', value: (draw) => int(draw, 64n), key: (n) => `'${9007199254740990n + BigInt(n)}'` },
  of('numeric', (draw) =>
    chance(draw, 3)
      ? pick(draw, 'NaN', 'Infinity', '-Infinity', '0.00', '1e-30', '-0')
      : `${sign(draw)}${digits(draw, 40)}.${digits(draw, 20)}`,
  ),
  of('numeric(12,4)', (draw) => `${sign(draw)}${digits(draw, 7)}.${digits(draw, 3)}`),
  of('double precision', (draw) => (chance(draw, 2) ? pick(draw, 'NaN', 'Infinity', '-Infinity') : float(draw))),
  of('real', (draw) =>
    chance(draw, 3)
      ? pick(draw, 'NaN', 'Infinity', '-0', '1e-45', '3.4028235e38')
      : String(Math.fround(draw(fc.float, { noNaN: true, noDefaultInfinity: true }))),
  ),
  of('text', words, (n) => `'key ''${n}\\" é'`),
  of('varchar(40)', words, (n) => `'${n}\t'`),
  of(
    'char(10)',
    (draw) => words(draw, 8),
    (n) => `'${n}'`,
  ),
  of('"char"', (draw) => pick(draw, '', 'a', '\\', '"')),
  of('name', (draw) => words(draw, 8)),
  {
    sql: 'bytea',
    value: (draw) => `'\\x${hex(draw, draw(fc.nat, 12))}'`,
    key: (n) => `'\\x00${n.toString(16).padStart(6, '0')}'`,
  },
  of('boolean', (draw) => pick(draw, 't', 'f')),
  of(
    'date',
    (draw) => (chance(draw, 3) ? pick(draw, 'infinity', '-infinity', '0044-03-15 BC', '5874897-12-31') : date(draw)),
    (n) => `'2020-01-01'::date + ${n}`,
  ),
  of('time', time),
  of('timetz', (draw) => `${time(draw)}${pick(draw, '+00', '-15:59', '+13:45')}`),
  of(
    'timestamp',
    (draw) =>
      chance(draw, 3) ? pick(draw, 'infinity', '-infinity', '4714-11-24 00:00:00 BC') : `${date(draw)} ${time(draw)}`,
    (n) => `'2020-01-01'::timestamp + ${n} * interval '1 microsecond'`,
  ),
  of('timestamptz', (draw) =>
    chance(draw, 3)
      ? pick(draw, 'infinity', '-infinity', '294276-12-31 23:59:59.999999+00')
      : `${date(draw)} ${time(draw)}${zone(draw)}`,
  ),
  of(
    'interval',
    (draw) =>
      `${sign(draw)}${draw(fc.nat, 9999)} years ${sign(draw)}${draw(fc.nat, 99)} mons ${sign(draw)}${draw(fc.nat, 99999)} days ${sign(draw)}${time(draw)}`,
  ),
  of(
    'uuid',
    (draw) => hex(draw, 16),
    (n) => `'00000000-0000-0000-0000-${String(n).padStart(12, '0')}'`,
  ),
  of(
    'inet',
    (draw) => pick(draw, '0.0.0.0/0', '192.168.1.5/24', '::1', 'fe80::1/64', '10.0.0.1'),
    (n) => `'10.0.${n >> 8}.${n & 255}'`,
  ),
  of('cidr', (draw) => pick(draw, '10.0.0.0/8', '::/0', '192.168.1.0/24')),
  of('macaddr', (draw) => hex(draw, 6)),
  of('macaddr8', (draw) => hex(draw, 8)),
  of('json', json),
  of('jsonb', json),
  of('xml', (draw) => pick(draw, '<a/>', '<a b="&lt;">é</a>', 'text &amp; <b/>')),
  of('tsvector', (draw) => pick(draw, '', "'a':1A 'it''s':2,3B", 'fat:2 cat:3')),
  of('tsquery', (draw) => pick(draw, "'a' & !'b':A", 'fat <-> cat')),
  of('bit(9)', (draw) => bits(draw, 9, 9)),
  of('bit varying', (draw) => bits(draw, 0, 20)),
  of('money', (draw) => `${sign(draw)}${digits(draw, 9)}.${two(draw(fc.nat, 99))}`),
  of('point', point),
  of('box', (draw) => `${point(draw)},${point(draw)}`),
  of('path', (draw) => `[${point(draw)},${point(draw)}]`),
  of('polygon', (draw) => `(${point(draw)},${point(draw)})`),
  of('circle', (draw) => `<${point(draw)},${draw(fc.nat, 99)}>`),
  of('int4range', (draw) => pick(draw, 'empty', '[1,5)', '(,)', '[2147483646,)')),
  of('numrange', (draw) => `[${draw(fc.nat, 99)}.50,${100 + draw(fc.nat, 99)}.0]`),
  of('tstzrange', (draw) => pick(draw, '["2020-01-01 00:00:00.000001+00",infinity)', '(,"1999-12-31 23:59:59+05"]')),
  of('daterange', (draw) => pick(draw, '[2020-01-01,)', 'empty')),
  of('int8multirange', (draw) => pick(draw, '{}', '{[1,2),[5,9223372036854775807)}')),
  of('pg_lsn', (draw) => pick(draw, '0/0', 'FFFFFFFF/FFFFFFFF')),
  of('oid', (draw) => pick(draw, '0', '4294967295')),
  of('integer[]', (draw) => pick(draw, '{}', '{1,NULL,-3}', '[2:3]={7,8}', '{{1,2},{3,4}}', '[-1:0][5:5]={{1},{2}}')),
  of('text[]', (draw) => `{${list(draw, () => (chance(draw, 2) ? 'NULL' : quoted(words(draw, 8)))).join(',')}}`),
  of('jsonb[]', (draw) => `{${list(draw, () => quoted(json(draw).replace('1e400', '1'))).join(',')}}`),
  of('timestamptz[]', (draw) => `{${list(draw, () => quoted(`${date(draw)} ${time(draw)}+00`)).join(',')}}`),
  of(
    'mood',
    (draw) => pick(draw, 'sad', 'it\'s \\ "ok"', 'äöü', ''),
    (n) => s(['sad', 'it\'s \\ "ok"', 'äöü', ''][n % 4]!),
  ),
  of('mood[]', (draw) => pick(draw, '{}', '{sad,NULL,""}')),
  of('positive', (draw) => String(1 + draw(fc.nat, 1000))),
  of('pair', (draw) => `(${draw(fc.nat, 99)},${chance(draw, 3) ? '' : quoted(words(draw, 8))})`),
  of('pair[]', (draw) => `{${quoted(`(1,${quoted(words(draw, 6))})`)},NULL}`),
  of('positive[]', () => '{1,2}'),
];

const made = [
  "CREATE TYPE mood AS ENUM ('sad', 'it''s \\ \"ok\"', 'äöü', '')",
  'CREATE DOMAIN positive AS integer CHECK (VALUE > 0)',
  'CREATE TYPE pair AS (a integer, b text)',
  'CREATE SCHEMA "other S"',
];

const dialect: Dialect = {
  types: (draw) => {
    const type = pick(draw, ...simple);
    return chance(draw, 1) ? { ...type, more: ` DEFAULT ${type.value(draw)}` } : type;
  },
  keyTypes: simple.filter(({ key, sql }) => key && sql !== 'mood'),
  generated: (_draw, over) =>
    /^(text|varchar|smallint|integer|bigint|uuid)/.test(over.sql) && !over.sql.includes('[')
      ? {
          sql: 'text',
          generated: true,
          value: () => '',
          more: ` GENERATED ALWAYS AS (md5(${q(over.name)}::text)) STORED`,
        }
      : undefined,
  counters: ['GENERATED ALWAYS AS IDENTITY', 'GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY 7)'].map((more) => ({
    sql: 'bigint',
    value: () => '',
    key: (n: number) => String(n * 2),
    more: ` ${more}`,
    required: true,
  })),
  names: ['select', 'a b', 'ü', 'x"y', "it's", 'User', 'ctid2', 'r', 'x\\y'],
};

const schemaOf = (index: number) => (index === 1 ? 'other S' : 'public');

function ddl(table: RandomTable, index: number): string {
  const parts = table.columns.map(
    ({ name, sql, more, nullable }) => `${q(name)} ${sql}${more ?? ''}${nullable ? '' : ' NOT NULL'}`,
  );
  if (table.primaryKey.length) parts.push(`PRIMARY KEY (${table.primaryKey.map(q).join(', ')})`);
  for (const set of table.unique) parts.push(`UNIQUE (${set.map(q).join(', ')})`);
  return `CREATE TABLE ${q(schemaOf(index))}.${q(table.name)} (${parts.join(', ')})`;
}

function keys(draw: Draw, tables: RandomTable[]): string[] {
  return tables.flatMap((table, i) =>
    table.foreignKeys.map(({ columns, table: parent, references }) => {
      const how = pick(draw, '', ' DEFERRABLE', ' DEFERRABLE INITIALLY DEFERRED', ' ON DELETE CASCADE');
      return `ALTER TABLE ${q(schemaOf(i))}.${q(table.name)} ADD FOREIGN KEY (${columns.map(q).join(', ')}) REFERENCES ${q(schemaOf(tables.indexOf(parent)))}.${q(parent.name)} (${references.map(q).join(', ')})${how}`;
    }),
  );
}

if (await serverReady()) {
  t.test('random schemas and rows', { timeout: 3_600_000 }, async (t) => {
    let rows = 0;
    await randomly(t, 4, async (draw) => {
      const tables = randomTables(draw, dialect, 300);
      // A reference to a table that counts needs no counter of its own.
      for (const table of tables)
        for (const key of table.foreignKeys)
          for (const name of key.columns) delete table.columns.find((column) => column.name === name)!.more;
      const entities = tables.map(({ name, columns: [first] }, i) =>
        blind(`Random${i}`, {
          tableName: name,
          schema: schemaOf(i),
          properties: { key: { type: 'string', primary: true, fieldName: first!.name } },
        }),
      );
      const statements = [...made, ...tables.map(ddl)];
      const later = keys(draw, tables);
      const [from, to] = await twins(entities, statements);
      try {
        const inserts = tables.flatMap((table, i) => {
          const list = valueColumns(table).map(({ name }) => q(name));
          if (!table.rows.length) return [];
          const values = table.rows.map((row) => `(${row.join(', ')})`).join(', ');
          return [
            `INSERT INTO ${q(schemaOf(i))}.${q(table.name)} (${list.join(', ')}) OVERRIDING SYSTEM VALUE VALUES ${values}`,
          ];
        });
        await exec(from, ...inserts, ...later);
        await exec(to, ...later);
        for (const [i, table] of tables.entries()) {
          rows += table.rows.length;
          // Wherever the counter stands, it must stand there again.
          for (const column of table.columns.filter(({ more }) => more?.includes('IDENTITY')))
            if (chance(draw, 5))
              await exec(
                from,
                `SELECT nextval(pg_get_serial_sequence(${s(`${q(schemaOf(i))}.${q(table.name)}`)}, ${s(column.name)}))`,
              );
        }
        await compare(from, to, tables, [...statements, ...later], chance(draw, 5));
      } finally {
        for (const orm of [from, to]) await orm.close(true);
      }
    });
    t.comment(`${rows} rows`);
  });
}

async function counters(orm: PgOrm): Promise<string[]> {
  const found = await query(
    orm,
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' ORDER BY 1",
  );
  return withConnection(orm, async (db) => {
    const all: string[] = [];
    for (const [name] of found) all.push(`${name} ${(await db.all(`SELECT last_value, is_called FROM ${name}`))[0]}`);
    return all;
  });
}

async function compare(from: PgOrm, to: PgOrm, tables: RandomTable[], sql: string[], flush: boolean): Promise<void> {
  const names = tables.map(({ name }, i) => `${q(schemaOf(i))}.${q(name)}`);
  const same = async (how: string) => {
    const [a, b] = [await dump(from, names), await dump(to, names)];
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
