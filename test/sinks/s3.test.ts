/** S3 against a real server: the conformance suite, and what is S3's own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { inspect } from 'node:util';
import t, { type Test } from 'tap';
import { sealStream, unsealStream, validateBackup } from '../../lib/index.ts';
import { loadSdk } from '../../lib/sinks/s3/client.ts';
import { parseS3Url, type S3Settings } from '../../lib/sinks/s3/settings.ts';
import { checkS3Settings, s3Destination } from '../../lib/sinks/s3.ts';
import type { Destination } from '../../lib/sinks/sink.ts';
import { sinkConformance } from '../../lib/testkit/index.ts';
import { contents, ENDPOINT, makeBucket, plainClient, QUICK, serverIsThere, settings } from '../support/s3.ts';

const MiB = 2 ** 20;
const code = (expected: string) => ({ code: expected });

async function put(at: Destination, name: string, bytes: Buffer, force = false): Promise<void> {
  const writer = await at.sink(name, { force }).create();
  try {
    await pipeline(Readable.from([bytes]), writer.stream);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

if (serverIsThere(t)) {
  const bucket = await makeBucket(t);
  let places = 0;
  const place = (more: S3Settings = {}, prefix = `place-${places++}/`) =>
    s3Destination(`s3://${bucket}/${prefix}`, settings(more), { ...QUICK, pageSize: 3 });
  const nothing = { objects: [], uploads: [] };

  t.test('the suite', async (t: Test) => {
    const open = () => place({ partSize: 5 * MiB });
    for (const { name, run } of sinkConformance({ open, big: 36 * MiB, memory: 34 * MiB }))
      await t.resolves(run(), name);
    t.strictSame(await contents(bucket), nothing, 'nothing is left');
  });

  t.test('a backup, in parts and by one request, is read back from there and restores', async (t) => {
    const at = await place({ partSize: 5 * MiB, parallelParts: 2 });
    const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
    for (const length of [50_000, 9_000_000]) {
      const input = randomBytes(length);
      const sealed = await sealStream(
        Readable.from([input]),
        { passphrases: ['x'], kdf },
        { output: at.sink('a.dbs') },
      );
      t.equal(sealed.layout, 'interleaved');
      const source = await at.open('a.dbs');
      t.match(await validateBackup(source, 'x'), { ok: true, damaged: false });
      const found: Buffer[] = [];
      const back = await at.open('a.dbs');
      const output = new Writable({
        write(chunk, _encoding, callback) {
          found.push(Buffer.from(chunk));
          callback();
        },
      });
      await unsealStream(back, 'x', output);
      t.ok(Buffer.concat(found).equals(input), `${length} bytes`);
      await source.close();
      await back.close();
      await at.remove('a.dbs');
    }
    await at.close();
  });

  t.test('an abort in the middle leaves neither object nor upload', async (t) => {
    const at = await place({ partSize: 5 * MiB });
    const stop = new AbortController();
    const input = async function* () {
      for (let i = 0; ; i++) {
        if (i === 20) stop.abort(new Error('enough'));
        yield randomBytes(MiB);
      }
    };
    const sealing = sealStream(Readable.from(input()), 'a passphrase', {
      output: at.sink('a.dbs'),
      signal: stop.signal,
    });
    await t.rejects(sealing, { message: 'enough' });
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('what an earlier run left is found by name and age, and removed', async (t) => {
    const prefix = 'left/';
    const at = await place({}, prefix);
    const sdk = await loadSdk();
    const client = await plainClient();
    for (const Key of ['left/app-20260101-000000Z.dbs', 'left/deeper/other', 'elsewhere'])
      await client.send(new sdk.CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    const found = [];
    for await (const file of at.unfinished!()) found.push(file);
    t.match(found, [{ name: 'app-20260101-000000Z.dbs' }], 'only what would lie directly in this place');
    t.ok(Math.abs(found[0]!.started.getTime() - Date.now()) < 3_600_000, 'with its time');
    await found[0]!.remove();
    await found[0]!.remove();
    t.strictSame((await contents(bucket)).uploads.sort(), ['elsewhere', 'left/deeper/other'], 'nobody else is touched');
    for (const other of ['', 'left/deeper/'])
      for await (const file of (await place({}, other)).unfinished!()) await file.remove();
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('two writers of one name at the same moment', async (t) => {
    const at = await place({ partSize: 5 * MiB });
    for (const length of [1000, 6_000_000]) {
      const inputs = [randomBytes(length), randomBytes(length)];
      const outcomes = await Promise.allSettled(inputs.map((bytes) => put(at, 'a.dbs', bytes)));
      const [won, lost] = [
        outcomes.filter((o) => o.status === 'fulfilled'),
        outcomes.filter((o) => o.status === 'rejected'),
      ];
      t.ok(won.length >= 1, 'one of them is there');
      for (const { reason } of lost) t.match(reason, code('ERR_SINK_EXISTS'));
      const source = await at.open('a.dbs');
      const bytes = Buffer.alloc(length);
      await source.read(0, bytes);
      t.ok(
        inputs.some((input) => input.equals(bytes)),
        'whole',
      );
      await at.remove('a.dbs');
    }
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('storage class and Object Lock', async (t) => {
    const locked = await makeBucket(t, { lock: true });
    const more: S3Settings = {
      storageClass: 'STANDARD',
      objectLock: { mode: 'GOVERNANCE', days: 3 },
      partSize: 5 * MiB,
    };
    const at = await s3Destination(`s3://${locked}`, settings(more), QUICK);
    const sdk = await loadSdk();
    const client = await plainClient();
    for (const length of [1000, 6_000_000]) {
      await put(at, 'a.dbs', randomBytes(length), true);
      const head = await client.send(new sdk.HeadObjectCommand({ Bucket: locked, Key: 'a.dbs' }));
      t.equal(head.ObjectLockMode, 'GOVERNANCE');
      const days = (head.ObjectLockRetainUntilDate!.getTime() - Date.now()) / 86_400_000;
      t.ok(days > 2.9 && days < 3.1, `retained for ${days} days`);
      const { VersionId } = head;
      await t.rejects(
        client.send(new sdk.DeleteObjectCommand({ Bucket: locked, Key: 'a.dbs', VersionId })),
        /denied|Forbidden|WORM/i,
      );
    }
    await at.close();
  });

  t.test('what the server refuses has its own code, and no secret', async (t) => {
    const none = await s3Destination('s3://dbs-no-such-bucket/x/', settings(), QUICK);
    await t.rejects(none.sink('a.dbs').create(), code('ERR_SINK_NO_BUCKET'));
    await t.rejects(none.open('a.dbs'), code('ERR_SOURCE_NO_BUCKET'));
    await t.rejects(none.stat('a.dbs'), code('ERR_SOURCE_NO_BUCKET'));
    await t.rejects(none.list()[Symbol.asyncIterator]().next(), code('ERR_SOURCE_NO_BUCKET'));
    await none.close();
    const [key, secret] = [process.env.AWS_ACCESS_KEY_ID!, process.env.AWS_SECRET_ACCESS_KEY!];
    for (const [wrongKey, wrongSecret] of [
      ['nobodyskey', secret],
      [key, 'not-the-secret-of-this-key'],
    ]) {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID: wrongKey, AWS_SECRET_ACCESS_KEY: wrongSecret });
      try {
        const at = await place();
        const errors = [
          await at
            .sink('a.dbs')
            .create()
            .catch((error: unknown) => error),
          await at.stat('a.dbs').catch((error: unknown) => error),
          await at.remove('a.dbs').catch((error: unknown) => error),
        ];
        t.match(errors, [
          { code: 'ERR_SINK_CREDENTIALS', permanent: true },
          { code: 'ERR_SOURCE_CREDENTIALS', permanent: true },
          { code: 'ERR_SINK_CREDENTIALS' },
        ]);
        for (const error of errors) t.notOk(inspect(error, { depth: 9 }).includes(wrongSecret!), 'no secret in it');
        await at.close();
      } finally {
        Object.assign(process.env, { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret });
      }
    }
  });

  t.test('a clock that is wrong is put right by the answer', async (t) => {
    const at = await place();
    // What the SDK takes for the time, an hour ahead: the server refuses the first request.
    const RealDate = Date;
    const ahead = class extends RealDate {
      constructor(...given: [number?]) {
        super(given.length > 0 ? given[0]! : RealDate.now() + 3_600_000);
      }
      static override now() {
        return RealDate.now() + 3_600_000;
      }
    };
    globalThis.Date = ahead as DateConstructor;
    try {
      await put(at, 'a.dbs', Buffer.from('late'));
    } finally {
      globalThis.Date = RealDate;
    }
    t.equal((await at.stat('a.dbs'))?.size, 4);
    await at.remove('a.dbs');
    await at.close();
  });

  t.test('the terminal stays clean', async (t) => {
    const script = `
      import { s3Destination } from ${JSON.stringify(join(import.meta.dirname, '../../lib/sinks/s3.ts'))};
      const at = await s3Destination('s3://${bucket}/clean/', { endpoint: ${JSON.stringify(ENDPOINT)} });
      console.log(await at.stat('none'));
      console.log(process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED);
      await at.close();`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
      cwd: join(import.meta.dirname, '../..'),
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    t.equal(stderr, '');
    t.equal(stdout, 'null\nundefined\n', 'and nothing stays in the environment');
  });
}

t.test('settings', async (t) => {
  const all: S3Settings = {
    endpoint: 'https://s3.example.com:9000',
    region: 'eu-central-1',
    forcePathStyle: true,
    storageClass: 'STANDARD_IA',
    objectLock: { mode: 'COMPLIANCE', days: 30 },
    serverSideEncryption: 'aws:kms',
    kmsKeyId: 'alias/backups',
    partSize: 64 * MiB,
    parallelParts: 8,
    profile: 'backup',
  };
  t.equal(checkS3Settings(all, 's3'), all);
  t.throws(() => checkS3Settings({ storageclass: 'X' }, 's3'), {
    code: 'ERR_CONFIG_UNKNOWN_OPTION',
    message: /"storageClass"/,
  });
  t.throws(
    () => checkS3Settings({ objectLock: { mode: 'COMPLIANCE', day: 1 } }, 's3'),
    code('ERR_CONFIG_UNKNOWN_OPTION'),
  );
  for (const wrong of [
    [],
    null,
    { endpoint: 's3.example.com' },
    { endpoint: 'https://user:password@s3.example.com' },
    { region: '' },
    { forcePathStyle: 'yes' },
    { partSize: 4 * MiB },
    { partSize: 2048 * MiB },
    { parallelParts: 0 },
    { parallelParts: 1.5 },
    { serverSideEncryption: 'yes' },
    { objectLock: { mode: 'STRICT', days: 1 } },
    { objectLock: { mode: 'COMPLIANCE', days: 0 } },
    { objectLock: { mode: 'COMPLIANCE' } },
  ])
    t.throws(() => checkS3Settings(wrong, 's3'), code('ERR_CONFIG_INVALID_OPTION'), inspect(wrong));
});

t.test('URLs', async (t) => {
  t.strictSame(parseS3Url('s3://bucket'), { bucket: 'bucket', prefix: '' });
  t.strictSame(parseS3Url('s3://bucket/'), { bucket: 'bucket', prefix: '' });
  t.strictSame(parseS3Url('s3://my.bucket-1/a b/%20?'), { bucket: 'my.bucket-1', prefix: 'a b/%20?/' });
  for (const wrong of [
    's3:/bucket/',
    's3://',
    's3://ab/',
    's3://key:secret@bucket/x',
    's3://bucket//x',
    's3://bucket/a//b',
    's3://bu_cket!/',
    'http://bucket/',
    's3://bucket/a\nb',
  ])
    t.throws(() => parseS3Url(wrong), { code: 'ERR_CONFIG_S3_URL', message: /^(?!.*secret@)/ }, wrong);
  await t.rejects(s3Destination('s3://'), code('ERR_CONFIG_S3_URL'));
});

t.test('without the package', async (t) => {
  const missing = async () => {
    throw Object.assign(new Error("Cannot find package '@aws-sdk/client-s3'"), { code: 'ERR_MODULE_NOT_FOUND' });
  };
  await t.rejects(loadSdk(missing), { code: 'ERR_CONFIG_PACKAGE_MISSING', message: /npm install @aws-sdk\/client-s3/ });
});

t.test('without region or credentials', async (t) => {
  const script = `
    import { s3Destination } from ${JSON.stringify(join(import.meta.dirname, '../../lib/sinks/s3.ts'))};
    const tell = (error) => console.log(error.code);
    await s3Destination('s3://bucket/x/', {}).catch(tell);
    const at = await s3Destination('s3://bucket/x/', { endpoint: 'http://127.0.0.1:9' });
    await at.stat('a').catch(tell);`;
  const { AWS_REGION: _r, AWS_ACCESS_KEY_ID: _k, AWS_SECRET_ACCESS_KEY: _s, ...env } = process.env;
  const out = execFileSync(process.execPath, ['--import=tsx', '--no-warnings', '--input-type=module', '-e', script], {
    encoding: 'utf8',
    cwd: join(import.meta.dirname, '../..'),
    env: {
      ...env,
      HOME: '/nonexistent',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/nonexistent',
      AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
    },
  });
  t.equal(out, 'ERR_SINK_REGION\nERR_SOURCE_CREDENTIALS\n');
});
