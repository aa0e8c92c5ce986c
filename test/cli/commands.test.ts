/** Every command in this process, with a library of fakes: what it asks of the library, what it says, how it ends. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import t from 'tap';
import type { CliContext } from '../../lib/cli/context.ts';
import { ExitCode, Interrupted } from '../../lib/cli/exit-codes.ts';
import type { Library } from '../../lib/cli/library.ts';
import { DamageError, RestoreError, SourceError, WrongPassphraseError } from '../../lib/errors.ts';
import { withEnvironment } from '../../lib/settings-environment.ts';
import type {
  BackupResult,
  InspectReport,
  RestoreResult,
  SealResult,
  ValidationReport,
  WriteResult,
} from '../../lib/types.ts';
import { fakeWorld, jsonLines, Keyboard, root, runFake, Sponge, scratch } from './support.ts';

const survives = {
  burstBytes: 24_576,
  tailBytes: 32_768,
  rowsPerBlock: 16,
  rowBytes: 4096,
  errorsPerColumn: 8,
  blocksPerGroup: 2,
};
const written = {
  output: 'app.dbs',
  outputs: [{ output: 'app.dbs', ok: true, verified: true, problem: null }],
  name: null,
  bytes: 61_440,
  blocks: 1,
  layout: 'tandem' as const,
  verified: true,
  survives,
  milliseconds: 1234,
} satisfies WriteResult;
const backup: BackupResult = {
  type: 'backup',
  ...written,
  entities: [{ name: 'Shop', rows: 1 }],
  rows: 1,
  files: { count: 2, bytes: 2048 },
  skipped: [],
  masked: [],
};
const seal: SealResult = { type: 'seal', ...written, input: 4096 };
const health = { total: 1, good: 1, healed: 0 };
const report: ValidationReport = {
  type: 'validation',
  ok: true,
  damaged: false,
  source: 'app.dbs',
  bytes: 61_440,
  fileId: 'ab',
  layout: 'tandem',
  blocks: 1,
  groups: 1,
  copyA: health,
  copyB: health,
  outerParity: health,
  tables: health,
  rebuilt: 0,
  foreignBytes: 0,
  lost: [],
  authentic: null,
  touched: null,
  problem: null,
  totals: null,
  summary: () => 'THE SUMMARY',
};
const restore: RestoreResult = {
  type: 'restore',
  ok: true,
  healed: false,
  dryRun: false,
  entities: [{ name: 'Shop', inserted: 1, updated: 2, untouched: 3 }],
  files: { written: 1, unchanged: 2, incomplete: 0, skipped: 0, bytes: 3 },
  drift: {
    entities: [],
    discarded: { columns: 0, values: 0, lossy: 0 },
    migrations: { onlyInBackup: [], onlyInTarget: [] },
  },
  refused: null,
  report,
  losses: null,
  milliseconds: 65_000,
};
const inspection: InspectReport = {
  type: 'inspection',
  source: 'app.dbs',
  bytes: 61_440,
  fileId: 'abcd',
  version: '1.0',
  layout: 'tandem',
  blocks: 1,
  groups: 1,
  streamBytes: 10_240,
  keySlots: [{ kind: 'passphrase', kdf: { iterations: 3, memoryKiB: 65_536, parallelism: 4 } }, { kind: 'x25519' }],
  survives,
  health: { pages: 5, intact: 3, healable: 1, missing: 1 },
};

/** What Argon2id has been run for, as these tests can see it. */
const derived = (passphrase: string, kdf: object) => ({ derived: passphrase, kdf });
const unlocked = (source: unknown, secret: unknown) => ({ unlocked: source, secret });

/** A library whose functions note how they were called, and give what the test says. */
function fakeLibrary(given: Partial<Record<keyof Library, unknown>> = {}) {
  const calls: Record<string, unknown[]> = {};
  const results: Partial<Record<string, unknown>> = {
    createBackup: backup,
    derivePassphrase: derived,
    unlockBackup: unlocked,
    sealStream: seal,
    validateBackup: report,
    inspectBackup: inspection,
    restoreBackup: restore,
    readEntry: Readable.from([Buffer.from('content')]),
    withEnvironment,
    ...given,
  };
  const call = (name: string) => {
    return (...args: unknown[]) => {
      calls[name] = args;
      const result = results[name];
      if (result instanceof Error) throw result;
      return typeof result === 'function' ? result(...args) : result;
    };
  };
  const library = new Proxy({}, { get: (_, name: string) => (name === 'then' ? undefined : call(name)) }) as Library;
  return { calls, library: async () => library };
}

