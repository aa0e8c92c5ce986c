/** What a restore does to a database that is not empty, and everything that makes it refuse. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import type { BackupItem } from '../../lib/format/items.ts';
import { restoreError, sourceError } from '../../lib/orm/drivers/sqlite-errors.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { createRowTarget } from '../../lib/orm/row-target.ts';
import { core, driverName, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec, failure, items, ofType, query, restore } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const entity = (name: string, properties: object = { id: { type: 'integer', primary: true } }) =>
  new EntitySchema({ name, tableName: name.toLowerCase(), properties });
const entities = ['User', 'Post', 'Log', 'Mark'].map((name) => entity(name));

const DDL = [
  `CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, name TEXT COLLATE NOCASE, boss INTEGER REFERENCES user (id), extra TEXT DEFAULT 'mine')`,
  'CREATE TABLE post (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE, title TEXT CHECK (length(title) < 20))',
  'CREATE TABLE log (at, what)',
  'CREATE TABLE mark (a TEXT, b TEXT, n INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID',
  "CREATE TRIGGER stamp AFTER INSERT ON user BEGIN INSERT INTO log VALUES ('now', NEW.email); END",
  'CREATE VIEW everyone AS SELECT email FROM user',
];

async function database(...rows: string[]): Promise<TestOrm> {
  const orm = await openOrm(entities, { schema: false });
  t.teardown(() => orm.close(true));
  await exec(orm, ...DDL, 'DROP TRIGGER stamp', ...rows, DDL[4]!);
  return orm;
}

const PEOPLE =
  "INSERT INTO user (id, email, name, boss) VALUES (1, 'a@x', 'Ann', 2), (2, 'b@x', 'Bob', 1), (5, 'c@x', NULL, NULL)";
const POSTS = "INSERT INTO post VALUES (1, 1, 'one'), (2, 5, 'two')";
const source = await database(
  PEOPLE,
  POSTS,
  "INSERT INTO mark VALUES ('k', '1', 1), ('k', '2', 2)",
  "INSERT INTO log VALUES (1, 'x')",
);
const counts = (list: { table: string; inserted: number; updated: number; untouched: number }[]) =>
  Object.fromEntries(list.map(({ table, inserted, updated, untouched }) => [table, [inserted, updated, untouched]]));

t.test('merge and flush', async (t) => {
  const target = await database(
    "INSERT INTO user (id, email, name, extra) VALUES (1, 'a@x', 'ann', 'kept'), (9, 'z@x', 'Zoe', NULL)",
    "INSERT INTO mark VALUES ('k', '1', 1), ('k', '2', '2x')",
  );
  await exec(
    target,
    'DROP TABLE post',
    'CREATE TABLE post (title TEXT, user_id INTEGER REFERENCES user (id), id INTEGER PRIMARY KEY, note)',
  );
  const known = { except: ['Log'] };
  const before = await dump(target);
  const dry = await copy(source, target, { ...known, dryRun: true });
  t.same(await dump(target), before, 'a dry run changes nothing');
  const done = await copy(source, target, known);
  t.same(counts(done.tables), { user: [2, 1, 0], post: [2, 0, 0], mark: [0, 1, 1] });
  t.same({ ...done, dryRun: true }, dry, 'and it counts the same');
  t.same(
    await query(target, 'SELECT id, email, name, boss, extra FROM user ORDER BY id'),
    [
      [1, 'a@x', 'Ann', 2, 'mine'],
      [2, 'b@x', 'Bob', 1, 'mine'],
      [5, 'c@x', null, null, 'mine'],
      [9, 'z@x', 'Zoe', null, null],
    ],
    'NOCASE hides no difference',
  );
  t.same(await query(target, 'SELECT typeof(n) FROM mark ORDER BY b'), [['integer'], ['integer']]);
  t.same(await query(target, 'SELECT count(*) AS n FROM log'), [[0]], 'triggers did not fire');
  await exec(target, "INSERT INTO user (email) VALUES ('t@x')");
  t.same(await query(target, 'SELECT count(*) AS n FROM log'), [[1]], 'and are back');
  t.same(await query(target, "SELECT id FROM user WHERE email = 't@x'"), [[10]], 'a merge turns no counter back');

  const flushed = await copy(source, target, { ...known, mode: 'flush' });
  t.same(counts(flushed.tables), { user: [3, 0, 0], post: [2, 0, 0], mark: [2, 0, 0] });
  t.same((await query(target, 'SELECT id FROM user')).flat(), [1, 2, 5]);
  t.same(await query(target, "SELECT seq FROM sqlite_sequence WHERE name = 'user'"), [[5]]);
  t.same(await query(target, 'SELECT count(*) AS n FROM log'), [[1]], 'a table that is left out keeps its rows');
});

t.test('unique values that rows have exchanged', async (t) => {
  const target = await database(
    "INSERT INTO user (id, email, extra) VALUES (1, 'b@x', 'one'), (2, 'c@x', 'two'), (5, 'a@x', 'five')",
  );
  await exec(target, 'ALTER TABLE user ADD COLUMN later TEXT', "UPDATE user SET later = 'L' || id");
  const done = await copy(source, target, { only: ['User'] });
  t.same(counts(done.tables), { user: [0, 3, 0] });
  t.same(
    await query(target, 'SELECT id, email, later FROM user ORDER BY id'),
    [
      [1, 'a@x', 'L1'],
      [2, 'b@x', 'L2'],
      [5, 'c@x', 'L5'],
    ],
    'columns that the backup does not know keep their values',
  );
});

t.test('only and except', async (t) => {
  const target = await database();
  const list = await items(source);
  t.same(counts((await restore(target, list, { only: ['User', 'mark'] })).tables), {
    user: [3, 0, 0],
    mark: [2, 0, 0],
  });
  t.same(counts((await restore(target, list, { except: ['User', 'Log'] })).tables), {
    post: [2, 0, 0],
    mark: [0, 0, 2],
  });
  const error = await failure(restore(target, list, { only: ['Usr'] }));
  t.match(error, { code: 'ERR_CONFIG_UNKNOWN_ENTITY', message: /"Usr".*"User"/ });
});

t.test('everything that is refused, and nothing is changed', async (t) => {
  const list = await items(source);
  const schema = ofType(list, 'schema')[0]!.schema;
  const patched = (patch: object): BackupItem[] => [
    { type: 'schema', schema: { ...schema, ...patch } },
    ...list.slice(1),
  ];
  const rowsAt = list.findIndex((item) => item.type === 'rows');
  const withRows = (data: string): BackupItem[] =>
    list.map((item, i) => (i === rowsAt ? { ...ofType(list, 'rows')[0]!, data: Buffer.from(data) } : item));
  const cases: [string, string, string[], Parameters<typeof restore>[2]?, BackupItem[]?][] = [
    [
      'a row that another one stands in the way of',
      'ERR_RESTORE_UNIQUE_CLASH',
      ["INSERT INTO user (id, email) VALUES (7, 'b@x')"],
    ],
    ['a table without a key that has rows', 'ERR_RESTORE_NO_PRIMARY_KEY', ["INSERT INTO log VALUES (0, 'here')"]],
    [
      'a stricter check',
      'ERR_RESTORE_CONSTRAINT',
      [
        'DROP TABLE post',
        'CREATE TABLE post (id INTEGER PRIMARY KEY, user_id INTEGER, title TEXT CHECK (length(title) < 2))',
      ],
    ],
    [
      'a stricter NOT NULL',
      'ERR_RESTORE_CONSTRAINT',
      ['DROP TABLE user', "CREATE TABLE user (id INTEGER PRIMARY KEY, email, name NOT NULL, boss, extra DEFAULT '')"],
    ],
    ['a column that the target lacks', 'ERR_RESTORE_SCHEMA_DRIFT', ['ALTER TABLE post DROP COLUMN title']],
    [
      'a column that the target requires',
      'ERR_RESTORE_SCHEMA_DRIFT',
      ['DROP TABLE post', 'CREATE TABLE post (id INTEGER PRIMARY KEY, user_id, title, must TEXT NOT NULL)'],
      { allowDrift: true },
    ],
    ['a table that the target lacks', 'ERR_RESTORE_MISSING_TABLE', ['DROP TABLE mark']],
    ['references to rows that are not there', 'ERR_RESTORE_DANGLING', [], { only: ['Post'] }],
    [
      'rows that refer to what a flush deleted',
      'ERR_RESTORE_DANGLING',
      ["INSERT INTO user (id, email) VALUES (8, 'h@x')", "INSERT INTO post VALUES (9, 8, 'of 8')"],
      { only: ['User'], mode: 'flush' },
    ],
    [
      'an entity that the target does not know',
      'ERR_RESTORE_UNKNOWN_ENTITY',
      [],
      {},
      patched({ tables: [{ ...schema.tables[0]!, table: 'users', entities: ['Usr'] }] }),
    ],
    ['another dialect', 'ERR_RESTORE_DIALECT', [], {}, patched({ dialect: 'postgresql' })],
    ['a sealed stream', 'ERR_RESTORE_NOT_A_DATABASE', [], {}, patched({ kind: 'stream' })],
    ['no END', 'ERR_RESTORE_INCOMPLETE', [], {}, list.slice(0, -1)],
    [
      'an END that does not fit',
      'ERR_RESTORE_INCOMPLETE',
      [],
      {},
      [...list.slice(0, -1), { ...ofType(list, 'end')[0]!, rows: 1 }],
    ],
    ['a table without its end', 'ERR_RESTORE_INCOMPLETE', [], {}, list.filter((item) => item.type !== 'entity-end')],
    ['a missing row', 'ERR_FORMAT_ROW', [], {}, list.filter((_, i) => i !== rowsAt)],
    ['rows after the end of their table', 'ERR_FORMAT_ORDER', [], {}, [...list.slice(0, -1), list[rowsAt]!]],
    ['rows before the schema', 'ERR_FORMAT_ORDER', [], {}, list.slice(1)],
    [
      'a file without its beginning',
      'ERR_FORMAT_ORDER',
      [],
      {},
      [...list.slice(0, -1), { type: 'file-end', stream: 99, size: 0 }],
    ],
    ['rows that are no JSON', 'ERR_FORMAT_ROW', [], {}, withRows('[1,\n[2\n[3]\n')],
    ['rows that are no arrays', 'ERR_FORMAT_ROW', [], {}, withRows('{"a":1}\n1\n2\n')],
    ['a row that is too short', 'ERR_FORMAT_ROW', [], {}, withRows('[1]\n[2]\n[3]\n')],
    ...[
      '1.5',
      'true',
      '{"x":"1"}',
      '{"i":"9223372036854775808"}',
      '{"i":"1e3"}',
      '{"r":"0x1"}',
      '{"b":"?"}',
      '{"b":"AA==","t":"AA=="}',
      '-0',
      '9007199254740993',
      '{"r":1}',
    ].map((cell): [string, string, string[], object, BackupItem[]] => [
      `the cell ${cell}`,
      'ERR_FORMAT_CELL',
      [],
      {},
      withRows(`[1,"e",${cell},null,null]\n`.repeat(3)),
    ]),
  ];
  for (const [name, code, rows, options, given] of cases) {
    const target = await database(...rows);
    const before = await dump(target);
    const error = await failure(restore(target, given ?? list, options));
    t.equal(error.code, code, name);
    if (error.code !== code) t.comment(error.stack);
    t.same(await dump(target), before, 'untouched');
    await target.close(true);
  }
});

t.test('what messages say', async (t) => {
  const list = await items(source);
  const clash = await failure(restore(await database("INSERT INTO user (id, email) VALUES (7, 'b@x')"), list));
  t.match(clash, {
    message: /"user".*id=2 \(email\)/,
    facts: { table: 'user', clashes: [{ row: 'id=2', columns: ['email'] }] },
  });
  const dangling = await failure(restore(await database(), list, { only: ['Post'] }));
  t.match(dangling, { message: /"post" id=1, user_id=1 \(no such row in "user"\)/ });
  const accepted = await restore(await database(), list, { only: ['Post'], allowDangling: true });
  t.equal(accepted.dangling.length, 2);
  const drift = await database('ALTER TABLE post DROP COLUMN title');
  t.match(await failure(restore(drift, list)), {
    message: /"post"\."title"/,
    facts: { drift: [{ table: 'post', column: 'title', kind: 'dropped' }] },
  });
  const allowed = await restore(drift, list, { allowDrift: true });
  t.same(allowed.drift, [{ table: 'post', entities: ['Post'], column: 'title', kind: 'dropped', values: 2 }]);
  const row = await failure(
    restore(
      await database(
        'DROP TABLE post',
        'CREATE TABLE post (id INTEGER PRIMARY KEY, user_id, title CHECK (length(title) > 3))',
      ),
      list,
    ),
  );
  t.match(row, { message: /row id=1 of the table "post"/, facts: { table: 'post', row: 'id=1' } });
});

t.test('migrations are recorded, never restored', async (t) => {
  const from = await database(
    'CREATE TABLE mikro_orm_migrations (id INTEGER PRIMARY KEY, name TEXT, executed_at)',
    "INSERT INTO mikro_orm_migrations VALUES (2, 'M2', 0), (1, 'M1', 0)",
  );
  const to = await database(
    'CREATE TABLE mikro_orm_migrations (id INTEGER PRIMARY KEY, name TEXT, executed_at)',
    "INSERT INTO mikro_orm_migrations VALUES (1, 'M1', 7), (2, 'M3', 7)",
  );
  const list = await items(from);
  t.same(ofType(list, 'schema')[0]!.schema.migrations, { table: 'mikro_orm_migrations', names: ['M1', 'M2'] });
  t.same((await restore(to, list)).migrations, { onlyInBackup: ['M2'], onlyInTarget: ['M3'] });
  t.same(await query(to, 'SELECT name FROM mikro_orm_migrations ORDER BY id'), [['M1'], ['M3']]);
});

t.test('stopping midway', async (t) => {
  const target = await database();
  const before = await dump(target);
  const list = await items(source);
  const reason = new Error('enough');
  const abort = new AbortController();
  const sink = createRowTarget(target, { signal: abort.signal });
  const feed = new PassThrough({ objectMode: true });
  const done = pipeline(feed, sink);
  for (const item of list.slice(0, -1)) feed.write(item);
  setTimeout(() => abort.abort(reason), 50);
  t.equal(await failure(done), reason, 'the reason passes through');
  t.equal(await failure(sink.result), reason);
  t.same(await dump(target), before);
  await t.rejects(pipeline(list, createRowTarget(target, { signal: abort.signal })), reason, 'aborted before it began');

  const destroyed = createRowTarget(target);
  destroyed.write(list[0]);
  destroyed.destroy();
  t.match(await failure(destroyed.result), { code: 'ERR_RESTORE_INCOMPLETE' });
  await restore(target, list);
  t.same(await dump(target), await dump(source), 'no lock stays behind');
});

/** A libSQL server waits by itself, and blocks the process meanwhile: test/orm-libsql. */
const blocking = driverName === 'libsql-server' && 'not on a server';

