/**
 * A shop is backed up, the backup is wrecked, and the shop comes back from it: `npm run demo`.
 *
 * Exits with 1 if one row or one byte of a file differs. DEMO_SEED=6 wrecks other places: nearly every seed passes, but all four kinds of
 * damage at once are more than any single promise covers, and about one seed in a hundred destroys the page of the one parity
 * block as well. The demo then says so and fails. DEMO_KEEP=1 keeps the temporary folder.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/libsql';
import {
  BackupError,
  type BackupEvent,
  createBackup,
  formatBytes,
  restoreBackup,
  type Survival,
  validateBackup,
} from 'mikro-orm-dbs';
import { compareFiles, compareRows } from './compare.ts';
import { fillShop } from './fill.ts';
import { createTables, FILE_FOLDERS, shopBackup, shopOptions } from './shop.ts';
import { wreck } from './wreck.ts';

const seed = Number(process.env.DEMO_SEED ?? 5);
const passphrase = randomBytes(18).toString('base64url');
const count = (n: number) => n.toLocaleString('en-US');
const seconds = (milliseconds: number) => `${(milliseconds / 1000).toFixed(1)} s`;
let step = 0;

function title(text: string, ...more: string[]): void {
  console.log([`${++step}. ${text}`, ...more.map((line) => `   - ${line}`)].join('\n'));
}

/** A line that is written over and over, on terminals only. */
function progress(event: BackupEvent): void {
  if (!process.stderr.isTTY || event.type !== 'progress') return;
  const part = event.total ? `${Math.floor((100 * event.bytes) / event.total)} %` : formatBytes(event.bytes);
  process.stderr.write(`\r   ${event.phase} ${part}\x1b[K`);
}

function progressEnds(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

function survives({ burstBytes, tailBytes, rowsPerBlock, rowBytes, blocksPerGroup }: Survival): string[] {
  return [
    `any one run of ${formatBytes(burstBytes)} overwritten, wherever it begins; or`,
    `its last ${formatBytes(tailBytes)} cut off; or`,
    `${rowsPerBlock} rows of ${formatBytes(rowBytes)} lost in each copy of each of its blocks; or`,
    `${blocksPerGroup} of its blocks lost in both copies`,
  ];
}

async function openShop(folder: string): Promise<MikroORM> {
  await mkdir(folder, { recursive: true });
  const orm = await MikroORM.init(shopOptions(folder));
  await createTables(orm);
  return orm;
}

const workspace = await mkdtemp(join(tmpdir(), 'dbs-demo-'));
const orms: MikroORM[] = [];
try {
  const [before, after, file] = ['shop', 'restored', 'shop.dbs'].map((name) => join(workspace, name)) as [
    string,
    string,
    string,
  ];
  const shop = await openShop(before);
  orms.push(shop);
  await fillShop(shop, before);
  title(`A small shop: nine tables on SQLite, and files in ${FILE_FOLDERS.join(', ')}.`);

  const backup = await createBackup(shop, passphrase, { output: file, config: shopBackup(before), onEvent: progress });
  progressEnds();
  title(
    `Backed up: ${count(backup.rows)} rows and ${count(backup.files.count)} files (${formatBytes(backup.files.bytes)}).`,
    `${formatBytes(backup.bytes)} in ${backup.blocks} blocks, each stored twice, in ${seconds(backup.milliseconds)}`,
    `both copies read back and verified: ${backup.verified ? 'yes' : 'NO'}`,
  );
  title('This file survives', ...survives(backup.survives));

  title(`Wrecked it (seed ${seed}), all at once:`, ...(await wreck(file, seed)));

  const report = await validateBackup(file, passphrase, { onEvent: progress });
  progressEnds();
  const { copyA, copyB } = report;
  title(
    `Validated: ${report.ok ? 'everything can be restored' : `NOT OK. ${report.problem?.message}`}.`,
    `copy A: ${copyA.good} of ${copyA.total} blocks whole; copy B: ${copyB.good}; in both copies damaged and rebuilt: ${report.rebuilt}`,
    `authentic, down to the totals: ${report.authentic ? 'yes' : 'NO'}`,
  );

  const restored = await openShop(after);
  orms.push(restored);
  const result = await restoreBackup(restored, file, passphrase, { config: shopBackup(after), onEvent: progress });
  progressEnds();
  const inserted = result.entities.reduce((sum, entity) => sum + entity.inserted, 0);
  title(
    `Restored into a new database and new folders, in ${seconds(result.milliseconds)}.`,
    `${count(inserted)} rows inserted, ${count(result.files.written)} files written; the backup healed itself: ${result.healed ? 'yes' : 'NO'}`,
  );

  const rows = await compareRows(shop, restored, ['customer.session_token']);
  const files = { compared: 0, bytes: 0, differences: [] as string[] };
  for (const folder of FILE_FOLDERS) {
    const one = await compareFiles(join(before, folder), join(after, folder));
    files.compared += one.compared;
    files.bytes += one.bytes;
    files.differences.push(...one.differences.map((text) => `${folder}/${text}`));
  }
  title(
    'Compared with the shop as it was:',
    `${count(rows.compared)} rows (and all counters) in the database, by SQL: ${rows.differences.length || 'no'} differences`,
    `${count(files.compared)} files (${formatBytes(files.bytes)}), byte for byte: ${files.differences.length || 'no'} differences`,
    'customer.session_token is NULL now, as the registry EXCLUDEs it',
  );
  const differences = [...rows.differences, ...files.differences];
  for (const text of differences.slice(0, 20)) console.log(`   ! ${text}`);
  const complete = inserted === backup.rows && result.files.written === backup.files.count && files.compared > 0;
  const ok = complete && !differences.length && result.healed && backup.verified && report.ok;
  console.log(ok ? '\nPASSED: every row and every file came back from the wreck.' : '\nFAILED: see above.');
  if (!ok) process.exitCode = 1;
} catch (error) {
  if (!(error instanceof BackupError)) throw error;
  progressEnds();
  console.log(`\nFAILED: ${error.message} (${error.code})`);
  process.exitCode = 1;
} finally {
  for (const orm of orms) await orm.close(true);
  if (process.env.DEMO_KEEP) console.log(`Kept: ${workspace}`);
  else await rm(workspace, { recursive: true, force: true });
}