const secret = { DBS_PASSPHRASE: 'open sesame' };
type Options = Record<string, unknown>;

t.test('backup', async (t) => {
  const { calls, library } = fakeLibrary();
  let closed = 0;
  let asked: unknown;
  const orms = [{}] as never;
  const loadApp = async (options: unknown) => {
    asked = options;
    return { orms, backupConfig: { exclude: ['Log'] }, close: async () => void closed++ };
  };
  const argv =
    'backup app.dbs --force --mirror b.dbs --compression none --no-verify --kdf-memory 8 --config c.ts --context a,b';
  const { code, out, err, world } = await runFake(argv.split(' '), { library, loadApp, env: { ...secret } });
  t.equal(code, 0, err);
  t.match(asked, { cwd: '/app', config: 'c.ts', contexts: ['a', 'b'] });
  t.equal(closed, 1);
  const kdf = { memoryKiB: 8192 };
  t.strictSame(calls.createBackup?.slice(0, 2), [orms, { passphrases: [derived('open sesame', kdf)], kdf }]);
  const options = calls.createBackup![2] as Options;
  t.match(options, {
    output: 'app.dbs',
    force: true,
    mirror: 'b.dbs',
    compression: 'none',
    verify: false,
    config: { exclude: ['Log'] },
  });
  t.equal(options.signal, world.signal);
  t.equal(
    out,
    'Backed up 1 row of 1 table and 2 files (2.00 KiB).\n' +
      '  app.dbs: 60.0 KiB in 1.2 s, layout tandem, both copies read back and verified\n' +
      '  survives any one run of 24.0 KiB overwritten, or its last 32.0 KiB missing, and more: see `dbs inspect`\n',
  );
  const bare = fakeLibrary();
  await runFake(['backup', 'app.dbs'], { library: bare.library, env: { ...secret } });
  t.strictSame(
    Object.keys(bare.calls.createBackup?.[2] as object).sort(),
    ['onEvent', 'output', 'signal'],
    'defaults are the library’s',
  );

  const skipping = fakeLibrary({
    createBackup: { ...backup, skipped: [{ kind: 'field', root: 'm', path: 'p', reason: 'r' }] },
  });
  const some = await runFake(['backup', 'app.dbs'], { library: skipping.library, env: { ...secret } });
  t.equal(some.code, 3);
  t.match(some.out, '1 source could not be read and is NOT in it');

  const failing = fakeLibrary({ createBackup: new SourceError('ERR_SOURCE_LOCKED', 'Locked.') });
  closed = 0;
  const failed = await runFake(['backup', 'app.dbs'], { library: failing.library, loadApp, env: { ...secret } });
  t.equal(failed.code, 11);
  t.equal(failed.err, 'dbs: Locked.\n  (ERR_SOURCE_LOCKED)\n');
  t.equal(closed, 1, 'the app is closed whatever happens');
});

t.test('backup and seal to stdout', async (t) => {
  const sink = {};
  const { calls, library } = fakeLibrary({ streamSink: sink });
  const { code, out, err } = await runFake(['backup', '-', '--json'], { library, env: { ...secret } });
  t.equal(code, 0);
  t.equal((calls.createBackup![2] as Options).output, sink);
  t.equal(out, '', 'stdout is the backup and nothing else');
  t.match(jsonLines(err), [{ type: 'backup' }]);

  const stdin = Readable.from(['x']);
  const sealed = await runFake(['seal'], { library, stdin, env: { ...secret } });
  t.equal(sealed.code, 0, sealed.err);
  t.equal(calls.sealStream?.[0], stdin);
  t.match(sealed.err, 'Sealed 4.00 KiB.');
  const file = await runFake(['seal', 's.dbs', '--layout', 'interleaved'], { library, stdin, env: { ...secret } });
  t.match(calls.sealStream?.[2], { output: 's.dbs', layout: 'interleaved' });
  t.match(file.out, 'Sealed');

  const terminal = Object.assign(new Sponge(), { isTTY: true });
  for (const argv of [['backup', '-'], ['seal']]) {
    const refused = await runFake(argv, { library, stdout: terminal, env: { ...secret } });
    t.equal(refused.code, 2);
    t.match(refused.err, 'ERR_CLI_STDOUT_TTY');
  }
  const typed = await runFake(['seal', 'x'], {
    library,
    stdin: Object.assign(Readable.from([]), { isTTY: true }),
    env: { ...secret },
  });
  t.match(typed, { code: 2, err: /Stdin is a terminal/ });
});

