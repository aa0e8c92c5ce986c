/**
 * The configuration that `npx dbs` and `npx mikro-orm` find in this folder. The shop lies in `data/`, or in $SHOP_FOLDER.
 *
 *   node --import=tsx create.ts
 *   npx dbs backup shop.dbs
 */
import { join } from 'node:path';
import { shopBackup, shopOptions } from './shop.ts';

const folder = process.env.SHOP_FOLDER ?? join(import.meta.dirname, 'data');

export default { ...shopOptions(folder), dbs: shopBackup(folder) };
