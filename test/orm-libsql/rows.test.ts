/** Rows out of libSQL servers and into them: what arrives is compared in the database, as the database itself writes each value. */
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { createBackup, MemorySink, restoreBackup } from '../../lib/index.ts';
import { openRemote, server, serverRuns, texts } from '../support/libsql.ts';
import { core, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, exec, items, ofType, query } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;

if (!serverRuns(t)) process.exit();

const blind = (name: string, key: Record<string, string> = { id: 'integer' }) =>
  new EntitySchema({
    name,
    tableName: name.toLowerCase(),
    properties: Object.fromEntries(Object.entries(key).map(([name, type]) => [name, { type, primary: true }])),
  });

const entities = [
  blind('Loose'),
  blind('Keyed', { a: 'string', b: 'string' }),
  blind('Strict'),
  blind('Shadowed'),
  blind('Counter'),
  blind('Wide'),
];

const DDL = [
  'CREATE TABLE loose (id INTEGER PRIMARY KEY, a, b TEXT, c REAL, d NUMERIC, e BLOB, g AS (typeof(a)), h AS (b || 1) STORED)',
  'CREATE TABLE keyed (a ANY NOT NULL, b ANY NOT NULL, c, PRIMARY KEY (b COLLATE NOCASE DESC, a)) WITHOUT ROWID',
  'CREATE TABLE "strict" (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT',
  'CREATE TABLE shadowed (rowid, _rowid_, oid, id)',
  'CREATE TABLE counter (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT UNIQUE)',
  `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${Array.from({ length: 400 }, (_, i) => `c${i}`).join(', ')})`,
];

const series = (n: number) =>
  `(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < ${n}) SELECT i FROM s)`;

/** One value of each kind that may be lost on the way: between SQLite, JSON, Rust and JavaScript. */
const VALUES = [
  ...['NULL', '0', '-1', '9007199254740991', '9007199254740993', '9223372036854775807', '-9223372036854775807 - 1'],
  ...['0.0', '-0.0', '9e999', '-9e999', '5e-324', '2.2250738585072011e-308', '1.7976931348623157e308', '0.1', '1e23'],
  ...['5.0', '9007199254740993.0', '123456.789', '-1e-7', '8.41e21', '3.0000000000000004', '2e22'],
  ...[
    "''",
    "'a' || char(0) || 'b'",
    'char(1, 9, 10, 13, 27, 31, 34, 92, 127, 128, 8232)',
    "'😀é' || char(65279, 65535)",
  ],
  ...[
    "CAST(X'61ff' AS TEXT)",
    "CAST(X'eda080' AS TEXT)",
    "CAST(X'c080' AS TEXT)",
    "'Infinity'",
    "'9e999'",
    `'{"b":"AA=="}'`,
  ],
  ...["X''", "X'00'", "X'61ff'", 'zeroblob(1025)', "X'22'"],
];

async function fill(orm: TestOrm): Promise<void> {
  const sql = [
    ...VALUES.flatMap((value, i) => [
      `INSERT INTO loose (id, a, b, c, d, e) VALUES (${i * 3 - 9}, ${value}, ${value}, ${value}, ${value}, ${value})`,
      `INSERT INTO keyed VALUES (${i}, coalesce(${value}, 'none'), ${value})`,
      `INSERT INTO shadowed VALUES (${value}, ${value}, ${i}, 1)`,
      `INSERT INTO wide (id, c0, c199, c399) VALUES (${i}, ${value}, ${value}, ${value})`,
    ]),
    "INSERT INTO keyed VALUES ('a', 'A', 1), ('A', 'b', 2)",
    `INSERT INTO "strict" SELECT i, i, i / 7.0, 'x' || i, X'00ff', CASE i % 3 WHEN 0 THEN '1' ELSE i END FROM ${series(3000)}`,
    "INSERT INTO counter (id, note) VALUES (7, 'x'), (900, NULL)",
    'DELETE FROM counter WHERE id = 900',
    // Rows of every size: pages, single rows, pieces.
    `INSERT INTO loose (id, b) SELECT 10000 + i, printf('%.*c', i % 7 * 1000, '"') FROM ${series(2500)}`,
    'INSERT INTO loose (id, e) VALUES (-5000, zeroblob(4900000)), (9223372036854775807, zeroblob(70000))',
    // As JSON, five times its length, and more than the server lets a value have.
    "INSERT INTO loose (id, b) VALUES (20000, printf('%.*c', 2000000, char(1)))",
    `INSERT INTO shadowed SELECT i, zeroblob(i % 5 * 1000), NULL, 'é' FROM ${series(2500)}`,
  ];
  await exec(orm, `BEGIN; ${sql.join('; ')}; COMMIT`);
}