t.test('validate', async (t) => {
  const { calls, library } = fakeLibrary();
  const keyless = await runFake(['validate', 'app.dbs', '--with', 'b.dbs', '--with', 'c.dbs'], { library });
  t.match(keyless, { code: 0, out: 'THE SUMMARY\n' });
  t.strictSame(calls.validateBackup?.slice(0, 2), ['app.dbs', undefined], 'no passphrase is asked for');
  t.strictSame((calls.validateBackup![2] as Options).with, ['b.dbs', 'c.dbs']);
  await runFake(['validate', 'app.dbs'], { library, env: { ...secret } });
  t.strictSame(calls.validateBackup?.[1], { passphrase: 'open sesame' });
  t.match(await runFake(['validate', 'app.dbs', '--authentic'], { library }), {
    code: 2,
    err: /ERR_KEY_NO_PASSPHRASE/,
  });

  const file = { name: 'stdin', size: 0 };
  await runFake(['validate', '-'], { library, stdinFile: () => file as never });
  t.equal(calls.validateBackup?.[0], file, 'a redirected file is read in place');
  const stdin = Readable.from([]);
  await runFake(['validate', '-'], { library, stdin });
  t.equal(calls.validateBackup?.[0], stdin);

  for (const [change, code] of [
    [{ damaged: true }, 4],
    [{ ok: false, damaged: true }, 6],
  ] as const) {
    const run = await runFake(['--json', 'validate', 'x'], fakeLibrary({ validateBackup: { ...report, ...change } }));
    t.equal(run.code, code);
    t.match(jsonLines(run.out), [{ type: 'validation', ...change }]);
  }
});

t.test('restore', async (t) => {
  const { calls, library } = fakeLibrary();
  const argv =
    'restore app.dbs --flush --dry-run --only Shop,Product --only Tag --except Log --allow-drift --allow-lossy --mask --allow-dangling --allow-triggers --with b.dbs';
  const { code, out } = await runFake(argv.split(' '), { library, env: { ...secret } });
  t.equal(code, 0);
  t.match(calls.restoreBackup?.[3], {
    mode: 'flush',
    dryRun: true,
    only: ['Shop', 'Product', 'Tag'],
    except: ['Log'],
    allowDrift: true,
    allowLossy: true,
    mask: true,
    allowDangling: true,
    allowTriggers: true,
    with: ['b.dbs'],
  });
  t.strictSame(calls.restoreBackup?.slice(1, 3), ['app.dbs', unlocked('app.dbs', { passphrase: 'open sesame' })]);
  t.match(calls.unlockBackup?.[2], { with: ['b.dbs'] });
  t.equal(
    out,
    'Restored app.dbs.\n  rows of 1 table: 1 inserted, 2 updated, 3 already as in the backup\n' +
      '  files: 1 written, 2 already there\n  in 1 min 05 s\n',
  );
  const healed = fakeLibrary({ restoreBackup: { ...restore, dryRun: true, healed: true } });
  const run = await runFake(['restore', 'app.dbs'], { library: healed.library, env: { ...secret } });
  t.equal(run.code, 4);
  t.match(
    run.out,
    /^Dry run: .* Nothing was changed\.\n(.*\n)*The backup was damaged and healed itself: .* copy app\.dbs to another one\.\n$/,
  );
  const files = { written: 0, unchanged: 0, incomplete: 2 };
  const partly = fakeLibrary({ restoreBackup: { ...restore, files } });
  t.match(await runFake(['restore', 'app.dbs'], { library: partly.library, env: { ...secret } }), {
    code: 3,
    out: /only a part: 2, NOT restored/,
  });
  const drift = fakeLibrary({
    restoreBackup: new RestoreError('ERR_RESTORE_SCHEMA_DRIFT', 'Differs.', { facts: { drift: [1] } }),
  });
  const failed = await runFake(['restore', 'app.dbs', '--json'], { library: drift.library, env: { ...secret } });
  t.equal(failed.code, 13);
  t.match(jsonLines(failed.out), [
    { type: 'error', code: 'ERR_RESTORE_SCHEMA_DRIFT', exitCode: 13, facts: { drift: [1] } },
  ]);
});

