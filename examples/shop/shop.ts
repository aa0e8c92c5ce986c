/** Where a shop lies, and what it says about its backups. */
import { join } from 'node:path';
import { defineConfig, type MikroORM } from '@mikro-orm/libsql';
import { defineBackupConfig } from 'mikro-orm-dbs';
import { entities } from './entities.ts';

/** MikroORM's settings for the shop in a folder. */
export function shopOptions(folder: string) {
  return defineConfig({ entities, dbName: join(folder, 'shop.sqlite'), discovery: { warnWhenNoEntities: false } });
}

/**
 * Everything in the database is backed up without a word here. What the database cannot say by itself is which columns name files,
 * which folders belong to the app, and what should stay out.
 */
export function shopBackup(folder: string) {
  return defineBackupConfig({
    entities: {
      Product: { fields: { picture: 'FILE' } },
      Invoice: { fields: { pdf: 'FILE_PATH' } },
      Customer: { fields: { sessionToken: 'EXCLUDE' } },
    },
    baseDir: folder,
    storages: { default: 'uploads' },
    fileRoots: { templates: 'templates' },
  });
}

/** The folders with the shop's files. */
export const FILE_FOLDERS = ['uploads', 'invoices', 'templates'];

/** Makes the tables. With a write-ahead log, the app can write on while a backup reads. */
export async function createTables(orm: MikroORM): Promise<void> {
  await orm.em.getConnection().execute('PRAGMA journal_mode = WAL');
  await orm.schema.createSchema();
}
