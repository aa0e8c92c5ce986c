/** The upload, its check and its restore: what each refuses, and that nothing is left or changed then. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { acquireLock, type RestoreResult } from '../../lib/index.ts';
import { corrupt } from '../../lib/testkit/index.ts';
import { scratch } from '../support/orm.ts';
import { exec } from '../support/orm-database.ts';
import { readVectors } from '../vectors/vector.ts';
import {
  backupOf,
  Client,
  handlerOf,
  openApp,
  PASSPHRASE,
  rowsOf,
  spooled,
  until,
  untilFree,
  uploadIn,
} from './support.ts';

const RESTORE = { passphrase: PASSPHRASE, action: 'restore', confirmation: 'RESTORE' };
const JSON_ONLY = { accept: 'application/json' };

const orm = await openApp(t);
const full = await rowsOf(orm);
const backup = await backupOf(orm);

/** Emptied, as after a mistake. */
async function emptied(t: Test, options: Parameters<typeof handlerOf>[2] = {}): Promise<Client> {
  await exec(orm, 'DELETE FROM note', 'DELETE FROM sqlite_sequence');
  return Client.open(handlerOf(t, orm, options));
}

t.test('upload, check, restore', async (t) => {
  const client = await emptied(t);
  const checked = await client.upload(backup);
  t.equal(checked.status, 200);
  const page = await checked.text();
  t.match(page, /The backup is whole/);
  t.match(page, /20 rows, 0 files/);
  t.match(page, /<th scope="row">Note<\/th><td class="n">20<\/td><td class="n">0<\/td>/);
  t.match(page, /up&lt;load&gt;\.dbs/, 'names are escaped');
  t.notMatch(page, /battery/, 'the passphrase is not shown');
  t.same((await rowsOf(orm)).note, [], 'nothing was changed');
  t.equal(spooled(), 1, 'the file waits');
  const upload = uploadIn(page);

  for (const confirmation of ['', 'restore', 'RESTORE it']) {
    const refused = await client.post('/restore', { ...RESTORE, upload, confirmation });
    t.equal(refused.status, 400);
    t.match(await refused.text(), /ERR_WEB_UNCONFIRMED[\s\S]*The backup is whole/, 'the report is still there');
  }
  t.same((await rowsOf(orm)).note, [], 'without the word nothing was changed');

  const restored = await client.post('/restore', { ...RESTORE, upload });
  t.equal(restored.status, 200);
  t.match(await restored.text(), /The backup is restored/);
  t.same(await rowsOf(orm), full, 'every row is back');
  t.equal(spooled(), 0, 'the upload is gone');
  const again = await client.post('/restore', { ...RESTORE, upload });
  t.equal(again.status, 410);
  t.match(await again.text(), /ERR_WEB_UPLOAD_GONE/);
});

t.test('merge and flush', async (t) => {
  const client = await emptied(t);
  await exec(orm, "INSERT INTO note (id, text) VALUES (1, 'changed'), (99, 'new')");
  const merged = (await (await client.upload(backup, {}, JSON_ONLY)).json()) as {
    upload: string;
    restore: RestoreResult;
  };
  t.match(merged.restore, { dryRun: true, entities: [{ inserted: 19, updated: 1 }] });
  const { upload } = merged;
  const tried = await client.post('/restore', { upload, passphrase: PASSPHRASE, mode: 'flush' }, JSON_ONLY);
  t.match(await tried.json(), { type: 'upload', upload, restore: { dryRun: true, entities: [{ inserted: 20 }] } });
  t.equal((await rowsOf(orm)).note!.length, 2, 'tried, and undone again');
  const done = await client.post('/restore', { ...RESTORE, upload, mode: 'flush' }, JSON_ONLY);
  t.match(await done.json(), { type: 'restore', ok: true, dryRun: false, entities: [{ inserted: 20 }] });
  t.same(await rowsOf(orm), full);
  const kept = uploadIn(await (await client.upload(backup, { mode: 'merge' })).text());
  await exec(orm, "INSERT INTO note (id, text) VALUES (99, 'new')");
  await client.post('/restore', { ...RESTORE, upload: kept });
  t.equal((await rowsOf(orm)).note!.length, 21, 'a merge keeps what is not in the backup');
});

t.test('damage that heals', async (t) => {
  const client = await emptied(t);
  const { bytes } = corrupt(backup, 'zero:64KiB@0,sectors:4096:0.01', { seed: 7 });
  const page = await (await client.upload(bytes)).text();
  t.match(page, /The backup healed itself/);
  const done = await client.post('/restore', { ...RESTORE, upload: uploadIn(page) });
  t.match(await done.text(), /The backup is restored[\s\S]*damaged, and healed itself/);
  t.same(await rowsOf(orm), full);
});

