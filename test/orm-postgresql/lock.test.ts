/** The lock on PostgreSQL. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { acquireLock } from '../../lib/orm/lock.ts';
import { lockSuite } from '../support/lock.ts';
import { also, blind, database, exec, major, query, serverReady } from '../support/postgresql.ts';

if (await serverReady()) {
  t.test('on PostgreSQL', async (t) => {
    const orm = await database([blind('Note')], ['CREATE TABLE note (id integer PRIMARY KEY)']);
    const child: { child?: [string, string] } = major === '6' ? { child: ['postgresql', orm.database] } : {};
    await lockSuite(t, { orm, sql: (text) => exec(orm, text), ...child });
  });

  t.test('a schema of its own, and no rights', async (t) => {
    const role = `dbs_test_${randomBytes(4).toString('hex')}`;
    const orm = await database(
      [blind('Note')],
      ['CREATE SCHEMA shop; CREATE TABLE shop.note (id integer PRIMARY KEY)'],
    );
    await exec(orm, `CREATE ROLE ${role} LOGIN`, `GRANT USAGE ON SCHEMA shop TO ${role}`);
    t.teardown(() => exec(orm, `DROP OWNED BY ${role}; DROP ROLE ${role}`));
    const weak = await also(orm, [blind('Note')], { schema: 'shop', user: role });
    await t.rejects(acquireLock(weak), {
      code: 'ERR_LOCK_TABLE',
      message: /"shop"\."dbs_lock".*permission.*CREATE TABLE IF NOT EXISTS "shop"\."dbs_lock"/s,
    });
    await exec(orm, `GRANT CREATE ON SCHEMA shop TO ${role}`);
    const held = await acquireLock(weak);
    t.same(await query(orm, 'SELECT name, fence FROM shop.dbs_lock'), [['backup', '1']]);
    await held.release();
    await exec(orm, `ALTER ROLE ${role} SET default_transaction_read_only = on`);
    await t.rejects(acquireLock(weak), { code: 'ERR_SOURCE_DATABASE', message: /read-only/ });
  });
}
