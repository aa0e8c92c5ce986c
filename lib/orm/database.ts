/** What RowSource and RowTarget share: from one or several ORMs to one driver, one model, one registry. */
import { ConfigError } from '../errors.ts';
import { discoverModel, type Model } from './discovery.ts';
import type { DatabaseDriver } from './driver.ts';
import { driverFor } from './drivers/index.ts';
import type { OrmLike } from './orm-like.ts';

export interface OpenedModel {
  driver: DatabaseDriver;
  model: Model;
}

/**
 * @param orms one, or several on the SAME database (one per module, as Medusa has them)
 * @throws ConfigError ERR_CONFIG_SEVERAL_DATABASES, ERR_CONFIG_NO_ORM and those of discovery and drivers
 */
export async function openModel(orms: OrmLike | OrmLike[]): Promise<OpenedModel> {
  const list = Array.isArray(orms) ? orms : [orms];
  const drivers: DatabaseDriver[] = [];
  for (const orm of list) drivers.push(await driverFor(orm));
  const [driver] = drivers;
  if (!driver)
    throw new ConfigError('ERR_CONFIG_NO_ORM', 'No MikroORM instance was given. Pass one, or a list of them.');
  if (new Set(drivers.map(({ identity }) => identity)).size > 1) {
    throw new ConfigError(
      'ERR_CONFIG_SEVERAL_DATABASES',
      'The MikroORM instances connect to different databases, and one backup shows one moment of one database. Make a backup of each.',
      { facts: { databases: drivers.length } },
    );
  }
  return { driver, model: discoverModel(list) };
}
