/**
 * The real program on a real app, as a user runs it: every step is a process of its own, and what it prints is compared. With
 * DBS_TEST_ORM=7 (and the Node that it needs) the app stands on MikroORM 7.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { dbs, jsonLines, makeApp, type RunOptions, rowLines, typescriptConfig } from './support.ts';

const app = await makeApp();
const env = { DBS_PASSPHRASE: 'correct horse' };
const QUICK = ['--kdf-memory', '8', '--kdf-iterations', '1', '--kdf-parallelism', '1'];
const run = (argv: string, options: RunOptions = {}) => {
  const words = argv.split(' ');
  const quick = ['backup', 'seal'].includes(words[0] as string) ? QUICK : [];
  return dbs([...words, ...quick], { cwd: app, env, ...options });
};

/** What is different each time. */
const steady = (text: string) =>
  text
    .replace(/[\d.]+ s\b/g, 'N s')
    .replace(/[0-9a-f]{64}/g, 'FILE-ID')
    .replace(/\d[\d.,]* ([KMG]iB|B)\b/g, 'SIZE');

t.test('a backup, looked at and brought back', async (t) => {
  const backup = await run('backup app.dbs');
  t.equal(backup.code, 0, backup.err);
  t.equal(
    steady(backup.out),
    'Backed up 21 rows of 2 tables and 4 files (SIZE).\n' +
      '  app.dbs: SIZE in N s, layout tandem, both copies read back and verified\n' +
      '  survives any one run of SIZE overwritten, or its last SIZE missing, and more: see `dbs inspect`\n',
  );
  t.match(backup.err, 'NOISE of the app', 'the app may talk, on stderr');
  t.notMatch(backup.err, /MikroORM|select|\[discovery\]/, 'and its debug output is off');

  const again = await run('backup app.dbs --json');
  t.equal(again.code, 2);
  t.match(jsonLines(again.out).at(-1), {
    type: 'error',
    code: 'ERR_SINK_EXISTS',
    exitCode: 2,
    facts: { path: 'app.dbs' },
  });
  t.equal((await run('backup app.dbs --force --quiet --no-progress')).out, '');

  const json = await run('backup other.dbs --json');
  const lines = jsonLines(json.out);
  t.strictSame([...new Set(lines.map(({ type }) => type))].sort(), ['backup', 'entity', 'progress', 'warning']);
  t.match(lines.at(-1), {
    type: 'backup',
    rows: 21,
    files: { count: 4, bytes: 50_000 },
    skipped: [],
    layout: 'tandem',
    verified: true,
  });

  const ls = await run('ls app.dbs');
  t.equal(
    steady(ls.out).replace(/ +/g, ' '),
    [
      'KIND ROWS SIZE NAME',
      'table 1 SIZE shop (Shop)',
      'table 20 SIZE product (Product)',
      ...[5, 10, 15, 20].map((i) => `field SIZE default/p${i}.bin`),
      '',
    ].join('\n'),
  );
  const cat = await run('cat app.dbs Product');
  t.strictSame(rowLines(cat.out)[4], { id: 5, name: 'product 5', image: 'p5.bin', shop_id: 1 });
  const file = await run('cat app.dbs default/p10.bin');
  t.ok(file.stdout.equals(Buffer.alloc(10_000, 10)));
  t.match(await run('cat app.dbs Nothing'), { code: 10, out: '', err: /ERR_CONTENT_NOT_FOUND/ });

  t.match(jsonLines((await run('ls app.dbs --json')).out), [{ type: 'entity' }, { type: 'entity' }, { type: 'file' }]);
  t.match(jsonLines((await run('inspect app.dbs --json', { env: {} })).out), [
    { type: 'inspection', layout: 'tandem' },
  ]);
  const inspect = await run('inspect app.dbs', { env: {} });
  t.match(
    steady(inspect.out),
    /^app\.dbs\n {2}size .* in 1 block of 1 group\n {2}format {5}1\.0, layout tandem\n {2}backup id {2}FILE-ID\n/,
  );
  t.match(steady(inspect.out), 'passphrase (Argon2id: 1 pass, SIZE, 1 lane)');
  t.match(await run('validate app.dbs', { env: {} }), { code: 0, out: /OK\. Authenticity was not checked/ });
  t.match(await run('validate app.dbs'), { code: 0, out: /authentic: 21 rows, 4 files/ });

  const target = { env: { ...env, SHOP_DB: 'empty.db', SHOP_FILES: './restored' } };
  const dry = await run('restore app.dbs --dry-run', target);
  t.match(
    dry,
    { code: 0, out: /^Dry run: .* Nothing was changed\.\n {2}rows of 2 tables: 21 inserted, 0 updated\n/ },
    dry.err,
  );
  const restore = await run('restore app.dbs', target);
  t.equal(
    steady(restore.out),
    'Restored app.dbs.\n  rows of 2 tables: 21 inserted, 0 updated\n  files: 4 written, 0 already there\n  in N s\n',
    restore.err,
  );
  t.ok(readFileSync(join(app, 'restored/p15.bin')).equals(Buffer.alloc(15_000, 15)));
  const twice = await run('restore app.dbs --json', target);
  t.match(jsonLines(twice.out).at(-1), {
    type: 'restore',
    ok: true,
    healed: false,
    files: { written: 0, unchanged: 4 },
  });
});

