/** The registry, and the files that it makes part of a backup: there and back again. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import t from 'tap';
import type { StorageAdapter } from '../../lib/files/storage.ts';
import type { BackupItem, EndItem } from '../../lib/format/items.ts';
import { type BackupConfig, defineBackupConfig } from '../../lib/settings.ts';
import { core, openOrm, scratch, type TestOrm } from '../support/orm.ts';
import { copy, dump, exec, failure, items, ofType, query, restore } from '../support/orm-database.ts';
import { model } from '../support/orm-model.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const DocSchema = new EntitySchema({
  name: 'Doc',
  properties: {
    id: { type: 'integer', primary: true },
    key: { type: 'text', nullable: true },
    path: { type: 'text', nullable: true },
    other: { type: 'text', nullable: true, dbs: { type: 'FILE', storage: 'other' } },
    token: { type: 'text', nullable: true },
    rank: { type: 'integer', default: 7 },
    must: { type: 'text' },
    both: { type: 'text', formula: 'must', persist: false },
  },
});

async function docs(): Promise<TestOrm> {
  const orm = await openOrm([DocSchema]);
  t.teardown(() => orm.close(true));
  return orm;
}

let folders = 0;
function folder(files: Record<string, string | Buffer> = {}): string {
  const dir = join(scratch, `files-${++folders}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(dir, name, '..'), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
  return dir;
}

/** Everything below a folder, hidden things included. */
const tree = (dir: string) =>
  spawnSync('find', ['.', '-mindepth', '1'], { cwd: dir, encoding: 'utf8' }).stdout.split('\n').filter(Boolean).sort();

const fields = { key: 'FILE', path: 'FILE_PATH' } as const;

t.test('what a registry may not say', async (t) => {
  const bad: [unknown, string, RegExp][] = [
    [{ entites: {} }, 'ERR_CONFIG_UNKNOWN_OPTION', /"entites".*"entities"/],
    [{ entities: { User: { field: {} } } }, 'ERR_CONFIG_UNKNOWN_OPTION', /entities\.User.*"fields"/],
    [{ entities: { User: { fields: { a: 'FILES' } } } }, 'ERR_CONFIG_UNKNOWN_FIELD_TYPE', /"FILES".*VALUE, FILE/],
    [{ entities: { User: { fields: { a: { type: 'FILE', bucket: 'x' } } } } }, 'ERR_CONFIG_UNKNOWN_OPTION', /"bucket"/],
    [
      { entities: { User: { fields: { a: { type: 'EXCLUDE', storage: 'x' } } } } },
      'ERR_CONFIG_INVALID_OPTION',
      /a\.storage/,
    ],
    [{ entities: { User: { exclude: 'yes' } } }, 'ERR_CONFIG_INVALID_OPTION', /entities\.User\.exclude/],
    [{ exclude: 'User' }, 'ERR_CONFIG_INVALID_OPTION', /exclude/],
    [{ storages: { default: { open() {} } } }, 'ERR_CONFIG_INVALID_OPTION', /storages\.default.*put/],
    [{ fileRoots: { a: 1 } }, 'ERR_CONFIG_INVALID_OPTION', /fileRoots/],
    [{ baseDir: '' }, 'ERR_CONFIG_INVALID_OPTION', /baseDir/],
    [[], 'ERR_CONFIG_INVALID_OPTION', /the backup configuration/],
  ];
  for (const [config, code, message] of bad)
    t.throws(() => defineBackupConfig(config as BackupConfig), { code, message }, code);
  const orm = await docs();
  const late: [BackupConfig, string, RegExp][] = [
    [{ entities: { Dok: {} } }, 'ERR_CONFIG_UNKNOWN_ENTITY', /"Dok".*"Doc"/],
    [{ entities: { Doc: { fields: { tokn: 'EXCLUDE' } } } }, 'ERR_CONFIG_UNKNOWN_FIELD', /no property "tokn".*"token"/],
    [
      { entities: { Doc: { fields: { both: 'EXCLUDE', other: 'VALUE' } } } },
      'ERR_CONFIG_FIELD_NOT_A_COLUMN',
      /Doc\.both/,
    ],
    [
      { entities: { Doc: { fields: { key: 'FILE', other: 'VALUE' } } } },
      'ERR_CONFIG_UNKNOWN_STORAGE',
      /Doc\.key.*"default"/,
    ],
    [
      { entities: { Doc: { fields: { id: 'EXCLUDE', other: 'VALUE' } } } },
      'ERR_CONFIG_EXCLUDE_REQUIRED',
      /primary key/,
    ],
    [{ entities: { Doc: { fields: { must: 'EXCLUDE', other: 'VALUE' } } } }, 'ERR_CONFIG_EXCLUDE_REQUIRED', /NOT NULL/],
    [{}, 'ERR_CONFIG_UNKNOWN_STORAGE', /Doc\.other.*"other"/],
  ];
  for (const [registry, code, message] of late)
    t.match(await failure(items(orm, { registry })), { code, message }, `${code} ${message}`);
});

