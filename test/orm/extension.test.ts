/** The extension of MikroORM, on every version and driver of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { BackupManager, backupManager, defineBackupConfig } from '../../lib/index.ts';
import { core, openOrm, scratch } from '../support/orm.ts';
import { exec, query } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const Note = new EntitySchema({
  name: 'Note',
  properties: { id: { type: 'integer', primary: true }, text: { type: 'text' } },
});

/** What guessing costs is not what this is about. */
const secret = { passphrases: ['correct horse'], kdf: { memoryKiB: 8192, iterations: 1, parallelism: 1 } };

let count = 0;
const folder = (): string => {
  const path = join(scratch, `extension-${++count}`);
  mkdirSync(path);
  return path;
};

async function app(more: Record<string, unknown> = {}) {
  const orm = await openOrm([Note], more);
  t.teardown(() => orm.close(true));
  await exec(orm, "INSERT INTO note VALUES (1, 'one'), (2, 'two')");
  return orm;
}

const until = async (holds: () => boolean) => {
  while (!holds()) await setTimeout(10);
};

t.test('an extension of MikroORM', async (t) => {
  const here = folder();
  writeFileSync(join(here, 'pass'), 'correct horse');
  const dbs = defineBackupConfig({
    prefix: 'app',
    stateFile: join(here, 'state.json'),
    destinations: [here],
    passphraseFile: join(here, 'pass'),
    retention: { keepLast: 1 },
    schedule: { every: '6h' },
  });
  const orm = await app({ extensions: [BackupManager], dbs });
  const manager = backupManager(orm);
  t.ok(manager instanceof BackupManager);
  t.equal(backupManager(orm), manager, 'the ORM keeps one');
  t.equal((orm.config.get as unknown) !== undefined && manager.settings.prefix, 'app');
  const first = await manager.backup({ secret });
  t.equal(first.ok, true);
  const other = join(folder(), 'one.dbs');
  t.match(await manager.backup({ output: other, secret }), { type: 'backup', output: other, rows: 2 });
  await exec(orm, 'DELETE FROM note');
  t.match(await manager.restore(), { ok: true, entities: [{ inserted: 2 }] }, 'the newest backup');
  t.same(await query(orm, 'SELECT id, text FROM note ORDER BY id'), [
    [1, 'one'],
    [2, 'two'],
  ]);
  t.match(await manager.restore(other, { dryRun: true }), { ok: true, dryRun: true });
  t.match(await manager.validate(), { ok: true, authentic: true, totals: { rows: 2 } });
  t.match(await manager.list(), [{ destination: here, backups: [{ name: first.name }] }]);
  t.equal((await manager.health()).ok, true);
  writeFileSync(join(here, 'app-20200101-000000Z.dbs'), 'old');
  t.match(await manager.prune({ dryRun: true }), [{ destination: here, removed: 0 }]);
  t.match(await manager.prune(), [{ destination: here, removed: 1 }]);
  const schedule = manager.schedule();
  await until(() => schedule.next !== null);
  await schedule.stop();
  const bare = await app();
  t.ok(backupManager(bare) instanceof BackupManager, 'also where it is not listed');
  await t.rejects(backupManager(bare).restore(), { code: 'ERR_KEY_NO_PASSPHRASE' });
  await t.rejects(backupManager(bare).restore(undefined, { secret: 'x' }), { code: 'ERR_SOURCE_NOT_FOUND' });
});