t.test('pipes', async (t) => {
  const out = await run('backup -');
  t.equal(out.code, 0, out.err);
  t.match(out.err, 'layout interleaved, NOT read back');
  t.equal((await run('validate -', { input: out.stdout })).code, 0);
  const target = { env: { ...env, SHOP_DB: 'empty.db', SHOP_FILES: './restored' }, input: out.stdout };
  t.match(await run('restore - --flush', target), { code: 0, out: /^Restored the backup from stdin\./ });

  const input = randomBytes(3_000_000);
  const sealed = await run('seal', { input });
  t.equal(sealed.code, 0, sealed.err);
  const opened = await run('unseal', { input: sealed.stdout });
  t.equal(opened.code, 0, opened.err);
  t.ok(opened.stdout.equals(input));
  t.match(opened.err, 'Unsealed 2.86 MiB: verified, complete.');
  t.match(await run('restore -', { input: sealed.stdout }), { code: 2, err: /ERR_RESTORE_NOT_A_DATABASE/ });
  t.match(await run('unseal app.dbs'), { code: 2, out: '', err: /ERR_FORMAT_NOT_SEALED/ });
  writeFileSync(join(app, 'cut.dbs'), sealed.stdout.subarray(0, 300_000));
  t.match(await run('unseal cut.dbs'), { code: 6, out: '' }, 'nothing comes out of what is not whole');

  const gone = await run('unseal', {
    during: async (child) => {
      child.stdin?.end(sealed.stdout);
      await once(child.stdout as NodeJS.ReadableStream, 'data');
      child.stdout?.destroy();
    },
  });
  t.match(gone, { code: 130, err: /Whoever read stdout went away/ });
});

