/** Whole models into MariaDB: keys in circles, merge, flush, dry run, counters, triggers, and the way through a backup. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createBackup, restoreBackup } from '../../lib/index.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import type { RowTargetOptions } from '../../lib/orm/row-target.ts';
import {
  type Any,
  cleanUp,
  copy,
  core,
  dump,
  exec,
  failure,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
  tables,
} from '../support/mysql.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const DDL = [
  `CREATE TABLE person (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(50) NOT NULL UNIQUE, name VARCHAR(50), boss INT, team INT,
    CONSTRAINT boss FOREIGN KEY (boss) REFERENCES person (id) ON DELETE CASCADE)`,
  'CREATE TABLE team (id INT PRIMARY KEY AUTO_INCREMENT, head INT, FOREIGN KEY (head) REFERENCES person (id))',
  'ALTER TABLE person ADD CONSTRAINT team FOREIGN KEY (team) REFERENCES team (id) ON DELETE SET NULL',
  'CREATE TABLE place (country CHAR(2), code INT, within INT, plan BLOB, PRIMARY KEY (country, code), FOREIGN KEY (country, within) REFERENCES place (country, code))',
  'CREATE TABLE visits (person INT, country CHAR(2), code INT, note TEXT, PRIMARY KEY (person, country, code), FOREIGN KEY (person) REFERENCES person (id) ON DELETE CASCADE, FOREIGN KEY (country, code) REFERENCES place (country, code))',
  'CREATE TABLE log (at DATETIME(6), what TEXT)',
  'CREATE VIEW everyone AS SELECT email FROM person',
];
const NAMES = ['person', 'team', 'place', 'visits', 'log'];
const ROWS = [
  "INSERT INTO person (id, email, name) VALUES (1, 'a@x', 'Ann'), (2, 'b@x', 'Bob'), (9, 'c@x', NULL)",
  'INSERT INTO team VALUES (1, 1), (2, NULL)',
  'UPDATE person SET boss = 3 - id, team = 1 WHERE id < 3',
  "INSERT INTO place VALUES ('de', 1, NULL, X'00FF'), ('de', 2, 1, NULL), ('fr', 1, 1, '')",
  "INSERT INTO visits VALUES (1, 'de', 2, 'x'), (2, 'fr', 1, NULL)",
  "INSERT INTO log VALUES (NOW(6), 'one'), (NULL, NULL), (NULL, NULL)",
];
const database = (...more: string[]): Promise<TestOrm> => openDatabase([...DDL, ...more], tables(...NAMES));
const source = await database(...ROWS);
const counts = (list: { table: string; inserted: number; updated: number; untouched: number }[]) =>
  Object.fromEntries(list.map(({ table, inserted, updated, untouched }) => [table, [inserted, updated, untouched]]));

t.test('circles of foreign keys, self references, composite keys, tables without a key', async (t) => {
  const target = await database();
  const { tables, dangling } = await copy(source, target);
  t.same(await dump(target), await dump(source));
  t.same(counts(tables), { person: [3, 0, 0], team: [2, 0, 0], place: [3, 0, 0], visits: [2, 0, 0], log: [3, 0, 0] });
  t.same(dangling, []);
  t.equal((await failure(copy(source, target))).code, 'ERR_RESTORE_NO_PRIMARY_KEY', 'log cannot be merged');
});

t.test('merge: what differs to the bit, and nothing else', async (t) => {
  const except = { except: ['log'] };
  const target = await database(
    "INSERT INTO person (id, email, name) VALUES (1, 'b@x', 'ann'), (2, 'a@x', 'Bob'), (77, 'z@x', 'Zoe'), (9, 'c@x', NULL)",
    "INSERT INTO place VALUES ('DE', 1, NULL, X'00FF'), ('de', 2, 1, X'')",
    'ALTER TABLE person AUTO_INCREMENT = 500',
  );
  const before = await dump(target);
  const dry = await copy(source, target, { ...except, dryRun: true });
  t.same(await dump(target), before, 'a dry run changes nothing');
  const done = await copy(source, target, except);
  t.same(counts(done.tables), { person: [0, 2, 1], team: [2, 0, 0], place: [1, 2, 0], visits: [2, 0, 0] });
  t.same(dry.tables, done.tables, 'and counts the same');
  const expected = await dump(source);
  const got = await dump(target);
  t.same(
    got.person,
    [...expected.person!, before.person!.find((row) => row.includes('id=77'))].sort(),
    'e-mail addresses swapped',
  );
  t.same(got.place, expected.place, '"DE" is "de" again');
  t.match(
    await query(target, 'SHOW CREATE TABLE person'),
    [[/person/, /AUTO_INCREMENT=500/]],
    'a merge turns no counter back',
  );
  t.same(counts((await copy(source, target, except)).tables).person, [0, 0, 3]);
});

t.test('merge: columns that only the target has', async (t) => {
  const target = await database(
    "ALTER TABLE person ADD extra VARCHAR(9) DEFAULT 'new', ADD touched TIMESTAMP(6) NOT NULL DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP(6) FIRST",
    "INSERT INTO person (id, email, name, extra) VALUES (1, 'a@x', 'ann', 'kept'), (9, 'c@x', NULL, 'same')",
  );
  const { tables } = await copy(source, target, { except: ['log'] });
  t.same(counts(tables).person, [1, 1, 1]);
  t.same(await query(target, "SELECT id, name, extra, touched = '2001-01-01' FROM person ORDER BY id"), [
    ['1', 'Ann', 'kept', '1'],
    ['2', 'Bob', 'new', '1'],
    ['9', null, 'same', '1'],
  ]);
});

t.test('unique values of other rows are reported by row, never merged', async (t) => {
  const target = await database("INSERT INTO person (id, email) VALUES (50, 'A@x'), (51, 'b@x')");
  const before = await dump(target);
  const error = await failure(copy(source, target, { except: ['log'] }));
  t.match(error, { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /"person": id=1; id=2/ });
  t.same(
    error.facts?.clashes,
    [1, 2].map((id) => ({ row: `id=${id}`, columns: ['email'] })),
  );
  t.same(await dump(target), before);
  const strict = await openDatabase(
    ['CREATE TABLE log (id INT PRIMARY KEY AUTO_INCREMENT, at DATETIME(6), what VARCHAR(9) UNIQUE)'],
    tables('log'),
  );
  const from = await openDatabase(
    [
      'CREATE TABLE log (id INT PRIMARY KEY, at DATETIME(6), what VARCHAR(9))',
      "INSERT INTO log VALUES (3, NULL, 'same'), (4, NULL, 'SAME')",
    ],
    tables('log'),
  );
  t.match(await failure(copy(from, strict)), {
    code: 'ERR_RESTORE_UNIQUE_CLASH',
    facts: { table: 'log', key: 'what', clashes: [{ row: 'id=4', columns: ['what'] }] },
  });
  t.same(await dump(strict), { log: [] });
});

t.test('flush replaces, deletes nothing behind foreign keys, and sets counters back', async (t) => {
  const target = await database(
    "INSERT INTO person (id, email, team) VALUES (1, 'old@x', NULL), (900, 'x@x', NULL)",
    "INSERT INTO log VALUES (NULL, 'old')",
    "INSERT INTO place VALUES ('it', 1, NULL, NULL)",
    "INSERT INTO visits VALUES (1, 'it', 1, 'kept through ON DELETE CASCADE')",
  );
  const { tables: done } = await copy(source, target, { mode: 'flush', only: ['person', 'team'] });
  t.same(counts(done), { person: [3, 0, 0], team: [2, 0, 0] });
  t.equal((await query(target, 'SELECT * FROM visits')).length, 1);
  t.match(await query(target, 'SHOW CREATE TABLE person'), [[/person/, /AUTO_INCREMENT=10 /]]);
  const before = await dump(target);
  await exec(target, 'UPDATE visits SET person = 9');
  await exec(source, 'DELETE FROM person WHERE id = 9');
  const error = await failure(copy(source, target, { mode: 'flush', only: ['person', 'team'] }));
  t.match(error, { code: 'ERR_RESTORE_DANGLING' }, 'rows of tables that were not written count too');
  t.same(error.facts?.dangling, [{ table: 'visits', row: 'person=9, country=it, code=1', parent: 'person' }]);
  t.same((await dump(target)).person, before.person);
  await exec(source, "INSERT INTO person (id, email, name) VALUES (9, 'c@x', NULL)");
  await copy(source, target, { mode: 'flush' });
  t.same(await dump(target), await dump(source));
});

t.test('dangling references of the source', async (t) => {
  const from = await database(...ROWS);
  await exec(
    from,
    'SET foreign_key_checks = 0',
    "INSERT INTO visits VALUES (404, 'xx', 5, 'lost')",
    'UPDATE person SET boss = 405 WHERE id = 9',
  );
  const target = await database();
  const error = await failure(copy(from, target));
  t.equal(error.code, 'ERR_RESTORE_DANGLING');
  const dangling = error.facts?.dangling as { table: string; parent: string }[];
  dangling.sort((a, b) => `${a.table} ${a.parent}`.localeCompare(`${b.table} ${b.parent}`));
  t.same(dangling, [
    { table: 'person', row: 'id=9, boss=405', parent: 'person' },
    { table: 'visits', row: 'person=404, country=xx, code=5', parent: 'person' },
    { table: 'visits', row: 'person=404, country=xx, code=5', parent: 'place' },
  ]);
  t.same(Object.values(await dump(target)).flat(), []);
  const accepted = await copy(from, target, { allowDangling: true });
  t.equal(accepted.dangling.length, 3);
  t.same(await dump(target), await dump(from));
});

t.test('triggers cannot be switched off', async (t) => {
  const trigger = 'CREATE TRIGGER stamp AFTER INSERT ON person FOR EACH ROW INSERT INTO log VALUES (NULL, NEW.email)';
  const target = await database(trigger);
  const error = await failure(copy(source, target));
  t.match(error, { code: 'ERR_RESTORE_TRIGGERS', message: /"stamp" on "person".*DROP.*allowTriggers/s });
  t.same(error.facts, { triggers: [{ trigger: 'stamp', table: 'person' }] });
  t.same(Object.values(await dump(target)).flat(), []);
  const options: RowTargetOptions = { allowTriggers: true, except: ['log'] };
  await copy(source, target, options);
  t.same(
    (await query(target, 'SELECT what FROM log ORDER BY what')).flat(),
    ['a@x', 'b@x', 'c@x'],
    'on request they fire',
  );
});

t.test('tables that know no transactions', async (t) => {
  const sql = ['CREATE TABLE loose (id INT PRIMARY KEY) ENGINE=MyISAM', 'INSERT INTO loose VALUES (1)'];
  const from = await openDatabase(sql, tables('loose'));
  const rows = createRowSource(from);
  for await (const _ of rows);
  t.match(rows.notes, [/no transactions.*"loose" \(MyISAM\)/]);
  const error = await failure(copy(from, await openDatabase(sql, tables('loose'))));
  t.match(error, { code: 'ERR_RESTORE_NOT_TRANSACTIONAL', facts: { tables: [{ table: 'loose', engine: 'MyISAM' }] } });
  const to = await openDatabase(['CREATE TABLE loose (id INT PRIMARY KEY)'], tables('loose'));
  await copy(from, to);
  t.same(await dump(to), { loose: ['id=1'] });
});

t.test('partitions, several databases, reserved and strange names, migrations, views', async (t) => {
  const strange = 'or`der "x" \\ ü';
  const quoted = `\`${strange.replaceAll('`', '``')}\``;
  const ddl = [
    'CREATE TABLE parted (id INT, at DATE, v TEXT, PRIMARY KEY (id, at)) PARTITION BY RANGE (YEAR(at)) (PARTITION a VALUES LESS THAN (2000), PARTITION b VALUES LESS THAN MAXVALUE)',
    `CREATE TABLE ${quoted} (id INT PRIMARY KEY, \`select\` INT, ${quoted} TEXT)`,
    'CREATE TABLE mikro_orm_migrations (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(99), executed_at DATETIME)',
    'CREATE VIEW seen AS SELECT 1 AS id',
  ];
  const other = await openDatabase(['CREATE TABLE far (id INT PRIMARY KEY)', 'INSERT INTO far VALUES (3)'], []);
  const Far = new (core as Any).EntitySchema({
    name: 'Far',
    tableName: 'far',
    schema: other.name,
    properties: { id: { type: 'integer', primary: true } },
  });
  const entities = [...tables('parted', strange, 'mikro_orm_migrations', 'seen'), Far];
  const from = await openDatabase(
    [
      ...ddl,
      "INSERT INTO parted VALUES (1, '1999-01-01', 'a'), (1, '2024-01-01', 'b')",
      `INSERT INTO ${quoted} VALUES (1, 2, 'three')`,
      "INSERT INTO mikro_orm_migrations (name) VALUES ('M2'), ('M1')",
    ],
    entities,
  );
  const to = await openDatabase(
    [
      ...ddl,
      "INSERT INTO parted VALUES (1, '1999-01-01', 'old')",
      "INSERT INTO mikro_orm_migrations (name) VALUES ('M2'), ('M3')",
    ],
    entities,
  );
  const { tables: done, migrations } = await copy(from, to);
  t.same(counts(done), { parted: [1, 1, 0], [strange]: [1, 0, 0], far: [0, 0, 1] });
  t.same(migrations, { onlyInBackup: ['M1'], onlyInTarget: ['M3'] });
  const [a, b] = [await dump(from, ['mikro_orm_migrations']), await dump(to, ['mikro_orm_migrations'])];
  t.same(b, a);
});

t.test('through a backup and back', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dbs-mysql-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const output = join(folder, 'a.dbs');
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  const from = await database(
    ...ROWS,
    "INSERT INTO log SELECT NULL, REPEAT('0123456789', 2000) FROM person, place, team",
  );
  const made = await createBackup(from, 'secret', { output, kdf });
  t.match(made, { verified: true, rows: 31 });
  const target = await database("INSERT INTO log VALUES (NULL, 'old')");
  t.match(await restoreBackup(target, output, 'secret', { mode: 'flush' }), { ok: true });
  t.same(await dump(target), await dump(from));
});
