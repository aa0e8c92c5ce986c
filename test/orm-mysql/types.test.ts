/** Every type of MariaDB and MySQL comes back to the bit: compared by the server itself (HEX of its bytes, its own text). */
import fc from 'fast-check';
import t from 'tap';
import type { BackupItem, BackupSchema } from '../../lib/format/items.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import {
  cleanUp,
  copy,
  dump,
  exec,
  failure,
  isMaria,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
  tables,
} from '../support/mysql.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

/** By column: its type, and values as SQL. Each is stored as it is read here, without strict mode. */
const TYPES: Record<string, [type: string, ...values: string[]]> = {
  tiny: ['TINYINT', '-128', '127', '0'],
  tinyu: ['TINYINT UNSIGNED', '255'],
  flag: ['BOOLEAN', 'TRUE', 'FALSE', '7'],
  small: ['SMALLINT', '-32768'],
  medium: ['MEDIUMINT UNSIGNED', '16777215'],
  whole: ['INT', '-2147483648', '2147483647'],
  filled: ['INT(6) ZEROFILL', '42'],
  big: ['BIGINT', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
  bigu: ['BIGINT UNSIGNED', '18446744073709551615', '9007199254740993', '0'],
  money: [
    'DECIMAL(65,30)',
    "'99999999999999999999999999999999999.999999999999999999999999999999'",
    "'-0.000000000000000000000000000001'",
    '0',
  ],
  dec0: ['DECIMAL(38,0)', "'12345678901234567890123456789012345678'"],
  real: ['DOUBLE', '0.1', '1.7976931348623157e308', '5e-324', '-2.2250738585072014e-308', '1e23', '123456789012345680'],
  real2: ['DOUBLE', '-0e0', '-1.2345678901234567e-100', '-0.00012345678901234567', '-9.8765432109876543e15', '1e16'],
  fixed: ['DOUBLE(20,3)', '1.005', '123456789.125', '10', '-0e0'],
  fixed2: ['DOUBLE(60,30)', '-1.2345678901234567e-10', '-1.2345678901234567e25', '0.1'],
  single: ['FLOAT', '0.1', '16777216', '3.4028235e38', '1e-45', '1234567.9', '-1.1754944e-38'],
  singlef: ['FLOAT(7,3)', '1234.567', '-0e0'],
  day: ['DATE', "'0000-00-00'", "'2024-00-10'", "'2023-02-31'", "'9999-12-31'", "'0001-01-01'"],
  moment: ['DATETIME', "'0000-00-00 00:00:00'", "'1969-12-31 23:59:59'"],
  micro: ['DATETIME(6)', "'2024-02-29 23:59:59.999999'", "'0000-00-00 00:00:00.000001'"],
  stamp: [
    'TIMESTAMP NULL',
    "'1970-01-01 00:00:01'",
    "'2038-01-19 03:14:07'",
    "'0000-00-00 00:00:00'",
    "'2024-03-31 01:30:00'",
  ],
  stamp6: ['TIMESTAMP(6) NULL', "'2024-10-27 00:59:59.000001'", "'2024-10-27 01:59:59.999999'"],
  clock: ['TIME', "'838:59:59'", "'-838:59:59'", "'00:00:00'"],
  clock6: ['TIME(6)', "'-00:00:00.000001'", "'23:59:59.999999'"],
  years: ['YEAR', '0', '1901', '2155', '2000'],
  fixedtext: ['CHAR(5)', "'a'", "'a    '", "''"],
  text4: [
    'VARCHAR(200)',
    "'é'",
    "'👩‍👩‍👧‍👦 🇫🇷'",
    "''",
    "'trailing  '",
    "'\\\\ \\' \" \\n \\t \\r \\0 \\Z % _ `'",
    "'\\u2028'",
  ],
  text3: ['VARCHAR(50) CHARACTER SET utf8mb3', "'€ߏ'", "X'EDA080'", "X'EDB280EDA080'"],
  ascii: ['VARCHAR(50) CHARACTER SET ascii', "'plain'", "''"],
  latin: ['VARCHAR(50) CHARACTER SET latin1', "'éß€'", "X'818D8F909DFF00'"],
  latin2: ['VARCHAR(50) CHARACTER SET latin2', "X'A1B1FF'"],
  cp932: ['VARCHAR(50) CHARACTER SET cp932', "X'815F'", "X'8790'", "X'81E0'", "X'FA4A'"],
  sjis: ['VARCHAR(50) CHARACTER SET sjis', "X'815F5C'", "'表'"],
  gbk: ['VARCHAR(50) CHARACTER SET gbk', "'你好'", "X'A2A1'"],
  wide: ['VARCHAR(50) CHARACTER SET utf16', "'😀'", "'a'"],
  wide2: ['VARCHAR(50) CHARACTER SET ucs2', "'é'"],
  wide4: ['VARCHAR(50) CHARACTER SET utf32', "'😀é'"],
  longer: ['TINYTEXT', "''", "REPEAT('ü', 100)"],
  medtext: ['MEDIUMTEXT', "REPEAT('0123456789\\\\\"', 20000)"],
  longtext: ['LONGTEXT', "REPEAT('😀', 300000)"],
  fixedbytes: ['BINARY(4)', "X'00'", "X'2020'", "''"],
  bytes: ['VARBINARY(300)', "X'00FF0A0D225C27'", "''", "'text'"],
  blob: ['BLOB', "X'89504E47'", "''", "X'EDA080'"],
  longblob: ['LONGBLOB', "REPEAT(X'00FF7F80', 500000)", "''"],
  one: ['BIT(1)', "b'1'", "b'0'"],
  bits: ['BIT(64)', "b'1111111111111111111111111111111111111111111111111111111111111111'", "b'0'", "b'100000000'"],
  pick: ["ENUM('a','é','','x,y','it''s')", "'a'", "'é'", "''", "'x,y'", "'it''s'", "'none of them'", '0'],
  picks: ["SET('a','b','ü')", "''", "'a,ü'", "'b'", "'a,b,ü'"],
  json: ['JSON', '\'{"b": 1,  "a" : [1.0, 1e300, null, "\\\\u00e9"]}\'', "'null'", '\'""\'', "'[]'"],
  uid: ['UUID', "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-1fff-8fff-fffffffffff0'"],
  ip4: ['INET4', "'0.0.0.0'", "'255.255.255.255'"],
  ip6: ['INET6', "'::'", "'::ffff:1.2.3.4'", "'2001:db8::1'"],
  place: [
    'GEOMETRY',
    "ST_GeomFromText('POINT(1.5 -0.1)', 4326)",
    "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))')",
  ],
  spot: ['POINT', 'POINT(0.1, 1e300)'],
  area: ['POLYGON', "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')"],
  mapped: ['POINT SRID 4326', "ST_GeomFromText('POINT(52.5 13.25)', 4326)"],
  vector: ['VECTOR(3)', "STRING_TO_VECTOR('[1.5,-2,3e38]')", "STRING_TO_VECTOR('[0,-0.0,0.1]')"],
  nopad: ['VARCHAR(9) COLLATE utf8mb4_0900_as_cs', "'a '", "'a'", "'Å'"],
};
/** Types that only one of the two has. */
const ONLY = { maria: ['uid', 'ip4', 'ip6'], mysql: ['mapped', 'vector', 'nopad'] };
const NAMES = Object.keys(TYPES);
const maria = await isMaria();
const names = NAMES.filter((name) => !ONLY[maria ? 'mysql' : 'maria'].includes(name));
/** Several columns a table: making tables is what takes time. Row n holds each type's value n. */
const groups = Array.from({ length: 4 }, (_, g) => names.filter((_, i) => i % 4 === g));
const ddl = groups.map(
  (group, g) =>
    `CREATE TABLE g${g} (id INT PRIMARY KEY, ${group.map((name) => `\`${name}\` ${TYPES[name]![0]}`).join(', ')})`,
);
const most = Math.max(...names.map((name) => TYPES[name]!.length));
const inserts = groups.map(
  (group, g) =>
    `INSERT INTO g${g} VALUES ${Array.from(
      { length: most },
      (_, n) => `(${[n, ...group.map((name) => (n ? (TYPES[name]![n] ?? 'NULL') : 'NULL'))].join(', ')})`,
    ).join(', ')}`,
);
const groupTables = groups.map((_, g) => `g${g}`);

/** By type: what the server says of each row. */
async function cells(orm: TestOrm): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const row of Object.values(await dump(orm)).flat()) {
    const [id, ...rest] = row.split(/ (?=\w+=)/);
    for (const cell of rest) (found[cell.slice(0, cell.indexOf('='))] ??= []).push(`${id} ${cell}`);
  }
  return found;
}

t.test('each type, straight, merged and flushed', async (t) => {
  const from = await openDatabase([...ddl, ...inserts], tables(...groupTables));
  const to = await openDatabase(ddl, tables(...groupTables));
  const expected = await cells(from);
  t.same(Object.keys(expected).sort(), [...names].sort());
  const check = async (title: string) => {
    const got = await cells(to);
    for (const name of names) t.same(got[name], expected[name], `${title}: ${name} ${TYPES[name]![0]}`);
  };
  const rows = (list: { inserted: number; updated: number; untouched: number }[]) =>
    list.reduce((sum, one) => [sum[0]! + one.inserted, sum[1]! + one.updated, sum[2]! + one.untouched], [0, 0, 0]);
  const total = groups.length * most;
  t.same(rows((await copy(from, to)).tables), [total, 0, 0]);
  await check('into empty tables');
  t.same(rows((await copy(from, to)).tables), [0, 0, total], 'what a restore wrote, a merge finds equal');
  for (const table of groupTables) await exec(to, `DELETE FROM ${table} WHERE id = 1`);
  for (const [g, group] of groups.entries())
    await exec(to, `UPDATE g${g} SET ${group.map((name) => `\`${name}\` = NULL`).join(', ')}`);
  const [inserted, updated, untouched] = rows((await copy(from, to)).tables);
  t.equal(inserted, groups.length);
  t.ok(untouched! >= groups.length, 'rows of nothing but NULL');
  t.equal(updated, total - inserted! - untouched!);
  await check('merged');
  await exec(to, 'UPDATE g0 SET id = id + 100, tiny = 3');
  t.same(rows((await copy(from, to, { mode: 'flush' })).tables), [total, 0, 0]);
  await check('flushed');
  for (const name of ['real', 'real2', 'single', 'fixed', 'fixed2', 'singlef']) {
    const g = groups.findIndex((group) => group.includes(name));
    const sql = `SELECT COUNT(*) FROM \`${from.name}\`.g${g} AS a JOIN \`${to.name}\`.g${g} AS b USING (id) WHERE a.${name} <=> b.${name}`;
    t.same(await query(to, sql), [[String(most)]], `${name}: the server's own = says so too`);
  }
});

