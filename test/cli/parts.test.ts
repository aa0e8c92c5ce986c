/** The CLI's parts, each by itself: exit codes, numbers, progress, terminal, passphrases, prompts, finding a configuration. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import { exitCodeOf, Interrupted } from '../../lib/cli/exit-codes.ts';
import { appManifest, configCandidates, ormVariables, pickConfiguration } from '../../lib/cli/orm-config.ts';
import { askPassphrase, givenPassphrase } from '../../lib/cli/passphrase.ts';
import { barProgress, lineProgress } from '../../lib/cli/progress.ts';
import { Terminal } from '../../lib/cli/terminal.ts';
import * as errors from '../../lib/errors.ts';
import { counted, duration, printable, redacted } from '../../lib/texts.ts';
import { fakeWorld, jsonLines, Keyboard, Sponge, scratch } from './support.ts';

t.test('every error has its exit code', async (t) => {
  const { ConfigError, SourceError, SinkError, FormatError, RestoreError } = errors;
  const cases: [unknown, number][] = [
    [new Error('bug'), 1],
    ['thrown text', 1],
    [new SinkError('ERR_SINK_FULL', ''), 1],
    [new SourceError('ERR_SOURCE_DATABASE', ''), 1],
    [new ConfigError('ERR_CLI_USAGE', ''), 2],
    [new ConfigError('ERR_CONFIG_NOT_FOUND', ''), 2],
    [new ConfigError('ERR_SINK_EXISTS', ''), 2],
    [new FormatError('ERR_FORMAT_NEWER', ''), 2],
    [new FormatError('ERR_FORMAT_NOT_DBS', ''), 6],
    [new errors.DamageError('ERR_DAMAGE_BLOCKS', '', { blocks: [] }), 6],
    [new errors.TamperError('ERR_TAMPER_BLOCK', ''), 6],
    [new errors.TruncatedError('ERR_TRUNCATED', ''), 6],
    [new SourceError('ERR_SOURCE_NOT_FOUND', ''), 10],
    [new SourceError('ERR_SOURCE_NO_DATABASE', ''), 10],
    [new SinkError('ERR_SINK_NOT_FOUND', ''), 10],
    [new ConfigError('ERR_CONTENT_NOT_FOUND', ''), 10],
    [new SourceError('ERR_SOURCE_LOCKED', ''), 11],
    [new RestoreError('ERR_RESTORE_LOCKED', ''), 11],
    [new errors.WrongPassphraseError('ERR_KEY_WRONG_PASSPHRASE', ''), 12],
    [new errors.NoKeyMatchError('ERR_KEY_NO_MATCH', ''), 12],
    [new RestoreError('ERR_RESTORE_SCHEMA_DRIFT', ''), 13],
    [new RestoreError('ERR_RESTORE_UNKNOWN_ENTITY', ''), 13],
    [new RestoreError('ERR_RESTORE_CONSTRAINT', ''), 1],
    [new Interrupted('SIGTERM'), 130],
  ];
  for (const [error, code] of cases) t.equal(exitCodeOf(error), code, `${(error as { code?: string }).code ?? error}`);
});

t.test('numbers and names for people', async (t) => {
  t.strictSame([400, 59_949, 59_960, 185_000, 3_599_000, 3_720_000].map(duration), [
    '0.4 s',
    '59.9 s',
    '0 min 59 s',
    '3 min 05 s',
    '59 min 59 s',
    '1 h 02 min',
  ]);
  t.strictSame(
    [counted(1, 'row'), counted(1234, 'row'), counted(2, 'pass', 'passes')],
    ['1 row', '1,234 rows', '2 passes'],
  );
  t.equal(printable('a\x1b[31mb\n\u202ec\x9b'), 'a\\x1b[31mb\\x0a\\u202ec\\x9b', 'nothing moves the cursor');
  t.equal(printable('Größe 日本'), 'Größe 日本');
  t.equal(
    redacted('cannot reach postgresql://app:s3cret@db:5432/shop, nor redis://:pw@h'),
    'cannot reach postgresql://app:***@db:5432/shop, nor redis://:***@h',
  );
});

t.test('progress: a bar on a terminal, lines in a log', async (t) => {
  let now = 0;
  const screen = new Sponge();
  const bar = barProgress(screen, () => now);
  bar.update({ type: 'progress', phase: 'verify', bytes: 0, total: 4 << 20 });
  now = 1000;
  bar.update({ type: 'progress', phase: 'verify', bytes: 1 << 20, total: 4 << 20 });
  bar.clear();
  const [, first, second] = screen.text.split('\r');
  t.match(first, /^Verifying \[\.{12}\] {3}0 %, 0 B of 4\.00 MiB/);
  t.match(second, /^Verifying \[#{3}\.{9}\] {2}25 %, 1\.00 MiB of 4\.00 MiB, 1\.00 MiB\/s, 3\.0 s left/);
  t.ok(screen.text.endsWith('\r\x1b[K'), 'cleared');
  screen.text = '';
  screen.columns = 30;
  bar.update({ type: 'progress', phase: 'read', bytes: 5, rows: 1_234_567, files: 1_000_000 });
  t.ok(screen.text.length <= 29 + 4, 'never wraps');

  const log = new Sponge();
  now = 0;
  const lines = lineProgress(log, () => now);
  for (now = 0; now <= 12_000; now += 100)
    lines.update({ type: 'progress', phase: 'write', bytes: now * 1000, rows: 7 });
  lines.clear();
  t.equal(log.text.split('\n').length - 1, 2, 'one line in five seconds');
  t.match(log.text, /^dbs: writing: 4\.77 MiB, 7 rows, 976\.6 KiB\/s\n/);
});

t.test('the terminal: who gets to read what', async (t) => {
  const make = (options: Partial<ConstructorParameters<typeof Terminal>[0]> = {}) => {
    const streams = { stdout: new Sponge(), stderr: new Sponge() };
    const out = new Terminal({
      ...streams,
      env: {},
      now: () => 0,
      json: false,
      quiet: false,
      progress: true,
      ...options,
    });
    return { out, ...streams };
  };
  const skipped = {
    kind: 'field',
    root: 'media',
    path: 'a\x1b.png',
    reason: 'It does not exist.',
    from: 'P.image',
  } as const;

  const plain = make();
  for (let i = 0; i < 25; i++) plain.out.event({ type: 'skipped', source: skipped });
  plain.out.event({ type: 'warning', code: 'WARN_X', message: 'careful' });
  plain.out.result({ type: 'x' }, 'Done.\n  with \x1b[2J care');
  t.equal(plain.stdout.text, 'Done.\n  with \\x1b[2J care\n');
  t.match(plain.stderr.text, 'dbs: skipped media/a\\x1b.png (of P.image): It does not exist.\n');
  t.match(plain.stderr.text, 'dbs: warning: careful (WARN_X)\n');
  t.match(plain.stderr.text, 'dbs: skipped 5 more (--json names all)\n');

  const json = make({ json: true });
  json.out.event({ type: 'progress', phase: 'read', bytes: 1 });
  json.out.event({ type: 'skipped', source: skipped });
  json.out.result({ type: 'key-pair', recipient: 'dbs1' }, 'unused');
  json.out.fail(new errors.DamageError('ERR_DAMAGE_BLOCKS', 'Lost.', { blocks: [{ block: 3, ranges: [[0, 9]] }] }));
  t.equal(json.stderr.text, '', 'JSON goes to stdout alone');
  t.strictSame(
    jsonLines(json.stdout.text).map(({ type }) => type),
    ['progress', 'skipped', 'key-pair', 'error'],
  );
  t.match(jsonLines(json.stdout.text).at(-1), {
    code: 'ERR_DAMAGE_BLOCKS',
    exitCode: 6,
    facts: { blocks: [{ block: 3 }] },
  });

  const still = make({ json: true, progress: false });
  still.out.event({ type: 'progress', phase: 'read', bytes: 1 });
  t.equal(still.stdout.text, '', '--no-progress');
  const mute = make({ quiet: true });
  mute.out.result({ type: 'x' }, 'Done.');
  t.equal(mute.stdout.text + mute.stderr.text, '', '--quiet');

  for (const options of [{}, { json: true }]) {
    const data = make(options);
    data.out.reserveStdout();
    data.out.result({ type: 'x' }, 'Done.');
    data.out.fail(new Interrupted('SIGPIPE'));
    t.equal(data.stdout.text, '', 'nothing is mixed into data');
    t.match(
      data.stderr.text,
      'json' in options ? /^\{"type":"x"\}\n$/ : /^Done\.\n$/,
      'and who stops reading is not scolded',
    );
  }
  const whole = make();
  whole.out.reserveStdout({ whole: true });
  whole.out.fail(new Interrupted('SIGPIPE'));
  t.match(whole.stderr.text, 'went away. What came out on stdout is incomplete', 'unless half of it is worth nothing');

  const bug = make();
  bug.out.fail(new TypeError('x is not a function\n  of mysql://u:pw@h'));
  t.equal(
    bug.stderr.text,
    'dbs: Unexpected error: x is not a function\n  (ERR_UNEXPECTED)\n  This should not happen. DBS_DEBUG=1 shows where; please report it.\n',
  );
  const debug = make({ env: { DBS_DEBUG: '1' } });
  debug.out.fail(new errors.SourceError('ERR_SOURCE_DATABASE', 'No.', { cause: new Error('mysql://u:pw@h refused') }));
  t.match(
    debug.stderr.text,
    /^dbs: No\.\n {2}\(ERR_SOURCE_DATABASE\)\nSourceError: No\.\n {4}at .*caused by Error: mysql:\/\/u:\*\*\*@h/s,
  );
});

t.test('passphrases: where they come from', async (t) => {
  const file = join(scratch, 'secret');
  const put = (bytes: string | Buffer) => writeFileSync(file, bytes);
  const from = (passphraseFile: string) => givenPassphrase(fakeWorld(), { passphraseFile });
  put('correct horse\n');
  t.equal(await from(file), 'correct horse');
  put('\ufefftwo lines\nare kept\r\n');
  t.equal(await from(file), 'two lines\nare kept', 'one line break and the byte order mark do not count');
  put(' spaces \n\n');
  t.equal(await from(file), ' spaces \n');
  put('\n');
  await t.rejects(from(file), { code: 'ERR_KEY_EMPTY_PASSPHRASE' });
  put(Buffer.from([0xff, 0xfe]));
  await t.rejects(from(file), { code: 'ERR_KEY_PASSPHRASE_FILE', message: /not UTF-8/ });
  put(Buffer.alloc(70_000, 97));
  await t.rejects(from(file), { code: 'ERR_KEY_PASSPHRASE_FILE', message: /longer than 64 KiB/ });
  await t.rejects(from(join(scratch, 'none')), { code: 'ERR_KEY_PASSPHRASE_FILE', message: /ENOENT/ });

  const stdin = () => fakeWorld({ stdin: Readable.from([Buffer.from('from '), Buffer.from('stdin\n')]) });
  t.equal(await givenPassphrase(stdin(), { passphraseStdin: true }), 'from stdin');
  await t.rejects(givenPassphrase(stdin(), { passphraseStdin: true }, { stdinTaken: true }), { code: 'ERR_CLI_USAGE' });
  await t.rejects(givenPassphrase(stdin(), { passphraseStdin: true, passphrase: 'x' }), { code: 'ERR_CLI_USAGE' });

  const env = { DBS_PASSPHRASE: 'of the environment', HOME: '/' };
  t.equal(await givenPassphrase(fakeWorld({ env }), { passphrase: 'option' }), 'option', 'an option counts first');
  t.strictSame(env, { HOME: '/' }, 'and no child process inherits the other one');
  t.equal(await givenPassphrase(fakeWorld({ env: { DBS_PASSPHRASE: 'e' } }), {}), 'e');
  await t.rejects(givenPassphrase(fakeWorld({ env: { DBS_PASSPHRASE: '' } }), {}), {
    code: 'ERR_KEY_EMPTY_PASSPHRASE',
  });
  t.equal(await givenPassphrase(fakeWorld(), {}), undefined);
  await t.rejects(askPassphrase(fakeWorld()), {
    code: 'ERR_KEY_NO_PASSPHRASE',
    message: /--passphrase-file.*DBS_PASSPHRASE/,
  });
});

t.test('passphrases: asked for', async (t) => {
  const ask = async (typed: (string | Buffer)[], confirm = false) => {
    const input = new Keyboard();
    let shown = '';
    const terminal = { input, write: (text: string) => void (shown += text), close: () => void (shown += '[closed]') };
    for (const part of typed) input.push(part);
    const world = fakeWorld({ promptTerminal: () => terminal });
    return { answer: askPassphrase(world, { confirm }), input, world, shown: () => shown };
  };
  const once = await ask(['s3', 'cret\r']);
  t.equal(await once.answer, 's3cret');
  t.equal(once.shown(), 'Passphrase: \n[closed]', 'nothing of it is shown');
  t.strictSame(once.input.raw, [true, false], 'the echo comes back');

  const ahead = await ask(['same\nsame\n'], true);
  t.equal(await ahead.answer, 'same', 'typed ahead');
  t.equal(ahead.shown(), 'New passphrase: \nThe same again: \n[closed]');
  const erased = await ask(['xä\x7f\x7f\x7fa', Buffer.from([0xc3]), Buffer.from([0xa9]), 'q\x15wé\x04']);
  t.equal(await erased.answer, 'wé', 'erasing, and a letter in two chunks');
  await t.rejects((await ask(['one\rtwo\r'], true)).answer, { code: 'ERR_KEY_PASSPHRASES_DIFFER' });
  await t.rejects((await ask(['\r'])).answer, { code: 'ERR_KEY_EMPTY_PASSPHRASE' });
  await t.rejects((await ask(['\x04'])).answer, { code: 'ERR_KEY_NO_PASSPHRASE' });
  const stopped = await ask(['abc\x03']);
  await t.rejects(stopped.answer, { name: 'Interrupted' });
  t.strictSame(stopped.input.raw, [true, false]);
  const aborted = await ask(['abc']);
  setImmediate(() => aborted.world.abort.abort(new Interrupted('SIGTERM')));
  await t.rejects(aborted.answer, { name: 'Interrupted', signal: 'SIGTERM' });
  t.strictSame(aborted.input.raw, [true, false]);
});

t.test("the app's configuration: where it is looked for", async (t) => {
  const folder = join(scratch, 'found');
  mkdirSync(join(folder, 'packages/api/dist'), { recursive: true });
  const manifest = (json: object) => writeFileSync(join(folder, 'package.json'), JSON.stringify(json));
  const api = join(folder, 'packages/api');
  manifest({ 'mikro-orm': { configPaths: ['./conf/orm.ts'] }, devDependencies: { '@mikro-orm/cli': '6', tap: '1' } });
  const found = appManifest(api, {});
  t.equal(found.folder, folder, 'the nearest package.json upwards');
  t.strictSame(found.ormPackages, ['@mikro-orm/cli']);
  const names = [
    'conf/orm.ts',
    'src/mikro-orm.config.ts',
    'mikro-orm.config.ts',
    'dist/mikro-orm.config.js',
    'mikro-orm.config.js',
  ];
  t.strictSame(
    configCandidates(api, found),
    names.map((name) => join(api, name)),
  );
  t.strictSame(configCandidates(api, found, 'mine.js'), [join(api, 'mine.js')], '--config is the only candidate');

  manifest({ 'mikro-orm': { preferTs: false } });
  t.notMatch(configCandidates(api, appManifest(api, {})).join(), /\.ts/, 'an app that says no to TypeScript');
  t.match(
    configCandidates(api, appManifest(api, { MIKRO_ORM_CLI_PREFER_TS: '1' })).join(),
    /\.ts/,
    'the environment counts more',
  );
  t.equal(configCandidates(api, appManifest(api, { MIKRO_ORM_CLI_CONFIG: 'e.js' }))[0], join(api, 'e.js'));
  writeFileSync(join(folder, 'package.json'), 'no JSON');
  t.equal(configCandidates(api, appManifest(api, {})).length, 4);
  writeFileSync(join(api, '.env'), 'MIKRO_ORM_CLI_CONFIG=dot.js\nMIKRO_ORM_TYPE=libsql\nSECRET=1\n');
  const env = { MIKRO_ORM_TYPE: 'mysql' };
  ormVariables(api, env);
  t.strictSame(
    env,
    { MIKRO_ORM_TYPE: 'mysql', MIKRO_ORM_CLI_CONFIG: 'dot.js' },
    '.env gives what is not set, of MikroORM only',
  );

  t.strictSame(await pickConfiguration({ dbName: 'a' }), { dbName: 'a' });
  const named = { contextName: 'b', dbName: 'b' };
  t.equal(await pickConfiguration([{ dbName: 'a' }, named], 'b'), named);
  t.strictSame(await pickConfiguration((name: string) => ({ dbName: name }), 'c'), { dbName: 'c' });
  t.strictSame(await pickConfiguration([named, () => undefined, async (name: string) => ({ dbName: name })], 'c'), {
    dbName: 'c',
  });
  await t.rejects(pickConfiguration(named), /no configuration named "default"/);
  await t.rejects(pickConfiguration([named, named], 'b'), /several/);
  await t.rejects(pickConfiguration(null), /no configuration/);
});
