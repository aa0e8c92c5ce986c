/** Files in folders: names that must not lead out, staging that leaves nothing behind, storages without staging. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import t from 'tap';
import { confine, isInside } from '../../lib/files/confine.ts';
import { FsStorage } from '../../lib/files/fs-storage.ts';
import { SpoolStaging } from '../../lib/files/spool-staging.ts';
import { isStorageAdapter, type StorageAdapter } from '../../lib/files/storage.ts';
import { rechunk, sameStream } from '../../lib/files/streams.ts';
import { nearest } from '../../lib/nearest.ts';
import { FileCollector, keysOf } from '../../lib/orm/file-collector.ts';
import { RowLines } from '../../lib/orm/row-lines.ts';

const scratch = mkdtempSync(join(tmpdir(), 'dbs-files-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const text = (stream: Readable) => stream.toArray().then((parts) => Buffer.concat(parts).toString());
const tree = (dir: string) =>
  spawnSync('find', ['.', '-mindepth', '1'], { cwd: dir, encoding: 'utf8' }).stdout.split('\n').filter(Boolean).sort();
const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);

t.test('confinement', async (t) => {
  const root = join(scratch, 'root');
  const out = join(scratch, 'root-beside');
  for (const dir of [root, out, join(root, 'in')]) mkdirSync(dir);
  symlinkSync(out, join(root, 'out'));
  symlinkSync('in', join(root, 'alias'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync(root, join(scratch, 'link-to-root'));
  const good: [string, string][] = [
    ['a', 'a'],
    ['in/x/y', 'in/x/y'],
    ['./in/../a', 'a'],
    ['alias/new', 'in/new'],
    [join(root, 'a'), 'a'],
    [join(scratch, 'link-to-root', 'a'), 'a'],
    ['..a', '..a'],
  ];
  for (const [key, real] of good) t.equal((await confine(root, key, [root])).path, join(root, real), key);
  for (const key of [
    '',
    '.',
    '..',
    '../root-beside/x',
    'in/../../x',
    '/',
    out,
    'out',
    'out/x',
    'a\0',
    '\0',
    '../root',
    'in/../../root-beside',
  ]) {
    await t.rejects(confine(root, key, [root]), { code: 'ERR_FILES_OUTSIDE_ROOT' }, JSON.stringify(key));
  }
  await t.rejects(confine(root, 'loop/x', [root]), { code: 'ELOOP' });
  t.equal((await confine(root, join(out, 'x'), [root, out])).root, out, 'a second root');
  t.equal(
    (await confine(join(root, 'not/yet'), 'x', [join(root, 'not/yet')])).path,
    join(root, 'not/yet/x'),
    'a root that does not exist yet',
  );
  t.ok(isInside(sep, sep));
  t.comment(`DBS_TEST_SEED=${seed}`);
  const part = fc.constantFrom(
    '..',
    '.',
    'in',
    'out',
    'alias',
    'a',
    '',
    '...',
    'root',
    'root-beside',
    '~',
    '%2e%2e',
    '..\\',
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 8 }), fc.boolean(), async (parts, absolute) => {
      const key = (absolute ? `${root}/` : '') + parts.join('/');
      const found = await confine(root, key, [root]).catch((error) => {
        if (error.code !== 'ERR_FILES_OUTSIDE_ROOT') throw error;
      });
      if (found && !(found.path.startsWith(root + sep) && !found.path.split(sep).includes('..')))
        throw new Error(`${key} -> ${found.path}`);
    }),
    { seed },
  );
});

t.test('a folder as a storage', async (t) => {
  const dir = join(scratch, 'storage');
  const storage = new FsStorage(dir);
  t.ok(isStorageAdapter(storage));
  t.notOk(isStorageAdapter('dir') || isStorageAdapter(null));
  t.equal(await storage.stat('x/y'), null);
  t.equal(await storage.exists('x/y'), false);
  await storage.put('x/y', Readable.from(['con', 'tent']));
  t.equal(await text(await storage.open('x/y')), 'content');
  t.match(await storage.stat('x/y'), { size: 7, mode: 0o644 });
  t.equal(await storage.stat('x'), null, 'a folder is no file');
  t.equal(await storage.stat('x/y/z'), null);
  await storage.put('x/y', Readable.from([Buffer.alloc(0)]));
  t.equal(await text(await storage.open('x/y')), '');
  await t.rejects(storage.open('x'), { code: 'EISDIR' });
  await t.rejects(storage.open('../x'), { code: 'ERR_FILES_OUTSIDE_ROOT' });
  await t.rejects(
    storage.put(
      'x/z',
      Readable.from(
        (async function* () {
          yield Buffer.from('half');
          throw new Error('broken');
        })(),
      ),
    ),
    /broken/,
  );
  t.same(tree(dir), ['./x', './x/y'], 'nothing stays of a failure');
  const stream = await storage.open('x/y');
  stream.destroy();
});

t.test('staging', async (t) => {
  const dir = join(scratch, 'new', 'staging');
  const staging = new FsStorage(dir).staging();
  const put = async (key: string, content: string, meta = {}) => {
    const file = await staging.stage(key, meta);
    await file.write(Buffer.from(content.slice(0, 2)));
    await file.write(Buffer.from(content.slice(2)));
    return { file, ...(await file.finish()) };
  };
  await put('a/b/c', 'one', { mode: 0o4755, mtime: 1e12 });
  const { file } = await put('a/gone', 'two');
  await file.abort();
  await put('twice', 'first');
  await put('twice', 'second');
  const half = await staging.stage('half', {});
  await half.write(Buffer.from('x'));
  await half.abort();
  await half.abort();
  t.same(
    readdirSync(dir).filter((name) => !name.startsWith('.dbs-restore-')),
    [],
    'nothing has its name yet',
  );
  t.equal(statSync(join(dir, readdirSync(dir)[0]!)).mode & 0o777, 0o700);
  await staging.prepare();
  await staging.commit();
  t.same(tree(dir), ['./a', './a/b', './a/b/c', './twice']);
  t.equal(readFileSync(join(dir, 'twice'), 'utf8'), 'second');
  t.same(
    [statSync(join(dir, 'a/b/c')).mode & 0o7777, statSync(join(dir, 'a/b/c')).mtimeMs],
    [0o755, 1e12],
    'no set-uid',
  );
  await staging.abort();
  t.ok(existsSync(join(dir, 'twice')), 'an abort after the commit takes nothing away');

  const other = new FsStorage(join(scratch, 'fresh', 'deep')).staging();
  await (await other.stage('x', {})).write(Buffer.from('x'));
  await other.abort();
  await other.abort();
  t.notOk(existsSync(join(scratch, 'fresh')), 'folders that it made are gone');
  const kept = new FsStorage(join(scratch, 'fresh', 'deep')).staging();
  await (await kept.stage('x', {})).finish();
  writeFileSync(join(scratch, 'fresh', 'theirs'), '');
  await kept.abort();
  t.same(tree(join(scratch, 'fresh')), ['./theirs'], 'what somebody else made is not');
});

t.test('when a name is taken between staging and commit', async (t) => {
  const dir = join(scratch, 'taken');
  mkdirSync(dir);
  const staging = new FsStorage(dir).staging();
  for (const key of ['a', 'b', 'sub/c', 'link/d']) await (await staging.stage(key, {})).finish();
  mkdirSync(join(dir, 'b'));
  writeFileSync(join(dir, 'sub'), '');
  await staging.prepare();
  symlinkSync(tmpdir(), join(dir, 'link'));
  await t.rejects(staging.commit(), {
    code: 'ERR_FILES_NOT_PLACED',
    message: /rows are restored.*b \(/,
    facts: { files: [{ path: 'b' }, { path: 'sub/c' }, { path: 'link/d' }] },
  });
  t.same(tree(dir), ['./a', './b', './link', './sub'], 'the others are in place, nothing else stays');
  const again = new FsStorage(dir).staging();
  await t.rejects(again.stage('link/d', {}), { code: 'ERR_FILES_OUTSIDE_ROOT' });
  await (await again.stage('e/f', {})).finish();
  symlinkSync(tmpdir(), join(dir, 'e'));
  await t.rejects(again.prepare(), { code: 'ERR_FILES_OUTSIDE_ROOT' }, 'and before the rows are committed');
  await again.abort();
  if (process.getuid?.() === 0) t.comment('permissions are not tested: this runs as root');
  else {
    chmodSync(dir, 0o500);
    await t.rejects(new FsStorage(dir).staging().stage('z', {}), {
      code: 'ERR_FILES_WRITE',
      message: /permission is denied/,
    });
    chmodSync(dir, 0o700);
  }
});

t.test('a storage without staging', async (t) => {
  const content = new Map<string, string>([
    ['same', 'same'],
    ['other', 'old!!'],
  ]);
  let down = false;
  const adapter: StorageAdapter = {
    open: (key) => Readable.from([Buffer.from(content.get(key)!)]),
    stat: (key) => (content.has(key) ? { size: content.get(key)!.length } : null),
    put: async (key, body) => {
      if (down) throw new Error('the bucket is gone');
      content.set(key, await text(body));
    },
    exists: (key) => content.has(key),
  };
  // Of its own: in the system's, other tests make and remove the same.
  const temporary = join(scratch, 'tmp');
  mkdirSync(temporary);
  const { TMPDIR } = process.env;
  process.env.TMPDIR = temporary;
  t.teardown(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  const fill = async () => {
    const staging = new SpoolStaging(adapter);
    const results: boolean[] = [];
    for (const [key, value] of [
      ['same', 'same'],
      ['other', 'new!!'],
      ['../any key\0', 'x'],
      ['aborted', 'y'],
    ] as const) {
      const file = await staging.stage(key);
      await file.write(Buffer.from(value));
      results.push((await file.finish()).unchanged);
      if (key === 'aborted') await file.abort();
    }
    t.same(results, [true, false, false, false]);
    await staging.prepare();
    return staging;
  };
  await (await fill()).abort();
  t.equal(content.get('other'), 'old!!');
  down = true;
  await t.rejects((await fill()).commit(), { code: 'ERR_FILES_NOT_PLACED', message: /bucket is gone/ });
  down = false;
  await (await fill()).commit();
  t.same(
    [...content],
    [
      ['same', 'same'],
      ['other', 'new!!'],
      ['../any key\0', 'x'],
    ],
  );
  t.same(readdirSync(temporary), [], 'no folder stays behind');
});

t.test('pieces of streams', async (t) => {
  const sizes = async (chunks: (string | Buffer)[], size: number) => {
    const found: number[] = [];
    for await (const piece of rechunk(Readable.from(chunks), size)) found.push(piece.length);
    return found;
  };
  t.same(await sizes(['abc', 'defg', ''], 2), [2, 2, 2, 1]);
  t.same(await sizes([Buffer.alloc(6)], 3), [3, 3]);
  t.same(await sizes([], 3), []);
  const stream = (...parts: string[]) => Readable.from(parts.map((part) => Buffer.from(part)));
  t.ok(await sameStream(stream('ab', 'c'), stream('a', 'bc')));
  t.notOk(await sameStream(stream('ab'), stream('abc')));
  t.notOk(await sameStream(stream('abd'), stream('abc')));
});

t.test('names of files from rows', async (t) => {
  t.same(['', '[', '[1]', '["a"]', '["a","","b"]', 'x', null].map(keysOf), [
    [],
    ['['],
    ['[1]'],
    ['a'],
    ['a', 'b'],
    ['x'],
    [],
  ]);
  const collector = new FileCollector();
  const columns = [
    { column: 'a', kind: 'field', storage: 's', from: 'A.a' },
    { column: 'b', kind: 'path', storage: '', from: 'A.b' },
  ] as const;
  const n = 20_000;
  const long = 'folder/'.repeat(30);
  for (let i = 0; i < n; i++) {
    await collector.add(columns[i % 2]!, `${long}é\n"${Math.floor(i / 2)}".jpg`);
    await collector.add(columns[0]!, `${long}é\n"${Math.floor(i / 4)}".jpg`);
  }
  let count = 0;
  let last = '';
  for await (const file of collector.files()) {
    if (++count === 3) t.same(file, { kind: 'field', storage: 's', key: `${long}é\n"1".jpg`, from: 'A.a' });
    last = file.key;
  }
  t.equal(count, n, 'each once, beyond what memory holds');
  t.equal(last, `${long}é\n"${n / 2 - 1}".jpg`, 'in order');
  t.ok(collector.has('field', 's', `${long}é\n"7".jpg`));
  t.notOk(collector.has('field', 'other', `${long}é\n"7".jpg`));
  await collector.close();
  await collector.close();
});

t.test('rows from pieces', async (t) => {
  const rows = [[1, 'é\n'], [null], [], ['x'.repeat(50)]];
  const whole = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  for (const size of [1, 2, 7, 1000]) {
    const lines = new RowLines();
    const found: unknown[] = [];
    for (let at = 0; at < whole.length; at += size) found.push(...lines.push(whole.subarray(at, at + size)));
    lines.end();
    t.same(found, rows, `${size} bytes at a time`);
  }
  const cut = new RowLines();
  cut.push(Buffer.from('[1]\n[2'));
  t.throws(() => cut.end(), { code: 'ERR_FORMAT_ROW' });
});

t.equal(nearest('usr', ['Order', 'User', 'Users']), 'Did you mean "User", "Users" or "Order"?');
t.equal(nearest('usr', []), 'There is none at all.');
