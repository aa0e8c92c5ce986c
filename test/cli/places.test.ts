/** `dbs` on folders as destinations, and what it says when something is wrong with them. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { newKeyPair } from '../../lib/index.ts';
import { run, story, writeSettings } from './places.ts';
import { jsonLines, makeApp } from './support.ts';

const app = await makeApp();
for (const name of ['near', 'far']) mkdirSync(join(app, name));
const before = process.cwd();
process.chdir(app);
t.teardown(() => process.chdir(before));

t.test('a folder', async (t) => {
  await story(t, app, `${app}/far/`, {});
});

t.test('one of several destinations fails', async (t) => {
  const config = `--config-dbs ${writeSettings(app, { recipients: [] })}`;
  mkdirSync(join(app, 'some'));
  writeFileSync(join(app, 'some/there.dbs'), 'theirs');
  const line = `backup some/there.dbs --to none/x.dbs --to ${app}/some/ --to some/new.dbs ${config}`;
  const ran = await run(`${line} --json --no-progress`);
  t.equal(ran.code, 7, ran.err);
  const lines = jsonLines(ran.out);
  t.match(
    lines.filter(({ type }) => type === 'output-failed'),
    [
      { output: 'some/there.dbs', code: 'ERR_SINK_EXISTS' },
      { output: 'none/x.dbs', code: 'ERR_SINK_NOT_FOUND' },
    ],
  );
  const { name, outputs } = lines.at(-1) as { name: string; outputs: unknown[] };
  t.match(outputs, [{ ok: false }, { ok: false }, { ok: true }, { output: 'some/new.dbs', ok: true, verified: true }]);
  t.strictSame(readdirSync(join(app, 'some')).sort(), ['new.dbs', name, 'there.dbs'].sort());

  const text = await run(`backup some/there.dbs --to some/text.dbs ${config}`);
  t.equal(text.code, 7);
  t.match(text.err, 'dbs: some/there.dbs will NOT have the backup: some/there.dbs exists already');
  t.match(
    text.out,
    /\n {2}some\/there\.dbs: FAILED, .* \(ERR_SINK_EXISTS\)\n {2}some\/text\.dbs: both copies read back and verified\n/,
  );
  const all = await run(`backup some/there.dbs --to none/x.dbs ${config}`);
  t.match(all, { code: 1, err: /None of the 2 destinations has the backup\..*\n {2}\(ERR_SINK_ALL\)/ });
});

t.test('without a file: to the destinations of the settings, with the keys of the settings', async (t) => {
  const [mine, theirs] = ['mine', 'theirs'].map((name) => join(app, name)) as [string, string];
  for (const path of [mine, theirs]) mkdirSync(path);
  const { identity, recipient } = newKeyPair();
  writeFileSync(join(app, 'me.key'), identity);
  const config = `--config-dbs ${writeSettings(app, { destinations: [mine], recipients: [recipient] })}`;
  const noPassphrase = { DBS_PASSPHRASE: undefined } as unknown as Record<string, string>;
  const own = await run(`backup ${config}`, noPassphrase);
  t.equal(own.code, 0, own.err);
  const [name] = readdirSync(mine);
  t.match(name, /^shop-.*\.dbs$/);
  const opened = await run(`validate ${mine}/${name} --identity ${app}/me.key`, noPassphrase);
  t.match(opened, { code: 0, out: /authentic/i });
  const elsewhere = await run(`backup ${config} --json`, { ...noPassphrase, DBS_DESTINATIONS: theirs });
  t.equal(elsewhere.code, 0, elsewhere.err);
  t.equal(readdirSync(theirs).length, 1, '$DBS_DESTINATIONS goes before the settings');
  t.equal(readdirSync(mine).length, 1);
  const missing = await run(`backup ${config}`, { ...noPassphrase, DBS_DESTINATIONS: `${app}/missing` });
  t.match(missing, { code: 10, err: /ERR_SINK_NOT_FOUND/ });
  t.notOk(existsSync(join(app, 'missing')), 'a folder that does not exist does not become a file');
  const nowhere = await run(`backup --config-dbs ${writeSettings(app, { prefix: 'none' })}`);
  t.match(nowhere, { code: 2, err: /Say where to, use --to, or set destinations/ });
});

t.test('URLs without an app, and settings from where they are', async (t) => {
  mkdirSync(join(app, 'bare'));
  process.chdir(join(app, 'bare'));
  t.teardown(() => process.chdir(app));
  t.match(await run(`list file://${app}/none/`), { code: 0, out: '' }, 'a folder that does not exist holds nothing');
  t.match(await run('list ftp://host/'), { code: 2, err: /ERR_DESTINATION_SCHEME/ });
  t.match(await run('list sftp://nas/x/'), { code: 2, err: /ERR_SSH_UNKNOWN_TARGET/ });
  const secret = await run('backup s3://key:hunter2@bucket/ --passphrase-file x --json');
  t.match(secret, { code: 2 });
  t.notMatch(secret.out + secret.err, 'hunter2');
  let loaded = 0;
  const loadSettings = async () => {
    loaded++;
    return {};
  };
  await run(`validate ${app}/none.dbs`, {}, { loadSettings });
  await run(`list ${app}`, {}, { loadSettings });
  await run(`prune ${app} --keep-last 1 --prefix x`, {}, { loadSettings });
  t.equal(loaded, 0, 'plain paths do not load the app');
  await run('inspect sftp://nas/x.dbs', {}, { loadSettings });
  t.equal(loaded, 1);
  const broken = async () => ({ sshTarget: {} });
  t.match(await run('inspect sftp://nas/x.dbs', {}, { loadSettings: broken }), {
    code: 2,
    err: /ERR_CONFIG_UNKNOWN_OPTION/,
  });
});
