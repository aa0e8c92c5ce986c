/** SQLite's rows travel by pages, and that shows nowhere. */
import t from 'tap';
import { requireRestorable } from '../../lib/orm/row-limit.ts';
import { core, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec, items, ofType, query } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const entity = (name: string) =>
  new EntitySchema({ name, tableName: name.toLowerCase(), properties: { id: { type: 'integer', primary: true } } });

async function twins(names: string[], ...ddl: string[]): Promise<[TestOrm, TestOrm]> {
  const pair: [TestOrm, TestOrm] = [
    await openOrm(names.map(entity), { schema: false }),
    await openOrm(names.map(entity), { schema: false }),
  ];
  for (const orm of pair) {
    await exec(orm, ...ddl);
    t.teardown(() => orm.close(true));
  }
  return pair;
}

const series = (from: number, to: number) =>
  `(WITH RECURSIVE c (i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM c WHERE i < ${to}) SELECT i FROM c)`;

t.test('every decimal is itself, and in the shortest form', async (t) => {
  const [from, to] = await twins(
    ['Price'],
    'CREATE TABLE price (id INTEGER PRIMARY KEY, a REAL, b REAL, c REAL, d REAL)',
  );
  // Decimals of up to fourteen digits, their neighbours, and the bounds beyond which they are read another way.
  await exec(
    from,
    `INSERT INTO price SELECT i, i * 7919 / 100.0, -i / 1e6, 99999999.0 - i / 1e6, i * 0.1 FROM ${series(1, 2000)}`,
    `INSERT INTO price SELECT 2000 + i, 1e8 + i, i * 1e-7, i * 1e9 + 0.5, -i * 1e-5 FROM ${series(1, 300)}`,
    'INSERT INTO price VALUES (5000, 0.0001, 99999999.0, 0.00009999, 99999999.000001), (5001, -0.0, 0.1, 1.7e308, 100)',
  );
  await copy(from, to);
  t.same(await dump(to), await dump(from));
  const lines = ofType(await items(from), 'rows').flatMap(({ data }) => String(data).trim().split('\n'));
  const texts = lines.flatMap((line) => [...line.matchAll(/"r":"([^"]*)"/g)].map(([, text]) => text!));
  t.equal(texts.length, 4 * 2302);
  t.same(
    texts.filter((text) => text !== '-0' && text !== String(Number(text))),
    [],
  );
});

t.test('pages of rows, small and large by turns', async (t) => {
  const [from, to] = await twins(
    ['Mixed', 'Shadowed', 'Widest'],
    'CREATE TABLE mixed (id INTEGER PRIMARY KEY, a, b, c REAL)',
    'CREATE TABLE shadowed (rowid, _rowid_, oid, x)',
    `CREATE TABLE widest (${Array.from({ length: 1999 }, (_, i) => `c${i} REAL`).join(', ')})`,
  );
  await exec(
    from,
    // All small, then some large ones, then many, then small again; every value that a page has to treat on its own.
    `INSERT INTO mixed SELECT i * 5, CASE i % 7 WHEN 0 THEN i / 3.0 WHEN 1 THEN X'00ff' WHEN 2 THEN i / 100.0 WHEN 3 THEN -0.0 WHEN 4 THEN zeroblob(1000 + i % 50) ELSE 'text "' || i || char(10) END, CASE WHEN i % 100 = 0 OR i BETWEEN 400 AND 800 AND i % 2 THEN printf('%.*c', 1900 + i % 300, 'é') END, CASE i % 5 WHEN 0 THEN 9e999 WHEN 1 THEN 0.0 WHEN 2 THEN 1.5 ELSE random() / 1e7 END FROM ${series(1, 1100)}`,
    "INSERT INTO mixed VALUES (-9223372036854775807 - 1, CAST(X'ff22' AS TEXT), 1, 1), (9223372036854775807, '', NULL, -9e999), (0, 0.1, X'', 1e-6)",
    `INSERT INTO shadowed SELECT i, 'x', NULL, i / 7.0 FROM ${series(1, 300)}`,
  );
  await exec(from, 'INSERT INTO widest (c0, c1998) VALUES (0.1, 2.5)');
  await copy(from, to);
  t.same(await dump(to, ['widest']), await dump(from, ['widest']));
  t.same(await query(to, 'SELECT c0, c1, c1998 FROM widest'), [[0.1, null, 2.5]]);
  const rows = ofType(await items(from, { registry: { exclude: ['Widest'] } }), 'rows');
  t.equal(
    rows.reduce((sum, { count }) => sum + count, 0),
    1403,
  );
  t.ok(
    rows.every(({ data, count }) => data.length < 1 << 20 && data.toString('latin1').split('\n').length === count + 1),
    'whole lines',
  );
  const mixed = rows.at(-1)!.stream;
  const ids = rows
    .flatMap(({ stream, data }) => (stream === mixed ? String(data).trim().split('\n') : []))
    .map((line) => /^\[(\{"i":"-?\d+"\}|-?\d+)/.exec(line)?.[1]);
  t.same(
    [ids.length, ids[0], ids[1], ids.at(-1)],
    [1103, '{"i":"-9223372036854775808"}', '0', '{"i":"9223372036854775807"}'],
    'in the order of the table',
  );
  const shortest = rows.flatMap(({ data }) =>
    [...String(data).matchAll(/\{"r":"([^"]+)"\}/g)].map(([, text]) => text!),
  );
  t.ok(
    shortest.every((text) => text === (Object.is(Number(text), -0) ? '-0' : String(Number(text)))),
    `${shortest.length} REALs in their shortest form`,
  );
});

t.test('a merge beside VIRTUAL columns', async (t) => {
  const [from, to] = await twins(
    ['Wide'],
    'CREATE TABLE wide (id INTEGER PRIMARY KEY, c JSON, v TEXT GENERATED ALWAYS AS (typeof(c)) VIRTUAL, r REAL, n INTEGER, u UNIQUE)',
  );
  await exec(
    from,
    "INSERT INTO wide VALUES (1, 'a', 1.5, 9007199254740993, 7), (2, X'00', NULL, 9223372036854775807, 8), (3, 1, 1, 1, 1)",
  );
  await exec(to, "INSERT INTO wide VALUES (1, 'a', 1.5, 9007199254740993, 7), (2, 'old', NULL, 5, 9)");
  const { tables } = await copy(from, to);
  t.match(tables, [{ inserted: 1, updated: 1, untouched: 1 }]);
  t.same(await dump(to), await dump(from), 'SQLite would round n to 9007199254740992');
  await exec(to, 'UPDATE wide SET u = 100 WHERE id = 1', 'INSERT INTO wide VALUES (9, 1, 1, 1, 7)');
  await t.rejects(copy(from, to), { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /id=1 / });
  t.same(await query(to, 'SELECT u FROM wide ORDER BY id'), [[100], [8], [1], [7]]);
});

t.test('a row that could not be restored', async (t) => {
  requireRestorable('x', 500 << 20);
  t.throws(() => requireRestorable('x', 512 << 20), {
    code: 'ERR_SOURCE_ROW_TOO_LARGE',
    message: /"x"/,
    facts: { table: 'x' },
  });
});
