/** What only a server does: other writers, connections that end, tokens, and everything that can be wrong on the way. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { createBackup } from '../../lib/index.ts';
import { driverFor } from '../../lib/orm/drivers/index.ts';
import { locate } from '../../lib/orm/drivers/sqlite-open.ts';
import type { RemoteHandle } from '../../lib/orm/drivers/sqlite-remote.ts';
import { acquireLock } from '../../lib/orm/lock.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { createRowTarget } from '../../lib/orm/row-target.ts';
import { freePort, openRemote, type Server, server, serverRuns, texts } from '../support/libsql.ts';
import { lockSuite } from '../support/lock.ts';
import { core, loaded, openOrm, type TestOrm } from '../support/orm.ts';
import { copy, exec, failure, items, query, restore } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;

if (!serverRuns(t)) process.exit();

const id = { type: 'integer', primary: true };
const Account = new EntitySchema({ name: 'Account', properties: { id, email: { type: 'string', unique: true } } });
const entities = [
  Account,
  new EntitySchema({
    name: 'Entry',
    properties: { id, account: { kind: 'm:1', entity: () => Account }, amount: { type: 'integer' } },
  }),
];
const DDL = [
  'CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, total INTEGER DEFAULT 0)',
  'CREATE TABLE entry (id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE, amount INTEGER NOT NULL CHECK (amount > 0))',
  'CREATE TABLE log (what TEXT)',
  "CREATE TRIGGER counted AFTER INSERT ON entry BEGIN UPDATE account SET total = total + NEW.amount WHERE id = NEW.account_id; INSERT INTO log VALUES ('entry'); END",
];
const FILL = [
  "INSERT INTO account (id, email) WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 3000) SELECT i, i || '@x' FROM s",
  'INSERT INTO entry SELECT id, id, id FROM account',
];

async function app(t: Test, url: { url: string }, more: Record<string, unknown> = {}): Promise<TestOrm> {
  return openRemote(t, url, entities, more);
}

async function filled(t: Test): Promise<[TestOrm, Server]> {
  const started = await server(t);
  const orm = await app(t, started);
  await exec(orm, ...DDL, ...FILL);
  return [orm, started];
}

async function handle(orm: TestOrm): Promise<RemoteHandle> {
  return (await (await locate(orm)).open()) as RemoteHandle;
}

t.test('a restore', async (t) => {
  const [from] = await filled(t);
  const to = await app(t, await server(t));
  await exec(to, ...DDL);
  const list = await items(from);
  t.equal((list[0] as never as { schema: { server: string } }).schema.server.slice(0, 7), 'SQLite ');
  const expected = await texts(from, ['log']);

  await t.test('brings everything, and neither triggers nor cascades have a part in it', async (t) => {
    await restore(to, list, { mode: 'flush' });
    t.same(await texts(to, ['log']), expected);
    t.same(await query(to, 'SELECT count(*) AS n FROM log'), [[0]]);
    await exec(to, 'INSERT INTO entry VALUES (9999, 1, 5)', 'DELETE FROM entry WHERE id = 9999');
    t.same(await query(to, 'SELECT count(*) AS n FROM log'), [[1]], 'the trigger is back');
    // Flushing accounts alone, their entries would go with them.
    const only = await copy(from, to, { mode: 'flush', only: ['Account'] });
    t.match(only.tables, [{ table: 'account', inserted: 3000 }]);
    t.same(await query(to, 'SELECT count(*) AS n FROM entry'), [[3000]]);
    t.same(await texts(to, ['log']), expected);
    const [[enforced]] = (await query(to, 'SELECT foreign_keys AS f FROM pragma_foreign_keys')) as [[number]];
    t.equal(enforced, 1, 'foreign keys are as they were for everybody else');
  });

  await t.test('counts what was inserted, changed and left alone', async (t) => {
    await exec(to, 'DELETE FROM account WHERE id > 2990', "UPDATE account SET email = 'old' || id WHERE id <= 40");
    await exec(to, 'UPDATE account SET total = 0', "INSERT INTO account (id, email) VALUES (7000, 'mine')");
    const before = await texts(to);
    const dry = await restore(to, list, { dryRun: true });
    t.match(dry.tables, [
      { table: 'entry', inserted: 10, updated: 0, untouched: 2990 },
      { table: 'account', inserted: 10, updated: 2990, untouched: 0 },
    ]);
    t.same(await texts(to), before, 'a dry run changes nothing');
    t.match((await restore(to, list)).tables, dry.tables);
    t.match((await restore(to, list)).tables, [{ untouched: 3000 }, { untouched: 3000 }]);
    await exec(to, 'DELETE FROM account WHERE id = 7000');
    t.same(await texts(to, ['log', 'sqlite_sequence']), await texts(from, ['log', 'sqlite_sequence']));
  });

  await t.test('swaps unique values, in pairs and in circles', async (t) => {
    await exec(to, "UPDATE account SET email = 'x' || id WHERE id <= 60");
    await exec(to, "UPDATE account SET email = CASE WHEN id = 60 THEN '1@x' ELSE (id + 1) || '@x' END WHERE id <= 60");
    await exec(to, "UPDATE account SET email = CASE id WHEN 100 THEN 'hundred' ELSE email END");
    await exec(
      to,
      "UPDATE account SET email = '100@x' WHERE id = 101",
      "UPDATE account SET email = '101@x' WHERE id = 100",
    );
    const { tables } = await restore(to, list);
    t.match(tables[1], { table: 'account', inserted: 0, updated: 62, untouched: 2938 });
    t.same(await texts(to, ['log', 'sqlite_sequence']), await texts(from, ['log', 'sqlite_sequence']));
    t.same(await query(to, "SELECT name FROM sqlite_master WHERE name LIKE 'dbs%'"), [], 'no table of ours stays');
  });

  await t.test('names the row that clashes, and changes nothing', async (t) => {
    await exec(to, 'DELETE FROM account WHERE id = 1234', "INSERT INTO account (id, email) VALUES (8000, '1234@x')");
    const before = await texts(to);
    const clash = await failure(restore(to, list));
    t.match(clash, { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /: id=1234 \(email\)\./ });
    t.same(await texts(to), before);
    const empty = await app(t, await server(t));
    await exec(
      empty,
      ...DDL.slice(0, 1),
      'CREATE TABLE entry (id INTEGER PRIMARY KEY, account_id INTEGER, amount INTEGER CHECK (amount <> 1500))',
    );
    const refused = await failure(restore(empty, list));
    t.match(refused, {
      code: 'ERR_RESTORE_CONSTRAINT',
      message: /row id=1500 .*CHECK constraint failed: amount <> 1500\. /,
    });
    t.same(await query(empty, 'SELECT count(*) AS n FROM account'), [[0]]);
    await exec(to, 'DELETE FROM account WHERE id = 8000');
    await restore(to, list);
  });

  await t.test('refuses references to rows that are not there', async (t) => {
    const before = await texts(to);
    const [schema, ...rest] = await items(from, { registry: { exclude: ['Account'] } });
    await exec(to, 'DELETE FROM account WHERE id = 5');
    const dangling = await failure(restore(to, [schema!, ...rest]));
    t.match(dangling, { code: 'ERR_RESTORE_DANGLING', message: /id=5/ });
    t.same(await query(to, 'SELECT count(*) AS n FROM entry'), [[2999]]);
    await restore(to, list);
    t.same(await texts(to), before);
  });
});

t.test('a merge beside VIRTUAL columns, in batches', async (t) => {
  const wide = [new EntitySchema({ name: 'Wide', properties: { id, u: { type: 'integer' } } })];
  const [from, to] = [await openRemote(t, await server(t), wide), await openRemote(t, await server(t), wide)];
  const ddl =
    'CREATE TABLE wide (id INTEGER PRIMARY KEY, c JSON, v TEXT AS (typeof(c)) VIRTUAL, r REAL, n INTEGER, u INTEGER UNIQUE)';
  for (const orm of [from, to]) await exec(orm, ddl);
  await exec(
    from,
    "INSERT INTO wide WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 2500) SELECT i, CASE i % 3 WHEN 0 THEN X'ff' WHEN 1 THEN CAST(X'ff' AS TEXT) END, i / 7.0, 9007199254740993 + i, i FROM s",
  );
  await copy(from, to);
  await exec(to, 'DELETE FROM wide WHERE id % 10 = 0', 'UPDATE wide SET n = 1 WHERE id % 10 = 1');
  await exec(
    to,
    'UPDATE wide SET u = -u WHERE id IN (3, 4)',
    'UPDATE wide SET u = 7 + id WHERE u < 0 AND id = 3 AND 0',
  );
  t.match((await copy(from, to)).tables, [{ inserted: 250, updated: 252, untouched: 1998 }]);
  t.same(await texts(to), await texts(from));
  await exec(to, 'DELETE FROM wide WHERE id = 77', 'INSERT INTO wide (id, u) VALUES (5000, 77)');
  t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /: id=77 \(u\)/ });
});

t.test('one moment, while another keeps writing', async (t) => {
  const [orm, { url }] = await filled(t);
  const to = await openOrm(entities, { schema: false });
  t.teardown(() => to.close(true));
  await exec(to, ...DDL);
  // In a thread: the module blocks the one that asks.
  const writer = new Worker(new URL('../support/libsql-writer.js', import.meta.url), { workerData: { url } });
  const ended = new Promise((done) => writer.once('exit', done));
  await new Promise((done) => writer.once('message', done));
  for (let i = 0; i < 6; i++) {
    await copy(orm, to, { mode: 'flush' });
    // Each of its transactions adds an account with its entry, and moves an amount from one entry to another.
    t.same(
      await query(
        to,
        'SELECT (SELECT count(*) FROM account) - (SELECT count(*) FROM entry) AS a, (SELECT sum(amount) FROM entry) - (SELECT sum(id) FROM account) AS b',
      ),
      [[0, 0]],
    );
  }
  const [[count]] = (await query(to, 'SELECT count(*) AS n FROM account')) as [[number]];
  t.ok(count > 3000, `${count - 3000} transactions came between`);
  writer.postMessage('stop');
  await ended;
});

t.test('the snapshot outlives a pipeline that waits, and a writer', async (t) => {
  const [orm] = await filled(t);
  const expected = await texts(orm, ['log']);
  const source = createRowSource(orm);
  const list: unknown[] = [];
  for await (const item of source) {
    list.push(item);
    if (list.length !== 1) continue;
    await exec(orm, 'DELETE FROM entry', 'DELETE FROM account WHERE id > 100');
    // The server ends a connection after 10 seconds without a request.
    await setTimeout(13_000);
  }
  const to = await openOrm(entities, { schema: false });
  t.teardown(() => to.close(true));
  await exec(to, ...DDL);
  await restore(to, list as never);
  t.same(await texts(to, ['log']), expected);
  const waiting = createRowTarget(to, { mode: 'flush' });
  waiting.destroy();
  await waiting.result.catch(() => {});
});

t.test('a snapshot that is lost is an error, and no file is left', async (t) => {
  const [orm, started] = await filled(t);
  const folder = mkdtempSync(join(tmpdir(), 'dbs-lost-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const output = join(folder, 'app.dbs');
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  const reader = await (await driverFor(orm)).openReader();
  // Held up for longer than the server waits.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 11_000);
  const lost = await failure(reader.describe([{ table: 'account' }]));
  t.match(lost, { code: 'ERR_SOURCE_CONNECTION', message: /expired due to inactivity.*10 seconds/ });
  await reader.close();
  const again = await (await driverFor(orm)).openReader();
  await started.kill();
  await started.again();
  t.match(await failure(again.describe([{ table: 'account' }])), { code: 'ERR_SOURCE_CONNECTION' });
  await again.close();

  let seen = 0;
  const made = createBackup(orm, 'secret', {
    output,
    kdf,
    verify: false,
    onProgress: () => {
      if (seen++ === 0) void started.kill();
    },
  } as never);
  const error = await failure(started.kill().then(() => made));
  t.match(error, { code: /^ERR_SOURCE_(CONNECTION|UNREACHABLE)$/ });
  t.notOk(existsSync(output));
});

t.test('the transaction of a restore is lost', async (t) => {
  const [from] = await filled(t);
  const list = await items(from);
  const started = await server(t);
  const to = await app(t, started);
  await exec(to, ...DDL, "INSERT INTO account (id, email) VALUES (4000, 'mine')");
  const before = await texts(to);
  const halfway = async (meanwhile: () => Promise<unknown>) => {
    const target = createRowTarget(to);
    const stop = list.findIndex(({ type }) => type === 'entity-end') + 1;
    async function* slowly() {
      yield* list.slice(0, stop);
      await setTimeout(50);
      await meanwhile();
      yield* list.slice(stop);
    }
    await pipeline(slowly(), target);
  };
  // After 5 seconds the server gives the database to whoever else asks, and tells us once.
  const taken = await failure(
    halfway(async () => {
      await setTimeout(5500);
      const other = await handle(to);
      other.exec('BEGIN IMMEDIATE');
      other.exec('ROLLBACK');
      other.close();
    }),
  );
  t.match(taken, { code: 'ERR_RESTORE_LOCKED', message: /another writer.*Stop the app.*Nothing was changed/ });
  t.same(await texts(to), before, 'and what came after it was not written outside of a transaction');
  const waits = await halfway(() => setTimeout(12_000));
  t.equal(waits, undefined, 'a stream that pauses for longer than the server waits');
  await exec(
    to,
    'DELETE FROM entry',
    'DELETE FROM account WHERE id < 4000',
    "DELETE FROM sqlite_sequence WHERE name = 'account'",
  );
  const gone = await failure(halfway(started.kill));
  t.match(gone, { code: /^ERR_RESTORE_(CONNECTION|UNREACHABLE)$/, message: /Nothing was changed/ });
  await started.again();
  t.same(await query(to, 'SELECT count(*) AS n FROM account'), [[1]]);
});

t.test('the lock is in the database itself', async (t) => {
  const [orm] = await filled(t);
  await lockSuite(t as never, { orm, sql: (text) => exec(orm, text) });
  const lease = await acquireLock(orm);
  t.same(await query(orm, 'SELECT name FROM dbs_lock'), [['backup']]);
  await items(orm);
  await lease.confirm();
  await lease.release();
});

t.test('servers that are not there, or are none', async (t) => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const [from] = await filled(t);
  const list = await items(from);
  const there = await server(t);
  const orm = await app(t, there);
  await there.kill();
  t.match(await failure(items(orm)), { code: 'ERR_SOURCE_UNREACHABLE', message: /cannot be reached.*"dbName"/ });
  t.match(await failure(restore(orm, list)), { code: 'ERR_RESTORE_UNREACHABLE', message: /Nothing was changed/ });
  t.match(await failure(acquireLock(orm)), { code: 'ERR_SOURCE_UNREACHABLE' });
  const absent = await unconnected(t, { dbName: nobody });
  t.match(await failure(items(absent)), { code: 'ERR_SOURCE_UNREACHABLE', message: /Connection refused/ });
});

/** An ORM that has not connected: it would fail, and so it may. */
async function unconnected(t: Test, settings: Record<string, unknown>): Promise<TestOrm> {
  const orm = await loaded.MikroORM.init({ entities, ...settings } as never);
  t.teardown(() => orm.close(true).catch(() => {}));
  return orm as never;
}