t.test('each type, row by row', async (t) => {
  // A value that is no member sends each row on its own way, in the binary protocol.
  const odd = groupTables.map((table) => `ALTER TABLE ${table} ADD odd ENUM('x')`);
  const from = await openDatabase([...ddl, ...inserts, ...odd], tables(...groupTables));
  for (const table of groupTables) await exec(from, `UPDATE ${table} SET odd = 0`);
  const to = await openDatabase([...ddl, ...odd], tables(...groupTables));
  await copy(from, to);
  const [expected, got] = [await cells(from), await cells(to)];
  for (const name of names) t.same(got[name], expected[name], `${name} ${TYPES[name]![0]}`);
});

t.test('what only MySQL has', { skip: maria && 'MySQL only' }, async (t) => {
  const ddl = [
    'SET sql_generate_invisible_primary_key = ON',
    `CREATE TABLE keyless (v VARCHAR(9) DEFAULT (CONCAT('a', 'b')), n INT INVISIBLE, doc JSON, CHECK (n < 9) NOT ENFORCED, UNIQUE KEY low ((LOWER(v))),
      word VARCHAR(9) COLLATE utf8mb4_0900_as_cs UNIQUE, tags JSON, KEY many ((CAST(tags->'$[*]' AS UNSIGNED ARRAY))))`,
  ];
  const from = await openDatabase(
    [
      ...ddl,
      `INSERT INTO keyless (v, n, doc, word, tags) VALUES ('x', 77, '{"b": 1.0, "a": [12345678901234567890, -0.0, 1e300]}', 'a', '[1,2]'), (DEFAULT, NULL, 'null', 'a ', NULL), (NULL, 1, NULL, 'A', '[]')`,
    ],
    tables('keyless'),
  );
  const to = await openDatabase(ddl, tables('keyless'));
  const first = await copy(from, to);
  t.match(first.tables, [{ inserted: 3 }]);
  t.same(await dump(to), await dump(from), 'invisible columns and the generated invisible primary key, too');
  await exec(to, "UPDATE keyless SET doc = '1' WHERE n = 77", 'DELETE FROM keyless WHERE n IS NULL');
  t.match((await copy(from, to)).tables, [{ inserted: 1, updated: 1, untouched: 1 }], 'merged by that key');
  t.same(await dump(to), await dump(from));
  await exec(to, "UPDATE keyless SET my_row_id = 99, word = 'other' WHERE n = 77");
  t.match(
    await failure(copy(from, to)),
    { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /"low"|low/ },
    'a unique key on an expression: the server says so',
  );
  // As in mysqldump: the text of a value inside JSON does not say that it was a DECIMAL or a DATE.
  await exec(from, "UPDATE keyless SET doc = JSON_ARRAY(1.10, CAST('2024-02-29' AS DATE))");
  await copy(from, to, { mode: 'flush' });
  t.same(await query(to, 'SELECT DISTINCT doc FROM keyless'), [['[1.1, "2024-02-29"]']]);
});

