/** The demo passes, and could fail; the example's folder works with `dbs` as its comments say. */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/libsql';
import t, { type Test } from 'tap';
import { compareFiles, compareRows } from '../../examples/shop/compare.ts';
import { shopOptions } from '../../examples/shop/shop.ts';
import { codeBlocks, root } from '../docs/support.ts';

const SHOP = join(root, 'examples/shop');
const tsx = ['--import=tsx', '--no-warnings'];

/** By `env`: tap puts its own loader into NODE_OPTIONS of what is spawned. */
function run(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-demo-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test('npm run demo', async (t) => {
  const temporary = await folderOf(t);
  const { code, out, err } = await run([...tsx, 'examples/shop/demo.ts'], { TMPDIR: temporary });
  t.equal(code, 0, out + err);
  t.match(out, /^PASSED: every row and every file came back from the wreck\.$/m);
  t.match(out, /rows \(and all counters\) in the database, by SQL: no differences/);
  t.match(out, /byte for byte: no differences/);
  t.match(out, /the backup healed itself: yes/);
  t.equal(err, '', 'no noise');
  t.ok(out.trim().split('\n').length <= 30, 'short');
  const left = (await readdir(temporary)).filter((name) => name.startsWith('dbs-'));
  t.same(left, [], 'nothing stays behind');
  const shown = codeBlocks('README.md').find(({ info }) => info === 'demo')!.text;
  // Compression differs between versions of zlib, and with it sizes, and what the damage hits.
  const masked = (text: string) =>
    text
      .replace(/[\d,.]*\d/g, '#')
      .replace(/\b[KM]iB\b/g, 'B')
      .trim();
  t.equal(masked(out), masked(shown), 'README.md shows this output');
});

t.test('the folder of the example', async (t) => {
  const folder = await folderOf(t);
  const [one, two, file] = ['one', 'two', 'shop.dbs'].map((name) => join(folder, name)) as [string, string, string];
  const dbs = (shop: string, ...args: string[]) =>
    run([join(root, 'dist/cli/main.js'), '--cwd', SHOP, ...args], { SHOP_FOLDER: shop, DBS_PASSPHRASE: 'shop' });
  const created = await run([...tsx, join(SHOP, 'create.ts')], { SHOP_FOLDER: one });
  t.equal(created.code, 0, created.err);
  const empty = await run([...tsx, join(SHOP, 'create.ts'), '--empty'], { SHOP_FOLDER: two });
  t.equal(empty.code, 0, empty.err);
  const backup = await dbs(one, 'backup', file);
  t.equal(backup.code, 0, backup.err);
  const restore = await dbs(two, 'restore', file);
  t.equal(restore.code, 0, restore.err);

  const orm = await MikroORM.init(shopOptions(one));
  const other = await MikroORM.init(shopOptions(two));
  t.teardown(() => Promise.all([orm.close(true), other.close(true)]));
  const emptied = ['customer.session_token'];
  const same = await compareRows(orm, other, emptied);
  t.same(same.differences, []);
  t.ok(same.compared > 10_000);
  t.match(
    (await compareRows(orm, other)).differences,
    [/^customer: 1200 rows became 1200/],
    'what was EXCLUDEd is seen',
  );

  const changes: [string, RegExp][] = [
    ['UPDATE order_line SET quantity = quantity + 1 WHERE order_id = 7', /^order_line: .* [1-9]\d* are missing, [1-9]/],
    ["UPDATE product SET weight = '1' WHERE id = 7", /^product: 320 rows became 320, 1 are missing, 1 are new/],
    ['DELETE FROM payment WHERE id = 7', /^payment: \d+ rows became \d+, 1 are missing, 0 are new/],
    ["UPDATE tag SET label = 'x' WHERE id = 9", /^tag: 10 rows became 10/],
    ["INSERT INTO category (id, name) VALUES (99, 'x')", /^category: 30 rows became 31, 0 are missing, 1 are new/],
    ["UPDATE sqlite_sequence SET seq = 7 WHERE name = 'orders'", /^sqlite_sequence: /],
    ['CREATE TABLE more (id INTEGER)', /^the tables are not the same/],
  ];
  for (const [change] of changes) await other.em.getConnection().execute(change);
  const { differences } = await compareRows(orm, other, emptied);
  t.equal(differences.length, changes.length, differences.join('; '));
  for (const [change, said] of changes)
    t.ok(
      differences.some((text) => said.test(text)),
      change,
    );
});

t.test('files that differ are seen', async (t) => {
  const folder = await folderOf(t);
  const [one, two] = [join(folder, 'one'), join(folder, 'two')];
  await mkdir(join(one, 'deep'), { recursive: true });
  await writeFile(join(one, 'deep', 'a'), 'aaaa');
  await writeFile(join(one, 'b'), 'b');
  await cp(one, two, { recursive: true });
  t.match(await compareFiles(one, two), { compared: 2, bytes: 5, differences: [] });
  await writeFile(join(two, 'deep', 'a'), 'aaab');
  await rm(join(two, 'b'));
  await writeFile(join(two, 'c'), '');
  t.same((await compareFiles(one, two)).differences.sort(), [
    'b is missing',
    'c was not there before',
    'deep/a has other content',
  ]);
});