t.test('a key that was given is used before the app is loaded', async (t) => {
  const order: string[] = [];
  const note =
    <Args extends unknown[], Result>(what: string, result: (...args: Args) => Result) =>
    async (...args: Args) => {
      order.push(what);
      return result(...args);
    };
  const { calls, library } = fakeLibrary({
    derivePassphrase: note('derived', derived),
    unlockBackup: note('unlocked', unlocked),
  });
  const app = { orms: [], backupConfig: undefined, close: async () => {} };
  const changes = { library, loadApp: note('app', () => app), loadSettings: note('settings', () => undefined) };
  const ordered = async (argv: string[], more: Partial<CliContext> = {}) => {
    order.length = 0;
    const { code, err } = await runFake(argv, { ...changes, env: { ...secret }, ...more });
    t.equal(code, 0, err);
    return order.join(' ');
  };
  t.equal(await ordered(['backup', 'app.dbs']), 'derived app');
  t.equal(await ordered(['restore', 'app.dbs']), 'unlocked app');
  const file = { name: 'stdin', size: 0 } as never;
  t.equal(await ordered(['restore', '-'], { stdinFile: () => file }), 'unlocked app', 'a redirected file, too');
  const plain = { passphrase: 'open sesame' };
  t.equal(await ordered(['restore', '-']), 'app', 'a pipe can be read once');
  t.strictSame(calls.restoreBackup?.[2], plain);
  t.equal(await ordered(['restore', 's3://bucket/app.dbs']), 'app', 'a URL needs the settings of the app');
  t.strictSame(calls.restoreBackup?.[2], plain);
  t.equal(
    await ordered(['restore', 'app.dbs', '--with', 's3://bucket/app.dbs']),
    'settings app',
    'as does another copy',
  );
  t.strictSame(calls.restoreBackup?.[2], plain);

  const typed = () => {
    const input = new Keyboard();
    input.push('open sesame\r');
    return { input, write: (text: string) => void (text.trim() && order.push('asked')), close: () => {} };
  };
  t.equal(
    await ordered(['restore', 'app.dbs'], { env: {}, promptTerminal: typed }),
    'app asked',
    'the prompt is the last',
  );
  t.strictSame(calls.restoreBackup?.[2], plain);

  const wrong = fakeLibrary({
    unlockBackup: new WrongPassphraseError('ERR_KEY_WRONG_PASSPHRASE', 'Wrong passphrase.'),
  });
  const refused = await runFake(['restore', 'app.dbs'], {
    library: wrong.library,
    loadApp: async () => t.fail('the app is not loaded') as never,
    env: { ...secret },
  });
  t.match(refused, { code: 12, err: /ERR_KEY_WRONG_PASSPHRASE/ });

  const world = fakeWorld();
  const interrupted = fakeLibrary({ derivePassphrase: () => world.abort.abort(new Interrupted('SIGINT')) });
  const stopped = await runFake(['backup', 'app.dbs'], {
    library: interrupted.library,
    loadApp: async () => t.fail('nor after Ctrl-C') as never,
    signal: world.signal,
    env: { ...secret },
  });
  t.equal(stopped.code, 130);
});

