/** What is read: which tables, at which moment, and what happens when it cannot be. */

import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { core, driverName, loaded, major, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec, failure, items, ofType, query, withDatabase } from '../support/orm-database.ts';
import { model } from '../support/orm-model.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const entity = (name: string, more: object = {}) =>
  new EntitySchema({
    name,
    tableName: name.toLowerCase(),
    properties: { id: { type: 'integer', primary: true } },
    ...more,
  });

async function database(entities: unknown[], ...sql: string[]): Promise<TestOrm> {
  const orm = await openOrm(entities, { schema: false });
  t.teardown(() => orm.close(true));
  await exec(orm, ...sql);
  return orm;
}

const series = (table: string, n: number) =>
  `INSERT INTO ${table} WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${n}) SELECT i, 100, hex(randomblob(50)) FROM c`;

t.test('one moment, while a writer goes on', async (t) => {
  const orm = await database(
    [entity('First'), entity('Second')],
    'PRAGMA journal_mode = WAL',
    'CREATE TABLE first (id INTEGER PRIMARY KEY, amount INTEGER, filler)',
    'CREATE TABLE second (id INTEGER PRIMARY KEY, amount INTEGER, filler)',
    series('first', 20_000),
    series('second', 20_000),
  );
  const source = createRowSource(orm);
  let total = 0;
  let rows = 0;
  let written = 0;
  await withDatabase(orm, async (writer) => {
    for await (const item of source) {
      // Between any two items money moves from the one table to the other, rows come and go.
      await writer.exec(`BEGIN; UPDATE first SET amount = amount - 7 WHERE id % 3 = 0; UPDATE second SET amount = amount + 7 WHERE id % 3 = 0;
        DELETE FROM first WHERE id = ${20_000 - written}; INSERT INTO second VALUES (${30_000 + written}, 1000000, ''); COMMIT`);
      written++;
      if (item.type !== 'rows') continue;
      rows += item.count;
      for (const line of item.data.toString().trimEnd().split('\n')) total += JSON.parse(line)[1];
    }
  });
  t.equal(rows, 40_000);
  t.equal(total, 4_000_000, 'the sum of one state');
  t.ok(written > 10, `${written} transactions meanwhile`);
  t.same(source.notes, []);
});

t.test('leaving early releases everything', async (t) => {
  const orm = await database(
    [entity('First')],
    'CREATE TABLE first (id INTEGER PRIMARY KEY, amount, filler)',
    series('first', 50_000),
  );
  const source = createRowSource(orm);
  for await (const item of source) if (item.type === 'rows') break;
  await new Promise((done) => source.once('close', done));
  t.match(source.notes, [/journal_mode=delete.*WAL/]);
  await exec(orm, 'DELETE FROM first WHERE id = 1');

  const reason = new Error('enough');
  const abort = new AbortController();
  const aborted = createRowSource(orm, { signal: abort.signal });
  let seen = 0;
  t.equal(
    await failure(
      (async () => {
        for await (const item of aborted) if (item && ++seen === 2) setTimeout(() => abort.abort(reason), 5);
      })(),
    ),
    reason,
    'the reason passes through',
  );
  t.ok(seen < 20, 'long before the end');
  await exec(orm, 'DELETE FROM first WHERE id = 2', 'PRAGMA journal_mode = WAL', 'PRAGMA journal_mode = DELETE');
  t.equal(await failure(items(orm, { signal: abort.signal })), reason, 'aborted before it began');
  const unread = createRowSource(orm);
  unread.destroy();
  await once(unread, 'close');
});

t.test('which tables', async (t) => {
  const orm = await database(
    [
      entity('First'),
      entity('Report'),
      new EntitySchema({ name: 'Live', expression: 'select 1 as id', properties: { id: { type: 'integer' } } }),
      entity('Base', { abstract: true }),
    ],
    'CREATE TABLE FIRST (id INTEGER PRIMARY KEY)',
    'CREATE TABLE hidden (id INTEGER PRIMARY KEY)',
    'INSERT INTO first VALUES (1)',
    'CREATE VIEW report AS SELECT id FROM first',
  );
  const list = await items(orm);
  t.same(
    ofType(list, 'schema')[0]!.schema.tables.map(({ table, entities }) => [table, entities]),
    [['FIRST', ['First']]],
    'no view, no table that is not of the app',
  );
  t.same(
    list.map(({ type }) => type),
    ['schema', 'rows', 'entity-end', 'end'],
  );
  t.same(list.at(-1), { type: 'end', rows: 1, files: 0, bytes: 0, skipped: [] });
  await exec(orm, 'DROP TABLE first');
  t.match(await failure(items(orm)), { code: 'ERR_SOURCE_MISSING_TABLE', message: /"first" of the entity First/ });
  await exec(
    orm,
    'DROP VIEW report',
    'CREATE TABLE first (id INTEGER PRIMARY KEY)',
    'CREATE VIRTUAL TABLE report USING fts5(id)',
  );
  t.match(await failure(items(orm)), { code: 'ERR_SOURCE_VIRTUAL_TABLE' });
  t.equal((await items(orm, { registry: { exclude: ['Report'] } })).length, 3, 'an empty table has an end, too');
});