t.test('excluded columns', async (t) => {
  const [from, to] = [await docs(), await docs()];
  await exec(from, "INSERT INTO doc (id, token, rank, must) VALUES (1, 'secret', 3, 'a'), (2, 'secret', 4, 'b')");
  await exec(to, "INSERT INTO doc (id, token, rank, must) VALUES (2, 'mine', 9, 'old')");
  const registry: BackupConfig = {
    entities: { Doc: { fields: { token: 'EXCLUDE', rank: 'EXCLUDE', other: 'VALUE' } } },
  };
  const list = await items(from, { registry });
  t.notOk(JSON.stringify(list).includes(Buffer.from('secret').toJSON().data.join()), 'nowhere in the backup');
  t.same(
    ofType(list, 'schema')[0]!.schema.tables[0]!.columns.map(({ name }) => name),
    ['id', 'key', 'path', 'other', 'must'],
  );
  await restore(to, list);
  t.same(await query(to, 'SELECT id, token, rank, must FROM doc ORDER BY id'), [
    [1, null, 7, 'a'],
    [2, 'mine', 9, 'b'],
  ]);

  const [people, others] = [await openOrm(model), await openOrm(model)];
  t.teardown(() => Promise.all([people.close(true), others.close(true)]));
  await exec(
    people,
    "INSERT INTO person (id, email, home_street, home_photo, work) VALUES (1, 'a@b.c', 'x', 'y', '{}')",
  );
  const inner: BackupConfig = {
    entities: { Person: { fields: { 'home.street': 'EXCLUDE', home_photo: 'EXCLUDE', cv: 'VALUE' } } },
  };
  await copy(people, others, {}, { registry: inner });
  t.same(
    await query(others, 'SELECT home_street, home_photo, work FROM person'),
    [[null, null, '{}']],
    'embedded properties',
  );
  t.match(
    await failure(
      items(people, { registry: { entities: { Person: { fields: { 'work.street': 'EXCLUDE', cv: 'VALUE' } } } } }),
    ),
    { code: 'ERR_CONFIG_FIELD_NOT_A_COLUMN' },
  );
});