t.test('what a backup says of its columns, and what it leaves out', async (t) => {
  const sql = [
    `CREATE TABLE thing (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT NOT NULL DEFAULT 3, l VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é',
      twice INT GENERATED ALWAYS AS (a * 2) VIRTUAL, thrice INT GENERATED ALWAYS AS (a * 3) STORED UNIQUE, j JSON, hidden INT,
      changed TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6), UNIQUE KEY la (l, a), UNIQUE KEY pre (l(3)))`,
    'INSERT INTO thing (id, a, hidden) VALUES (18446744073709551610, 1, 2)',
    'INSERT INTO thing (id, a, l) VALUES (0, 5, NULL)',
  ];
  const from = await openDatabase(sql, tables('thing'));
  const to = await openDatabase(sql.slice(0, 1), tables('thing'));
  await exec(from, "UPDATE thing SET changed = '2001-01-01 00:00:00.000001'");
  const items: BackupItem[] = [];
  for await (const item of createRowSource(from)) items.push(item);
  const [{ schema }] = items as unknown as [{ schema: BackupSchema }];
  const [table] = schema.tables;
  t.equal(schema.dialect, 'mysql');
  t.match(schema.server, maria ? /^MariaDB \d+\.\d+/ : /^MySQL \d/);
  t.equal(table!.encoding, 'text');
  t.same(table!.primaryKey, ['id']);
  t.same(table!.unique, [['l', 'a'], ['thrice']], 'a key on part of a column is no set of columns');
  const column = (name: string) => table!.columns.find((one) => one.name === name);
  t.match(column('id'), { type: /^bigint(\(20\))? unsigned$/, nullable: false, identity: 'by-default' });
  t.match(column('a'), { nullable: false, default: '3' });
  t.match(column('l'), { type: 'varchar(9) character set latin1', nullable: true });
  t.match(column('twice'), { generated: true });
  t.match(column('thrice'), { generated: true });
  t.same(schema.sequences, [
    { name: 'thing', table: 'thing', column: 'id', value: '18446744073709551611', called: false },
  ]);
  await copy(from, to);
  t.same(await dump(to), await dump(from), 'id 0 stays 0, ON UPDATE stays quiet, generated columns are computed');
});

