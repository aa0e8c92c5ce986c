/**
 * The example shop in a real browser: log in, download, lose everything, upload a damaged copy, and have all of it back. Chromium is Debian's (`apt-get install chromium`), or the one that
 * $DBS_TEST_CHROMIUM names.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/libsql';
import { type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { compareFiles, compareRows } from '../../examples/shop/compare.ts';
import { FILE_FOLDERS, shopOptions } from '../../examples/shop/shop.ts';
import { parseName, validateBackup } from '../../lib/index.ts';
import { corruptFile } from '../../lib/testkit/index.ts';
import { root } from '../docs/support.ts';

const PASSWORD = 'demo';
const PASSPHRASE = 'correct <horse> "battery"';
const SHOP = join(root, 'examples/shop');
/** Nothing but the page: no updates, no look-ups of hosts. Tests run as root in CI, where Chromium's sandbox cannot. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** By `env`: tap puts its own loader into NODE_OPTIONS of what is spawned. */
function run(t: Test, script: string, env: Record<string, string>) {
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--import=tsx', '--no-warnings', script], {
    cwd: SHOP,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function makeShop(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-browser-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const [code] = await once(run(t, 'create.ts', { SHOP_FOLDER: join(folder, 'shop') }), 'exit');
  t.equal(code, 0, 'a shop was made');
  await cp(join(folder, 'shop'), join(folder, 'before'), { recursive: true });
  return folder;
}

async function serve(t: Test, folder: string): Promise<string> {
  const server = run(t, 'server.ts', { SHOP_FOLDER: folder, SHOP_PASSWORD: PASSWORD, PORT: '0', TMPDIR: folder });
  let said = '';
  for await (const chunk of server.stdout) {
    said += chunk;
    const url = /http:\/\/localhost:\d+/.exec(said)?.[0];
    if (url) return url;
  }
  throw new Error(`The server ended: ${said}`);
}

async function openBrowser(t: Test) {
  const browser = await chromium.launch({
    executablePath: process.env.DBS_TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS,
  });
  t.teardown(() => browser.close());
  return async (origin: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const context = await browser.newContext({ ...options, baseURL: origin });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (/Content.Security.Policy|Refused to/.test(message.text())) t.fail(message.text());
    });
    await page.goto('/admin/backups');
    t.equal(await page.title(), 'Forbidden', 'nobody gets in without a login');
    await page.goto('/login');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'Backups', level: 1 }).waitFor();
    return page;
  };
}

t.test('a shop in a browser', { timeout: 120_000 }, async (t) => {
  const folder = await makeShop(t);
  const shop = join(folder, 'shop');
  const [origin, visit] = await Promise.all([serve(t, shop), openBrowser(t)]);
  const file = join(folder, 'download.dbs');

  await t.test('download', async (t) => {
    const page = await visit(origin);
    const download = page.getByRole('button', { name: 'Download the backup' });
    const [first, second] = [page.getByLabel('New passphrase'), page.getByLabel('The same passphrase again')];
    await first.fill(PASSPHRASE);
    await second.fill('another');
    await download.click();
    await page.getByRole('alert').waitFor();
    t.match(await page.getByRole('alert').textContent(), /The two passphrases are not the same/);
    t.equal(await page.evaluate("document.activeElement.getAttribute('role')"), 'alert', 'the error has the focus');
    await page.getByRole('alert').getByRole('link').click();
    t.equal(await page.evaluate('document.activeElement.id'), 'download-repeat', 'and leads to the field');
    t.equal(await first.inputValue(), '', 'no passphrase comes back');
    await first.fill(PASSPHRASE);
    await second.fill(PASSPHRASE);
    const [saved] = await Promise.all([page.waitForEvent('download'), download.click()]);
    t.ok(parseName(saved.suggestedFilename(), 'backup'), saved.suggestedFilename());
    await saved.saveAs(file);
    t.match(await validateBackup(file, PASSPHRASE), { ok: true, damaged: false, authentic: true });
    await page.context().close();
  });

  // Everything is lost, and the backup damaged.
  const orm = await MikroORM.init(shopOptions(shop));
  t.teardown(() => orm.close(true));
  const before = await MikroORM.init(shopOptions(join(folder, 'before')));
  t.teardown(() => before.close(true));
  const tables = (await orm.em.getConnection().execute("SELECT name FROM sqlite_master WHERE type = 'table'")) as {
    name: string;
  }[];
  await orm.em.getConnection().execute('PRAGMA foreign_keys = OFF');
  for (const { name } of tables) await orm.em.getConnection().execute(`DELETE FROM "${name}"`);
  for (const name of FILE_FOLDERS) await rm(join(shop, name), { recursive: true });
  await corruptFile(file, 'zero:64KiB@0,burst:256KiB:3', { seed: 5 });
  const rows = async () => {
    const counts = tables.map(({ name }) => `(SELECT count(*) FROM "${name}")`);
    const [row] = await orm.em.getConnection().execute(`SELECT ${counts.join(' + ')} AS n`);
    return (row as { n: number }).n;
  };
  t.equal(await rows(), 0, 'everything is lost');

  await t.test('upload and restore, without JavaScript', async (t) => {
    const page = await visit(origin, { javaScriptEnabled: false });
    const opening = page.getByLabel('Passphrase of the backup');
    await opening.fill('wrong');
    await page.getByLabel('Backup file').setInputFiles(file);
    await page.getByRole('button', { name: 'Upload and check' }).click();
    await page.getByRole('alert').waitFor();
    t.match(await page.getByRole('alert').textContent(), /Wrong passphrase/);
    t.equal(await rows(), 0, 'a wrong passphrase changes nothing');

    await opening.fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Check with these choices' }).click();
    await page.getByRole('heading', { name: 'The backup healed itself' }).waitFor();
    t.match(await page.getByRole('status').textContent(), /12,667 rows, 646 files/);
    t.equal(await rows(), 0, 'nor does the check');

    await opening.fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Restore now' }).click();
    await page.getByRole('alert').waitFor();
    t.match(await page.getByRole('alert').textContent(), /Nothing was restored\. Type RESTORE/);
    t.equal(await rows(), 0, 'nor a restore that was not confirmed');

    await opening.fill(PASSPHRASE);
    await page.getByLabel('To restore, type RESTORE').fill('RESTORE');
    await page.getByRole('button', { name: 'Restore now' }).click();
    await page.getByRole('heading', { name: 'Restored', level: 1 }).waitFor();
    t.match(page.url(), /\/admin\/backups\/restore$/, 'nothing of it stands in an address');
  });

  const same = await compareRows(before, orm, ['customer.session_token']);
  t.same(same.differences, [], `${same.compared} rows are what they were`);
  for (const name of FILE_FOLDERS)
    t.same((await compareFiles(join(folder, 'before', name), join(shop, name))).differences, [], name);
  t.same(
    (await readdir(shop)).filter((name) => name.includes('spool')),
    [],
    'no upload is left',
  );
});