t.test('files there and back', async (t) => {
  const [from, to] = [await docs(), await docs()];
  const big = Buffer.alloc(700_000, 'big file ');
  const uploads = folder({ 'a/1.bin': big, 'é ü.txt': 'text', 'list/x': 'X', 'list/y': 'Y', empty: '' });
  const base = folder({ 'docs/p.txt': 'path', 'deep/er/q': 'Q', 'a-file': 'in the way' });
  const root = folder({ z: '1', 'sub/b': '2', 'sub/a': '3', '.hidden': '4' });
  symlinkSync('z', join(root, 'link'));
  spawnSync('mkfifo', [join(root, 'pipe')]);
  mkdirSync(join(root, '.dbs-restore-old'));
  chmodSync(join(uploads, 'a/1.bin'), 0o640);
  utimesSync(join(uploads, 'a/1.bin'), 1_600_000_000, 1_600_000_000.5);
  const rows: [string, string, string][] = [
    ['a/1.bin', 'docs/p.txt', 'o1'],
    ['a/1.bin', join(base, 'deep/er/q'), ''],
    ['["list/x","list/y",""]', '../outside', 'missing'],
    ['é ü.txt', 'a-file/below', 'fails'],
    ['empty', '/etc/passwd', 'slow'],
  ];
  await exec(
    from,
    ...rows.map(
      ([key, path, other], i) =>
        `INSERT INTO doc (id, "key", path, other, must) VALUES (${i + 1}, '${key}', '${path}', '${other}', '')`,
    ),
    "INSERT INTO doc (id, \"key\", must) VALUES (20, X'00', '')",
  );
  const stored = new Map<string, Buffer>();
  const adapter: StorageAdapter = {
    open: (key) => {
      if (key !== 'fails') return Readable.from([Buffer.from(`content of ${key}`)]);
      return Readable.from(
        (async function* () {
          yield Buffer.alloc(300_000);
          throw new Error('the network is gone');
        })(),
      );
    },
    stat: (key) => {
      if (stored.has(key)) return { size: stored.get(key)!.length };
      return key === 'missing' ? null : { size: key === 'fails' ? 400_000 : `content of ${key}`.length };
    },
    put: async (key, body) => void stored.set(key, Buffer.concat(await body.toArray())),
    exists: (key) => key !== 'missing',
  };
  const registry: BackupConfig = {
    entities: { Doc: { fields } },
    storages: { default: uploads, other: adapter },
    baseDir: base,
    fileRoots: { public: root },
  };
  const list = await items(from, { registry, ignorePaths: [join(root, 'sub/a')] });
  const begins = ofType(list, 'file-begin').map(({ file }) => [file.kind, file.root, file.path, file.size]);
  t.same(
    begins,
    [
      ['field', 'default', 'a/1.bin', 700_000],
      ['path', '', 'docs/p.txt', 4],
      ['field', 'other', 'o1', 13],
      ['path', '', join(base, 'deep/er/q'), 1],
      ['field', 'default', 'list/x', 1],
      ['field', 'default', 'list/y', 1],
      ['field', 'default', 'é ü.txt', 4],
      ['field', 'other', 'fails', 400_000],
      ['field', 'default', 'empty', 0],
      ['field', 'other', 'slow', 15],
      ['root', 'public', '.hidden', 1],
      ['root', 'public', 'sub/b', 1],
      ['root', 'public', 'z', 1],
    ],
    'each once, in the order of the rows; then roots, sorted',
  );
  t.match(ofType(list, 'file-begin')[0]!.file, { mode: 0o640, mtime: 1_600_000_000_500 });
  t.ok(ofType(list, 'file-data').every(({ data }) => data.length <= 262_144));
  t.match(
    ofType(list, 'file-end').find(({ incomplete }) => incomplete),
    { size: 262_144, incomplete: /the network is gone/ },
  );
  const end = list.at(-1) as EndItem;
  t.same(
    end.skipped.map(({ kind, path, from }) => [kind, path, from]),
    [
      ['path', '../outside', 'Doc.path'],
      ['field', 'missing', 'Doc.other'],
      ['path', 'a-file/below', 'Doc.path'],
      ['field', 'fails', 'Doc.other'],
      ['path', '/etc/passwd', 'Doc.path'],
      ['root', 'link', undefined],
      ['root', 'pipe', undefined],
    ],
  );
  t.same(
    end.skipped.map(({ reason }) => /exist|outside|link|special|network/.exec(reason)?.[0]),
    ['outside', 'exist', 'exist', 'network', 'outside', 'link', 'special'],
  );
  t.equal(end.files, begins.length);
  t.equal(
    end.bytes,
    ofType(list, 'file-data').reduce((sum, { data }) => sum + data.length, 0),
  );

  const there = {
    uploads: folder({ 'list/x': 'X', 'list/y': 'old', mine: 'stays' }),
    base: folder({ x: '' }),
    root: join(scratch, 'not', 'yet', 'there'),
  };
  // An absolute path comes back only where this machine allows it.
  const target: BackupConfig = {
    storages: { default: there.uploads, other: adapter },
    baseDir: there.base,
    pathRoots: ['.', base],
    fileRoots: { public: there.root },
  };
  rmSync(join(base, 'deep'), { recursive: true });
  const before = tree(there.uploads);
  const dry = await restore(to, list, { registry: target, dryRun: true });
  t.match(dry.files, { written: 9, unchanged: 3, incomplete: 1, skipped: 0 });
  t.same(
    [tree(there.uploads), tree(there.base), existsSync(join(scratch, 'not')), existsSync(join(base, 'deep'))],
    [before, ['./x'], false, false],
    'a dry run leaves nothing behind',
  );
  stored.clear();

  const done = await restore(to, list, { registry: target });
  t.match(done.files, { written: 9, unchanged: 3, incomplete: 1, skipped: 0 });
  t.same(tree(there.uploads), ['./a', './a/1.bin', './empty', './list', './list/x', './list/y', './mine', './é ü.txt']);
  t.same(tree(there.root), ['./.hidden', './sub', './sub/b', './z']);
  t.same(tree(there.base), ['./docs', './docs/p.txt', './x']);
  t.ok(readFileSync(join(there.uploads, 'a/1.bin')).equals(big));
  t.equal(readFileSync(join(there.uploads, 'list/y'), 'utf8'), 'Y');
  t.equal(readFileSync(join(base, 'deep/er/q'), 'utf8'), 'Q');
  const restored = statSync(join(there.uploads, 'a/1.bin'));
  t.same([restored.mode & 0o777, Math.round(restored.mtimeMs)], [0o640, 1_600_000_000_500]);
  t.same(await dump(to), await dump(from));
  t.match((await restore(to, list, { registry: target })).files, { written: 0, unchanged: 12 }, 'again: nothing to do');
});

