/** RowSource into RowTarget: what arrives is compared in the database, cell by cell, by type and bytes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import type { SqliteHandle } from '../../lib/orm/drivers/sqlite-connection.ts';
import { core, driverName, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec, items, ofType, query, withDatabase } from '../support/orm-database.ts';
import { model } from '../support/orm-model.ts';
import { testModel } from '../support/orm-model-test.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;

/** An entity that knows only the key of its table: a backup must hold the rest all the same. */
function blind(name: string, key: Record<string, string> = { id: 'integer' }) {
  const properties = Object.fromEntries(Object.entries(key).map(([name, type]) => [name, { type, primary: true }]));
  return new EntitySchema({ name, tableName: name.toLowerCase(), properties });
}

async function twins(
  entities: unknown[],
  ddl: string[],
  more: Record<string, unknown> = {},
): Promise<[TestOrm, TestOrm]> {
  const pair: [TestOrm, TestOrm] = [
    await openOrm(entities, { schema: false, ...more }),
    await openOrm(entities, { schema: false, ...more }),
  ];
  for (const orm of pair) {
    await exec(orm, ...ddl);
    t.teardown(() => orm.close(true));
  }
  return pair;
}

t.test('a whole model, filled by the ORM', (t) =>
  testModel<TestOrm>(t, model, {
    async twins(entities) {
      const pair: [TestOrm, TestOrm] = [await openOrm(entities), await openOrm(entities)];
      t.teardown(() => Promise.all(pair.map((orm) => orm.close(true))));
      return pair;
    },
    dump,
    copy,
    query,
  }),
);

/** Any value of any storage class, as SQL and, for doubles, as a parameter. */
const cell = fc.oneof(
  fc.constant({ sql: 'NULL' }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => ({ sql: String(n) })),
  fc
    .constantFrom(
      '9007199254740991',
      '9007199254740992',
      '-9007199254740991',
      '-9007199254740992',
      '9223372036854775807',
      '-9223372036854775808',
      '0',
    )
    .map((sql) => ({ sql })),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((real) => ({ sql: 'CAST(? AS REAL)', real })),
  fc.constantFrom(-0, 5, 5e-324, 1.7976931348623157e308).map((real) => ({ sql: 'CAST(? AS REAL)', real })),
  // A libSQL server's requests have no infinity.
  fc.constantFrom('9e999', '-9e999').map((sql) => ({ sql })),
  fc.string({ unit: 'binary' }).map((text) => ({ sql: `CAST(X'${Buffer.from(text).toString('hex')}' AS TEXT)` })),
  fc
    .constantFrom('', '\0', 'a\0b', '"\\\n\r\t\u0001\u007f', '😀', '\ufeff\uffff', '{"b":"AAAA"}', '[1]', '5', '1e3')
    .map((text) => ({ sql: `CAST(X'${Buffer.from(text).toString('hex')}' AS TEXT)` })),
  // Bytes that are no UTF-8, lone surrogates among them.
  fc
    .oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.constantFrom(Buffer.from('61eda08062', 'hex'), Buffer.from('22ff5c', 'hex'), Buffer.from('c080', 'hex')),
    )
    .map((bytes) => ({ sql: `CAST(X'${Buffer.from(bytes).toString('hex')}' AS TEXT)` })),
  fc.uint8Array({ maxLength: 30 }).map((bytes) => ({ sql: `X'${Buffer.from(bytes).toString('hex')}'` })),
) as fc.Arbitrary<{ sql: string; real?: number }>;

t.test('any value in any column', async (t) => {
  const columns = 'a, b TEXT, c INTEGER, d REAL, e BLOB, f NUMERIC, g DATETIME, "odd ""name"" é" VARCHAR(3)';
  const [from, to] = await twins(
    [blind('Loose'), blind('Keyed', { a: 'string', b: 'string' })],
    [
      `CREATE TABLE loose (id INTEGER PRIMARY KEY, ${columns}, v AS (json_array(typeof(c), 1)), w AS (b || '!') STORED)`,
      `CREATE TABLE keyed (a ANY NOT NULL, b ANY NOT NULL, c, d ANY, PRIMARY KEY (b, a)) WITHOUT ROWID`,
    ],
  );
  const insert = (db: SqliteHandle, sql: string, row: { sql: string; real?: number }[]) =>
    db
      .prepare(`${sql} VALUES (${row.map(({ sql }) => sql).join(', ')})`)
      .run(row.flatMap(({ real }) => (real === undefined ? [] : [real])));
  const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);
  t.comment(`DBS_TEST_SEED=${seed}`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(cell, cell, cell, cell, cell, cell, cell, cell), { minLength: 1, maxLength: 30 }),
      async (rows) => {
        await exec(from, 'DELETE FROM loose', 'DELETE FROM keyed');
        await withDatabase(from, async (db) => {
          await db.exec('BEGIN');
          for (const row of rows) {
            await insert(db, 'INSERT INTO loose (a, b, c, d, e, f, g, "odd ""name"" é")', row);
            if (row[0].sql !== 'NULL' && row[1].sql !== 'NULL')
              await insert(db, 'INSERT OR IGNORE INTO keyed (a, b, c, d)', row.slice(0, 4));
          }
          await db.exec('COMMIT');
        });
        const expected = await dump(from);
        await copy(from, to, { mode: 'flush' });
        assert.deepEqual(await dump(to), expected);
        const again = await copy(from, to);
        assert.ok(
          again.tables.every(({ inserted, updated }) => inserted + updated === 0),
          'merging the same changes nothing',
        );
      },
    ),
    { seed, numRuns: Number(process.env.DBS_TEST_RUNS ?? 60) },
  );
  t.pass();
});