t.test('files that are refused', async (t) => {
  const client = await emptied(t);
  const newer = readVectors().find(({ name }) => name === 'newer-version')!;
  const before = await rowsOf(orm);
  const cases: [string, Buffer, number, RegExp][] = [
    ['no backup', randomBytes(100_000), 422, /ERR_FORMAT_NOT_DBS/],
    ['a text', Buffer.from('hello'), 422, /ERR_FORMAT_NOT_DBS/],
    ['cut', backup.subarray(0, 6000), 422, /ERR_TRUNCATED|ERR_DAMAGE/],
    ['beyond repair', corrupt(backup, 'sectors:4096:0.4', { seed: 1 }).bytes, 422, /ERR_DAMAGE/],
    ['of a newer version', newer.container, 422, /ERR_FORMAT_NEWER/],
    ['empty', Buffer.alloc(0), 400, /ERR_WEB_NO_FILE/],
  ];
  for (const [name, bytes, status, code] of cases) {
    const response = await client.upload(bytes);
    t.equal(response.status, status, name);
    const page = await response.text();
    t.match(page, code);
    t.match(page, /<a href="#upload-backup">/, 'beside the file');
    t.same(await rowsOf(orm), before, 'nothing was changed');
    t.equal(spooled(), 0, 'and nothing is kept');
    const json = await client.upload(bytes, {}, JSON_ONLY);
    t.match(await json.json(), { type: 'error', code, status });
  }
  const none = await client.post('/upload', client.form(null));
  t.equal(none.status, 400);
  t.match(await none.text(), /ERR_WEB_NO_FILE/);
  const noPassphrase = await client.upload(backup, { passphrase: '' });
  t.equal(noPassphrase.status, 400);
  t.match(await noPassphrase.text(), /ERR_WEB_FORM/);
  t.equal((await client.upload(backup, { mode: 'erase' })).status, 400);
});

t.test('a wrong passphrase', async (t) => {
  const told: unknown[] = [];
  const client = await emptied(t, { onEvent: (event) => told.push(event), onError: (error) => told.push(error) });
  const wrong = await client.upload(backup, { passphrase: 'not "this" one' });
  t.equal(wrong.status, 422);
  const page = await wrong.text();
  t.match(page, /ERR_KEY_WRONG_PASSPHRASE/);
  t.match(page, /<a href="#restore-passphrase">/);
  t.notMatch(page, /not .*this.* one/, 'it is not shown');
  t.notMatch(page, /Restore now/, 'there is nothing to confirm yet');
  const upload = uploadIn(page);
  const json = await client.post('/restore', { ...RESTORE, upload, passphrase: 'x' }, JSON_ONLY);
  t.match(await json.json(), { type: 'error', code: 'ERR_KEY_WRONG_PASSPHRASE', status: 422, upload });
  t.equal((await client.post('/restore', { upload, passphrase: '', action: 'check' })).status, 400);
  t.same((await rowsOf(orm)).note, [], 'nothing was changed');
  const right = await client.post('/restore', { upload, passphrase: PASSPHRASE, action: 'check' });
  t.match(await right.text(), /The backup is whole/, 'the upload is still there for the right one');
  t.ok(told.length > 0);
  t.notMatch(inspect(told, { depth: null }), /battery|not "this"/, 'no event and no error holds a passphrase');
});

t.test('schemas that differ', async (t) => {
  const wide = await openApp(t, { columns: { mood: { type: 'string', nullable: true } } });
  await exec(wide, "UPDATE note SET mood = 'glad' WHERE id < 4");
  const bytes = await backupOf(wide);
  const client = await emptied(t);
  const refused = await client.upload(bytes);
  t.equal(refused.status, 409);
  const page = await refused.text();
  t.match(page, /The restore would be refused/);
  t.match(page, /Note\.mood<\/th><td>not in the target, left out<\/td><td class="n">3<\/td>/);
  const upload = uploadIn(page);
  const still = await client.post('/restore', { ...RESTORE, upload });
  t.equal(still.status, 409);
  t.match(await still.text(), /ERR_RESTORE_SCHEMA_DRIFT/);
  t.same((await rowsOf(orm)).note, [], 'nothing was changed');
  const tried = await client.post('/restore', { upload, passphrase: PASSPHRASE, allowDrift: 'yes' });
  t.equal(tried.status, 200);
  await client.post('/restore', { ...RESTORE, upload, allowDrift: 'yes' });
  t.equal((await rowsOf(orm)).note!.length, 20, 'with the box ticked it is restored');
});

