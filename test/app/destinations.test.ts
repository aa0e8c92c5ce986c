/** URLs in the library: what they open, reading by ranges, repairing, moving and pruning what lies at destinations. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { makeName } from '../../lib/catalog/naming.ts';
import { isUrl, openDestination, openPlace } from '../../lib/destinations.ts';
import {
  addKeys,
  inspectBackup,
  listKeys,
  pruneBackups,
  pullBackup,
  pushBackup,
  repairBackup,
  sealStream,
  storedBackups,
  unsealStream,
  validateBackup,
} from '../../lib/index.ts';
import { FileDestination } from '../../lib/sinks/folder.ts';
import { MemorySink } from '../../lib/sinks/memory.ts';
import { Bucket } from '../support/bucket.ts';

const secret = { passphrases: ['x'], kdf: { memoryKiB: 8192, iterations: 1, parallelism: 1 } };
const content = randomBytes(1_500_000);

async function make(layout: 'tandem' | 'interleaved'): Promise<Buffer> {
  const output = new MemorySink();
  await sealStream(Readable.from([content]), secret, { output, layout });
  return output.bytes!;
}
const tandem = await make('tandem');
const interleaved = await make('interleaved');
const hurt = (whole: Buffer) => Buffer.from(whole).fill(0, 20_000, 40_000);
const lost = (whole: Buffer) => Buffer.from(whole).fill(0, 8192, whole.length - 8192);

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dbs-places-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A bucket, and the settings by which `mem://x/` is it. */
function bucket() {
  const place = new Bucket();
  const urls: string[] = [];
  const mem = (url: string) => {
    urls.push(url);
    return place;
  };
  return { place, urls, settings: { schemes: { mem } } };
}

t.test('what a URL opens', async (t) => {
  const dir = folder(t);
  const { place, urls, settings } = bucket();
  t.match(await openPlace('mem://one/two/three.dbs', settings), { destination: place, name: 'three.dbs' });
  t.match(await openPlace('mem://one/two/', settings), { name: null });
  t.match(await openPlace('mem://one', settings), { name: null });
  t.match(await openPlace('MEM://one/a@b.dbs', settings), { name: 'a@b.dbs' });
  t.strictSame(urls, ['mem://one/two/', 'mem://one/two/', 'mem://one/', 'MEM://one/']);
  t.equal(await openDestination('mem://one/two', settings), place, 'a destination needs no slash');
  t.strictSame(urls.at(-1), 'mem://one/two/');
  const path = join(dir, 'a b.dbs');
  for (const one of [path, pathToFileURL(path).href]) {
    const { destination, name } = await openPlace(one);
    t.match([destination.name, name], [dir, 'a b.dbs']);
  }
  t.match(await openPlace(dir), { name: null }, 'a folder that exists');
  t.match((await openDestination(pathToFileURL(dir).href)).name, dir);
  for (const text of ['app.dbs', './a:b', 'C:\\x', '/tmp/x', 'x:y']) t.notOk(isUrl(text), text);
  for (const text of ['s3:bucket', 'file:/x', 'S3://b/']) t.ok(isUrl(text), text);
});

t.test('URLs that are refused, and what they hide is not repeated', async (t) => {
  const refused: [string, string][] = [
    ['ftp://host/x', 'ERR_DESTINATION_SCHEME'],
    ['https://host/x', 'ERR_DESTINATION_SCHEME'],
    ['s3:bucket/x', 'ERR_DESTINATION_URL'],
    ['s3:///x', 'ERR_DESTINATION_URL'],
    ['s3://bucket/x?token=hunter2', 'ERR_DESTINATION_URL'],
    ['s3://bucket/x#hunter2', 'ERR_DESTINATION_URL'],
    ['file://elsewhere/x', 'ERR_DESTINATION_URL'],
    ['file:x', 'ERR_DESTINATION_URL'],
    ['s3://key:hunter2@bucket/x', 'ERR_DESTINATION_CREDENTIALS'],
    ['s3://key:hunt/er2@bucket/x', 'ERR_DESTINATION_CREDENTIALS'],
    ['sftp://user:hunter2@host/x', 'ERR_DESTINATION_CREDENTIALS'],
    ['sftp://hunter2@host/x', 'ERR_DESTINATION_CREDENTIALS'],
    ['ftp://u:hunter2@host/x', 'ERR_DESTINATION_CREDENTIALS'],
  ];
  for (const [url, code] of refused) {
    const error = await openPlace(url).then(
      () => t.fail(url),
      (error) => error,
    );
    t.match(error, { code }, url);
    t.notMatch(`${error.message}${JSON.stringify(error)}${error.stack}`, /hunt|er2/);
    t.rejects(openDestination(url), { code });
  }
  const { settings } = bucket();
  await t.rejects(validateBackup('mem://x/', undefined, { settings }), { code: 'ERR_DESTINATION_NO_NAME' });
  await t.rejects(validateBackup('mem://x/none.dbs', undefined, { settings }), { code: 'ERR_SOURCE_NOT_FOUND' });
  await t.rejects(addKeys('mem://x/a.dbs', 'x', 'y'), { code: 'ERR_DESTINATION_NOT_LOCAL' });
});

