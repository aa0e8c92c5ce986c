/** The lock on MariaDB and MySQL. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { acquireLock } from '../../lib/orm/lock.ts';
import { lockSuite } from '../support/lock.ts';
import { cleanUp, connect, exec, major, openDatabase, serverRuns, tables } from '../support/mysql.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

t.test('on MariaDB', async (t) => {
  const orm = await openDatabase(['CREATE TABLE note (id int PRIMARY KEY)'], tables('note'));
  const child: { child?: [string, string] } = major === '6' ? { child: ['mysql', orm.name] } : {};
  await lockSuite(t, { orm, sql: (text) => exec(orm, text), ...child });
});

t.test('without the right to make the table', async (t) => {
  const orm = await openDatabase(['CREATE TABLE note (id int PRIMARY KEY)'], tables('note'));
  const user = `dbs_test_${randomBytes(5).toString('hex')}`;
  for (const host of ['%', 'localhost'])
    await exec(
      orm,
      `CREATE USER '${user}'@'${host}' IDENTIFIED BY 'pw-of-test'`,
      `GRANT SELECT ON \`${orm.name}\`.* TO '${user}'@'${host}'`,
    );
  t.teardown(async () => {
    for (const host of ['%', 'localhost']) await exec(orm, `DROP USER '${user}'@'${host}'`);
  });
  const weak = await connect(orm.name, tables('note'), { user, password: 'pw-of-test' });
  await t.rejects(acquireLock(weak), { code: /ERR_LOCK_TABLE|ERR_SOURCE_PRIVILEGE/, message: /INSERT|CREATE/ });
});
