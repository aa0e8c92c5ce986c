/** One story, told by `dbs` on any destination: backup, list, look, restore, damage, repair, pull, push, prune. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Test } from 'tap';
import { type CliContext, processContext } from '../../lib/cli/context.ts';
import { runCli } from '../../lib/cli/program.ts';
import { openDestination } from '../../lib/destinations.ts';
import type { BackupConfig } from '../../lib/index.ts';
import { jsonLines, rowLines, Sponge } from './support.ts';

const QUICK = ['--kdf-memory', '8', '--kdf-iterations', '1', '--kdf-parallelism', '1'];

/** Runs `dbs` in this process, with the real library and the real app in the current folder. */
export async function run(line: string, env: Record<string, string> = {}, changes: Partial<CliContext> = {}) {
  const argv = line.split(' ');
  const [stdout, stderr] = [new Sponge(), new Sponge()];
  const context = {
    ...processContext(stdout, new AbortController().signal),
    stdin: Readable.from([]),
    stderr,
    env: { ...process.env, DBS_PASSPHRASE: 'correct horse', ...env },
    promptTerminal: () => null,
    ...changes,
  };
  const code = await runCli([...argv, ...(argv[0] === 'backup' ? QUICK : [])], context, '1.2.3');
  return { code, out: stdout.text, err: stderr.text };
}

/** The settings of the app in this folder, as a module for `--config-dbs`. */
export function writeSettings(app: string, settings: BackupConfig): string {
  const all = {
    entities: { Product: { fields: { image: 'FILE' } } },
    storages: { default: join(app, 'uploads') },
    prefix: 'shop',
    ...settings,
  };
  const path = join(app, `settings-${Object.keys(settings).join('-')}.mjs`);
  writeFileSync(path, `export default ${JSON.stringify(all)};\n`);
  return path;
}

/** Overwrites a few sectors of a file at a destination. */
async function damage(url: string, name: string, settings: BackupConfig): Promise<void> {
  const destination = await openDestination(url, settings);
  const source = await destination.open(name);
  const bytes = Buffer.alloc(source.size);
  await source.read(0, bytes);
  await source.close();
  const writer = await destination.sink(name, { force: true }).create();
  bytes.fill(0, 6000, 14_000);
  await new Promise<void>((resolve, reject) => writer.stream.on('error', reject).end(bytes, () => resolve()));
  await writer.finish();
  await destination.close();
}

/** @param url of the destination, which is empty */
export async function story(t: Test, app: string, url: string, settings: BackupConfig): Promise<void> {
  const config = `--config-dbs ${writeSettings(app, settings)}`;
  const dbs = async (line: string, code = 0) => {
    const ran = await run(`${line} ${config}`);
    t.equal(ran.code, code, `dbs ${line.replaceAll(url, 'URL/')}: ${ran.code === code ? code : ran.err}`);
    return ran;
  };
  const result = async (line: string, code = 0) =>
    jsonLines((await dbs(`${line} --json --no-progress`, code)).out).at(-1)!;

  const backup = await result(`backup ${url} --to ${app}/near/`);
  t.match(backup, { type: 'backup', rows: 21, name: /^shop-\d{8}-\d{6}Z\.dbs$/, verified: true });
  t.match(backup.outputs, [
    { ok: true, verified: true, problem: null },
    { ok: true, verified: true },
  ]);
  const name = backup.name as string;
  const file = `${url}${name}`;
  const near = readFileSync(join(app, 'near', name));

  const list = await dbs(`list ${url}`);
  t.match(
    list.out,
    /^TIME +AGE +SIZE {2}NAME\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+ (s|min) +[\d.]+ KiB {2}shop-.*\.dbs\n$/,
  );
  t.match(await result(`list ${url} --check`), { type: 'stored', name, bytes: near.length, check: { ok: true } });
  t.match(await result(`inspect ${file}`), { type: 'inspection', bytes: near.length });
  t.match(await result(`validate ${file}`), { ok: true, damaged: false, authentic: true });
  t.equal((await dbs(`ls ${file}`)).out.split('\n').length, 8, 'title, 2 tables, 4 files');
  t.equal(rowLines((await dbs(`cat ${file} Product`)).out).length, 20);
  t.match(await result(`restore ${file}`), { type: 'restore', ok: true, healed: false });

  await damage(url, name, settings);
  t.match(await result(`validate ${file}`, 4), { ok: true, damaged: true });
  t.match((await dbs(`list ${url} --check`, 4)).out, 'healable');
  t.match(await result(`repair ${file} --in-place`, 4), { type: 'repair', report: { damaged: true } });
  t.match(await result(`validate ${file}`), { damaged: false });
  await dbs(`pull ${file} ${app}/pulled.dbs --force`);
  t.ok(readFileSync(join(app, 'pulled.dbs')).equals(near), 'as it was first written');

  await dbs(`push ${app}/pulled.dbs ${url}shop-20200101-000000Z.dbs`);
  t.match((await dbs(`push ${app}/pulled.dbs ${url}shop-20200101-000000Z.dbs`, 2)).err, 'ERR_SINK_EXISTS');
  const both = await Promise.all([result(`backup ${url}`), result(`backup ${url}`)]);
  t.not(both[0]!.name, both[1]!.name, 'two at once');
  t.match((await dbs(`prune ${url}`, 2)).err, 'ERR_CATALOG_NO_RULES');
  const dry = await dbs(`prune ${url} --keep-last 2 --dry-run`);
  t.match(
    dry.out,
    /would go +[\d.]+ KiB {2}shop-20200101-000000Z\.dbs\nDry run: would remove 2 backups \(.*\) of prefix shop; 2 stay\.\n$/,
  );
  t.match(await result(`prune ${url} --keep-last 2`), { type: 'prune', removed: 2, ok: true });
  const left = jsonLines((await dbs(`list ${url} --json`)).out).map(({ name }) => name as string);
  t.strictSame(left.sort(), both.map(({ name }) => name as string).sort());
}