t.test('reading by ranges', async (t) => {
  const { place, settings } = bucket();
  await place.put('a.dbs', tandem);
  await place.put('hurt.dbs', hurt(tandem));
  const url = 'mem://x/a.dbs';
  t.match(await inspectBackup(url, { settings }), { source: 'bucket:a.dbs', layout: 'tandem', bytes: tandem.length });
  t.ok(place.read.bytes < 200_000, `a look at a file of ${tandem.length} read ${place.read.bytes} bytes`);
  t.match(await listKeys(url, { settings }), { slots: [{ kind: 'passphrase' }] });
  t.match(await validateBackup(url, 'x', { settings }), { ok: true, damaged: false, authentic: true });
  t.ok(place.read.largest <= 1 << 20, 'never more than a record at once');
  t.match(await validateBackup('mem://x/hurt.dbs', undefined, { settings }), { ok: true, damaged: true });
  await place.put('lost.dbs', lost(tandem));
  const healed = await validateBackup('mem://x/lost.dbs', undefined, { settings, with: [url] });
  t.match(healed, { ok: true, damaged: true }, '--with takes URLs, too');
  const out = new PassThrough();
  const [read] = await Promise.all([buffer(out), unsealStream('mem://x/hurt.dbs', 'x', out, { settings })]);
  t.ok(read.equals(content));
  t.ok(place.closed >= 7, 'what was opened is closed');
});

t.test('repair where it lies', async (t) => {
  for (const whole of [tandem, interleaved]) {
    const { place, settings } = bucket();
    await place.put('a.dbs', hurt(whole));
    const repaired = await repairBackup('mem://x/a.dbs', { settings, output: 'mem://x/b.dbs' });
    t.match(repaired, { output: 'bucket:b.dbs', report: { damaged: true } });
    t.ok((await place.get('b.dbs')).equals(whole), 'byte for byte, also into what cannot be read back');
    await t.rejects(repairBackup('mem://x/a.dbs', { settings, output: 'mem://x/b.dbs' }), { code: 'ERR_SINK_EXISTS' });

    place.log = [];
    await repairBackup('mem://x/a.dbs', { settings, inPlace: true });
    t.ok((await place.get('a.dbs')).equals(whole));
    t.match(place.log, [/^finish a\.repaired-/, 'finish a.dbs', /^remove a\.repaired-/], 'never without a whole one');
    t.match(await repairBackup('mem://x/a.dbs', { settings, inPlace: true }), { output: null });
  }
  const { place, settings } = bucket();
  await place.put('a.dbs', hurt(tandem));
  place.beforePublished = async (name) => {
    if (name === 'a.dbs') await place.put('a.dbs', hurt(tandem).fill(1, 100_000, 100_010));
  };
  const failed = await repairBackup('mem://x/a.dbs', { settings, inPlace: true }).catch((error) => error);
  t.match(failed, { code: 'ERR_SINK_REPLACE', facts: { repaired: /^a\.repaired-/ } });
  t.ok((await place.get(failed.facts.repaired)).equals(tandem), 'the repaired one stays');
  t.ok(await place.stat('a.dbs'), 'and so does what is under the name');
  place.beforePublished = undefined;
  await place.put('l.dbs', hurt(tandem));
  place.remove = async () => {
    throw new Error('locked');
  };
  const events: object[] = [];
  const onEvent = (event: object) => void events.push(event);
  t.match(await repairBackup('mem://x/l.dbs', { settings, inPlace: true, onEvent }), { output: 'bucket:l.dbs' });
  t.match(
    events.filter((event) => 'code' in event),
    [{ code: 'WARN_NOT_REMOVED' }],
  );
  place.beforePublished = async (name) => place.put(name, hurt(tandem));
  await place.put('a.dbs', hurt(tandem));
  place.log = [];
  await t.rejects(repairBackup('mem://x/a.dbs', { settings, inPlace: true }), { code: 'ERR_SINK_VERIFY' });
  t.match(place.log, [/^finish a\.repaired-/, /^withdraw a\.repaired-/], 'the damaged one was not touched');
});

