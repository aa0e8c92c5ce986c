/**
 * Any one byte of the demo's own backup may be wrong: seeded positions, each changed alone. Every item that comes out is compared, and for some positions the restored
 * database and files are.
 *
 *     SEED=7 POSITIONS=2000 RESTORES=20 node --import=tsx test/examples/every-byte.test.ts
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { MikroORM } from '@mikro-orm/libsql';
import t, { type Test } from 'tap';
import { compareFiles, compareRows } from '../../examples/shop/compare.ts';
import { fillShop } from '../../examples/shop/fill.ts';
import { createTables, FILE_FOLDERS, shopBackup, shopOptions } from '../../examples/shop/shop.ts';
import { checkBlocks, isDamaged, newTally } from '../../lib/container/check.ts';
import { ContainerReader } from '../../lib/container/reader.ts';
import { bufferSource } from '../../lib/container/source.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import {
  createBackup,
  MemorySink,
  newKeyPair,
  parseIdentities,
  parsePublicKey,
  restoreBackup,
} from '../../lib/index.ts';
import { readItems, readingPool } from '../../lib/reading.ts';
import { openKeys } from '../../lib/sources.ts';
import { Random } from '../../lib/testkit/index.ts';

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const POSITIONS = Number(process.env.POSITIONS ?? 60);
const RESTORES = Number(process.env.RESTORES ?? 2);
const random = new Random(seed);
t.before(() => t.comment(`SEED=${seed}`));
t.setTimeout(120_000 + POSITIONS * 5_000 + RESTORES * 60_000);

const keyPair = newKeyPair();
const identity = { identities: parseIdentities(keyPair.identity) };

async function openShop(t: Test, folder: string): Promise<MikroORM> {
  await mkdir(folder, { recursive: true });
  const orm = await MikroORM.init(shopOptions(folder));
  t.teardown(() => orm.close(true));
  await createTables(orm);
  return orm;
}

/** A digest of all items, and whether damage was seen. */
async function readAll(file: Buffer): Promise<{ digest: string; damaged: boolean }> {
  const hash = createHash('sha256');
  const target = new Writable({
    objectMode: true,
    write(item: BackupItem, _encoding, callback) {
      const { data, ...facts } = item as { data?: Buffer };
      hash.update(`${JSON.stringify(facts)}\n`);
      if (data) hash.update(data);
      callback();
    },
  });
  const reader = await ContainerReader.open([bufferSource(file)]);
  const tally = newTally(reader.fileId);
  const pool = readingPool();
  await readItems(
    checkBlocks(reader, tally, () => pool.take()),
    reader,
    await openKeys(reader, identity),
    target,
  );
  return { digest: hash.digest('hex'), damaged: isDamaged(tally) || reader.foreignBytes !== 0 };
}

t.test('the demo', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-every-byte-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [before, after] = [join(folder, 'shop'), join(folder, 'restored')];
  const shop = await openShop(t, before);
  await fillShop(shop, before);
  const sink = new MemorySink();
  const secret = { recipients: [parsePublicKey(keyPair.recipient)] };
  const backup = await createBackup(shop, secret, { output: sink, config: shopBackup(before) });
  const file = Buffer.from(sink.bytes!);
  const whole = await readAll(file);
  t.equal(whole.damaged, false);

  const failed: string[] = [];
  const changed = async (work: () => Promise<string | null>) => {
    const at = random.below(file.length);
    const mask = random.between(1, 255);
    file[at]! ^= mask;
    const problem = await work().catch((error) => (error as Error).message);
    if (problem) failed.push(`byte ${at} ^ ${mask}: ${problem}`);
    file[at]! ^= mask;
  };
  for (let i = 0; i < POSITIONS; i++) {
    await changed(async () => {
      const { digest, damaged } = await readAll(file);
      if (digest !== whole.digest) return 'WRONG BYTES';
      return damaged ? null : 'not said to be damaged';
    });
  }
  t.same(failed, [], `${POSITIONS} positions of ${file.length}: every item is exact, and the damage is seen`);

  for (let i = 0; i < RESTORES; i++) {
    await changed(async () => {
      const target = await openShop(t, join(after, `${i}`));
      const config = shopBackup(join(after, `${i}`));
      const result = await restoreBackup(target, file, identity, { config });
      const rows = await compareRows(shop, target, ['customer.session_token']);
      const files = await Promise.all(FILE_FOLDERS.map((f) => compareFiles(join(before, f), join(after, `${i}`, f))));
      const compared = files.reduce((sum, one) => sum + one.compared, 0);
      const wrong = [...rows.differences, ...files.flatMap((one) => one.differences)];
      if (wrong.length > 0 || rows.compared !== backup.rows || compared !== backup.files.count) return wrong.join('; ');
      return result.healed ? null : 'not said to be healed';
    });
  }
  t.same(failed, [], `${RESTORES} restores into new databases and folders`);
});