t.test('all or nothing, files included', async (t) => {
  const from = await docs();
  const uploads = folder({ a: 'A', b: 'B' });
  await exec(from, "INSERT INTO doc (id, \"key\", must) VALUES (1, 'a', ''), (2, 'b', '')");
  const list = await items(from, {
    registry: { entities: { Doc: { fields: { key: 'FILE', other: 'VALUE' } } }, storages: { default: uploads } },
  });
  const meta = (patch: object): BackupItem[] =>
    list.map((item) =>
      item.type === 'file-begin' && item.file.path === 'b' ? { ...item, file: { ...item.file, ...patch } } : item,
    );
  const outside = folder();
  const cases: [string, string, BackupItem[], object?][] = [
    ['no such storage', 'ERR_RESTORE_UNKNOWN_STORAGE', list, { storages: {} }],
    ['.. in a key', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: '../b' })],
    ['an absolute key', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: join(outside, 'b') })],
    ['the root itself', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: '.' })],
    ['a NUL byte', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: 'b\0.png' })],
    ['a link that leads out', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: 'out/b' })],
    ['a link that leads nowhere', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: 'nowhere/b' })],
    ['a link as the file', 'ERR_FILES_OUTSIDE_ROOT', meta({ path: 'file-link' })],
    ['a path of this machine', 'ERR_FILES_OUTSIDE_ROOT', meta({ kind: 'path', path: '/etc/cron.d/dbs', root: '' })],
    ['a folder in the way', 'ERR_FILES_BLOCKED', meta({ path: 'dir' })],
    ['a file in the place of a folder', 'ERR_FILES_BLOCKED', meta({ path: 'plain/b' })],
    [
      'a size that does not fit',
      'ERR_FORMAT_FILE_SIZE',
      list.map((item) => (item.type === 'file-end' ? { ...item, size: 2 } : item)),
    ],
    ['a file without an end', 'ERR_RESTORE_INCOMPLETE', list.filter((item) => item.type !== 'file-end')],
    ['no END', 'ERR_RESTORE_INCOMPLETE', list.slice(0, -1)],
    ['a sealed stream', 'ERR_RESTORE_NOT_A_DATABASE', meta({ kind: 'stream' })],
  ];
  for (const [name, code, given, more] of cases) {
    const to = await docs();
    const dir = folder({ dir: 'x', plain: 'p', a: 'old' });
    rmSync(join(dir, 'dir'));
    mkdirSync(join(dir, 'dir'));
    symlinkSync(outside, join(dir, 'out'));
    symlinkSync(join(outside, 'nothing'), join(dir, 'nowhere'));
    symlinkSync(join(outside, 'file'), join(dir, 'file-link'));
    const before = tree(dir);
    t.equal(
      (await failure(restore(to, given, { registry: { storages: { default: dir }, baseDir: dir, ...more } }))).code,
      code,
      name,
    );
    t.same(
      [
        tree(dir),
        tree(outside),
        readFileSync(join(dir, 'a'), 'utf8'),
        await query(to, 'SELECT count(*) AS n FROM doc'),
      ],
      [before, [], 'old', [[0]]],
      'nothing was changed',
    );
    await to.close(true);
  }
  const inner = folder({ 'real/old': '' });
  symlinkSync('real', join(inner, 'alias'));
  await restore(await docs(), meta({ path: 'alias/b' }), { registry: { storages: { default: inner } } });
  t.equal(readFileSync(join(inner, 'real/b'), 'utf8'), 'B', 'a link that stays inside is followed');
});