t.test('list', async (t) => {
  const { place, settings } = bucket();
  const at = (day: number) => makeName('shop', new Date(Date.UTC(2026, 0, day)));
  await place.put(at(3), lost(tandem));
  await place.put(at(1), tandem);
  await place.put(at(2), hurt(tandem));
  await place.put('notes.txt', Buffer.from('x'));
  await place.put('manual.dbs', Buffer.from('no backup'));
  const names = [];
  for await (const file of storedBackups('mem://x/', { settings })) names.push(file.name);
  t.strictSame(names, [at(1), at(2), at(3), 'manual.dbs'], 'oldest first');
  const checked = [];
  for await (const file of storedBackups(place, { prefix: 'shop', check: true })) checked.push(file);
  t.match(checked, [
    { time: '2026-01-01T00:00:00.000Z', prefix: 'shop', bytes: tandem.length, check: { ok: true, problem: null } },
    { check: { ok: true, health: { pages: Number } } },
    { check: { ok: false, problem: { code: 'ERR_DAMAGE_BLOCKS' } } },
  ]);
  t.equal(place.closed, 1, 'a destination that was given is not closed');
});

t.test('prune', async (t) => {
  const { place, settings } = bucket();
  const at = (day: number) => makeName('shop', new Date(Date.UTC(2026, 0, day, 3)));
  for (let day = 1; day <= 9; day++) await place.put(at(day), day > 7 ? lost(interleaved) : interleaved);
  const others = ['shop.dbs', 'shop-eu-20260101-000000Z.dbs', 'other-20260101-000000Z.dbs', 'shop-20260101-000000.dbs'];
  for (const name of others) await place.put(name, Buffer.from('x'));
  const removed: string[] = [];
  const day = 86_400_000;
  const leftover = (name: string, age: number) => ({
    name,
    started: new Date(Date.now() - age),
    remove: async () => void removed.push(name),
  });
  const old = makeName('shop', new Date(0));
  place.leftovers = [leftover(old, 2 * day), leftover(at(9), day / 2), leftover('other.dbs', 9 * day)];
  const rules = { keepLast: 2, keepWeekly: 1, pins: ['gone.dbs'] };
  const options = { prefix: 'shop', rules, pins: [at(1)], settings };

  const before = await names(place);
  const dry = await pruneBackups('mem://x/', { ...options, dryRun: true });
  t.strictSame(await names(place), before, 'a dry run changes nothing');
  const keeps = Object.fromEntries(dry.files.filter((f) => f.keep).map((f) => [f.name, f.reasons.join()]));
  t.strictSame(keeps, {
    [at(9)]: 'last 1,weekly 2026-W02',
    [at(8)]: 'last 2',
    [at(7)]: 'newest valid',
    [at(1)]: 'pinned',
  });
  t.match(dry, { removed: 0, freedBytes: 0, leftovers: [{ name: old, removed: false }], ok: true });
  t.strictSame(removed, []);

  place.locked.add(at(2));
  const warnings: string[] = [];
  const onEvent = (event: { type: string }) => 'code' in event && warnings.push(event.code as string);
  const result = await pruneBackups(place, { ...options, onEvent });
  t.match(result, { removed: 4, freedBytes: 4 * interleaved.length, ok: false, leftovers: [{ removed: true }] });
  t.match(
    result.files.find(({ name }) => name === at(2)),
    { removed: false, problem: { code: 'ERR_SINK_DENIED' } },
  );
  t.strictSame(await names(place), [...others, at(1), at(2), at(7), at(8), at(9)].sort());
  t.strictSame(removed, [old], 'what may still be under way, and what is not ours, is left alone');
  t.strictSame(warnings, ['WARN_PIN', 'WARN_NOT_VALID', 'WARN_NOT_VALID']);
});

