/** The download: what it is, who may have it at once, and how it ends when something breaks. */
import t from 'tap';
import { acquireLock, newKeyPair, parseIdentities, restoreBackup, validateBackup } from '../../lib/index.ts';
import { exec } from '../support/orm-database.ts';
import { Client, handlerOf, openApp, PASSPHRASE, rowsOf, until, untilFree, withLocks } from './support.ts';

const form = { passphrase: PASSPHRASE, repeat: PASSPHRASE };
/** Of several blocks. */
const LARGE = { bytes: 6 << 20, rows: 12 };

t.test('a backup', async (t) => {
  const pair = newKeyPair();
  const dbs = { prefix: 'shop', recipients: [pair.recipient] };
  const orm = await openApp(t, { dbs });
  const before = await rowsOf(orm);
  const client = await Client.open(handlerOf(t, orm));
  const response = await client.post('/download', form);
  t.equal(response.status, 200);
  t.equal(response.headers.get('content-type'), 'application/octet-stream');
  t.match(response.headers.get('content-disposition'), /^attachment; filename="shop-\d{8}-\d{6}Z\.dbs"$/);
  t.equal(response.headers.get('x-accel-buffering'), 'no');
  const bytes = Buffer.from(await response.arrayBuffer());
  t.match(await validateBackup(bytes, PASSPHRASE), { ok: true, damaged: false, authentic: true, totals: { rows: 20 } });
  t.match(
    await validateBackup(bytes, { identities: parseIdentities(pair.identity) }),
    { ok: true },
    'the recipients of the settings open it, too',
  );
  await exec(orm, 'DELETE FROM note');
  await restoreBackup(orm, bytes, PASSPHRASE);
  t.same(await rowsOf(orm), before, 'every row is in it');
  await (await acquireLock(orm)).release();
  t.pass('and the lock is free again');
});

t.test('passphrases', async (t) => {
  const client = await Client.open(handlerOf(t, await openApp(t)));
  const wrong: [Record<string, string>, RegExp][] = [
    [{ passphrase: PASSPHRASE, repeat: `${PASSPHRASE}!` }, /ERR_KEY_PASSPHRASES_DIFFER/],
    [{ passphrase: PASSPHRASE }, /ERR_KEY_PASSPHRASES_DIFFER/],
    [{ passphrase: '', repeat: '' }, /ERR_WEB_FORM/],
    [{}, /ERR_WEB_FORM/],
    [{ ...form, passphrase: 'x'.repeat(70_000) }, /ERR_WEB_FORM/],
  ];
  for (const [fields, code] of wrong) {
    const response = await client.post('/download', fields);
    t.equal(response.status, 400);
    const page = await response.text();
    t.match(page, code);
    t.notMatch(page, /battery|xxxx/, 'no passphrase is shown again');
  }
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, 'x']));
  t.match(await (await client.post('/download', { ...form, ...many })).text(), /too many fields/);
  const withFile = client.form(Buffer.from('x'));
  t.match(await (await client.post('/download', withFile)).text(), /no place for a file/);
});

t.test('one at a time', async (t) => {
  const orm = await openApp(t);
  const client = await Client.open(handlerOf(t, orm));
  const held = await acquireLock(orm);
  const locked = await client.post('/download', form);
  t.equal(locked.status, 423);
  t.match(await locked.text(), /Another instance is making a backup.*ERR_BACKUP_LOCKED/s);
  await held.release();
  const first = await client.post('/download', form);
  t.equal(first.status, 200);
  t.equal((await client.post('/download', form)).status, 423, 'while another download is read');
  await first.arrayBuffer();
  const next = await client.post('/download', form);
  t.equal(next.status, 200);
  await next.body!.cancel();
  const free = await openApp(t, { dbs: { lock: false } });
  const unlocked = await Client.open(handlerOf(t, free));
  const two = await Promise.all([unlocked.post('/download', form), unlocked.post('/download', form)]);
  t.same(
    two.map(({ status }) => status),
    [200, 200],
    'where the settings want no lock, there is none',
  );
  for (const { body } of two) await body!.cancel();
});

t.test('what fails before the first block is a page', async (t) => {
  const gone = await openApp(t, { dbs: { lock: false } });
  await exec(gone, 'DROP TABLE note');
  const errors: unknown[] = [];
  const client = await Client.open(handlerOf(t, gone, { onError: (error) => errors.push(error) }));
  const response = await client.post('/download', form);
  t.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  t.equal(response.status, 500);
  t.match(await response.text(), /ERR_SOURCE_MISSING_TABLE/);
  t.match(errors, [{ code: 'ERR_SOURCE_MISSING_TABLE' }], 'and the app is told');
});

t.test('a transfer that breaks', async (t) => {
  const orm = await openApp(t, { ...LARGE, dbs: { lock: { lease: '1s' } } });
  const broken: unknown[] = [];
  const options = { onError: (error: unknown) => broken.push(error) };
  const client = await Client.open(handlerOf(t, orm, options));

  await t.test('midway: the body is an error, and no end', async (t) => {
    const response = await client.post('/download', form);
    const reader = response.body!.getReader();
    t.equal((await reader.read()).done, false);
    await withLocks(orm, "UPDATE dbs_lock SET owner = 'thief', fence = fence + 1, expires_at = 0");
    await until(() => broken.length > 0);
    await t.rejects(reader.read(), { code: 'ERR_LOCK_LOST' });
    t.match(broken, [{ code: 'ERR_LOCK_LOST' }]);
  });

  await t.test('the reader goes away', async (t) => {
    const stop = new AbortController();
    const response = await client.post('/download', form, {}, stop.signal);
    const reader = response.body!.getReader();
    await reader.read();
    stop.abort(new Error('gone'));
    await t.rejects(async () => {
      while (!(await reader.read()).done);
    });
    await untilFree(orm);
    t.pass('and the lock is free');
    await exec(orm, 'PRAGMA wal_checkpoint(TRUNCATE)');
    const cancelled = await client.post('/download', form);
    await cancelled.body!.cancel();
    await (await acquireLock(orm)).release();
    t.pass('also where the body is cancelled');
  });

  await t.test('the reader sleeps', async (t) => {
    broken.length = 0;
    const asleep = await Client.open(handlerOf(t, orm, { ...options, stallTimeout: 200 }));
    const response = await asleep.post('/download', form);
    const reader = response.body!.getReader();
    await reader.read();
    await until(() => broken.length > 0);
    t.match(broken, [{ code: 'ERR_WEB_STALLED' }]);
    await t.rejects(reader.read(), { code: 'ERR_WEB_STALLED' });
    await untilFree(orm);
    t.pass('and the lock is free');
  });
});