t.test('files with only and except', async (t) => {
  const entities = [
    DocSchema,
    new EntitySchema({ name: 'Pic', properties: { id: { type: 'integer', primary: true }, file: { type: 'text' } } }),
  ];
  const [from, to] = [await openOrm(entities), await openOrm(entities)];
  t.teardown(() => Promise.all([from.close(true), to.close(true)]));
  await exec(
    from,
    "INSERT INTO doc (id, \"key\", must) VALUES (1, 'a', '')",
    "INSERT INTO pic VALUES (1, 'p'), (2, 'a')",
  );
  const registry = (dir: string): BackupConfig => ({
    entities: { Doc: { fields: { key: 'FILE', other: 'VALUE' } }, Pic: { fields: { file: 'FILE' } } },
    storages: { default: dir },
    fileRoots: { root: `${dir}-root` },
  });
  const dir = folder({ a: 'A', p: 'P' });
  mkdirSync(`${dir}-root`);
  writeFileSync(join(`${dir}-root`, 'r'), 'R');
  const list = await items(from, { registry: registry(dir) });
  const [one, two] = [folder(), folder()];
  t.match((await restore(to, list, { only: ['Doc'], registry: registry(one) })).files, { written: 1, skipped: 2 });
  t.same([tree(one), existsSync(`${one}-root`)], [['./a'], false]);
  t.match((await restore(to, list, { except: ['Doc'], registry: registry(two) })).files, { written: 3, skipped: 0 });
});

t.test('a file that changes while it is read', async (t) => {
  const from = await docs();
  await exec(
    from,
    "INSERT INTO doc (id, \"key\", must) VALUES (1, 'grows', ''), (2, 'shrinks', ''), (3, 'changes', '')",
  );
  let asked = 0;
  const size = { grows: [4, 9], shrinks: [9, 4], changes: [4, 4] } as Record<string, [number, number]>;
  const adapter: StorageAdapter = {
    stat: (key) => ({ size: size[key]![asked++ % 2]!, mtime: asked }),
    open: () => Readable.from([Buffer.from('abcd')]),
    put: async () => {},
    exists: () => true,
  };
  const list = await items(from, {
    registry: { entities: { Doc: { fields: { key: 'FILE', other: 'VALUE' } } }, storages: { default: adapter } },
  });
  t.same(
    ofType(list, 'file-end').map(({ incomplete }) => incomplete),
    [undefined, 'It became shorter while it was read.', 'It was changed while it was read.'],
  );
});
