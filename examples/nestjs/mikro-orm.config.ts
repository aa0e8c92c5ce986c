import { defineConfig } from '@mikro-orm/libsql';
import { BackupManager, defineBackupConfig } from 'mikro-orm-dbs';
import { NoteSchema } from './entities.ts';

export default {
  ...defineConfig({
    entities: [NoteSchema],
    dbName: process.env.APP_DB ?? 'app.sqlite',
    allowGlobalContext: true,
    extensions: [BackupManager],
  }),
  // Where to and with which key: DBS_DESTINATIONS, DBS_PASSPHRASE_FILE.
  dbs: defineBackupConfig({ prefix: 'notes', retention: { keepLast: 7 }, schedule: { cron: '0 3 * * *' } }),
};