async function names(place: Bucket): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of place.list()) names.push(name);
  return names.sort();
}

t.test('prune refuses', async (t) => {
  const { place } = bucket();
  const at = (day: number) => makeName('shop', new Date(Date.UTC(2026, 0, day)));
  for (const day of [1, 2, 3]) await place.put(at(day), lost(tandem));
  const prune = (options: object) => pruneBackups(place, { prefix: 'shop', rules: { keepLast: 1 }, ...options });
  await t.rejects(prune({ rules: {} }), { code: 'ERR_CATALOG_NO_RULES' });
  await t.rejects(prune({ rules: { keepLast: -1 } }), { code: 'ERR_CATALOG_RULE' });
  await t.rejects(prune({ pins: ['shop-20260101-00000Z.dbs'] }), { code: 'ERR_CATALOG_UNKNOWN_PIN' });
  await t.rejects(prune({}), { code: 'ERR_DAMAGE_NONE_VALID' }, 'not one is whole');
  t.equal((await names(place)).length, 3);
  await place.put(at(4), interleaved);
  place.remove = async () => {
    throw new Error('a foreign one');
  };
  t.match(await prune({}), {
    ok: false,
    removed: 0,
    files: [{ keep: true }, { problem: { code: 'ERR_SINK_REMOVE' } }, {}, {}],
  });
  place.open = async () => {
    throw new Error('the network is gone');
  };
  await t.rejects(prune({}), /network/);
  t.equal((await names(place)).length, 4, 'nothing goes while nobody can look');
  t.match(await prune({ prefix: 'none' }), { files: [], ok: true });
});

t.test('a folder is pruned, too', async (t) => {
  const dir = folder(t);
  const at = (day: number) => makeName('backup', new Date(Date.UTC(2026, 0, day)));
  for (const day of [1, 2, 3]) writeFileSync(join(dir, at(day)), tandem);
  mkdirSync(join(dir, at(4)));
  await pruneBackups(dir, { rules: { keepLast: 1 } });
  t.strictSame(readdirSync(dir), [at(3), at(4)], 'folders are no backups, whatever their name');
});

t.test('pull', async (t) => {
  const dir = folder(t);
  const { place, settings } = bucket();
  await place.put('a.dbs', tandem);
  await place.put('hurt.dbs', hurt(tandem));
  await place.put('lost.dbs', lost(tandem));
  await place.put('text.dbs', Buffer.from('no backup at all'));
  const pulled = await pullBackup('mem://x/a.dbs', `${dir}/`, { settings });
  t.match(pulled, { type: 'pull', source: 'bucket:a.dbs', output: join(dir, 'a.dbs'), healed: false, resumed: 0 });
  t.ok(readFileSync(join(dir, 'a.dbs')).equals(tandem));
  t.equal(statSync(join(dir, 'a.dbs')).mode & 0o777, 0o600);
  await t.rejects(pullBackup('mem://x/a.dbs', join(dir, 'a.dbs'), { settings }), { code: 'ERR_SINK_EXISTS' });
  t.match(await pullBackup('mem://x/hurt.dbs', join(dir, 'h.dbs'), { settings }), { healed: true });
  t.ok(readFileSync(join(dir, 'h.dbs')).equals(tandem), 'healed on the way');
  await t.rejects(pullBackup('mem://x/lost.dbs', dir, { settings }), { code: /ERR_DAMAGE/ });
  await t.rejects(pullBackup('mem://x/text.dbs', dir, { settings }), { code: 'ERR_FORMAT_NOT_DBS' });
  await t.rejects(pullBackup('mem://x/none.dbs', dir, { settings }), { code: 'ERR_SOURCE_NOT_FOUND' });
  await t.rejects(pullBackup('mem://x/', dir, { settings }), { code: 'ERR_DESTINATION_NO_NAME' });
  t.strictSame(readdirSync(dir).sort(), ['a.dbs', 'h.dbs'], 'nothing half-written has a name, or any');
});