t.test('between two servers, and a file', async (t) => {
  const [one, two] = [await server(t), await server(t)];
  const [from, to] = [await openRemote(t, one, entities), await openRemote(t, two, entities)];
  const file = await openOrm(entities, { schema: false });
  t.teardown(() => file.close(true));
  for (const orm of [from, to, file]) await exec(orm, ...DDL);
  await fill(from);
  const expected = await texts(from);
  t.equal(expected.loose!.length, VALUES.length + 2503);
  const zeros = await query(from, "SELECT a FROM loose WHERE a = 0 AND typeof(a) = 'real' ORDER BY id");
  t.same(zeros, [[0], [-0]], 'the sign of a zero');

  const { tables } = await copy(from, to);
  t.match(
    tables.find(({ table }) => table === 'loose'),
    { inserted: VALUES.length + 2503, updated: 0, untouched: 0 },
  );
  t.ok(isDeepStrictEqual(await texts(to), expected), 'server to server');
  t.strictSame(await query(to, "SELECT a FROM loose WHERE a = 0 AND typeof(a) = 'real' ORDER BY id"), [[0], [-0]]);
  const again = await copy(from, to, {}, { registry: { exclude: ['Shadowed'] } });
  t.ok(
    again.tables.every(({ inserted, updated }) => inserted + updated === 0),
    'merging the same changes nothing',
  );

  await copy(from, file, { mode: 'flush' });
  t.ok(isDeepStrictEqual(await texts(file), expected), 'server to file');
  await exec(to, 'DELETE FROM loose', 'DELETE FROM counter', 'UPDATE keyed SET c = 1.5 WHERE c IS NOT 1.5');
  await copy(file, to, { mode: 'flush' });
  t.ok(isDeepStrictEqual(await texts(to), expected), 'file to server');

  const output = new MemorySink();
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  await createBackup(from, 'secret', { output, kdf });
  await exec(to, 'DELETE FROM "strict"', 'DELETE FROM shadowed');
  await restoreBackup(to, output.bytes!, 'secret', { mode: 'flush' });
  t.ok(isDeepStrictEqual(await texts(to), expected), 'a whole backup');
});

t.test('keys of files come beside the rows', async (t) => {
  const from = await openRemote(t, await server(t), [blind('Doc')]);
  await exec(from, 'CREATE TABLE doc (id INTEGER PRIMARY KEY, path TEXT, body)');
  await exec(from, `INSERT INTO doc SELECT i, 'f/' || i, zeroblob(i % 30 * 1000) FROM ${series(2500)}`);
  const { driverFor } = await import('../../lib/orm/drivers/index.ts');
  const reader = await (await driverFor(from)).openReader();
  const [[catalog]] = (await reader.describe([{ table: 'doc' }])) as never as [[{ columns: [] }]];
  const keys: unknown[] = [];
  for await (const batch of reader.rows({ stream: 1, table: 'doc', columns: catalog.columns } as never, {
    keyColumns: ['path', 'id'],
  }))
    keys.push(...batch.keys!);
  await reader.close();
  t.strictSame(
    keys,
    Array.from({ length: 2500 }, (_, i) => [`f/${i + 1}`, String(i + 1)]),
  );
});

t.test('REAL: 20,000 of any bits are the same behind two servers', async (t) => {
  const one = await openRemote(t, await server(t), [blind('Real')]);
  const two = await openRemote(t, await server(t), [blind('Real')]);
  const file = await openOrm([blind('Real')], { schema: false });
  t.teardown(() => file.close(true));
  for (const orm of [one, two, file]) await exec(orm, 'CREATE TABLE real (id INTEGER PRIMARY KEY, r)');
  const bits = new DataView(new ArrayBuffer(8));
  const values = Array.from({ length: 20_000 }, (_, i) => {
    bits.setBigUint64(0, BigInt.asUintN(64, BigInt(i + 1) * 0x9e3779b97f4a7c15n));
    // Every fourth is subnormal.
    if (i % 4 === 0) bits.setUint16(0, bits.getUint16(0) & 0x800f);
    const value = bits.getFloat64(0);
    return Number.isFinite(value) ? value : i / 3;
  });
  const { locate } = await import('../../lib/orm/drivers/sqlite-open.ts');
  const db = await (await locate(file)).open();
  await db.exec('BEGIN');
  const insert = db.prepare('INSERT INTO real (r) VALUES (?)');
  for (const value of values) await insert.run([value]);
  await db.exec('COMMIT');
  await copy(file, one);
  await copy(one, two);
  await exec(file, 'DELETE FROM real');
  await copy(two, file, { mode: 'flush' });
  const back = (await db.all('SELECT r FROM real ORDER BY id')).map(([value]) => value as number);
  await db.close();
  t.equal(back.filter((value, i) => !Object.is(value, values[i])).length, 0);
});

t.test('items are as they are from a file', async (t) => {
  const remote = await openRemote(t, await server(t), entities);
  const file = await openOrm(entities, { schema: false });
  t.teardown(() => file.close(true));
  await exec(remote, ...DDL);
  await exec(file, ...DDL);
  await fill(remote);
  await copy(remote, file);
  const lines = async (orm: TestOrm) => ofType(await items(orm), 'rows').map(({ stream, data }) => ({ stream, data }));
  const joined = (rows: { stream: number; data: Buffer }[]) =>
    Buffer.concat(rows.filter(({ stream }) => stream !== 2).map(({ data }) => data));
  const [mine, theirs] = [joined(await lines(remote)), joined(await lines(file))];
  t.ok(mine.equals(theirs), 'the same bytes in the same order');
});

t.test('a value that the server has no room for', async (t) => {
  const file = await openOrm([blind('Doc')], { schema: false });
  t.teardown(() => file.close(true));
  const to = await openRemote(t, await server(t), [blind('Doc')]);
  for (const orm of [file, to]) await exec(orm, 'CREATE TABLE doc (id INTEGER PRIMARY KEY, body)');
  await exec(file, "INSERT INTO doc VALUES (1, 'small'), (2, zeroblob(5000001)), (3, 'small')");
  await t.rejects(copy(file, to), {
    code: 'ERR_RESTORE_DATABASE',
    message: /row id=2 .*too big\. Nothing was changed/,
  });
  t.same(await query(to, 'SELECT count(*) AS n FROM doc'), [[0]]);
});