t.test('a schema, which SQLite does not have', async (t) => {
  const orm = await database(
    [entity('First', { schema: 'shop' })],
    'CREATE TABLE first (id INTEGER PRIMARY KEY)',
    'INSERT INTO first VALUES (4)',
  );
  const to = await database([entity('First')], 'CREATE TABLE first (id INTEGER PRIMARY KEY)');
  t.match((await copy(orm, to)).tables, [{ table: 'first', inserted: 1 }]);
  t.match((await copy(to, orm)).tables, [{ table: 'first', untouched: 1 }]);
});

t.test('excluding', async (t) => {
  const orm = await openOrm(model);
  t.teardown(() => orm.close(true));
  const storages = { default: '.' };
  const tables = async (registry: object) =>
    ofType(await items(orm, { registry: { storages, ...registry } }), 'schema')[0]!
      .schema.tables.map(({ table }) => table)
      .sort();
  t.same(await tables({}), [
    'animal',
    'membership',
    'passport',
    'person',
    'person_tags',
    'place',
    'setting',
    'tag',
    'team',
  ]);
  t.same(
    await tables({ exclude: ['Tag'], entities: { Place: { exclude: true }, Person: { fields: { cv: 'VALUE' } } } }),
    ['animal', 'membership', 'passport', 'person', 'setting', 'team'],
    'with its pivot tables; registering one entity leaves the others in',
  );
  t.same(
    await tables({ exclude: ['Animal', 'person_tags'] }),
    ['membership', 'passport', 'person', 'place', 'setting', 'tag', 'team'],
    'the root stands for its hierarchy',
  );
  t.match(await failure(tables({ exclude: ['Dog'] })), {
    code: 'ERR_CONFIG_EXCLUDE_PART',
    message: /Dog cannot be excluded alone.*Animal, Cat/,
  });
  t.match(await failure(tables({ exclude: ['Perso'] })), {
    code: 'ERR_CONFIG_UNKNOWN_ENTITY',
    message: /Did you mean "Person"/,
  });
});

t.test('several ORMs on one database', async (t) => {
  const one = await openOrm(model);
  t.teardown(() => one.close(true));
  const First = entity('First');
  const other = await openOrm([First], { schema: false, file: one.file });
  t.teardown(() => other.close(true));
  await exec(one, 'CREATE TABLE first (id INTEGER PRIMARY KEY)', 'INSERT INTO first VALUES (3)');
  const list: string[] = [];
  for await (const item of createRowSource([one, other, one], { registry: { storages: { default: '.' } } })) {
    if (item.type === 'schema') list.push(...item.schema.tables.map(({ table }) => table));
  }
  t.equal(list.filter((name) => name === 'first').length, 1);
  t.equal(list.filter((name) => name === 'person').length, 1, 'each once');
});

t.test('a database in memory', async (t) => {
  const [from, to] = [
    await openOrm([entity('First')], { file: ':memory:' }),
    await openOrm([entity('First')], { file: ':memory:' }),
  ];
  t.teardown(() => Promise.all([from.close(true), to.close(true)]));
  // biome-ignore lint/suspicious/noExplicitAny: a knex or kysely connection
  const run = (orm: TestOrm, sql: string): Promise<any> => (orm.em.getConnection() as any).execute(sql);
  if (driverName === 'node:sqlite') {
    t.match(await failure(items(from)), { code: 'ERR_CONFIG_SQLITE_CLIENT' });
    return;
  }
  await run(from, 'INSERT INTO first VALUES (1), (2)');
  t.match((await copy(from, to)).tables, [{ inserted: 2 }]);
  t.same(
    (await run(to, 'SELECT id FROM first')).map((row: { id: number }) => row.id),
    [1, 2],
  );
  t.equal(Number((await run(to, 'PRAGMA foreign_keys'))[0].foreign_keys), 1, 'the settings of the connection are back');
  await run(from, 'INSERT INTO first VALUES (3)');
});

