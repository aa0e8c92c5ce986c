/** Makes a shop to play with, in `data/` beside this file (or in $SHOP_FOLDER): `node --import=tsx create.ts`. */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MikroORM } from '@mikro-orm/libsql';
import { fillShop } from './fill.ts';
import config from './mikro-orm.config.ts';
import { createTables } from './shop.ts';

const folder = dirname(String(config.dbName));
await mkdir(folder, { recursive: true });
const orm = await MikroORM.init(config);
await createTables(orm);
// With --empty: only the tables, to restore into.
if (!process.argv.includes('--empty')) await fillShop(orm, folder);
await orm.close();
console.log(`A shop is in ${folder}. Next: npx dbs backup shop.dbs`);