t.test('tokens', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dbs-key-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(join(folder, 'key.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (claims: object) => {
    const signed = `${part({ alg: 'EdDSA', typ: 'JWT' })}.${part(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString('base64url')}`;
  };
  const started = await server(t, ['--auth-jwt-key-file', join(folder, 'key.pem')]);
  const all = token({ a: 'rw' });
  const orm = await app(t, started, { password: all });
  await exec(orm, ...DDL, ...FILL);
  const expected = await texts(orm, ['log']);
  // Such a token lets MikroORM's own connection do nothing, not even its first pragma.
  const reading = await unconnected(t, {
    dbName: 'none',
    driverOptions: { url: started.url, authToken: token({ a: 'ro' }) },
  });
  const list = await items(reading);
  t.ok(list.length > 4, 'a token that may only read is enough for a backup; "url" and "authToken" count');
  const forbidden = await failure(restore(reading, list, { mode: 'flush' }));
  t.match(forbidden, { code: 'ERR_RESTORE_PRIVILEGE', message: /token does not permit/ });
  t.match(await failure(acquireLock(reading)), { code: 'ERR_LOCK_TABLE', message: /token does not permit/ });
  t.same(await texts(orm, ['log']), expected);
  await restore(orm, list, { mode: 'flush' });
  t.same(await texts(orm, ['log']), expected);
  const wrong = `${all.slice(0, -6)}AAAAAA`;
  const bad = await unconnected(t, { dbName: started.url, password: wrong });
  for (const error of [await failure(items(bad)), await failure(restore(bad, list)), await failure(acquireLock(bad))]) {
    t.match(error, { code: /^ERR_(SOURCE|RESTORE)_UNREACHABLE$/, message: /does not accept the token.*authToken/ });
    t.notOk(
      `${error.message} ${JSON.stringify(error)} ${String(error.cause)}`.includes(wrong.slice(0, 40)),
      'no token',
    );
  }
  const { identity } = await driverFor(orm);
  t.equal(identity, `sqlite:${new URL(started.url).host}`);
});