t.test('a database that cannot be read', async (t) => {
  const orm = await database(
    [entity('First')],
    'CREATE TABLE first (id INTEGER PRIMARY KEY, a)',
    "INSERT INTO first VALUES (1, printf('%.*c', 20000, 'x'))",
  );
  await orm.close(true);
  const damaged = await openOrm([entity('First')], { schema: false });
  t.teardown(() => damaged.close(true));
  writeFileSync(damaged.file, Buffer.alloc(8192, 'this is no database '));
  t.match(await failure(items(damaged)), { code: 'ERR_SOURCE_CORRUPT' });
  const gone = await openOrm([entity('First')], { schema: false });
  t.teardown(() => gone.close(true));
  const { rmSync } = await import('node:fs');
  rmSync(gone.file, { force: true });
  t.match(await failure(items(gone)), { code: 'ERR_SOURCE_NO_DATABASE' });
  t.notOk(readdirSync('.').includes(gone.file), 'and none is made');
  const empty = await openOrm([], { schema: false });
  t.teardown(() => empty.close(true));
  t.match(await failure(items(empty)), { code: 'ERR_CONFIG_NO_ENTITIES' });
  const fake = { ...damaged, em: { getConnection: () => ({}), getDriver: () => new (class MsSqlDriver {})() } };
  t.match(await failure(items(fake as unknown as TestOrm)), {
    code: 'ERR_CONFIG_UNSUPPORTED_DATABASE',
    message: /MsSqlDriver/,
  });
});

t.test('the registry is not case-blind, the database is', async (t) => {
  const orm = await database(
    [entity('Mixed')],
    'CREATE TABLE "MiXed" ("ID" INTEGER PRIMARY KEY, "Name")',
    "INSERT INTO mixed VALUES (1, 'x')",
  );
  const to = await database([entity('Mixed')], 'CREATE TABLE mixed (id INTEGER PRIMARY KEY, name)');
  await copy(orm, to);
  t.same(await query(to, 'SELECT id, name FROM mixed'), [[1, 'x']]);
  t.ok(loaded.core && (await dump(to)));
});

if (major === '7') {
  t.test('MikroORM 7: a table per type', async (t) => {
    class Vehicle {}
    class Car extends Vehicle {}
    const vehicle = new EntitySchema({
      class: Vehicle,
      inheritance: 'tpt',
      properties: { id: { type: 'integer', primary: true }, name: { type: 'string', nullable: true } },
    });
    const car = new EntitySchema({
      class: Car,
      extends: Vehicle,
      properties: { doors: { type: 'integer', nullable: true } },
    });
    const [from, to] = [await openOrm([vehicle, car]), await openOrm([vehicle, car])];
    t.teardown(() => Promise.all([from.close(true), to.close(true)]));
    // biome-ignore lint/suspicious/noExplicitAny: entities without declared classes
    const em = from.em.fork() as any;
    em.create(Car, { name: 'Mini', doors: 3 });
    em.create(Vehicle, { name: 'Cart' });
    await em.flush();
    await copy(from, to);
    t.same(await dump(to), await dump(from));
    const names = (registry: object) =>
      items(from, { registry }).then((list) =>
        ofType(list, 'schema')[0]!
          .schema.tables.map(({ table, columns }) => [table, columns.map(({ name }) => name)])
          .sort(),
      );
    t.same(await names({ entities: { Car: { fields: { name: 'EXCLUDE', doors: 'EXCLUDE' } } } }), [
      ['car', ['id']],
      ['vehicle', ['id']],
    ]);
  });

  t.test('MikroORM 7: an attached database', async (t) => {
    if (driverName === 'node:sqlite') return;
    const beside = await database([entity('Far')], 'CREATE TABLE other (id INTEGER PRIMARY KEY)');
    const elsewhere = await database([entity('Far')]);
    const near = entity('Near');
    const far = entity('Far', { schema: 'far' });
    const both = (orm: TestOrm) =>
      openOrm([near, far], { schema: false, attachDatabases: [{ name: 'far', path: orm.file }] });
    const [from, to] = [await both(beside), await both(elsewhere)];
    t.teardown(() => Promise.all([from.close(true), to.close(true)]));
    const trigger = 'CREATE TRIGGER far.stamp AFTER INSERT ON far BEGIN DELETE FROM far; END';
    for (const orm of [from, to])
      await exec(
        orm,
        'CREATE TABLE near (id INTEGER PRIMARY KEY)',
        'CREATE TABLE far.far (id INTEGER PRIMARY KEY AUTOINCREMENT, up REFERENCES far (id))',
      );
    await exec(to, trigger);
    await exec(from, 'INSERT INTO near VALUES (1)', 'INSERT INTO far.far VALUES (7, NULL), (8, 7)');
    const list = await items(from);
    t.match(ofType(list, 'schema')[0]!.schema, {
      tables: [{ table: 'near' }, { table: 'far', schema: 'far' }],
      sequences: [{ schema: 'far', value: '8' }],
    });
    t.match((await copy(from, to)).tables, [{ inserted: 1 }, { inserted: 2 }]);
    t.same(await query(to, 'SELECT id FROM far.far'), [[7], [8]]);
    t.same(await query(to, "SELECT sql FROM far.sqlite_master WHERE name = 'stamp'"), [
      [trigger.replace('far.stamp', 'stamp')],
    ]);
    await exec(from, 'PRAGMA foreign_keys = OFF', 'DELETE FROM far.far WHERE id = 7');
    t.match(await failure(copy(from, to, { mode: 'flush' })), {
      code: 'ERR_RESTORE_DANGLING',
      message: /"far" id=8, up=7/,
    });
  });
}