t.test('a target that cannot be written', { skip: blocking }, async (t) => {
  const target = await database();
  const other = await openOrm(entities, { schema: false, file: target.file });
  t.teardown(() => other.close(true));
  const { locate } = await import('../../lib/orm/drivers/sqlite-open.ts');
  const lock = await (await locate(other)).open();
  await lock.exec('BEGIN IMMEDIATE');
  setTimeout(() => lock.exec('ROLLBACK'), 500);
  await copy(source, target); // waits, and does not keep the timer from firing
  await lock.exec('BEGIN IMMEDIATE');
  const waiting = new AbortController();
  setTimeout(() => waiting.abort(), 300);
  t.equal(await failure(copy(source, target, { signal: waiting.signal })), waiting.signal.reason);
  if (process.env.DBS_TEST_SLOW) t.match(await failure(copy(source, target)), { code: 'ERR_RESTORE_LOCKED' });
  await lock.exec('ROLLBACK');
  await lock.close();
  await t.rejects(pipeline(createRowSource(source), createRowTarget([])), { code: 'ERR_CONFIG_NO_ORM' });
  await t.rejects(pipeline(createRowSource(source), createRowTarget([target, source])), {
    code: 'ERR_CONFIG_SEVERAL_DATABASES',
  });
});

t.test('a database file that this user may not write', { skip: !process.seteuid && 'POSIX only' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dbs-rights-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const target = await openOrm(entities, { schema: false, file: join(folder, 'app.sqlite') });
  t.teardown(() => target.close(true));
  await exec(target, ...DDL);
  const before = await dump(target);
  const list = await items(source);
  const root = process.geteuid!() === 0;
  chmodSync(target.file, 0o444);
  chmodSync(folder, 0o755);
  // Root may write everything: for a moment, somebody else.
  if (root) process.seteuid!(65534);
  const error = await failure(restore(target, list)).finally(() => root && process.seteuid!(0));
  t.match(error, { code: 'ERR_RESTORE_READ_ONLY', message: /may not write to .*app\.sqlite.*Nothing was changed/ });
  chmodSync(target.file, 0o644);
  t.same(await dump(target), before);
});