t.test('keys and passphrases', async (t) => {
  writeFileSync(join(app, 'secret'), 'correct horse\n');
  writeFileSync(join(app, 'throws.js'), "throw new Error('the app is loaded');\n");
  const none = { env: {} };
  t.equal((await run('ls app.dbs --passphrase-file secret', none)).code, 0);
  t.equal((await run('ls app.dbs --passphrase-stdin', { env: {}, input: 'correct horse\r\n' })).code, 0);
  const wrong = await run('ls app.dbs --json', { env: { DBS_PASSPHRASE: 'battery staple' } });
  t.equal(wrong.code, 12);
  t.match(jsonLines(wrong.out), [{ type: 'error', code: 'ERR_KEY_WRONG_PASSPHRASE', exitCode: 12 }]);
  t.notMatch(wrong.out + wrong.err, 'battery');
  t.match(await run('ls app.dbs', none), { code: 2, err: /no terminal to ask on\. Give --passphrase-file/ });
  t.match(await run('backup x.dbs', { env: { DBS_PASSPHRASE: '' } }), { code: 2, err: /ERR_KEY_EMPTY_PASSPHRASE/ });

  t.match(
    await run('restore app.dbs --config throws.js'),
    { code: 2, err: /ERR_CONFIG_LOAD/ },
    'this app cannot be loaded',
  );
  const early = await run('restore app.dbs --config throws.js', { env: { DBS_PASSPHRASE: 'battery staple' } });
  t.match(early, { code: 12, err: /ERR_KEY_WRONG_PASSPHRASE/ }, 'a wrong passphrase is known before');
  t.match(await run('restore package.json --config throws.js'), { code: 6, err: /ERR_FORMAT_NOT_DBS/ });

  t.equal((await run('keys new -o me.key', none)).code, 0);
  const recipient = /dbs1\w+/.exec(readFileSync(join(app, 'me.key'), 'utf8'))?.[0] as string;
  t.equal((await run(`backup locked.dbs --recipient ${recipient}`, none)).code, 0);
  t.equal((await run('ls locked.dbs')).code, 12, 'a passphrase does not fit it');
  t.equal((await run('ls locked.dbs --identity me.key', none)).code, 0);
  copyFileSync(join(app, 'app.dbs'), join(app, 'shared.dbs'));
  const added = await run(`keys add shared.dbs --recipient ${recipient} --json`);
  t.match(
    jsonLines(added.out),
    [{ type: 'keys', slots: [{ kind: 'passphrase' }, { slot: 1, kind: 'recipient' }] }],
    added.err,
  );
  t.equal((await run('validate shared.dbs --identity me.key', none)).code, 0);
  t.match(await run('keys remove shared.dbs --slot 0'), { code: 0, out: /slot 0 {2}recipient\n$/ });
  t.equal((await run('ls shared.dbs')).code, 12);
});

t.test('damage', async (t) => {
  const whole = readFileSync(join(app, 'app.dbs'));
  const hurt = Buffer.from(whole);
  hurt.fill(0, 5000, 13_000);
  writeFileSync(join(app, 'hurt.dbs'), hurt);
  t.match(await run('validate hurt.dbs'), { code: 4, out: /OK, but damaged/ });
  t.match(await run('cat hurt.dbs p5.bin'), { code: 4, err: /copy hurt\.dbs to another one/ });
  const target = { env: { ...env, SHOP_DB: 'empty.db', SHOP_FILES: './restored' } };
  t.match(await run('restore hurt.dbs', target), { code: 4, out: /damaged and healed itself/ });
  const repair = await run('repair hurt.dbs --json', { env: {} });
  t.equal(repair.code, 4, repair.err);
  t.match(jsonLines(repair.out).at(-1), {
    type: 'repair',
    output: 'hurt.repaired.dbs',
    report: { ok: true, damaged: true },
  });
  t.ok(readFileSync(join(app, 'hurt.repaired.dbs')).equals(whole), 'byte for byte');
  const drill = await run('drill app.dbs --damage sectors:4096:0.05 --seed 7 --json', { env: {} });
  t.equal(drill.code, 0, drill.err);
  t.match(jsonLines(drill.out).at(-1), { type: 'drill', survived: true, seed: '7' });

  hurt.fill(0, 5000, whole.length - 5000);
  writeFileSync(join(app, 'lost.dbs'), hurt);
  const validate = await run('validate lost.dbs --json', { env: {} });
  t.match(validate, { code: 6 });
  t.match(jsonLines(validate.out).at(-1), { type: 'validation', ok: false, lost: [{ block: 0 }] });
  t.match(await run('restore lost.dbs', target), {
    code: 6,
    err: /^(NOISE of the app\n)?dbs: .*\n {2}\(ERR_DAMAGE_\w+\)\n$/,
  });
  t.match(await run('validate package.json', { env: {} }), { code: 6, err: /ERR_FORMAT_NOT_DBS/ });
  t.match(await run('validate none.dbs', { env: {} }), { code: 10, err: /ERR_SOURCE_NOT_FOUND/ });
});