t.test('an upload belongs to one browser, for a time', async (t) => {
  await exec(orm, 'DELETE FROM note');
  const handler = handlerOf(t, orm, { keepUploads: '1m' });
  const [client, other] = [await Client.open(handler), await Client.open(handler)];
  const upload = uploadIn(await (await client.upload(backup)).text());
  t.equal((await other.post('/restore', { ...RESTORE, upload })).status, 410, "another's is not found");
  const discarded = await client.post('/restore', { upload, action: 'discard' });
  t.same([discarded.status, discarded.headers.get('location')], [303, '/admin/backups']);
  t.equal(spooled(), 0, 'removed');
  t.equal((await client.post('/restore', { upload, action: 'explode' })).status, 410);
  const first = uploadIn(await (await client.upload(backup)).text());
  t.equal((await client.post('/restore', { upload: first, action: 'explode' })).status, 400);
  await client.upload(backup);
  t.equal(spooled(), 1, 'the next upload takes the place of the one before');

  const brief = await emptied(t, { keepUploads: 50 });
  const soon = uploadIn(await (await brief.upload(backup)).text());
  await until(() => spooled() === 1);
  t.equal((await brief.post('/restore', { ...RESTORE, upload: soon })).status, 410, 'its time is over');
  t.same((await rowsOf(orm)).note, []);
});

t.test('not more than some', async (t) => {
  await exec(orm, 'DELETE FROM note');
  const handler = handlerOf(t, orm);
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(handler)));
  const statuses: number[] = [];
  for (const client of clients) statuses.push((await client.upload(backup, { passphrase: 'wrong' })).status);
  t.same(statuses, [422, 422, 422, 422, 503]);
  t.equal(spooled(), 4);
  await handler.close();
  t.equal(spooled(), 0, 'close removes them');
});

t.test('one at a time', async (t) => {
  const client = await emptied(t);
  const held = await acquireLock(orm);
  const locked = await client.upload(backup);
  t.equal(locked.status, 423);
  const page = await locked.text();
  t.match(page, /ERR_BACKUP_LOCKED/);
  await held.release();
  const upload = uploadIn(page);
  const [one, two] = await Promise.all([
    client.post('/restore', { ...RESTORE, upload }),
    client.post('/restore', { ...RESTORE, upload }),
  ]);
  t.same([one!.status, two!.status].sort(), [200, 410], 'of two who restore the same upload, one does');
  t.same(await rowsOf(orm), full);
  await (await acquireLock(orm)).release();
});

t.test('limits', async (t) => {
  const client = await emptied(t, { maxUploadBytes: 50_000 });
  const large = await client.upload(randomBytes(60_000));
  t.equal(large.status, 413);
  t.match(await large.text(), /ERR_WEB_TOO_LARGE/);
  t.equal((await client.upload(randomBytes(50_000))).status, 422, 'as large as it may be');
  const said = await client.upload(randomBytes(10), {}, { 'content-length': '5000000' });
  t.equal(said.status, 413, 'what is too large by its own account is not read');

  const two = client.form(randomBytes(10));
  two.append('backup', new Blob(['x']), 'two.dbs');
  t.match(await (await client.post('/upload', two)).text(), /more than one file/);
  const many = client.form(null);
  for (let i = 0; i < 30; i++) many.set(`f${i}`, 'x');
  many.set('backup', new Blob(['x']), 'x.dbs');
  t.match(await (await client.post('/upload', many)).text(), /too many fields/);
  const late = new FormData();
  late.set('backup', new Blob([backup.subarray(0, 40_000)]), 'x.dbs');
  late.set('csrf', client.token);
  t.equal((await client.post('/upload', late)).status, 403, 'fields come before the file');
  t.equal(spooled(), 0);
});

/** A body that is sent as it is; a number is a pause of so many milliseconds. */
const bodyOf = (...chunks: (string | Buffer | Error | number)[]): ReadableStream =>
  new ReadableStream({
    async pull(controller) {
      let next = chunks.shift();
      if (typeof next === 'number') {
        await pause(next);
        next = chunks.shift();
      }
      if (next === undefined) controller.close();
      else if (next instanceof Error) controller.error(next);
      else controller.enqueue(Buffer.from(next as string));
    },
  });

