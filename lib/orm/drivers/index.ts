/** Which driver serves which ORM. A new dialect is one line here and one file beside. */
import { ConfigError } from '../../errors.ts';
import type { DatabaseDriver, DriverFactory } from '../driver.ts';
import { type OrmLike, platformNames } from '../orm-like.ts';
import { mysqlDriver } from './mysql.ts';
import { postgresqlDriver } from './postgresql.ts';
import { sqliteDriver } from './sqlite.ts';

const factories: DriverFactory[] = [sqliteDriver, postgresqlDriver, mysqlDriver];

/** @throws ConfigError ERR_CONFIG_UNSUPPORTED_DATABASE */
export async function driverFor(orm: OrmLike): Promise<DatabaseDriver> {
  for (const factory of factories) {
    const driver = await factory(orm);
    if (driver) return driver;
  }
  throw new ConfigError(
    'ERR_CONFIG_UNSUPPORTED_DATABASE',
    `MikroORM's ${platformNames(orm)[0]} is not supported yet. This version backs up SQLite, libSQL, PostgreSQL, MariaDB and MySQL databases.`,
  );
}
