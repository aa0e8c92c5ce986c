/** Snapshots under fire, connections that die, locks, missing rights, and what each of them says. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { createBackup } from '../../lib/backup.ts';
import { exitCodeOf } from '../../lib/cli/exit-codes.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { driverFor } from '../../lib/orm/drivers/index.ts';
import type { MysqlTable } from '../../lib/orm/drivers/mysql-catalog.ts';
import { restoreError, sourceError } from '../../lib/orm/drivers/mysql-errors.ts';
import { locate } from '../../lib/orm/drivers/mysql-open.ts';
import { columnsOf } from '../../lib/orm/drivers/mysql-read.ts';
import { checkServer, openSession } from '../../lib/orm/drivers/mysql-session.ts';
import { MysqlTableWriter } from '../../lib/orm/drivers/mysql-write.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { createRowTarget } from '../../lib/orm/row-target.ts';
import {
  type Any,
  cleanUp,
  connect,
  copy,
  dump,
  exec,
  failure,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
  tables,
  withDatabase,
} from '../support/mysql.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const root = await openDatabase([], []);
const PASSWORD = `pw-${randomBytes(9).toString('hex')}`;
const users: string[] = [];

/** An ORM on `of`'s database as a new user with these rights only. */
async function as(of: TestOrm, rights: string[], names: string[]): Promise<TestOrm> {
  const user = `dbs_test_${randomBytes(5).toString('hex')}`;
  users.push(user);
  for (const host of ['%', 'localhost']) {
    await exec(root, `CREATE USER '${user}'@'${host}' IDENTIFIED BY '${PASSWORD}'`);
    for (const right of rights)
      await exec(root, `GRANT ${right.replace('DB', `\`${of.name}\``)} TO '${user}'@'${host}'`);
  }
  return connect(of.name, tables(...names), { user, password: PASSWORD });
}

t.teardown(async () => {
  for (const user of users) for (const host of ['%', 'localhost']) await exec(root, `DROP USER '${user}'@'${host}'`);
});

/** Says the password nowhere, and no statement. */
function clean(t: Any, error: Error): void {
  const all = JSON.stringify({
    ...error,
    message: error.message,
    cause: { ...(error.cause as object), m: (error.cause as Error)?.message },
  });
  t.notMatch(all, PASSWORD);
  t.notMatch(all, /INSERT INTO|VALUES \(/);
}

/** Ends every connection to a database but the caller's. */
async function killAll(orm: TestOrm): Promise<number> {
  const rows = await query(root, `SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '${orm.name}'`);
  for (const [id] of rows) await exec(root, `KILL ${id}`).catch(() => {});
  return rows.length;
}

const MANY = 'CREATE TABLE many (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))';
const SEED = `INSERT INTO many (v) VALUES ${Array.from({ length: 1000 }, () => "(REPEAT('x', 200))").join(', ')}`;
const GROW = 'INSERT INTO many (v) SELECT v FROM many';
const big = await openDatabase([MANY, SEED, GROW, GROW, GROW, GROW], tables('many'));

t.test('a writer that changes two tables never shows up half', async (t) => {
  const from = await openDatabase(
    [
      'CREATE TABLE a (id INT PRIMARY KEY, n BIGINT)',
      'CREATE TABLE b (id INT PRIMARY KEY, n BIGINT, v TEXT)',
      `INSERT INTO a VALUES ${Array.from({ length: 3000 }, (_, i) => `(${i}, 10)`).join(', ')}`,
      `INSERT INTO b SELECT id, 10, REPEAT('x', 500) FROM a`,
    ],
    tables('a', 'b'),
  );
  let stop = false;
  let changes = 0;
  const writer = withDatabase(from, async (db) => {
    while (!stop) {
      const id = changes++ % 3000;
      await db.run('START TRANSACTION');
      await db.run(`UPDATE a SET n = n - 3 WHERE id = ${id}`);
      await db.run(`UPDATE b SET n = n + 3 WHERE id = ${2999 - id}`);
      if (id % 10 === 0) await db.run(`INSERT INTO a VALUES (${changes + 10000}, -5)`);
      if (id % 10 === 0) await db.run(`INSERT INTO b VALUES (${changes + 10000}, 5, NULL)`);
      await db.run('COMMIT');
    }
  });
  for (let round = 0; round < 3; round++) {
    let sum = 0;
    const start = changes;
    for await (const item of createRowSource(from) as AsyncIterable<BackupItem>) {
      if (item.type !== 'rows') continue;
      for (const line of item.data.toString().trim().split('\n')) sum += Number(JSON.parse(line)[1]);
      await setTimeout(20);
    }
    t.equal(sum, 60000, `one state while ${changes - start} transactions committed`);
    t.ok(changes > start);
  }
  stop = true;
  await writer;
});

t.test('a table that is altered behind the snapshot', async (t) => {
  const from = await openDatabase(['CREATE TABLE x (id INT PRIMARY KEY)', 'INSERT INTO x VALUES (1)'], tables('x'));
  const reader = await (await driverFor(from)).openReader();
  const [[table]] = (await reader.describe([{ table: 'x' }])) as [[MysqlTable]];
  await exec(from, 'ALTER TABLE x ADD y INT NOT NULL DEFAULT 3, ALGORITHM=COPY');
  const rows = async () => {
    for await (const _ of reader.rows({ ...table, stream: 1, entities: [], encoding: 'text' }));
  };
  t.match(await failure(rows()), { code: 'ERR_SOURCE_CHANGED' });
  await reader.close();
  const busy = await (await driverFor(from)).openReader();
  const [[again]] = (await busy.describe([{ table: 'x' }])) as [[MysqlTable]];
  for await (const _ of busy.rows({ ...again, stream: 1, entities: [], encoding: 'text' }));
  const began = Date.now();
  await exec(from, 'DROP TABLE x');
  t.ok(Date.now() - began < 5000, 'a migration need not wait for the rest of the backup');
  await busy.close();
});

t.test('leaving the rows early keeps the snapshot; batches are bounded', async (t) => {
  const reader = await (await driverFor(big)).openReader();
  const [[table]] = (await reader.describe([{ table: 'many' }])) as [[MysqlTable]];
  const schema = { ...table, stream: 1, entities: [], encoding: 'text' as const };
  for await (const batch of reader.rows(schema)) {
    t.ok(batch.data.length < 300_000 && batch.count > 500);
    break;
  }
  await exec(big, 'INSERT INTO many (id, v) VALUES (999999, NULL)');
  let count = 0;
  let keys = 0;
  for await (const batch of reader.rows({ ...schema, columns: [] }, { keyColumns: ['v', 'id'], batchBytes: 4096 })) {
    count += batch.count;
    keys += batch.keys!.filter(([v, id]) => v?.length === 200 && /^\d+$/.test(id!)).length;
  }
  t.same([count, keys], [16000, 16000], 'the same state, without what came since');
  await reader.close();
  await reader.close();
  await exec(big, 'DELETE FROM many WHERE id = 999999');
});

t.test('a connection that dies while rows are read', async (t) => {
  // More than the sockets hold.
  const wide = MANY.replace('200', '4000');
  const grow = "INSERT INTO many (v) SELECT REPEAT('x', 4000) FROM many";
  const from = await openDatabase([wide, SEED, grow, grow, grow, grow], tables('many'));
  const source = createRowSource(from);
  let seen = 0;
  const work = (async () => {
    for await (const item of source) {
      if (item.type === 'rows' && ++seen === 1) t.ok(await killAll(from));
    }
  })();
  const error = await failure(work);
  t.match(error, { code: 'ERR_SOURCE_CONNECTION', message: /lost.*backup again/s });
  clean(t, error);
});

t.test('a backup that dies midway leaves no file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dbs-my-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  const grow = "INSERT INTO many (v) SELECT REPEAT('x', 4000) FROM many";
  const from = await openDatabase([MANY.replace('200', '4000'), SEED, grow, grow, grow, grow], tables('many'));
  for (const [how, code] of [
    ['KILL', 'ERR_SOURCE_CONNECTION'],
    ['KILL QUERY', 'ERR_SOURCE_TIMEOUT'],
  ] as const) {
    let over = false;
    const backup = failure(createBackup(from, 'x', { output: join(folder, 'app.dbs'), kdf })).finally(() => {
      over = true;
    });
    await withDatabase(root, async (db) => {
      const running = `SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '${from.name}' AND INFO LIKE 'SELECT CAST(\`id%'`;
      while (!over) for (const [id] of await db.all(running)) await db.run(`${how} ${id}`).catch(() => {});
    });
    const error = await backup;
    t.match(error, { name: 'SourceError', code });
    t.equal(exitCodeOf(error), 1);
    t.same(readdirSync(folder), [], 'neither under its name nor under another');
  }
});

t.test('a connection that dies while rows are written: nothing changed', async (t) => {
  const target = await openDatabase([MANY, 'INSERT INTO many VALUES (1, NULL)'], tables('many'));
  const sink = createRowTarget(target, { mode: 'flush' });
  let seen = 0;
  await failure(
    pipeline(
      createRowSource(big),
      async function* (items: AsyncIterable<BackupItem>) {
        for await (const item of items) {
          if (item.type === 'rows' && ++seen === 3) t.ok(await killAll(target));
          yield item;
        }
      },
      sink,
    ),
  );
  const error = await failure(sink.result);
  t.match(error, { code: 'ERR_RESTORE_CONNECTION', message: /Nothing was changed/ });
  clean(t, error);
  t.same(await dump(target), { many: ['id=1 v=NULL'] });
});

t.test('locks of others: waited for, then named; an abort ends the waiting', { timeout: 40_000 }, async (t) => {
  const target = await openDatabase([MANY, "INSERT INTO many VALUES (1, 'old')"], tables('many'));
  const locked = await openDatabase([MANY], tables('many'));
  const free = await openDatabase([MANY], tables('many'));
  await withDatabase(target, async (db) => {
    await db.run('START TRANSACTION');
    await db.run("UPDATE many SET v = 'held' WHERE id = 1");
    const began = Date.now();
    const stop = new AbortController();
    const aborted = failure(copy(big, target, { mode: 'flush', signal: stop.signal }));
    await setTimeout(1500);
    stop.abort(new Error('enough'));
    t.equal((await aborted).message, 'enough');
    t.ok(Date.now() - began < 8000, 'at once');
    await withDatabase(locked, async (other) => {
      await other.run('LOCK TABLES many WRITE');
      const [row, table] = await Promise.all([
        failure(copy(big, target, { mode: 'flush' })),
        failure(copy(locked, free)),
      ]);
      t.match(row, { code: 'ERR_RESTORE_LOCKED', message: /empty the table "many"/ });
      t.match(table, { code: 'ERR_SOURCE_LOCKED' });
    });
    await db.run('ROLLBACK');
  });
  t.same(await dump(target), { many: ['id=1 v=6F6C64'] });
});

t.test('rights', async (t) => {
  const small = await openDatabase([MANY, "INSERT INTO many VALUES (5, 'secret-row')"], tables('many'));
  const target = await openDatabase([MANY, 'INSERT INTO many VALUES (1, NULL)'], tables('many'));
  const before = await dump(target);
  const refused = async (rights: string[], right: RegExp, options = {}) => {
    const error = await failure(copy(small, await as(target, rights, ['many']), options));
    t.match(error, { code: 'ERR_RESTORE_PRIVILEGE' }, String(right));
    t.match(error.facts?.right, right);
    t.match(error.message, new RegExp(right.source.replace('^', '')));
    clean(t, error);
  };
  await refused(['SELECT, DELETE, INSERT ON DB.*'], /^TRIGGER on dbs_test/);
  await refused(['SELECT, DELETE, TRIGGER ON DB.*'], /^INSERT on .*many/, { mode: 'flush' });
  await refused(['SELECT, INSERT, TRIGGER ON DB.*'], /^DELETE on .*many/, { mode: 'flush' });
  await refused(['SELECT, INSERT, UPDATE, DELETE, TRIGGER ON DB.*'], /dbs_test/);
  t.same(await dump(target), before);
  const reader = await as(small, ['SELECT (id) ON DB.many'], ['many']);
  const denied = await failure(copy(reader, target));
  t.match(denied, { code: 'ERR_SOURCE_PRIVILEGE' }, 'a column that the user may not see is not left out in silence');
  const noAlter = await as(target, ['SELECT, INSERT, DELETE, TRIGGER ON DB.*'], ['many']);
  await exec(target, 'ALTER TABLE many AUTO_INCREMENT = 900');
  const late = await failure(copy(small, noAlter, { mode: 'flush' }));
  t.match(late, { code: 'ERR_RESTORE_COUNTERS', facts: { sql: ['ALTER TABLE `many` AUTO_INCREMENT = 6'] } });
  t.same(await dump(target), await dump(small), 'the rows are there all the same');
});

t.test('who does not get in', async (t) => {
  const wrong = await connect(big.name, tables('many'), { user: 'nobody_at_all', password: PASSWORD });
  const nowhere = await connect('dbs_test_not_there', tables('many'));
  const closed = await connect(big.name, tables('many'), { host: '127.0.0.1', port: 9 });
  for (const orm of [wrong, closed]) {
    t.equal((await failure(copy(orm, big))).code, 'ERR_SOURCE_UNREACHABLE');
    t.equal((await failure(copy(big, orm))).code, 'ERR_RESTORE_UNREACHABLE');
    clean(t, await failure(copy(orm, big)));
  }
  t.equal((await failure(copy(nowhere, big))).code, 'ERR_SOURCE_NO_DATABASE');
  t.equal((await failure(copy(big, nowhere))).code, 'ERR_RESTORE_UNREACHABLE');
  const empty = await openDatabase([], tables('many'));
  t.equal((await failure(copy(big, empty))).code, 'ERR_RESTORE_MISSING_TABLE');
  t.equal((await failure(copy(empty, big))).code, 'ERR_SOURCE_MISSING_TABLE');
});

t.test('a read-only server', async (t) => {
  const target = await openDatabase([MANY], tables('many'));
  const user = await as(target, ['ALL PRIVILEGES ON DB.*'], ['many']);
  const [[mode]] = (await query(root, 'SELECT @@GLOBAL.read_only')) as [[string]];
  await exec(root, 'SET GLOBAL read_only = 1');
  try {
    t.match(await failure(copy(big, user)), { code: 'ERR_RESTORE_READ_ONLY', message: /primary server/ });
  } finally {
    await exec(root, `SET GLOBAL read_only = ${mode}`);
  }
});

t.test('rows that the target or the format refuses', async (t) => {
  const target = await openDatabase(
    ["CREATE TABLE many (id INT PRIMARY KEY, v VARCHAR(10) CHECK (v <> 'bad'), n TINYINT NOT NULL DEFAULT 0)"],
    tables('many'),
  );
  const location = await locate(target);
  const session = await openSession(location, 'write');
  t.teardown(() => session.db.close());
  const writer = await (await driverFor(target)).openWriter();
  const [[described]] = await writer.describe([{ table: 'many' }]);
  await writer.close();
  const columns = described!.columns;
  const source = { ...described!, stream: 1, entities: [], encoding: 'text' as const, columns };
  const plan = { source, target: described!, columns: columns.map(({ name }) => name) };
  const write = async (rows: Any[][], maxPacket = session.maxPacket) => {
    await session.db.run('START TRANSACTION');
    try {
      const one = await MysqlTableWriter.open({ ...session, maxPacket }, plan);
      await one.write(rows);
      return await one.end();
    } finally {
      await session.db.run('ROLLBACK');
    }
  };
  t.same(await write([['1', 'ok', '1']]), { inserted: 1, updated: 0, untouched: 0 });
  const cases: [row: Any[], code: string, message?: RegExp][] = [
    [['2', 'too long for it', '1'], 'ERR_RESTORE_CONSTRAINT', /row id=2 of the table "many": Data too long/],
    [['2', 'bad', '1'], 'ERR_RESTORE_CONSTRAINT'],
    [['2', 'x', '300'], 'ERR_RESTORE_CONSTRAINT', /Out of range/],
    [['2', 'x', null], 'ERR_RESTORE_CONSTRAINT', /cannot be null/],
    [['2', 'x', '1x'], 'ERR_RESTORE_CONSTRAINT'],
    [['1', 'x', '1'], 'ERR_RESTORE_UNIQUE_CLASH', /PRIMARY/],
    [['2', 'x'], 'ERR_FORMAT_ROW'],
    [['2', 5, '1'], 'ERR_FORMAT_CELL'],
    [['2', { i: '5' }, '1'], 'ERR_FORMAT_CELL'],
    [['2', { b: '!' }, '1'], 'ERR_FORMAT_CELL'],
    [['2', { b: 'AA==', c: '' }, '1'], 'ERR_FORMAT_CELL'],
    [['2', '\ud800', '1'], 'ERR_FORMAT_CELL', /lone surrogate/],
    [['2', { b: '/w==' }, '1'], 'ERR_RESTORE_CONSTRAINT'],
  ];
  for (const [row, code, message] of cases) {
    const error = await failure(write([['1', 'ok', '1'], row, ['3', 'ok', '1']]));
    t.equal(error.code, code, `${JSON.stringify(row)}: ${error.message}`);
    if (message) t.match(error.message, message);
    clean(t, error);
  }
  const large = await failure(write([['1', 'x'.repeat(2_000_000), '1']], 1_500_000));
  t.match(large, { code: 'ERR_RESTORE_PACKET', facts: { row: 'id=1', maxAllowedPacket: 1_500_000 } });
});

t.test('versions, and errors that could not be made to happen here', async (t) => {
  const config = { get: () => undefined };
  const owned = { getNativeClient: () => Promise.reject(new Error('owned by a dialect')) };
  const orm = { config, em: { getConnection: () => owned } } as Any;
  t.equal((await failure(locate(orm))).code, 'ERR_CONFIG_MYSQL_CLIENT');
  const details = new Map([['doc', { name: 'doc', dataType: 'xmltype', charset: null }]]);
  t.throws(() => columnsOf({ table: 'x' } as Any, { details } as Any, ['doc']), {
    code: 'ERR_SOURCE_UNKNOWN_TYPE',
    message: /"x"."doc" is of the type xmltype/,
  });
  t.same(checkServer('10.11.19-MariaDB-0+deb12u1', 'read'), { server: 'MariaDB 10.11.19', maria: true });
  t.same(checkServer('5.5.5-11.4.2-MariaDB', 'read'), { server: 'MariaDB 11.4.2', maria: true });
  t.same(checkServer('8.0.36-0ubuntu0.22.04.1', 'write'), { server: 'MySQL 8.0.36', maria: false });
  t.throws(() => checkServer('10.1.48-MariaDB', 'read'), { code: 'ERR_SOURCE_SERVER_VERSION' });
  t.throws(() => checkServer('5.6.51-log', 'write'), { code: 'ERR_RESTORE_SERVER_VERSION' });
  const native = (errno: number, sqlMessage = 'Words.') =>
    Object.assign(new Error(`(conn:1) ${sqlMessage}\nsql: INSERT INTO x`), { errno, sqlMessage });
  const both: [number, string][] = [
    [1213, 'LOCKED'],
    [1969, 'TIMEOUT'],
    [3024, 'TIMEOUT'],
    [4031, 'CONNECTION'],
    [1143, 'PRIVILEGE'],
    [1064, 'DATABASE'],
  ];
  for (const [errno, code] of both) {
    t.equal((sourceError(native(errno), 'read') as Any).code, `ERR_SOURCE_${code}`);
    const error = restoreError(native(errno), 'write');
    t.equal(error.code, `ERR_RESTORE_${code}`);
    clean(t, error);
  }
  for (const [errno, code] of [
    [1792, 'READ_ONLY'],
    [1114, 'DISK_FULL'],
    [1153, 'PACKET'],
  ] as const) {
    t.equal(restoreError(native(errno), 'write').code, `ERR_RESTORE_${code}`);
  }
  const right = restoreError(
    native(1227, 'Access denied; you need (at least one of) the SUPER privilege(s) for this operation'),
    'x',
  );
  t.equal(right.facts.right, 'SUPER');
});