t.test('an embedded replica', async (t) => {
  const [orm, { url }] = await filled(t);
  const folder = mkdtempSync(join(tmpdir(), 'dbs-replica-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const replica = await app(t, { url: join(folder, 'app.db') }, { driverOptions: { syncUrl: url } });
  const native = (await (
    replica.em.getConnection() as never as { getNativeClient(): Promise<unknown> }
  ).getNativeClient()) as {
    sync(): void;
  };
  native.sync();
  const expected = await texts(orm, ['log']);
  const source = createRowSource(replica);
  const list: unknown[] = [];
  for await (const item of source) {
    list.push(item);
    if (list.length !== 1) continue;
    t.match(source.notes, [/embedded replica of 127\.0\.0\.1:\d+, and is backed up as its last sync left it/]);
    await exec(orm, 'DELETE FROM entry WHERE id > 10');
    native.sync();
  }
  const to = await openOrm(entities, { schema: false });
  t.teardown(() => to.close(true));
  await exec(to, ...DDL);
  await restore(to, list as never);
  t.same(await texts(to, ['log']), expected, 'one moment, though a sync came between');
  native.sync();
  t.same(await query(replica, 'SELECT count(*) AS n FROM entry'), [[10]], 'and the replica goes on');
  const lease = await acquireLock(replica);
  t.ok(existsSync(join(folder, 'app.db.dbs-lock')), 'its lock is beside it');
  await lease.release();
  const refused = await failure(restore(replica, list as never, { mode: 'flush' }));
  t.match(refused, { code: 'ERR_RESTORE_READ_ONLY', message: /Restore into the server itself/ });
  t.same(await query(orm, 'SELECT count(*) AS n FROM entry'), [[10]]);
});
