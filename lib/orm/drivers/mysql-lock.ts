/** `dbs_lock` on MariaDB and MySQL: in the app's own database. */
import type { LockPlace } from '../driver.ts';
import { errorNumber, sourceError } from './mysql-errors.ts';
import type { MysqlLocation } from './mysql-open.ts';

const NO_SUCH_TABLE = 1146;

export function mysqlLock(location: MysqlLocation): LockPlace {
  return {
    table: '`dbs_lock`',
    create:
      'CREATE TABLE IF NOT EXISTS `dbs_lock` (`name` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, `owner` varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, `fence` bigint NOT NULL, `expires_at` bigint NOT NULL) ENGINE=InnoDB',
    // Not NOW(): that is when the statement began, before it waited for another one's row.
    now: 'CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)',
    insert: ['INSERT IGNORE INTO', ''],
    isMissing: (error) => errorNumber(error) === NO_SUCH_TABLE,
    wrap: (error, doing) => sourceError(error, doing),
    async connect(signal) {
      try {
        const db = await location.open();
        const hangUp = () => db.destroy();
        signal?.addEventListener('abort', hangUp, { once: true });
        await db.run(
          "SET SESSION sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00', innodb_lock_wait_timeout = 10, lock_wait_timeout = 10, autocommit = 1",
        );
        return {
          run: (sql) => db.run(sql),
          all: (sql) => db.all(sql),
          close: () => {
            signal?.removeEventListener('abort', hangUp);
            return db.close();
          },
        };
      } catch (error) {
        signal?.throwIfAborted();
        throw sourceError(error, 'connect to the database', true);
      }
    },
  };
}
