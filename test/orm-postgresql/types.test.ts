/**
 * Every type of PostgreSQL, with its nastiest values, out of one database and into another. What arrives is compared
 * by the server, bit by bit, with the same values written there by plain SQL. docs/types-postgresql.md refers here.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { CopyToJson } from '../../lib/orm/drivers/postgresql-read.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import {
  blind,
  copy,
  database,
  differences,
  exec,
  type PgOrm,
  query,
  serverReady,
  summary,
  twins,
  withConnection,
} from '../support/postgresql.ts';

/** Values as SQL. What is no string literal is an expression. */
const TYPES: Record<string, string[]> = {
  smallint: ["'-32768'", "'32767'"],
  integer: ["'-2147483648'", "'0'"],
  bigint: ["'9223372036854775807'", "'-9223372036854775808'", "'9007199254740993'"],
  numeric: [
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "'0.000'",
    "'-1.50'",
    "'1e-300'",
    "'1e+1000'",
    "'123456789012345678901234567890.12345678901234567890'",
  ],
  'numeric(12,4)': ["'1.5'", "'-99999999.9999'", "'NaN'"],
  real: ["'NaN'", "'Infinity'", "'-0'", "'1e-45'", "'3.4028235e38'", "'0.1'"],
  'double precision': [
    "'NaN'",
    "'-Infinity'",
    "'-0'",
    "'5e-324'",
    "'1.7976931348623157e308'",
    "'0.1'",
    "'0.30000000000000004'",
  ],
  money: ["'92233720368547758.07'", "'-92233720368547758.08'", "'0.01'"],
  '"char"': ["'a'", "''", "E'\\\\'", "E'\\t'", '(-128)::"char"'],
  'character(5)': ["'ab'", "''", "' ab  '", "'é😀'"],
  'character varying(10)': ["''", "'ab   '", "E'a\\tb'"],
  text: [
    "''",
    "' '",
    "'NULL'",
    "E'\\\\N'",
    "E'\\\\.'",
    "E'\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\\u007f\"\\\\'",
    "'é😀\u2028\ufeff\uffff'",
    "E'\\\\x41'",
    "repeat('😀', 300000)",
    "E'\\n'",
  ],
  name: ["'x\"y'", "''"],
  bytea: ["'\\x'", "'\\x00ff0a0d095c4e22'", "'\\x5c4e'", "pg_catalog.decode(repeat('00ff', 100000), 'hex')"],
  boolean: ["'t'", "'f'"],
  date: ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2000-02-29'", "'0001-12-31 BC'"],
  timestamp: [
    "'infinity'",
    "'-infinity'",
    "'4713-01-01 00:00:00 BC'",
    "'294276-12-31 23:59:59.999999'",
    "'2024-03-31 02:30:00.000001'",
  ],
  'timestamp(0)': ["'2024-03-31 02:30:00'"],
  timestamptz: [
    "'infinity'",
    "'-infinity'",
    "'4713-01-02 00:00:00.000001+00 BC'",
    "'294276-12-31 23:59:59.999999+00'",
    "'2024-03-31 02:30:00.123456+01'",
  ],
  time: ["'24:00:00'", "'00:00:00.000001'"],
  timetz: ["'24:00:00-15:59'", "'12:00:00.5+05:30'", "'01:02:03.000004+00:00:01'"],
  interval: [
    "'-1 mons +2 days -03:04:05.000006'",
    "'178000000 years'",
    "'0'",
    "'1 year -1 day'",
    "'-0.000001 seconds'",
    "'2562047788:00:54.775807'",
  ],
  uuid: ["'00000000-0000-0000-0000-000000000000'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
  inet: ["'192.168.0.1/24'", "'::1'", "'::ffff:1.2.3.4/128'", "'10.0.0.1'"],
  cidr: ["'10.0.0.0/8'", "'::/0'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  json: ["'null'", '\' {"b":1,  "a":null,"b":2} \'', '\'"\\ud83d\\ude00 \\u0041"\'', "'[1.0,1e2]'"],
  jsonb: ["'null'", '\'{"b":1,"a":[1.10,-0,1e30]}\'', '\'"x\\u0001\\\\"\'', "'{}'", "'[]'", "'0.000'"],
  jsonpath: ["'$.a[*] ? (@ > 1)'", "'strict $'"],
  xml: ['\'<?xml version="1.0" encoding="latin1"?><a b="c">é &amp;</a>\'', "'text <b/> more'", "''"],
  'integer[]': ["'{}'", "'{1,NULL,3}'", "'[0:1]={1,2}'", "'[-2:-1][5:5]={{1},{2}}'", "'{{1,2},{3,4}}'"],
  'text[]': ["'{}'", '\'{"a,b","c\\"d","\\\\\\\\",NULL,"NULL","","{}"}\'', "ARRAY[E'\\n\\t', ' x ']"],
  'bytea[]': ["ARRAY['\\x00'::bytea, '\\x5c22'::bytea, NULL]"],
  'timestamptz[]': ['\'{infinity,"2024-03-31 02:30:00.123456+01",NULL}\''],
  'jsonb[]': ['ARRAY[\'{"a":"b,}"}\'::jsonb, \'null\'::jsonb, NULL]'],
  'numeric[]': ["'{NaN,1.500}'"],
  'double precision[]': ["'{-0,NaN,5e-324}'"],
  mood: ["'so \"so\", it''s'", "''"],
  'mood[]': ['\'{"",NULL}\''],
  positive: ["'7'"],
  pair: ['\'(1,"x,""y"" )")\'', "'(,)'", '\'(1,"")\'', "ROW(NULL, E'\\\\')"],
  'pair[]': ["ARRAY[ROW(1,'a\"')::pair, NULL]"],
  int4range: ["'empty'", "'[1,5)'", "'(,)'", "'[2,)'"],
  numrange: ["'(1.0,2.50]'"],
  tstzrange: ["'[2024-03-31 02:30:00.123456+01,infinity)'", "'[2024-01-01,)'"],
  daterange: ["'[infinity,)'", "'(,2024-01-01)'"],
  int4multirange: ["'{}'", "'{[1,3),[5,7)}'"],
  'bit(3)': ["'101'"],
  'bit varying': ["''", "'1010101010101'"],
  tsvector: ["$$'a':1A,3 'b''c':2B 'd\\\\'$$", "''"],
  tsquery: ["$$'a' & !'b' <-> 'c':*AB$$", "''"],
  point: ["'(-0,NaN)'", "'(1e-300,Infinity)'"],
  line: ["'{1,-1,0.1}'"],
  lseg: ["'[(0,0),(1,1)]'"],
  box: ["'(1,1),(0,-0)'"],
  path: ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"],
  polygon: ["'((0,0),(1,1),(2,0.1))'"],
  circle: ["'<(0,0),0.1>'"],
  oid: ["'4294967295'"],
  regclass: ["'public.types'", "'pg_catalog.pg_class'", '\'"other schema"."odd ""table"\'', "'-'"],
  regtype: ["'public.mood'", "'integer[]'"],
  regproc: ["'pg_catalog.now'"],
  pg_lsn: ["'FFFFFFFF/FFFFFFFF'"],
  pg_snapshot: ["'10:20:10,14,15'"],
  xid8: ["'18446744073709551615'"],
  int2vector: ["'1 -2 3'"],
  oidvector: ["'1 2'"],
  hstore: ['\'"a"=>NULL, "b"=>"", "c\\""=>"d=>"\'', "''"],
  citext: ["'ABC'", "'abc'"],
};

const DDL = [
  'CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public',
  'CREATE EXTENSION IF NOT EXISTS citext SCHEMA public',
  `CREATE TYPE mood AS ENUM ('', 'so "so", it''s')`,
  'CREATE DOMAIN positive AS integer CHECK (value > 0)',
  'CREATE DOMAIN document AS xml',
  'CREATE TYPE pair AS (a integer, b text)',
  'CREATE SCHEMA "other schema"',
  'CREATE TABLE "other schema"."odd ""table" (id integer)',
];
const names = Object.keys(TYPES);
const table = (name: string) =>
  `CREATE TABLE ${name} (id integer PRIMARY KEY, ${names.map((type, i) => `c${i} ${type}`).join(', ')}, doc document)`;
const rows = Math.max(...Object.values(TYPES).map((values) => values.length));
const insert = (name: string): string[] => [
  ...Array.from({ length: rows }, (_, row) => {
    const cells = names.map((type) => {
      const value = TYPES[type]![row];
      return value === undefined ? 'NULL' : `CAST(${value} AS ${type})`;
    });
    return `INSERT INTO ${name} VALUES (${row}, ${cells.join(', ')}, '<?xml version="1.0" encoding="latin1"?><d/>')`;
  }),
];

/** Sessions of the two apps differ in everything that changes how a value is written. */
const HABITS: [string[], string[]] = [
  [
    "datestyle = 'German, DMY'",
    "timezone = 'Asia/Kathmandu'",
    "bytea_output = 'escape'",
    "intervalstyle = 'iso_8601'",
    'extra_float_digits = -5',
    'search_path = public, "other schema"',
    'standard_conforming_strings = off',
    "xmloption = 'document'",
  ],
  [
    "datestyle = 'SQL, MDY'",
    "timezone = 'America/New_York'",
    "intervalstyle = 'sql_standard'",
    'array_nulls = off',
    'statement_timeout = 1000',
  ],
];

async function habits(orms: PgOrm[]): Promise<void> {
  for (const [i, orm] of orms.entries())
    await exec(orm, ...HABITS[i]!.map((one) => `ALTER DATABASE ${orm.database} SET ${one}`));
}

if (await serverReady()) {
  t.test('each type and each value arrives bit by bit', async (t) => {
    const [from, to] = await twins([blind('Types')], [...DDL, table('types')]);
    await exec(from, ...insert('types'));
    await exec(to, table('expected'), ...insert('expected'));
    await habits([from, to]);
    const checkSame = async (t: Test, what: string) => {
      const cells = [...names.map((_, i) => `c${i}`), 'doc'].map(
        (c) =>
          `count(*) FILTER (WHERE ROW(a.${c})::record OPERATOR(pg_catalog.*<>) ROW(b.${c})::record) || ' ' || count(a.${c})`,
      );
      const [found] = await query(to, `SELECT ${cells.join(', ')} FROM types AS a FULL JOIN expected AS b USING (id)`);
      for (const [i, type] of [...names, 'document'].entries()) {
        const wanted = type === 'document' ? rows : TYPES[type]!.length;
        t.equal(found![i], `0 ${wanted}`, `${type}: ${wanted} values ${what}`);
      }
      t.equal(await differences(to, 'types', 'expected'), 0, 'whole rows too');
    };
    t.same(summary(await copy(from, to)), { types: `${rows}/0/0` });
    await checkSame(t, 'into an empty table');
    t.same(summary(await copy(from, to)), { types: `0/0/${rows}` }, 'a merge sees no difference');
    // Equal for the type's own operator, and another value all the same.
    await exec(
      to,
      `UPDATE types SET ${names.map((_, i) => `c${i} = NULL`).join(', ')} WHERE id % 2 = 0`,
      "UPDATE types SET c3 = '0.0', c6 = '0' WHERE id IN (3, 2)",
    );
    const counts = await copy(from, to);
    t.match(counts.tables[0], { inserted: 0, untouched: 4 });
    await checkSame(t, 'by a merge');
  });

  t.test('generated and identity columns, NULL against empty, no columns at all', async (t) => {
    const ddl = [
      `CREATE TABLE odd (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Name" text, name text,
         up text GENERATED ALWAYS AS (upper("Name")) STORED, serial integer GENERATED ALWAYS AS IDENTITY, "a ""b'c" text)`,
      'CREATE TABLE bare ()',
      'CREATE TABLE defaults (d integer GENERATED ALWAYS AS (1) STORED)',
    ];
    const [from, to] = await twins([blind('Odd'), blind('Bare'), blind('Defaults')], ddl);
    await exec(
      from,
      `INSERT INTO odd ("Name", name, "a ""b'c") VALUES ('', NULL, E'\\\\'), ('x', 'y', '😀')`,
      'UPDATE odd SET id = DEFAULT WHERE id = 1',
    );
    await exec(
      from,
      'INSERT INTO bare DEFAULT VALUES',
      'INSERT INTO bare DEFAULT VALUES',
      'INSERT INTO defaults DEFAULT VALUES',
    );
    t.same(summary(await copy(from, to)), { odd: '2/0/0', bare: '2/0/0', defaults: '1/0/0' });
    const all = `SELECT id, "Name", name, up, serial, "a ""b'c" FROM odd ORDER BY id`;
    t.same(await query(to, all), await query(from, all));
    t.same(await query(to, 'SELECT (SELECT count(*) FROM bare), (SELECT d FROM defaults)'), [['2', '1']]);
    await exec(to, `UPDATE odd SET serial = DEFAULT, name = 'z' WHERE id = 3`);
    t.same(summary(await copy(from, to, { only: ['Odd'] })), { odd: '0/1/1' }, 'an identity column that differs');
    t.same(await query(to, all), await query(from, all));
  });

  t.test('random rows', async (t) => {
    const columns =
      'a text, b numeric, c double precision, d bytea, e text[], f timestamptz, g interval, h bigint, i json, j jsonb, k real, l uuid';
    const ddl = [
      `CREATE TABLE random (id integer PRIMARY KEY, ${columns})`,
      `CREATE TABLE expected (id integer PRIMARY KEY, ${columns})`,
    ];
    const [from, to] = await twins([blind('Random')], ddl);
    await habits([from]);
    const text = fc
      .oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom('', '\\N', '\\.', '\\', '"', '\t', '\n', '\r', '\b\f\v', 'NULL', '{}', '\u007f', '\u0001'),
      )
      .map((value) => value.replaceAll('\0', ''));
    const micros = fc.bigInt({ min: -200_000_000_000_000_000n, max: 9_000_000_000_000_000_000n });
    const row = fc.tuple(
      text,
      fc
        .tuple(fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }), fc.integer({ min: -60, max: 60 }))
        .map(([n, e]) => `${n}e${e}`),
      fc.double().map((n) => (Object.is(n, -0) ? '-0' : String(n))),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`),
      fc.array(fc.option(text), { maxLength: 4 }),
      micros,
      micros,
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
      fc.json().map((json) => (json.includes('\\u0000') ? 'null' : json)),
      fc.json().map((json) => (json.includes('\\u0000') || /e\+?\d{3}/i.test(json) ? 'null' : json)),
      fc.float().map((n) => (Object.is(n, -0) ? '-0' : String(n))),
      fc.uuid(),
    );
    const put = async (orm: PgOrm, name: string, list: unknown[][]) => {
      const json = JSON.stringify(
        list.map((cells) => cells.map((cell) => (typeof cell === 'bigint' ? String(cell) : cell))),
      );

      await withConnection(orm, async (db) => {
        for (const [id, cells] of (JSON.parse(json) as unknown[][]).entries())
          await db.run(
            `INSERT INTO ${name} VALUES ($1, $2, $3::numeric, $4::float8, decode(substr($5, 3), 'hex'), $6, 'epoch'::timestamptz + ($7::numeric / 1000000) * interval '1 second', ($8::numeric / 1000000) * interval '1 second', $9, $10, $11, $12::real, $13)`,
            [id, ...cells.map((cell) => cell)],
          );
      });
    };
    const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);
    t.comment(`DBS_TEST_SEED=${seed}`);
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.array(fc.constant(0), { maxLength: 0 }).chain(() => row),
          { minLength: 1, maxLength: 40 },
        ),
        async (list) => {
          await exec(from, 'TRUNCATE random');
          await exec(to, 'TRUNCATE expected');
          await put(from, 'random', list);
          await put(to, 'expected', list);
          await copy(from, to, { mode: 'flush' });
          assert.equal(await differences(to, 'random', 'expected'), 0);
          assert.deepEqual(summary(await copy(from, to)), { random: `0/0/${list.length}` });
        },
      ),
      { seed, numRuns: Number(process.env.DBS_TEST_RUNS ?? 10) },
    );
    t.pass();
  });

  t.test('text that is no UTF-8 is refused, not changed', async (t) => {
    const orm = await database(
      [blind('Raw')],
      ['CREATE TABLE raw (id integer PRIMARY KEY, x text)', "INSERT INTO raw VALUES (1, E'\\xff')"],
      {
        create: "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
      },
    );
    const source = createRowSource(orm);
    await t.rejects(source.toArray(), { code: 'ERR_SOURCE_TEXT_ENCODING', message: /"raw"/ });
    await exec(orm, "UPDATE raw SET x = E'\\xc3\\xa9'");
    const [, to] = await twins([blind('Raw')], ['CREATE TABLE raw (id integer PRIMARY KEY, x text)']);
    await copy(orm, to);
    t.same(await query(to, 'SELECT x FROM raw'), [['é']]);
  });
}

t.test('COPY as JSON, however the chunks are cut', async (t) => {
  const input = Buffer.from(
    'a\\tb\t\\N\t\\\\N\t\t"é😀\\v\u0001\t\\N\tk\\\\\n\\N\t\\N\t\\b\\f\\r\\n\tx\\\\\t\u001f\tkey "1"\t\\N\n',
  );
  const rows = [
    ['a\tb', null, '\\N', '', '"é😀\u000b\u0001'],
    [null, null, '\b\f\r\n', 'x\\', '\u001f'],
  ];
  const keys = [
    [null, 'k\\'],
    ['key "1"', null],
  ];
  for (let size = 1; size <= input.length; size++) {
    for (const limit of [1, 1000]) {
      const parser = new CopyToJson(5, 2, limit);
      const batches = [];
      for (let at = 0; at < input.length; at += size) batches.push(...parser.push(input.subarray(at, at + size)));
      const last = parser.end();
      if (last) batches.push(last);
      const lines = Buffer.concat(batches.map(({ data }) => data)).toString();
      assert.deepEqual(
        lines
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
        rows,
      );
      assert.deepEqual(
        batches.flatMap((batch) => batch.keys),
        keys,
      );
      assert.equal(
        batches.reduce((sum, { count }) => sum + count, 0),
        2,
      );
    }
  }
  const wide = new CopyToJson(1, 0, 100);
  const value = '\\\\"\u0001é'.repeat(200_000);
  const out = [...wide.push(Buffer.from(`${value}\nx\n`))];
  const end = wide.end();
  const all = Buffer.concat([...out, ...(end ? [end] : [])].map(({ data }) => data))
    .toString()
    .trimEnd()
    .split('\n');
  t.same(
    all.map((line) => JSON.parse(line)[0].length),
    [200_000 * 4, 1],
  );
  const none = new CopyToJson(0);
  t.same(
    [...none.push(Buffer.from('\n\n')), none.end()].map((batch) => String(batch?.data)),
    ['[]\n[]\n'],
  );
});