t.test('inspect, ls and cat', async (t) => {
  const { calls, library } = fakeLibrary({
    listBackup: async function* () {
      yield { type: 'entity', name: 'shop', entities: ['Shop'], rows: 1234, bytes: 2048 };
      yield { type: 'file', kind: 'field', root: 'media', path: 'a\x1bb.png', size: 3 };
    },
  });
  const inspect = await runFake(['inspect', 'app.dbs'], { library });
  t.equal(
    inspect.out,
    [
      'app.dbs',
      '  size       60.0 KiB for 10.0 KiB of compressed content, in 1 block of 1 group',
      '  format     1.0, layout tandem',
      '  backup id  abcd',
      '  key slots  passphrase (Argon2id: 3 passes, 64.0 MiB, 4 lanes)',
      '             x25519',
      '  health     3 of 5 pages intact, 1 damaged and healable, 1 missing (a quick look; `dbs validate` reads everything)',
      '  survives   any one run of 24.0 KiB overwritten',
      '             its last 32.0 KiB missing',
      '             16 rows of 4.00 KiB lost in each copy of every block',
      '             8 wrong bytes at unknown places in each column of either',
      '             2 whole blocks lost in both copies, in each group',
      '',
    ].join('\n'),
  );
  t.match(jsonLines((await runFake(['inspect', 'app.dbs', '--json'], { library })).out), [inspection as object]);

  const ls = await runFake(['ls', 'app.dbs', '--quiet'], { library, env: { ...secret } });
  t.equal(
    ls.out,
    'KIND            ROWS       SIZE  NAME\n' +
      'table          1,234   2.00 KiB  shop (Shop)\n' +
      'field                       3 B  media/a\\x1bb.png\n',
  );
  const json = await runFake(['ls', 'app.dbs', '--json'], { library, env: { ...secret } });
  t.strictSame(
    jsonLines(json.out).map(({ type }) => type),
    ['entity', 'file'],
  );
  const slow = new Sponge();
  slow.write = ((chunk: string) => {
    slow.text += chunk;
    setImmediate(() => slow.emit('drain'));
    return false;
  }) as never;
  t.equal((await runFake(['ls', 'app.dbs'], { library, stdout: slow, env: { ...secret } })).code, 0);
  t.equal(slow.text, ls.out, 'at the pace of the reader');

  const cat = await runFake(['cat', 'app.dbs', 'Shop'], { library, env: { ...secret } });
  t.match(cat, { code: 0, out: 'content', err: '' });
  t.strictSame(calls.readEntry?.slice(0, 3), ['app.dbs', { passphrase: 'open sesame' }, 'Shop']);
  const hurt = fakeLibrary({
    readEntry: (...args: unknown[]) => {
      (args[3] as { onEvent: (event: object) => void }).onEvent({ type: 'healed', block: 1, how: 'copy' });
      return Readable.from(['content']);
    },
  });
  const healed = await runFake(['cat', 'app.dbs', 'Shop'], { library: hurt.library, env: { ...secret } });
  t.match(healed, { code: 4, out: 'content', err: /damaged and healed itself/ });
  const wrong = fakeLibrary({ readEntry: new WrongPassphraseError('ERR_KEY_WRONG_PASSPHRASE', 'Wrong passphrase.') });
  t.match(await runFake(['cat', 'app.dbs', 'x', '--passphrase', 'open sesame'], wrong), { code: 12, out: '' });
});

t.test('unseal', async (t) => {
  const unsealStream = (_source: unknown, _keys: unknown, output: Writable) => {
    output.end('content');
    return { ...report, totals: { rows: 0, files: 1, bytes: 7, skipped: 0 } };
  };
  const { library } = fakeLibrary({ unsealStream });
  const run = await runFake(['unseal', 's.dbs'], { library, env: { ...secret } });
  t.match(run, { code: 0, out: 'content', err: 'Unsealed 7 B: verified, complete.\n' });
  const hurt = fakeLibrary({ unsealStream: { ...report, damaged: true } });
  t.match(await runFake(['unseal'], { library: hurt.library, env: { ...secret } }), {
    code: 4,
    err: /copy the backup to/,
  });
  t.match(await runFake(['unseal', '--passphrase-stdin'], { library }), { code: 2, err: /Stdin carries the data/ });
});

t.test('recipients and identities', async (t) => {
  const keyFile = join(scratch, 'keys.txt');
  writeFileSync(keyFile, '# mine\n\ndbs1two\n  dbs1three\n');
  const parsed = {
    parsePublicKey: (text: string) => Buffer.from(text.trim()),
    parseIdentities: (text: string) => [Buffer.from(`secret of ${text.length}`)],
  };
  const { calls, library } = fakeLibrary(parsed);
  const argv = ['backup', 'x', '-r', 'dbs1one', '-R', keyFile];
  t.equal((await runFake(argv, { library })).code, 0, 'with recipients no passphrase is needed');
  const recipients = ['dbs1one', 'dbs1two', 'dbs1three'].map((text) => Buffer.from(text.trim()));
  t.strictSame(calls.createBackup?.[1], { recipients });
  await runFake(argv, { library, env: { ...secret } });
  t.strictSame(calls.createBackup?.[1], { passphrases: [derived('open sesame', {})], recipients, kdf: {} });
  await runFake(['restore', 'x', '--identity', keyFile], { library });
  t.strictSame(calls.restoreBackup?.[2], unlocked('x', { identities: [Buffer.from('secret of 28')] }));
  await runFake(['restore', 'x', '-i', keyFile], { library, env: { ...secret } });
  t.match(calls.restoreBackup?.[2], { secret: { passphrase: 'open sesame', identities: [Buffer] } });
  t.match(await runFake(['ls', 'x', '-i', '/none'], { library }), { code: 2, err: /ERR_KEY_FILE/ });
});

