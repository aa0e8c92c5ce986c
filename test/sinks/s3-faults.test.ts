/** S3 over a line that cuts, delays, lies and refuses: whatever happens, nothing incomplete has a name and no upload stays. */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { SinkError, SourceError } from '../../lib/errors.ts';
import type { S3Tuning } from '../../lib/sinks/s3/client.ts';
import type { S3Settings } from '../../lib/sinks/s3/settings.ts';
import { s3Destination } from '../../lib/sinks/s3.ts';
import type { Destination } from '../../lib/sinks/sink.ts';
import {
  type Asked,
  contents,
  type Kind,
  type Mischief,
  makeBucket,
  makeProxy,
  QUICK,
  serverIsThere,
} from '../support/s3.ts';

const MiB = 2 ** 20;
const nothing = { objects: [], uploads: [] };
const code = (expected: string) => ({ code: expected });

if (serverIsThere(t)) {
  const bucket = await makeBucket(t);
  const proxy = await makeProxy(t);
  const large = randomBytes(6 * MiB + 77);
  const small = randomBytes(200_000);

  const place = (more: S3Settings = {}, tuning: S3Tuning = {}) => {
    const all = { endpoint: proxy.url, region: 'default', partSize: 5 * MiB, ...more };
    return s3Destination(`s3://${bucket}/f/`, all, { ...QUICK, ...tuning });
  };
  const put = async (at: Destination, bytes: Buffer): Promise<void> => {
    const writer = await at.sink('a.dbs').create();
    try {
      await pipeline(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]), writer.stream);
      await writer.finish();
    } catch (error) {
      // The line is well again when the pipeline cleans up.
      proxy.mischief = undefined;
      await writer.abort();
      throw error;
    }
  };
  const get = async (at: Destination, name = 'a.dbs'): Promise<Buffer> => {
    const source = await at.open(name);
    const bytes = Buffer.alloc(source.size);
    await source.read(0, bytes);
    await source.close();
    return bytes;
  };
  const during = async <T>(mischief: (asked: Asked) => Mischief | undefined, work: () => Promise<T>): Promise<T> => {
    proxy.asked.length = 0;
    proxy.mischief = mischief;
    try {
      return await work();
    } finally {
      proxy.mischief = undefined;
    }
  };
  const once = (kind: Kind, what: Mischief) => (asked: Asked) =>
    asked.kind === kind && asked.before === 0 ? what : undefined;
  const always = (kind: Kind, what: Mischief) => (asked: Asked) => (asked.kind === kind ? what : undefined);
  const busy: Mischief = { status: 503, code: 'SlowDown' };
  const nonsense: Mischief = { status: 200, body: '<html><body>Welcome to the hotel network</body></html>' };

  t.test('what happens once is got over', async (t) => {
    const at = await place();
    const cases: [Kind, Mischief, Buffer][] = [
      ['head', 'cut', large],
      ['head', busy, small],
      ['create', 'cut', large],
      ['create', 'cut-before-answer', large],
      ['create', busy, large],
      ['create', nonsense, large],
      ['part', 'cut', large],
      ['part', 'cut-in-request', large],
      ['part', 'cut-before-answer', large],
      ['part', 'flip', large],
      ['part', busy, large],
      ['part', { status: 500, code: 'InternalError' }, large],
      ['complete', 'cut', large],
      ['complete', 'cut-before-answer', large],
      ['complete', 'cut-in-answer', large],
      ['complete', busy, large],
      ['complete', { status: 200, code: 'InternalError' }, large],
      ['complete', nonsense, large],
      ['put', 'cut', small],
      ['put', 'cut-in-request', small],
      ['put', 'cut-before-answer', small],
      ['put', 'flip', small],
      ['put', busy, small],
      ['put', { status: 409, code: 'ConditionalRequestConflict' }, small],
    ];
    for (const [kind, what, bytes] of cases) {
      const label = `${kind}: ${JSON.stringify(what)}`;
      await t.resolves(
        during(once(kind, what), () => put(at, bytes)),
        label,
      );
      t.ok(proxy.asked.filter((asked) => asked.kind === kind).length > 1, `${label} happened`);
      t.ok((await get(at).catch(() => Buffer.alloc(0))).equals(bytes), `${label}: the bytes`);
      await at.remove('a.dbs');
      t.strictSame(await contents(bucket), nothing, `${label}: nothing is left`);
    }
    await at.close();
  });

  t.test('what does not end is a failure with its code, and nothing is left', async (t) => {
    const at = await place();
    const cases: [string, Mischief, Buffer, string, boolean][] = [
      ['head', 'cut', small, 'ERR_SINK_CONNECTION', false],
      ['create', 'cut', large, 'ERR_SINK_CONNECTION', false],
      ['create', 'cut-before-answer', large, 'ERR_SINK_CONNECTION', false],
      ['create', { status: 403, code: 'AccessDenied' }, large, 'ERR_SINK_DENIED', true],
      ['part', 'cut-in-request', large, 'ERR_SINK_CONNECTION', false],
      ['part', 'flip', large, 'ERR_SINK_TRANSFER', false],
      ['part', busy, large, 'ERR_SINK_BUSY', false],
      ['part', { status: 507, code: 'XMinioStorageFull' }, large, 'ERR_SINK_FULL', true],
      ['part', { status: 403, code: 'QuotaExceeded' }, large, 'ERR_SINK_FULL', true],
      ['complete', 'cut', large, 'ERR_SINK_CONNECTION', false],
      ['complete', { status: 500, code: 'InternalError' }, large, 'ERR_SINK_WRITE', false],
      ['complete', { status: 403, code: 'AccessDenied' }, large, 'ERR_SINK_DENIED', true],
      ['complete', { status: 412, code: 'PreconditionFailed' }, large, 'ERR_SINK_EXISTS', true],
      ['put', 'cut', small, 'ERR_SINK_CONNECTION', false],
      ['put', 'flip', small, 'ERR_SINK_TRANSFER', false],
      ['put', nonsense, small, 'ERR_SINK_WRITE', false],
      ['put', { status: 403, code: 'RequestTimeTooSkewed' }, small, 'ERR_SINK_CLOCK', false],
      [
        'put',
        { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-north-1' } },
        small,
        'ERR_SINK_REGION',
        true,
      ],
      ['put', { status: 400, code: 'EntityTooLarge' }, small, 'ERR_SINK_WRITE', true],
    ];
    for (const [kind, what, bytes, expected, permanent] of cases) {
      const label = `${kind}: ${JSON.stringify(what)}`;
      const error = await during(always(kind as Kind, what), () => put(at, bytes)).then(
        () => undefined,
        (error: SinkError) => error,
      );
      t.equal(error?.code, expected, `${label}: ${error?.message}`);
      if (error instanceof SinkError) t.equal(error.permanent, permanent, `${label}: permanent`);
      t.strictSame(await contents(bucket), nothing, `${label}: nothing is left`);
    }
    await at.close();
  });

  t.test('a server that answers slowly, and one that does not', async (t) => {
    const patient = await place();
    await during(always('part', { delay: 300 }), () => put(patient, large));
    t.ok((await get(patient)).equals(large));
    await patient.remove('a.dbs');
    await patient.close();
    const impatient = await place({}, { socketTimeout: 700, retry: { attempts: 2, firstDelay: 10 } });
    const slow: Mischief = { delay: 1500 };
    await t.rejects(
      during(always('part', slow), () => put(impatient, large)),
      {
        code: 'ERR_SINK_TIMEOUT',
        permanent: false,
      },
    );
    t.strictSame(await contents(bucket), nothing);
    await t.rejects(
      during(always('head', slow), () => impatient.stat('a.dbs')),
      code('ERR_SOURCE_TIMEOUT'),
    );
    await impatient.close();
  });

  t.test('the answer to the last request never comes, and it was done', async (t) => {
    const at = await place();
    for (const [kind, bytes] of [
      ['complete', large],
      ['put', small],
    ] as const) {
      await t.resolves(
        during(always(kind, 'cut-before-answer'), () => put(at, bytes)),
        `${kind}: it is there, and ours`,
      );
      t.ok((await get(at)).equals(bytes));
      await at.remove('a.dbs');
    }
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('a network that goes and does not come back leaves what a later run can find', async (t) => {
    const at = await place();
    let gone = false;
    const writing = during(
      (asked) => {
        gone ||= asked.part === 2;
        return gone ? 'cut' : undefined;
      },
      async () => {
        const writer = await at.sink('a.dbs').create();
        await pipeline(Readable.from([large]), writer.stream).catch(() => {});
        await writer.abort();
      },
    );
    await writing;
    t.strictSame((await contents(bucket)).objects, []);
    for await (const file of at.unfinished!()) {
      t.equal(file.name, 'a.dbs');
      await file.remove();
    }
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('the region that the server names is in the message', async (t) => {
    const at = await place();
    const redirected = during(
      () => ({ status: 301, headers: { 'x-amz-bucket-region': 'eu-north-1' } }),
      () => at.sink('a.dbs').create(),
    );
    await t.rejects(redirected, { code: 'ERR_SINK_REGION', message: /eu-north-1/ });
    const body =
      '<Error><Code>AuthorizationHeaderMalformed</Code><Message>no</Message><Region>eu-south-1</Region></Error>';
    const refused = during(
      () => ({ status: 400, body }),
      () => at.list()[Symbol.asyncIterator]().next(),
    );
    await t.rejects(refused, { code: 'ERR_SOURCE_REGION', message: /eu-south-1/ });
    const skewed = during(
      () => ({ status: 403, code: 'RequestTimeTooSkewed' }),
      () => at.stat('a.dbs'),
    );
    await t.rejects(skewed, { code: 'ERR_SOURCE_CLOCK', message: /clock/ });
    await at.close();
  });

  t.test('a server that is not there', async (t) => {
    const closed = await place({ endpoint: 'http://127.0.0.1:9' });
    await t.rejects(closed.sink('a.dbs').create(), { code: 'ERR_SINK_UNREACHABLE', permanent: false });
    await t.rejects(closed.open('a.dbs'), code('ERR_SOURCE_UNREACHABLE'));
    await closed.close();
    const unknown = await place({ endpoint: 'http://nowhere.invalid' });
    await t.rejects(unknown.stat('a.dbs'), code('ERR_SOURCE_UNREACHABLE'));
    await unknown.close();
  });

  t.test('settings become headers', async (t) => {
    const at = await place({
      storageClass: 'GLACIER_IR',
      serverSideEncryption: 'aws:kms',
      kmsKeyId: 'alias/backups',
      objectLock: { mode: 'COMPLIANCE', days: 2 },
    });
    for (const [kind, bytes] of [
      ['put', small],
      ['create', large],
    ] as const) {
      // Ceph has no keys to encrypt with: it is not asked.
      await t.rejects(during(always(kind, { status: 403, code: 'AccessDenied' }), () => put(at, bytes)));
      t.match(proxy.asked.find((asked) => asked.kind === kind)?.headers, {
        'x-amz-storage-class': 'GLACIER_IR',
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'alias/backups',
        'x-amz-object-lock-mode': 'COMPLIANCE',
        'x-amz-object-lock-retain-until-date': /^20/,
        ...(kind === 'put'
          ? { 'x-amz-checksum-crc32': /^.{6}==$/, 'if-none-match': '*' }
          : { 'x-amz-checksum-algorithm': 'CRC32' }),
      });
    }
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('servers that refuse what they do not know', async (t) => {
    const at = await place();
    const strict = ({ kind, headers }: Asked): Mischief | undefined => {
      const unknown =
        headers['x-amz-checksum-crc32'] ?? headers['x-amz-checksum-algorithm'] ?? headers['if-none-match'];
      if (unknown === undefined) return undefined;
      return kind === 'put' ? { status: 501, code: 'NotImplemented' } : { status: 400, code: 'InvalidArgument' };
    };
    for (const bytes of [small, large]) {
      await t.resolves(during(strict, () => put(at, bytes)));
      t.ok((await get(at)).equals(bytes));
      await t.rejects(
        during(strict, () => put(at, bytes)),
        code('ERR_SINK_EXISTS'),
        'still nothing is replaced',
      );
      await at.remove('a.dbs');
    }
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });

  t.test('reading', async (t) => {
    const at = await place();
    await put(at, large);
    for (const what of ['cut', 'cut-in-answer', busy, nonsense] as const)
      t.ok(
        (await during(once('get', what), () => get(at)).catch((e) => e)).equals?.(large) ?? false,
        JSON.stringify(what),
      );
    const resumed = proxy.asked.filter(({ kind }) => kind === 'get').map(({ headers }) => headers.range);
    t.comment(resumed.join(', '));
    const failures: [Mischief, string, boolean][] = [
      ['cut', 'ERR_SOURCE_CONNECTION', false],
      [busy, 'ERR_SOURCE_BUSY', false],
      [{ status: 403, code: 'AccessDenied' }, 'ERR_SOURCE_DENIED', true],
      [{ status: 403, code: 'InvalidObjectState' }, 'ERR_SOURCE_DENIED', true],
      [{ status: 404, code: 'NoSuchKey' }, 'ERR_SOURCE_REPLACED', true],
      [{ status: 500, code: 'InternalError' }, 'ERR_SOURCE_READ', false],
    ];
    for (const [what, expected, permanent] of failures) {
      const error = await during(always('get', what), () => get(at)).then(
        () => undefined,
        (error: SourceError) => error,
      );
      t.match(error, { code: expected, permanent }, JSON.stringify(what));
      t.ok(error instanceof SourceError);
    }
    const source = await at.open('a.dbs');
    const noRanges = during(
      ({ headers }) => ({ status: 200, body: 'x'.repeat(100_000), headers: { etag: headers['if-match']! } }),
      () => source.read(5, Buffer.alloc(10)),
    );
    await t.rejects(noRanges, { code: 'ERR_SOURCE_READ', message: /ranges/ });
    await source.close();
    await t.rejects(source.read(0, Buffer.alloc(10)), code('ERR_SOURCE_READ'), 'after close');
    await at.remove('a.dbs');
    await at.close();
  });

  t.test('a list that is cut', async (t) => {
    const at = await place();
    await put(at, small);
    const names = async () => {
      const found: string[] = [];
      for await (const { name } of at.list()) found.push(name);
      return found;
    };
    t.strictSame(await during(once('list', 'cut-in-answer'), names), ['a.dbs']);
    await t.rejects(during(always('list', 'cut'), names), code('ERR_SOURCE_CONNECTION'));
    await at.remove('a.dbs');
    t.strictSame(await contents(bucket), nothing);
    await at.close();
  });
}