t.test('uploads that come in badly', async (t) => {
  const client = await emptied(t);
  const multipart = { 'content-type': 'multipart/form-data; boundary=AaB' };
  const field = (name: string, value: string) =>
    `--AaB\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const fields = field('csrf', client.token) + field('passphrase', PASSPHRASE);
  const file = '--AaB\r\nContent-Disposition: form-data; name="backup"; filename="a.dbs"\r\n\r\n';
  const cases: [string, ReadableStream | null, Record<string, string>, number, RegExp][] = [
    ['no body', null, multipart, 400, /ERR_WEB_FORM/],
    ['no boundary', bodyOf('x'), { 'content-type': 'multipart/form-data; charset=utf-8' }, 400, /ERR_WEB_FORM/],
    ['not multipart', bodyOf('x'), { 'content-type': 'text/plain' }, 415, /ERR_WEB_MEDIA_TYPE/],
    ['no parts', bodyOf('nothing'), multipart, 400, /ERR_WEB_FORM/],
    ['cut in a file', bodyOf(fields, file, backup.subarray(0, 200_000)), multipart, 400, /ERR_WEB_FORM/],
    ['cut in a field', bodyOf(field('csrf', client.token), '--AaB\r\nContent-Dispo'), multipart, 400, /ERR_WEB_FORM/],
    [
      'cut after a file',
      bodyOf(fields, file, backup, `\r\n${field('x', 'y')}`, 200, '--AaB'),
      multipart,
      400,
      /ERR_WEB_FORM/,
    ],
    ['a body that breaks', bodyOf(fields, file, backup, new Error('reset')), multipart, 400, /ERR_WEB_FORM/],
  ];
  for (const [name, body, headers, status, code] of cases) {
    const response = await client.post('/upload', body, headers);
    t.equal(response.status, status, name);
    t.match(await response.text(), code);
    t.equal(spooled(), 0);
  }
  // An upload need not say how long it is.
  const whole = await client.post('/upload', bodyOf(fields, file, backup, '\r\n--AaB--\r\n'), multipart);
  t.equal(whole.status, 200);
  const slow = bodyOf(
    fields,
    file,
    ...Array.from({ length: 50 }, (_, i) => backup.subarray(i * 1000, i * 1000 + 1000)),
  );
  t.equal((await client.post('/upload', slow, multipart)).status, 400);
});

t.test('who goes away', async (t) => {
  const client = await emptied(t);
  const stop = new AbortController();
  const form = client.form(backup);
  const sent = new Response(form);
  const type = sent.headers.get('content-type')!;
  const body = Buffer.from(await sent.arrayBuffer());
  const never = new ReadableStream({ start: (controller) => controller.enqueue(body.subarray(0, body.length / 2)) });
  const waiting = client.post('/upload', never, { 'content-type': type }, stop.signal);
  await until(() => spooled() > 0);
  stop.abort(new Error('gone'));
  await waiting;
  t.equal(spooled(), 0, 'in the middle of an upload: nothing is kept');

  const upload = uploadIn(await (await client.upload(backup)).text());
  const restoring = new AbortController();
  let begun = false;
  const other = await emptied(t, {
    onEvent: (event) => {
      if (event.type !== 'progress' || event.phase !== 'restore') return;
      begun = true;
      restoring.abort(new Error('gone'));
    },
  });
  const theirs = uploadIn(await (await other.upload(backup, { passphrase: 'wrong' })).text());
  await other.post('/restore', { ...RESTORE, upload: theirs }, {}, restoring.signal);
  t.ok(begun);
  t.same((await rowsOf(orm)).note, [], 'in the middle of a restore: it is undone');
  await untilFree(orm);
  await pause(10);
  t.equal((await client.post('/restore', { ...RESTORE, upload })).status, 200, 'and the next one can begin');
});

t.test('who falls asleep', async (t) => {
  const client = await emptied(t, { stallTimeout: 200 });
  const { csrf, file } = { csrf: client.token, file: 'name="backup"; filename="a.dbs"' };
  const start = `--AaB\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n${csrf}\r\n--AaB\r\nContent-Disposition: form-data; name="passphrase"\r\n\r\nx\r\n--AaB\r\nContent-Disposition: form-data; ${file}\r\n\r\nDBS`;
  const never = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from(start)) });
  const response = await client.post('/upload', never, { 'content-type': 'multipart/form-data; boundary=AaB' });
  t.equal(response.status, 408);
  t.match(await response.text(), /ERR_WEB_STALLED/);
  t.equal(spooled(), 0);
});

t.test('where uploads cannot be kept', async (t) => {
  const client = await emptied(t, { onError: () => {} });
  const { TMPDIR } = process.env;
  process.env.TMPDIR = join(scratch, 'nowhere');
  const response = await client.upload(backup);
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  t.equal(response.status, 507);
  t.match(await response.text(), /ENOENT[\s\S]*ERR_WEB_UPLOAD_NOT_KEPT/);
});

t.test('after all of that', async (t) => {
  t.equal(spooled(), 0, 'no upload is left');
});