t.test('a merge compares 600 columns', async (t) => {
  const columns = Array.from({ length: 600 }, (_, i) => `c${i}`).join(', ');
  const [from, to] = await twins([blind('Wide')], [`CREATE TABLE wide (id INTEGER PRIMARY KEY, ${columns})`]);
  await exec(from, "INSERT INTO wide (id, c0, c599) VALUES (1, 1.5, X'00'), (2, NULL, 'same')");
  await exec(to, "INSERT INTO wide (id, c0, c599) VALUES (1, 1.5, 'old'), (2, NULL, 'same')");
  const { tables } = await copy(from, to);
  t.match(tables, [{ inserted: 0, updated: 1, untouched: 1 }]);
  t.same(await dump(to), await dump(from));
});

t.test('tables of every make', async (t) => {
  const [from, to] = await twins(
    [blind('Wide'), blind('Strict'), blind('NoKey', { x: 'integer' }), blind('Counter'), blind('Select')],
    [
      `CREATE TABLE wide (id INTEGER PRIMARY KEY, ${Array.from({ length: 600 }, (_, i) => `c${i}`).join(', ')})`,
      'CREATE TABLE "strict" (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT',
      'CREATE TABLE nokey (x, y)',
      "CREATE TABLE counter (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT DEFAULT 'AUTOINCREMENT')",
      'CREATE TABLE "select" (id INTEGER PRIMARY KEY DESC, "group" TEXT, rowid TEXT)',
      'CREATE INDEX covers ON "select" ("group", rowid, id)',
    ],
  );
  await exec(
    from,
    "INSERT INTO wide (id, c0, c299, c599) VALUES (1, 1.5, X'00', 'end')",
    "INSERT INTO \"strict\" VALUES (1, 7, 7, '7', X'07', '7'), (2, NULL, 1e300, '', X'', 7.0)",
    "INSERT INTO nokey VALUES (1, 'same'), (1, 'same'), (NULL, NULL)",
    'INSERT INTO counter VALUES (900, NULL), (7, NULL)',
    'DELETE FROM counter WHERE id = 900',
    "INSERT INTO \"select\" VALUES (2, 'b', 'x'), (1, 'a', 'y')",
  );
  await copy(from, to);
  t.same(await dump(to), await dump(from));
  t.same(
    await query(to, "SELECT seq FROM sqlite_sequence WHERE name = 'counter'"),
    [[900]],
    'the counter, though its row is gone',
  );
  await copy(from, to, { mode: 'flush' });
  t.same(await dump(to), await dump(from));
});

/** A libSQL server's values end at 5,000,000 bytes. */
const small = driverName === 'libsql-server' && 'not on a server';

t.test('rows larger than an item, and the size of items', { skip: small }, async (t) => {
  const [from, to] = await twins([blind('Big')], ['CREATE TABLE big (id INTEGER PRIMARY KEY, a, b)']);
  await exec(
    from,
    "INSERT INTO big SELECT value, printf('%.*c', 900, 'x'), NULL FROM generate_series(1, 1)".replace(
      'generate_series(1, 1)',
      '(SELECT 1 AS value)',
    ),
    'INSERT INTO big VALUES (2, randomblob(3000000), hex(randomblob(1500000)))',
    'INSERT INTO big VALUES (3, zeroblob(1000000), NULL)',
    'INSERT INTO big WITH RECURSIVE c(i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM c WHERE i < 3000) SELECT i, hex(randomblob(100)), i / 3.0 FROM c',
  );
  const rows = ofType(await items(from), 'rows');
  t.ok(
    rows.every(({ data }) => data.length <= 1 << 20),
    'none above 1 MiB',
  );
  t.ok(
    rows.some(({ count }) => count === 0),
    'a row spans several items',
  );
  t.equal(
    rows.reduce((sum, { count }) => sum + count, 0),
    3000,
  );
  t.equal(
    Buffer.concat(rows.map(({ data }) => data))
      .toString()
      .split('\n').length,
    3001,
  );
  await copy(from, to);
  t.same(await dump(to), await dump(from));
});

t.test('a UTF-16 database', async (t) => {
  for (const encoding of ['UTF-16le', 'UTF-16be']) {
    const [from, to] = await twins(
      [blind('Words')],
      [`PRAGMA encoding = '${encoding}'`, 'CREATE TABLE words (id INTEGER PRIMARY KEY, a TEXT, b)'],
    );
    // The pragma counts before the first table only, on the connection that makes it.
    if ((await query(from, 'SELECT encoding FROM pragma_encoding'))[0]?.[0] !== encoding) {
      t.comment(`not run: this module does not make ${encoding} databases over several connections`);
      continue;
    }
    const swap = (hex: string) => (encoding === 'UTF-16be' ? Buffer.from(hex, 'hex').swap16().toString('hex') : hex);
    await exec(
      from,
      `INSERT INTO words VALUES (1, 'plain é 😀 "quoted"', X'00ff'), (2, '', 1.5), (3, CAST(X'${swap('610000d86200')}' AS TEXT), 'lone')`,
    );
    await copy(from, to);
    t.same(await dump(to), await dump(from), encoding);
    const [utf8] = await twins([blind('Words')], ['CREATE TABLE words (id INTEGER PRIMARY KEY, a TEXT, b)']);
    await t.rejects(copy(from, utf8), { code: 'ERR_RESTORE_TEXT_ENCODING' });
    await exec(from, 'DELETE FROM words WHERE id = 3');
    await copy(from, utf8);
    t.same(await query(utf8, 'SELECT a FROM words WHERE id = 1'), [['plain é 😀 "quoted"']]);
  }
});
