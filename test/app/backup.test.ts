/** The library as an app uses it: createBackup, restoreBackup and all that can go wrong between the two. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import {
  type BackupError,
  type BackupEvent,
  createBackup,
  defineBackupConfig,
  listBackup,
  MemorySink,
  readEntry,
  repairBackup,
  restoreBackup,
  validateBackup,
} from '../../lib/index.ts';
import { core, openOrm, scratch, type TestOrm } from '../support/orm.ts';
import { dump, exec } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };

const Artist: unknown = new EntitySchema({
  name: 'Artist',
  properties: {
    id: { type: 'integer', primary: true },
    name: { type: 'string' },
    photo: { type: 'string', nullable: true },
  },
});
const Song = new EntitySchema({
  name: 'Song',
  properties: {
    id: { type: 'integer', primary: true },
    title: { type: 'string' },
    words: { type: 'text' },
    artist: { kind: 'm:1', entity: () => Artist },
  },
});
const entities = [Artist, Song];

let folders = 0;
const folder = (): string => {
  const path = join(scratch, `folder-${++folders}`);
  mkdirSync(path, { recursive: true });
  return path;
};

/** Text that deflate cannot shrink much. */
function noise(seed: number, length: number): string {
  let state = seed >>> 0;
  let text = '';
  while (text.length < length) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

/** An app with some megabytes of rows, and files. */
async function app({ songs = 200, words = 200, photos = folder() } = {}): Promise<{ orm: TestOrm; photos: string }> {
  const orm = await openOrm(entities);
  const lines = [];
  for (let i = 1; i <= 20; i++) {
    writeFileSync(join(photos, `${i}.jpg`), noise(i, 3000 * i));
    lines.push(`INSERT INTO artist VALUES (${i}, 'Artist ${i}', '${i}.jpg')`);
  }
  lines.push('BEGIN');
  for (let i = 1; i <= songs; i++)
    lines.push(`INSERT INTO song VALUES (${i}, 'Song ${i}', '${noise(i, words)}', ${1 + (i % 20)})`);
  lines.push('COMMIT');
  await exec(orm, ...lines);
  return { orm, photos };
}

const configFor = (photos: string) =>
  defineBackupConfig({ entities: { Artist: { fields: { photo: 'FILE' } } }, storages: { default: photos } });

const code = (expected: string) => ({ code: expected });

t.test('a backup restores into an empty database, rows and files', async (t) => {
  const { orm, photos } = await app();
  const output = join(folder(), 'a.dbs');
  const events: BackupEvent[] = [];
  const result = await createBackup(orm, 'secret', {
    output,
    kdf,
    config: configFor(photos),
    onEvent: (e) => events.push(e),
  });
  t.match(result, {
    type: 'backup',
    output,
    verified: true,
    layout: 'tandem',
    rows: 220,
    files: { count: 20 },
    skipped: [],
  });
  t.equal(result.bytes, statSync(output).size);
  t.equal(statSync(output).mode & 0o777, 0o600, 'nobody else may read it');
  t.ok(events.some((e) => e.type === 'entity' && e.name === 'Song' && e.rows === 200));
  t.ok(events.some((e) => e.type === 'progress' && e.phase === 'verify'));

  const keyless = await validateBackup(output);
  t.match(keyless, { ok: true, damaged: false, authentic: null, totals: null });
  t.match(keyless.summary(), /OK/);
  const report = await validateBackup(output, 'secret');
  t.match(report, { ok: true, damaged: false, authentic: true, totals: { rows: 220, files: 20 } });

  const target = await openOrm(entities);
  const there = folder();
  const restored = await restoreBackup(target, output, 'secret', { config: configFor(there) });
  t.match(restored, { ok: true, healed: false, files: { written: 20 }, losses: null });
  t.strictSame(
    restored.entities.find((e) => e.name === 'Song'),
    { name: 'Song', inserted: 200, updated: 0, untouched: 0 },
  );
  t.strictSame(await dump(target), await dump(orm));
  for (const name of readdirSync(photos))
    t.ok(readFileSync(join(photos, name)).equals(readFileSync(join(there, name))), name);

  const again = await restoreBackup(target, output, 'secret', { config: configFor(there) });
  t.match(again, { files: { written: 0, unchanged: 20 } });
  t.strictSame(
    again.entities.find((e) => e.name === 'Song'),
    { name: 'Song', inserted: 0, updated: 0, untouched: 200 },
  );

  await exec(target, "UPDATE song SET title = 'changed' WHERE id = 7", "INSERT INTO artist VALUES (99, 'new', NULL)");
  const merged = await restoreBackup(target, output, 'secret', { config: configFor(there), dryRun: true });
  t.match(
    merged.entities.find((e) => e.name === 'Song'),
    { updated: 1, untouched: 199 },
  );
  t.not(JSON.stringify(await dump(target)), JSON.stringify(await dump(orm)), 'a dry run changes nothing');
  await restoreBackup(target, output, 'secret', { config: configFor(there), mode: 'flush' });
  t.strictSame(await dump(target), await dump(orm), 'flush replaces');
  await orm.close();
  await target.close();
});

t.test('without an output it is a stream, and a restore reads one', async (t) => {
  const { orm, photos } = await app();
  const sink = new MemorySink({ readsBack: false });
  const writer = await sink.create();
  await pipeline(createBackup(orm, 'secret', { kdf, config: configFor(photos) }), writer.stream);
  await writer.finish();
  const report = await validateBackup(sink.bytes!, 'secret');
  t.match(report, { ok: true, damaged: false, layout: 'interleaved' });
  const target = await openOrm(entities);
  const { Readable } = await import('node:stream');
  await restoreBackup(target, Readable.from([sink.bytes!]), 'secret', { config: configFor(folder()) });
  t.strictSame(await dump(target), await dump(orm));

  const names: string[] = [];
  for await (const entry of listBackup(sink.bytes!, 'secret'))
    names.push(entry.type === 'file' ? entry.path : entry.name);
  t.ok(names.includes('song') && names.includes('3.jpg'));
  const chunks: Buffer[] = [];
  for await (const chunk of await readEntry(sink.bytes!, 'secret', '3.jpg')) chunks.push(chunk);
  t.ok(Buffer.concat(chunks).equals(readFileSync(join(photos, '3.jpg'))));
  let text = '';
  for await (const chunk of await readEntry(sink.bytes!, 'secret', 'Song')) text += chunk;
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.equal(rows.length, 200);
  t.match(rows[6], { id: 7, title: 'Song 7', artist_id: 8 });
  await t.rejects(readEntry(sink.bytes!, 'secret', 'Nope'), code('ERR_CONTENT_NOT_FOUND'));
  await orm.close();
  await target.close();
});

t.test('a wrong or empty passphrase is said to be one, and changes nothing', async (t) => {
  const { orm, photos } = await app({ songs: 5 });
  const output = join(folder(), 'a.dbs');
  await createBackup(orm, 'secret', { output, kdf, config: configFor(photos) });
  const target = await openOrm(entities);
  const before = await dump(target);
  const there = folder();
  await t.rejects(
    restoreBackup(target, output, 'Secret', { config: configFor(there) }),
    code('ERR_KEY_WRONG_PASSPHRASE'),
  );
  await t.rejects(restoreBackup(target, output, '', { config: configFor(there) }), code('ERR_KEY_EMPTY_PASSPHRASE'));
  await t.rejects(validateBackup(output, 'wrong'), code('ERR_KEY_WRONG_PASSPHRASE'));
  t.strictSame(await dump(target), before);
  t.strictSame(readdirSync(there), []);
  await t.rejects(createBackup(orm, '', { output: join(folder(), 'b.dbs'), kdf }), code('ERR_KEY_EMPTY_PASSPHRASE'));
  await orm.close();
  await target.close();
});

t.test('an output that exists is refused, and nothing half-written stays', async (t) => {
  const { orm, photos } = await app({ songs: 5 });
  const place = folder();
  const output = join(place, 'a.dbs');
  writeFileSync(output, 'mine');
  await t.rejects(createBackup(orm, 'secret', { output, kdf }), code('ERR_SINK_EXISTS'));
  t.equal(readFileSync(output, 'utf8'), 'mine');
  await createBackup(orm, 'secret', { output, kdf, force: true });
  t.ok((await validateBackup(output)).ok);
  await t.rejects(createBackup(orm, 'secret', { output: join(place, 'no', 'b.dbs'), kdf }), code('ERR_SINK_NOT_FOUND'));

  const abort = new AbortController();
  const stopped = createBackup(orm, 'secret', {
    output: join(place, 'c.dbs'),
    kdf,
    config: configFor(photos),
    signal: abort.signal,
    onEvent: (e) => e.type === 'entity' && abort.abort(new Error('stop it')),
  });
  await t.rejects(stopped, { message: 'stop it' }, 'the reason passes through unwrapped');
  t.strictSame(readdirSync(place), ['a.dbs']);
  await orm.close();
});

t.test('sources that cannot be read are listed, and the rest is backed up', async (t) => {
  const { orm, photos } = await app({ songs: 5 });
  await exec(orm, "UPDATE artist SET photo = 'gone.jpg' WHERE id = 3");
  const output = join(folder(), 'a.dbs');
  const result = await createBackup(orm, 'secret', { output, kdf, config: configFor(photos) });
  t.match(result.skipped, [{ path: 'gone.jpg', from: 'Artist.photo' }]);
  t.equal(result.files.count, 19);
  t.match((await validateBackup(output, 'secret')).totals, { skipped: 1 });
  await orm.close();
});

/** A backup of a few blocks, and where they stand. */
async function large(t: Test) {
  const { orm, photos } = await app({ songs: 6000, words: 1500 });
  t.teardown(() => orm.close());
  const output = join(folder(), 'large.dbs');
  const result = await createBackup(orm, 'secret', { output, kdf, config: configFor(photos), compression: 'none' });
  const bytes = readFileSync(output);
  t.ok(result.blocks > 8, `${result.blocks} blocks`);
  return { orm, photos, output, bytes, blocks: result.blocks };
}

t.test('damage is healed, and said', async (t) => {
  const { orm, output, bytes } = await large(t);
  const expected = await dump(orm);
  const damaged = Buffer.from(bytes);
  damaged.fill(0, 0, 65_536);
  for (let at = 3_000_000; at < damaged.length; at += 700_001) damaged.fill(1, at, at + 4096);
  writeFileSync(output, damaged);
  const report = await validateBackup(output);
  t.match(report, { ok: true, damaged: true, lost: [] });
  t.match(report.summary(), /OK, but damaged/);
  const target = await openOrm(entities);
  const healed: BackupEvent[] = [];
  const result = await restoreBackup(target, output, 'secret', {
    config: configFor(folder()),
    onEvent: (e) => e.type === 'healed' && healed.push(e),
  });
  t.equal(result.healed, true);
  t.strictSame(await dump(target), expected);
  await target.close();

  const repaired = join(folder(), 'r.dbs');
  t.match(await repairBackup(output, { output: repaired }), { output: repaired, report: { damaged: true } });
  t.ok(readFileSync(repaired).equals(bytes), 'repair gives back what was written, to the byte, without the key');
  t.match(await repairBackup(output, { inPlace: true }), { output });
  t.ok(readFileSync(output).equals(bytes));
  t.match(await repairBackup(output, { inPlace: true }), { output: null }, 'nothing to do');
});

t.test('beyond repair it refuses and names what is lost; --salvage restores the rest', async (t) => {
  const { orm, output, bytes, blocks } = await large(t);
  const expected = await dump(orm);
  const damaged = Buffer.from(bytes);
  // Blocks 3 and 4 in both copies, and the outer parity that could rebuild them.
  const { ContainerReader } = await import('../../lib/container/reader.ts');
  const { bufferSource } = await import('../../lib/container/source.ts');
  const { RecordType } = await import('../../lib/format/limits.ts');
  const reader = await ContainerReader.open([bufferSource(bytes)]);
  const map = reader.blocks.maps[0]!;
  for (const [type, sequence] of [
    [RecordType.DATA, 3],
    [RecordType.DATA, 4],
    [RecordType.PARITY, 0],
  ] as const) {
    for (const copy of [0, 1] as const) {
      const at = map.planned(type, copy, sequence);
      if (at >= 0) damaged.fill(0, at, at + (1 << 20));
    }
  }
  writeFileSync(output, damaged);
  const target = await openOrm(entities);
  const before = await dump(target);
  const there = folder();
  const error = (await restoreBackup(target, output, 'secret', { config: configFor(there) }).catch(
    (e) => e,
  )) as BackupError;
  t.match(error, { code: 'ERR_DAMAGE_BLOCKS', blocks: [{ block: 3 }, { block: 4 }], entities: ['song'] });
  t.match(error.message, /blocks 3, 4 of .*song.*--salvage/s);
  t.equal((error as unknown as { blocks: { ranges: unknown[] }[] }).blocks[0]!.ranges.length, 2);
  t.strictSame(await dump(target), before, 'nothing was changed');
  await t.rejects(repairBackup(output, { output: join(folder(), 'r.dbs') }), code('ERR_DAMAGE_BLOCKS'));

  const result = await restoreBackup(target, output, 'secret', { config: configFor(there), salvage: true });
  t.equal(result.ok, false);
  t.strictSame(result.losses!.blocks, [3, 4]);
  const song = result.losses!.entities.find((e) => e.name === 'Song')!;
  t.equal(song.restored + song.lost!, 6000);
  t.ok(song.lost! > 100 && song.lost! < 6000 / (blocks / 4), `${song.lost} rows are lost`);
  const [range] = result.losses!.ranges;
  const there2 = await dump(target);
  const ids = new Set(there2.song!.map((row) => /\bid=integer (\w+)/.exec(row)![1]));
  const hex = (id: unknown) => Buffer.from(String(id)).toString('hex').toUpperCase();
  t.ok(ids.has(hex(range!.after![0])) && ids.has(hex(range!.before![0])), 'both ends of the range are there');
  t.equal(
    Number(range!.before![0]) - Number(range!.after![0]) - 1,
    song.lost,
    'and exactly what is between them is not',
  );
  const known = new Set(expected.song);
  t.ok(
    there2.song!.every((row) => known.has(row)),
    'what is restored is exact',
  );
  t.strictSame(there2.artist, expected.artist);
  await t.rejects(
    restoreBackup(target, output, 'secret', { config: configFor(there), salvage: true }),
    code('ERR_RESTORE_NOT_EMPTY'),
  );
  await target.close();
});

t.test('a mirror: either file restores alone, and each heals the other', async (t) => {
  const { orm, photos } = await app({ songs: 3000, words: 1500 });
  const place = folder();
  const [a, b] = [join(place, 'a.dbs'), join(place, 'b.dbs')];
  const result = await createBackup(orm, 'secret', {
    output: a,
    mirror: b,
    kdf,
    config: configFor(photos),
    compression: 'none',
  });
  t.match(result, { layout: 'split', verified: true });
  const expected = await dump(orm);
  for (const alone of [a, b]) {
    const target = await openOrm(entities);
    const restored = await restoreBackup(target, alone, 'secret', { config: configFor(folder()) });
    t.equal(restored.healed, false);
    t.strictSame(await dump(target), expected);
    await target.close();
  }
  const good = [readFileSync(a), readFileSync(b)];
  const bad = good.map((bytes, n) => {
    const copy = Buffer.from(bytes);
    return n === 0 ? copy.fill(0, 0, copy.length >> 1) : copy.fill(0, copy.length >> 1);
  });
  writeFileSync(a, bad[0]!);
  writeFileSync(b, bad[1]!);
  t.match(await validateBackup(b, 'secret'), { ok: false });
  const ra = join(place, 'ra.dbs');
  const rb = join(place, 'rb.dbs');
  await repairBackup(a, { with: [b], output: ra });
  await repairBackup(b, { with: [a], output: rb });
  t.ok(readFileSync(ra).equals(good[0]!), 'A from B');
  t.ok(readFileSync(rb).equals(good[1]!), 'B from A');
  await orm.close();
});

t.test('two damaged backups of the same bytes heal each other; two different ones are told apart', async (t) => {
  const { orm, photos, output, bytes } = await large(t);
  const other = join(folder(), 'other.dbs');
  writeFileSync(output, Buffer.from(bytes).fill(0, 0, Math.floor(bytes.length * 0.7)));
  writeFileSync(other, Buffer.from(bytes).fill(0, Math.floor(bytes.length * 0.3)));
  t.equal((await validateBackup(output)).ok, false);
  t.match(await validateBackup(output, 'secret', { with: [other] }), { ok: true, damaged: true });
  const third = join(folder(), 'third.dbs');
  await createBackup(orm, 'secret', { output: third, kdf, config: configFor(photos) });
  await t.rejects(validateBackup(third, 'secret', { with: [other] }), code('ERR_FORMAT_DIFFERENT'));
});

t.test('what is no backup, or not all of one', async (t) => {
  const { orm, photos } = await app({ songs: 50 });
  const output = join(folder(), 'a.dbs');
  await createBackup(orm, 'secret', { output, kdf, config: configFor(photos) });
  const bytes = readFileSync(output);
  await t.rejects(validateBackup(Buffer.from('just text')), code('ERR_FORMAT_NOT_DBS'));
  await t.rejects(validateBackup(Buffer.alloc(0)), code('ERR_FORMAT_NOT_DBS'));
  await t.rejects(validateBackup(join(folder(), 'none.dbs')), code('ERR_SOURCE_NOT_FOUND'));
  await t.rejects(validateBackup(folder()), code('ERR_SOURCE_READ'));
  // Only the first header: what a file is that is still being written.
  t.match(await validateBackup(bytes.subarray(0, 4096)), {
    ok: false,
    problem: { code: /ERR_TRUNCATED|ERR_DAMAGE_BLOCKS/ },
  });
  t.notOk(existsSync(`${output}.part`));
  await orm.close();
});