t.test('pull over a bad line', async (t) => {
  const dir = folder(t);
  const { place, settings } = bucket();
  await place.put('a.dbs', tandem);
  const open = place.open.bind(place);
  let cut = true;
  let reads = 0;
  place.open = async (name) => {
    const source = await open(name);
    const read = async (offset: number, into: Buffer) => {
      if (into.length > 65_536 && offset > 2_500_000 && cut)
        throw Object.assign(new Error('cut'), { code: 'ERR_SOURCE_READ' });
      reads += into.length;
      return source.read(offset, into);
    };
    return { ...source, read };
  };
  await t.rejects(pullBackup('mem://x/a.dbs', join(dir, 'a.dbs'), { settings }));
  const [part, ...more] = readdirSync(dir);
  t.match(part, /^\.a\.dbs\.[0-9a-f]+\.part$/);
  t.strictSame(more, []);
  [cut, reads] = [false, 0];
  const { resumed } = await pullBackup('mem://x/a.dbs', join(dir, 'a.dbs'), { settings });
  t.ok(resumed > 0 && reads < tandem.length, `${resumed} bytes were there, ${reads} were fetched`);
  t.strictSame(readdirSync(dir), ['a.dbs']);
  t.ok(readFileSync(join(dir, 'a.dbs')).equals(tandem));

  // A line that changes bytes: what arrives damaged is fetched again, and given up where that does not help.
  let wrong = 1;
  place.open = async (name) => {
    const source = await open(name);
    let fetched = 0;
    const read = async (offset: number, into: Buffer) => {
      const have = await source.read(offset, into);
      fetched += have;
      if (wrong > 0 && into.length === 1 << 20 && fetched <= 1 << 21) into[5000]! ^= 1;
      return have;
    };
    const close = async () => void wrong--;
    return { ...source, read, close };
  };
  const twice = await pullBackup('mem://x/a.dbs', join(dir, 'b.dbs'), { settings }).catch((error) => error);
  t.ok(twice.code === undefined || twice.code === 'ERR_SOURCE_ARRIVES_DAMAGED', 'right, or not at all');
  for (const name of readdirSync(dir)) t.ok(readFileSync(join(dir, name)).equals(tandem), name);
});

t.test('push', async (t) => {
  const dir = folder(t);
  const { place, settings } = bucket();
  writeFileSync(join(dir, 'a.dbs'), tandem);
  writeFileSync(join(dir, 'hurt.dbs'), hurt(tandem));
  writeFileSync(join(dir, 'lost.dbs'), lost(tandem));
  t.match(await pushBackup(join(dir, 'a.dbs'), 'mem://x/', { settings }), {
    type: 'push',
    output: 'bucket:a.dbs',
    healed: false,
  });
  t.ok((await place.get('a.dbs')).equals(tandem));
  await t.rejects(pushBackup(join(dir, 'a.dbs'), 'mem://x/', { settings }), { code: 'ERR_SINK_EXISTS' });
  t.match(await pushBackup(join(dir, 'a.dbs'), 'mem://x/', { settings, force: true }), { healed: false });
  t.match(await pushBackup(join(dir, 'hurt.dbs'), 'mem://x/whole.dbs', { settings }), { healed: true });
  t.ok((await place.get('whole.dbs')).equals(tandem), 'damage is not spread');
  await t.rejects(pushBackup(join(dir, 'lost.dbs'), 'mem://x/', { settings }), { code: /ERR_DAMAGE/ });
  await t.rejects(pushBackup(join(dir, 'none.dbs'), 'mem://x/', { settings }), { code: 'ERR_SOURCE_NOT_FOUND' });
  t.strictSame(await names(place), ['a.dbs', 'whole.dbs']);
  const other = join(dir, 'other');
  mkdirSync(other);
  t.match(
    await pushBackup('mem://x/a.dbs', other, { settings }),
    { output: join(other, 'a.dbs') },
    'from URL to folder',
  );
  t.strictSame(readdirSync(other), ['a.dbs']);
  t.equal(new FileDestination(other).name, other);
});