t.test('keys', async (t) => {
  const keys = {
    type: 'keys',
    source: 'app.dbs',
    generation: 2,
    slots: [
      { slot: 0, kind: 'passphrase', kdf: { iterations: 1, memoryKiB: 8192, parallelism: 1 } },
      { slot: 1, kind: 'recipient' },
    ],
  };
  const { calls, library } = fakeLibrary({
    listKeys: keys,
    addKeys: keys,
    removeKey: keys,
    rotateKeys: keys,
    newKeyPair: { recipient: 'dbs1public', identity: 'DBS-SECRET-KEY-1X' },
    parsePublicKey: Buffer.from('key'),
  });
  const list = await runFake(['keys', 'list', 'app.dbs'], { library });
  t.equal(list.out, 'app.dbs\n  slot 0  passphrase (Argon2id: 1 pass, 8.00 MiB, 1 lane)\n  slot 1  recipient\n');
  const env = () => ({ ...secret, DBS_NEW_PASSPHRASE: 'new sesame' });
  await runFake(['keys', 'add', 'app.dbs', '--kdf-memory', '8'], { library, env: env() });
  const added = { passphrases: ['new sesame'], kdf: { memoryKiB: 8192 } };
  t.strictSame(calls.addKeys, ['app.dbs', { passphrase: 'open sesame' }, added]);
  await runFake(['keys', 'rotate', 'app.dbs', '--all', '-r', 'dbs1x'], { library, env: { ...secret } });
  t.strictSame(calls.rotateKeys?.slice(2), [{ recipients: [Buffer.from('key')] }, { all: true }]);
  const removed = await runFake(['keys', 'remove', 'app.dbs', '--slot', '1', '--json'], {
    library,
    env: { ...secret },
  });
  t.equal(calls.removeKey?.[2], 1);
  t.match(jsonLines(removed.out), [keys]);
  t.match(await runFake(['keys', 'remove', 'app.dbs'], { library }), { code: 2, err: /--slot/ });

  const shown = await runFake(['keys', 'new'], { library });
  t.match(shown.out, /^# created: .*\n# public key: dbs1public\nDBS-SECRET-KEY-1X\n$/);
  const path = join(scratch, 'me.key');
  const kept = await runFake(['keys', 'new', '-o', path], { library });
  t.match(kept.out, /dbs1public\n$/);
  t.notMatch(kept.out, 'SECRET');
  t.match(readFileSync(path, 'utf8'), /SECRET-KEY-1X\n$/);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.match(await runFake(['keys', 'new', '-o', path], { library }), { code: 2, err: /never overwritten/ });
});

t.test('repair and drill', async (t) => {
  const hurt = { ...report, damaged: true, copyA: { total: 3, good: 1, healed: 2 }, rebuilt: 1 };
  const repaired = { type: 'repair', source: 'app.dbs', output: 'app.repaired.dbs', report: hurt, milliseconds: 1 };
  const { calls, library } = fakeLibrary({ repairBackup: repaired });
  const run = await runFake(['repair', 'some/app.dbs', '--with', 'b.dbs'], { library });
  t.equal(run.code, 4);
  t.match(calls.repairBackup, ['some/app.dbs', { output: 'some/app.repaired.dbs', with: ['b.dbs'] }]);
  t.match(run.out, /^Repaired app\.dbs: app\.repaired\.dbs is .*\n {2}2 records healed, 1 block rebuilt/);
  await runFake(['repair', 'app.dbs', '--in-place'], { library });
  t.strictSame(Object.keys(calls.repairBackup![1] as Options).sort(), ['inPlace', 'onEvent', 'signal']);
  t.equal((await runFake(['repair', 'app.dbs', '--in-place', '-o', 'x'], { library })).code, 2);
  const whole = fakeLibrary({ repairBackup: { ...repaired, output: null, report } });
  t.match(await runFake(['repair', 'app.dbs'], whole), { code: 0, out: /needs no repair/ });

  const corrupted: unknown[] = [];
  const testkit = async () => ({
    corruptFile: async (...args: unknown[]) => {
      corrupted.push(...args, readFileSync(args[0] as string, 'utf8'));
      return { seed: 7, wounds: [], summary: () => 'HURT' };
    },
  });
  const file = join(scratch, 'drill.dbs');
  writeFileSync(file, 'a backup');
  const drilled = fakeLibrary({ validateBackup: hurt });
  const changes = { library: drilled.library, testkit: testkit as never };
  const drill = await runFake(['drill', file, '--damage', 'a,b', '--damage', 'c', '--seed', '7'], changes);
  t.match(drill, { code: 0, out: 'HURT\nTHE SUMMARY\nSURVIVED: everything can be restored.\n' });
  t.match(corrupted, [String, 'a,b,c', { seed: '7' }, 'a backup']);
  t.notOk(existsSync(corrupted[0] as string), 'the copy is gone');
  const lost = fakeLibrary({ validateBackup: { ...hurt, ok: false } });
  const kept = await runFake(['drill', file, '--damage', 'a', '--keep', `${file}.kept`, '--json'], {
    ...changes,
    ...lost,
  });
  t.equal(kept.code, 6);
  t.match(jsonLines(kept.out), [{ type: 'drill', survived: false, seed: /^\d+$/ }]);
  t.ok(existsSync(`${file}.kept`));
  t.match(await runFake(['drill', '/none.dbs', '--damage', 'a'], changes), { code: 10 });
});

t.test('every command fails with its code and sentence, and never tells the passphrase', async (t) => {
  const names = readdirSync(join(root, 'lib/cli/commands')).map((file) => file.replace('.ts', ''));
  const failure = new DamageError('ERR_DAMAGE_BLOCKS', 'Beyond repair.', {
    blocks: [{ block: 0, ranges: [[0, 4096]] }],
  });
  const fail = () => {
    throw failure;
  };
  const failing = async () => new Proxy({}, { get: (_, name) => (name === 'then' ? undefined : fail) }) as Library;
  // `drill` copies its file first.
  const special: Record<string, string[]> = {
    cat: ['cat', 'x.dbs', 'Shop'],
    drill: ['drill', join(root, 'package.json'), '--damage', 'flip:0.1'],
    keys: ['keys', 'add', 'x.dbs'],
    push: ['push', 'x.dbs', 's3://bucket/'],
    prune: ['prune', 'folder', '--keep-last', '1'],
    schedule: ['schedule', '--once', '--to', 'folder'],
    health: ['health'],
    doctor: ['doctor'],
  };
  for (const name of names) {
    for (const extra of [[], ['--json']]) {
      const argv = [...(special[name] ?? [name, 'x.dbs']), ...extra];
      const keyless = ['inspect', 'repair', 'drill', 'list', 'pull', 'push', 'prune', 'health'].includes(name);
      const env = { DBS_NEW_PASSPHRASE: 'new sesame' };
      const testkit = failing as never;
      const { code, out, err } = await runFake(keyless ? argv : [...argv, '--passphrase', 'open sesame'], {
        library: failing,
        testkit,
        env,
      });
      // A check of the doctor fails; the doctor does not.
      t.equal(code, name === 'doctor' ? 20 : 6, argv.join(' '));
      t.match(out + err, 'ERR_DAMAGE_BLOCKS');
      t.notMatch(out + err, 'sesame');
      if (name === 'doctor') continue;
      const object = { type: 'error', message: 'Beyond repair.', facts: { blocks: [{ block: 0 }] } };
      if (extra.length) t.match(jsonLines(out || err), [object]);
      else t.match(err, 'dbs: Beyond repair.\n  (ERR_DAMAGE_BLOCKS)\n');
    }
    const verbs = name === 'keys' ? ['', 'new', 'list', 'add', 'remove', 'rotate'] : [''];
    for (const verb of verbs) {
      const help = await runFake([name, verb, '--help'].filter(Boolean));
      t.equal(help.code, 0);
      t.match(help.out, `Usage: dbs ${`${name} ${verb}`.trim()}`);
      t.match(help.out, /Examples?:\n {2}\$ .*dbs/, `${name} ${verb} --help has an example`);
      t.notMatch(help.out, 'undefined');
    }
  }
});

t.test('docs/cli.md knows every option and every line of JSON', async (t) => {
  const page = readFileSync(join(root, 'docs/cli.md'), 'utf8');
  const sections = new Map(page.split(/^## /m).map((text) => [text.slice(0, text.indexOf('\n')), text]));
  const shared = ['Output', 'Keys', 'The app'].map((name) => sections.get(name)).join();
  const names = readdirSync(join(root, 'lib/cli/commands')).map((file) => file.replace('.ts', ''));
  for (const name of names) {
    const section = sections.get(`dbs ${name}`) as string;
    t.ok(section, `${name} has a section`);
    const verbs = name === 'keys' ? ['new', 'list', 'add', 'remove', 'rotate'] : [''];
    for (const verb of verbs) {
      const { out } = await runFake([name, verb, '--help'].filter(Boolean));
      const options = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option as string);
      const unknown = options.filter((option) => !section.includes(option) && !shared.includes(option));
      t.strictSame(unknown, [], `the options of ${name} ${verb}`);
    }
  }
  const schema = JSON.parse(readFileSync(join(root, 'lib/cli/schema.json'), 'utf8'));
  const types = schema.oneOf.map(({ $ref }: { $ref: string }) => $ref.replace('#/$defs/', ''));
  for (const type of types) t.match(page, `\`${type}\``, `a line of type ${type}`);
  for (const code of Object.values(ExitCode)) t.match(page, `\n| ${code} | `, `exit code ${code}`);
});

t.test('wrong use', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /Which command/],
    [['bakcup', 'x'], /Unknown command 'bakcup'.*Did you mean backup/s],
    [['backup'], /Missing required argument 'file'/],
    [['backup', 'a', 'b'], /Too many arguments/],
    [['backup', 'a', '--nope'], /Unknown option '--nope'/],
    [['backup', 'a', '--layout', 'split'], /Allowed choices are tandem, interleaved/],
    [['backup', 'a', '--kdf-memory', '1e3'], /Give a whole number/],
    [['restore', 'a', '--only', 'A,,B'], /Give names/],
    [['validate', 'a', '--passphrase', 'open sesame', '--passphrase-stdin'], /not several/],
  ];
  for (const [argv, pattern] of cases) {
    // Whether the settings name destinations is not known before they are loaded.
    const { code, out, err } = await runFake(argv, argv.join() === 'backup' ? { library: fakeLibrary().library } : {});
    t.equal(code, 2, argv.join(' '));
    t.match(err, pattern);
    t.match(err, '(ERR_CLI_USAGE)');
    t.equal(out, '');
    t.notMatch(err, 'sesame');
  }
  const json = await runFake(['bakcup', '--json']);
  t.match(jsonLines(json.out), [{ type: 'error', code: 'ERR_CLI_USAGE', exitCode: 2 }]);
  t.match(await runFake(['--version']), { code: 0, out: '1.2.3\n' });
  const folders: string[] = [];
  const { library } = fakeLibrary();
  await runFake(['inspect', 'x', '--cwd', '/elsewhere'], { library, chdir: (folder) => void folders.push(folder) });
  t.strictSame(folders, ['/elsewhere']);
  const chdir = () => {
    throw Object.assign(new Error(), { code: 'ENOENT' });
  };
  t.match(await runFake(['inspect', 'x', '--cwd', '/none'], { library, chdir }), {
    code: 2,
    err: /cannot be entered \(ENOENT\)/,
  });
});

t.test('interrupted', async (t) => {
  const world = fakeWorld();
  const reason = new Interrupted('SIGINT');
  const { library } = fakeLibrary({
    createBackup: () => {
      world.abort.abort(reason);
      throw new Error('whatever the pipelines make of it');
    },
  });
  let closed = 0;
  const loadApp = async () => ({ orms: [], backupConfig: undefined, close: async () => void closed++ });
  const run = await runFake(['backup', 'x'], { library, loadApp, signal: world.signal, env: { ...secret } });
  t.match(run, { code: 130, err: 'dbs: Interrupted. Nothing half-written was kept.\n  (ERR_INTERRUPTED)\n' });
  t.equal(closed, 1);
  const later = await runFake(['backup', 'x'], { library, loadApp, signal: world.signal, env: { ...secret } });
  t.equal(later.code, 130, 'nothing begins after that');
  const input = new Keyboard();
  input.push('\x03');
  const promptTerminal = () => ({ input, write: () => {}, close: () => {} });
  t.match(await runFake(['ls', 'x'], { library, promptTerminal }), { code: 130 }, 'Ctrl-C at the prompt');
});