t.test('what the modules report, in our words', async (t) => {
  const reports: [object, string, string][] = [
    [{ code: 'SQLITE_BUSY_SNAPSHOT' }, 'ERR_SOURCE_LOCKED', 'ERR_RESTORE_LOCKED'],
    [{ code: 'ERR_SQLITE_ERROR', errcode: 6 }, 'ERR_SOURCE_LOCKED', 'ERR_RESTORE_LOCKED'],
    [{ code: 'SQLITE_READONLY_DBMOVED' }, 'ERR_SOURCE_DATABASE', 'ERR_RESTORE_READ_ONLY'],
    [{ code: 'SQLITE_FULL', rawCode: 13 }, 'ERR_SOURCE_DATABASE', 'ERR_RESTORE_DISK_FULL'],
    [{ code: 'SQLITE_CANTOPEN', errno: 14 }, 'ERR_SOURCE_UNREADABLE', 'ERR_RESTORE_UNREACHABLE'],
    [
      { message: 'ConnectionFailed("Unable to open connection to local database x: 14")' },
      'ERR_SOURCE_UNREADABLE',
      'ERR_RESTORE_UNREACHABLE',
    ],
    [{ code: 'SQLITE_CORRUPT_INDEX' }, 'ERR_SOURCE_CORRUPT', 'ERR_RESTORE_DATABASE'],
    [{ code: 'ERR_SQLITE_ERROR', errcode: 2835 }, 'ERR_SOURCE_DATABASE', 'ERR_RESTORE_CONSTRAINT'],
    [{ errcode: 26 }, 'ERR_SOURCE_CORRUPT', 'ERR_RESTORE_DATABASE'],
    [{ message: 'something new' }, 'ERR_SOURCE_DATABASE', 'ERR_RESTORE_DATABASE'],
  ];
  for (const [report, source, restore] of reports) {
    const cause = Object.assign(new Error('as the module says'), report);
    t.match(sourceError(cause, 'read'), { code: source, cause }, JSON.stringify(report));
    t.match(restoreError(cause, 'write'), { code: restore, cause });
  }
  const ours = sourceError(new Error('x'), 'read');
  t.equal(restoreError(ours, 'write'), ours, 'never wrapped twice');
});
