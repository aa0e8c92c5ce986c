/** The lock of an SQLite app, and of one in memory. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { locate } from '../../lib/orm/drivers/sqlite-open.ts';
import { acquireLock } from '../../lib/orm/lock.ts';
import { lockSuite } from '../support/lock.ts';
import { core, driverName, major, openOrm, scratch } from '../support/orm.ts';
import { exec } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const Note = new (core as any).EntitySchema({ name: 'Note', properties: { id: { type: 'integer', primary: true } } });

t.test('on SQLite', async (t) => {
  const orm = await openOrm([Note]);
  t.teardown(() => orm.close(true));
  const sql = async (text: string) => {
    const db = await (await locate(orm)).openBeside!('.dbs-lock');
    try {
      await db.exec(text);
    } finally {
      await db.close();
    }
  };
  const child: { child?: [string, string] } =
    major === '6' && driverName === 'libsql' ? { child: ['sqlite', orm.file] } : {};
  await lockSuite(t, { orm, sql, ...child });
  t.ok(existsSync(`${orm.file}.dbs-lock`), "it is beside the app's database");
  await exec(orm, 'PRAGMA journal_mode = DELETE');
  const reading = await (await locate(orm)).open();
  await reading.exec('BEGIN; SELECT * FROM note');
  const held = await acquireLock(orm);
  await held.confirm();
  t.pass('and can be renewed while a backup keeps all writers away');
  await held.release();
  await reading.close();
});

t.test('in memory', async (t) => {
  if (driverName === 'node:sqlite') return;
  const orm = await openOrm([Note], { file: ':memory:' });
  t.teardown(() => orm.close(true));
  const held = await acquireLock(orm);
  await held.confirm();
  await t.rejects(acquireLock(orm), { code: 'ERR_BACKUP_LOCKED' });
  await held.release();
  await (await acquireLock(orm)).release();
});

t.test('where it cannot be', async (t) => {
  const orm = await openOrm([Note], { file: join(scratch, 'blocked.sqlite') });
  t.teardown(() => orm.close(true));
  mkdirSync(`${orm.file}.dbs-lock`);
  await t.rejects(acquireLock(orm), { code: 'ERR_SOURCE_UNREADABLE', message: /lock beside the database/ });
  await t.rejects(acquireLock([]), { code: 'ERR_CONFIG_NO_ORM' });
  await t.rejects(acquireLock(orm, { name: "x'; DROP" }), { code: 'ERR_CONFIG_INVALID_OPTION' });
});