t.test('text with bytes of one character set goes into no other', async (t) => {
  const table = (charset: string) => `CREATE TABLE x (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET ${charset})`;
  const from = await openDatabase([table('cp932'), "INSERT INTO x VALUES (7, X'8790')"], tables('x'));
  const same = await openDatabase([table('cp932')], tables('x'));
  const other = await openDatabase([table('utf8mb4')], tables('x'));
  const latin = await openDatabase([table('latin1')], tables('x'));
  await copy(from, same);
  t.same(await dump(same), await dump(from));
  const refused = await failure(copy(from, other));
  t.match(refused, { code: 'ERR_RESTORE_TEXT_ENCODING', facts: { table: 'x', row: 'id=7', column: 'v' } });
  await exec(from, "UPDATE x SET v = '表'");
  await copy(from, other);
  t.same(await query(other, 'SELECT v FROM x'), [['表']], 'text that has a form in Unicode travels');
  const narrow = await failure(copy(from, latin));
  t.match(narrow, { code: 'ERR_RESTORE_CONSTRAINT', facts: { row: 'id=7' } }, 'nothing becomes a question mark');
  t.notMatch(JSON.stringify(narrow.cause), /INSERT/i, 'no statement in the error');
});

/** Random rows for columns of many types. */
const seed = Number(process.env.FC_SEED ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`fast-check seed ${seed}`);
const q = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;
const hex = fc.uint8Array({ maxLength: 40 }).map((bytes) => `X'${Buffer.from(bytes).toString('hex')}'`);
const orNull = (values: fc.Arbitrary<string>) => fc.option(values, { nil: 'NULL', freq: 6 });
const pad = (n: number, length = 2) => String(n).padStart(length, '0');
const unicode = fc.string({ unit: 'binary', maxLength: 30 }).map(q);
const COLUMNS: [type: string, value: fc.Arbitrary<string>][] = [
  ['BIGINT', fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String)],
  ['BIGINT UNSIGNED', fc.bigInt(0n, 2n ** 64n - 1n).map(String)],
  [
    'DECIMAL(40,12)',
    fc.tuple(fc.bigInt(-(10n ** 28n) + 1n, 10n ** 28n - 1n), fc.nat(999999999)).map(([a, b]) => `'${a}.${b}'`),
  ],
  ['DOUBLE', fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => `${n}e0`.replace(/(e[+-]?\d+)e0$/, '$1'))],
  [
    'FLOAT',
    fc
      .float({ noNaN: true, noDefaultInfinity: true, max: 2 ** 127, min: -(2 ** 127) })
      .map((n) => `${Math.fround(n)}e0`.replace(/(e[+-]?\d+)e0$/, '$1')),
  ],
  ['VARCHAR(60)', unicode],
  ['LONGTEXT', fc.string({ maxLength: 200 }).map(q)],
  ['VARCHAR(60) CHARACTER SET latin1', hex],
  ['VARCHAR(60) CHARACTER SET utf16', unicode],
  ['VARBINARY(40)', hex],
  ['BLOB', hex],
  ['BINARY(40)', hex],
  ['BIT(17)', fc.nat(2 ** 17 - 1).map(String)],
  [
    'DATETIME(6)',
    fc
      .tuple(fc.nat(9999), fc.nat(12), fc.nat(31), fc.nat(86399), fc.nat(999999))
      .map(
        ([y, m, d, s, u]) =>
          `'${pad(y, 4)}-${pad(m)}-${pad(d)} ${pad(Math.floor(s / 3600))}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}.${pad(u, 6)}'`,
      ),
  ],
  ['TIMESTAMP(3) NULL', fc.nat(2 ** 31 - 2).map((n) => `FROM_UNIXTIME(${n + 1}.125)`)],
  [
    'TIME(6)',
    fc
      .tuple(fc.constantFrom('', '-'), fc.nat(838), fc.nat(59), fc.nat(59), fc.nat(999999))
      .map(([sign, h, m, s, u]) => `'${sign}${pad(h)}:${pad(m)}:${pad(s)}.${pad(u, 6)}'`),
  ],
  ['YEAR', fc.oneof(fc.constant(0), fc.integer({ min: 1901, max: 2155 })).map(String)],
  ["ENUM('a','b','')", fc.nat(3).map(String)],
  ["SET('a','b','c')", fc.nat(7).map(String)],
  ['JSON', fc.json().map(q)],
];