t.test('what the app has to say', async (t) => {
  renameSync(join(app, 'uploads/p5.bin'), join(app, 'p5.bin'));
  const skipped = await run('backup skipped.dbs');
  t.equal(skipped.code, 3);
  t.match(skipped.out, '1 source could not be read and is NOT in it');
  t.match(skipped.err, /dbs: skipped default\/p5\.bin \(of Product\.image\): /);
  renameSync(join(app, 'p5.bin'), join(app, 'uploads/p5.bin'));

  writeFileSync(join(app, 'only.ts'), "const left: string[] = ['Product'];\nexport default { exclude: left };\n");
  const only = await run('backup only.dbs --config-dbs only.ts');
  t.match(only, { code: 0, out: /^Backed up 1 row of 1 table\.\n/ }, only.err);
  t.match(await run('backup x.dbs --config-dbs none.js'), { code: 2, err: /ERR_CONFIG_NOT_FOUND/ });
  t.match(await run('backup x.dbs --context other'), { code: 2, err: /ERR_CONFIG_LOAD/ });
  const nowhere = await run('backup x.dbs --config none.js');
  t.match(nowhere, {
    code: 2,
    err: /No MikroORM configuration was found in .* \(looked for none\.js\)\. .*--config FILE\.\n {2}\(ERR_CONFIG_NOT_FOUND\)/,
  });
  writeFileSync(join(app, 'broken.js'), "throw new Error('at mysql://u:pw@host');\n");
  const broken = await run('backup x.dbs --config broken.js');
  t.match(broken, { code: 2, err: /broken\.js could not be loaded: at mysql:\/\/u:\*\*\*@host\. See that/ });
  t.notMatch(broken.err, '    at ', 'no stack');
  t.match(
    (await run('backup x.dbs --config broken.js', { env: { ...env, DBS_DEBUG: '1' } })).err,
    /caused by Error: .*\n {4}at /,
  );

  t.match(await run('backup x.dbs --config-dbs broken.js'), {
    code: 2,
    err: /The backup configuration broken\.js could not be loaded/,
  });

  writeFileSync(join(app, 'orm.config.ts'), typescriptConfig);
  writeFileSync(
    join(app, 'package.json'),
    JSON.stringify({ type: 'module', 'mikro-orm': { configPaths: ['./orm.config.ts'] } }),
  );
  const typescript = await run('backup typescript.dbs');
  t.equal(typescript.code, 0, typescript.err);
  t.match(typescript.err, 'Red', 'the TypeScript configuration was taken');
  mkdirSync(join(app, 'deeper'));
  t.match(await run('backup ../cwd.dbs --cwd deeper'), { code: 2, err: /ERR_CONFIG_NOT_FOUND/ });
  t.match(await run(`backup cwd.dbs --cwd ${app}`, { cwd: join(app, 'deeper') }), { code: 0 });
  t.ok(existsSync(join(app, 'cwd.dbs')));
});

t.test('interrupted, nothing is left behind', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const stopped = await run('seal stopped.dbs', {
      during: async (child) => {
        child.stdin?.write(Buffer.alloc(2_000_000));
        for (let i = 0; i < 500 && !readdirSync(app).some((name) => name.includes('stopped')); i++) await sleep(20);
        child.kill(signal);
      },
    });
    t.match(
      stopped,
      { code: 130, err: /Interrupted\. Nothing half-written was kept\.\n {2}\(ERR_INTERRUPTED\)\n$/ },
      signal,
    );
    t.notMatch(readdirSync(app).join(), 'stopped');
  }
});
