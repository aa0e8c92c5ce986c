/** The measured app's MikroORM configuration: the jobs open it in any folder, and `dbs` loads it as the configuration of the app in its current one. */
import { join } from 'node:path';
import { defineConfig, defineEntity, p } from '@mikro-orm/libsql';
import type { BackupConfig } from '../../lib/settings.ts';

const Article = defineEntity({
  name: 'Article',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    author: p.string().nullable(),
    body: p.text(),
    price: p.double(),
    stock: p.integer(),
    createdAt: p.datetime(),
    meta: p.json<object>(),
  },
});

const Blob = defineEntity({
  name: 'Blob',
  properties: { id: p.integer().primary(), noise: p.blob() },
});

const Attachment = defineEntity({
  name: 'Attachment',
  properties: { id: p.integer().primary(), path: p.string() },
});

export function appConfig(folder: string) {
  const dbs: BackupConfig = {
    entities: { Attachment: { fields: { path: 'FILE' } } },
    storages: { default: join(folder, 'uploads') },
    baseDir: folder,
  };
  const orm = defineConfig({
    entities: [Article, Blob, Attachment],
    dbName: join(folder, 'app.sqlite'),
    discovery: { warnWhenNoEntities: false },
  });
  return { ...orm, dbs };
}

export default appConfig(process.cwd());