t.test('random rows', async (t) => {
  const ddl = `CREATE TABLE r (id INT PRIMARY KEY AUTO_INCREMENT, ${COLUMNS.map(([type], i) => `c${i} ${type}`).join(', ')}) ROW_FORMAT=DYNAMIC`;
  const from = await openDatabase([ddl], tables('r'));
  const to = await openDatabase([ddl], tables('r'));
  const row = fc.tuple(...COLUMNS.map(([, value]) => orNull(value)));
  const fill = async (orm: TestOrm, rows: string[][]) => {
    if (rows.length)
      await exec(
        orm,
        `INSERT INTO r (${COLUMNS.map((_, i) => `c${i}`).join(', ')}) VALUES ${rows.map((one) => `(${one.join(', ')})`).join(', ')}`,
      );
  };
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 40 }), fc.array(row, { maxLength: 10 }), async (mine, theirs) => {
      await exec(from, 'DELETE FROM r', 'ALTER TABLE r AUTO_INCREMENT = 1');
      await exec(to, 'DELETE FROM r', 'ALTER TABLE r AUTO_INCREMENT = 1');
      await fill(from, mine);
      await fill(to, theirs);
      const { tables } = await copy(from, to, { mode: theirs.length % 2 ? 'flush' : 'merge' });
      const [counts] = tables;
      if (counts!.inserted + counts!.updated + counts!.untouched !== mine.length)
        throw new Error(JSON.stringify(counts));
      await exec(to, `DELETE FROM r WHERE id > ${mine.length}`);
      const [a, b] = [await dump(from), await dump(to)];
      if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)}\n${JSON.stringify(b)}`);
    }),
    { seed, numRuns: 12 },
  );
  t.pass(`12 databases of random rows (seed ${seed})`);
});
