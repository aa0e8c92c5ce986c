/** How an upload is cut into parts: all the bytes, in bounds, whatever the length; and what errors are called. No server is needed. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { answerOf, s3Error } from '../../lib/sinks/s3/errors.ts';
import { crcOf, MAX_PARTS, partSizeOf } from '../../lib/sinks/s3/parts.ts';
import { PartsWriter } from '../../lib/sinks/s3/parts-writer.ts';

const MiB = 2 ** 20;
const TiB = 2 ** 40;

t.test('10,000 parts hold what the settings promise', async (t) => {
  const capacity = (first: number) => {
    let sum = 0;
    for (let number = 1; number <= MAX_PARTS; number++) {
      const size = partSizeOf(number, first);
      if (size > 5 * 2 ** 30 || size < 5 * MiB) t.fail(`part ${number} of ${size} bytes`);
      sum += size;
    }
    return sum;
  };
  t.equal(partSizeOf(1, 8 * MiB), 8 * MiB);
  t.equal(partSizeOf(2000, 8 * MiB), 8 * MiB);
  t.equal(partSizeOf(2001, 8 * MiB), 16 * MiB);
  t.equal(partSizeOf(10_000, 8 * MiB), 1024 * MiB);
  t.equal(partSizeOf(10_000, 64 * MiB), 1024 * MiB, 'and no more: it is held in memory');
  t.ok(capacity(5 * MiB) > 1.8 * TiB, `${capacity(5 * MiB) / TiB} TiB with the default`);
  t.ok(capacity(64 * MiB) > 5.8 * TiB, `${capacity(64 * MiB) / TiB} TiB with 64 MiB`);
});

t.test('checksums are as S3 writes them', async (t) => {
  // The check value of CRC-32: 0xcbf43926.
  t.equal(crcOf(Buffer.from('123456789')), 'y/Q5Jg==');
});

/** Runs bytes of a counter through a writer whose first part has `first` bytes. */
async function run(length: number, first: number, options: { parallel?: number; failAt?: number } = {}) {
  const [sizes, underWay] = [new Map<number, number>(), new Set<number>()];
  const sums = new Map<number, number>();
  let most = 0;
  let broken: Error | null | undefined;
  const writer = new PartsWriter({
    name: 's3://bucket/a.dbs',
    partSize: first,
    parallelParts: options.parallel ?? 4,
    send: async (number, bytes) => {
      underWay.add(number);
      const held = [...underWay].reduce((sum, one) => sum + partSizeOf(one, first), 0);
      most = Math.max(most, underWay.size === 1 ? 0 : held);
      await turn();
      if (number === options.failAt) throw new Error('refused');
      sizes.set(number, bytes.length);
      sums.set(number, crc32(bytes));
      underWay.delete(number);
    },
    onBroken: (error) => {
      broken = error;
    },
  });
  const chunks = function* () {
    const chunk = Buffer.alloc(50_000);
    for (let at = 0; at < length; at += chunk.length) {
      chunk.writeUInt32LE(at / chunk.length);
      yield Buffer.from(chunk.subarray(0, Math.min(chunk.length, length - at)));
    }
  };
  const outcome = await pipeline(Readable.from(chunks()), writer).then(
    () => undefined,
    (error: Error & { code?: string }) => error,
  );
  await writer.settled();
  return { writer, sizes, sums, most, outcome, broken };
}

t.test('parts grow, and hold every byte once', async (t) => {
  const length = 5_000_000;
  const { writer, sizes, most, outcome } = await run(length, 1000);
  t.equal(outcome, undefined);
  t.equal(writer.single, undefined);
  t.equal(writer.length, length);
  const numbers = [...sizes.keys()].sort((a, b) => a - b);
  t.strictSame(
    numbers,
    numbers.map((_, i) => i + 1),
    'numbered from 1, without a gap',
  );
  t.equal(
    [...sizes.values()].reduce((a, b) => a + b, 0),
    length,
  );
  for (const number of numbers.slice(0, -1))
    if (sizes.get(number) !== partSizeOf(number, 1000)) t.fail(`part ${number} has ${sizes.get(number)} bytes`);
  t.ok(numbers.length > 3000 && sizes.get(3001)! > 1000, `${numbers.length} parts`);
  t.ok(most <= 4 * 1000, `${most} bytes were under way at once`);
});

t.test('the bytes are in order', async (t) => {
  const { sums, sizes } = await run(1_234_567, 100_000, { parallel: 3 });
  const all = Buffer.alloc(1_234_567);
  for (let at = 0; at < all.length; at += 50_000) all.writeUInt32LE(at / 50_000, at);
  let at = 0;
  for (let number = 1; number <= sizes.size; number++) {
    t.equal(sums.get(number), crc32(all.subarray(at, at + sizes.get(number)!)), `part ${number}`);
    at += sizes.get(number)!;
  }
});

t.test('what fits into one part is not sent in parts', async (t) => {
  for (const length of [0, 1, 99_999, 100_000]) {
    const { writer, sizes } = await run(length, 100_000);
    t.equal(sizes.size, 0);
    t.equal(writer.single?.length, length);
  }
  const { sizes } = await run(100_001, 100_000);
  t.strictSame([...sizes.values()].sort(), [1, 100_000]);
});

t.test('after 10,000 parts there is an end', async (t) => {
  const { outcome, broken } = await run(4_000_000, 10);
  t.match(outcome, { code: 'ERR_SINK_TOO_LARGE', permanent: true, message: /partSize/ });
  t.equal(broken, outcome);
});

t.test('a part that is refused ends the stream', async (t) => {
  for (const failAt of [1, 4, 13]) {
    const { outcome, broken, sizes } = await run(1_250_000, 100_000, { failAt });
    t.match(outcome, { message: 'refused' });
    t.match(broken, { message: 'refused' });
    t.ok(sizes.size < 13);
  }
});

t.test('what the network and servers say', async (t) => {
  const http = (status: number, name = 'UnknownError') => ({ name, $metadata: { httpStatusCode: status } });
  const cases: [object | undefined, string, boolean][] = [
    [{ code: 'ECONNREFUSED' }, 'UNREACHABLE', false],
    [Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'UNREACHABLE', false],
    [{ code: 'ENOTFOUND' }, 'UNREACHABLE', false],
    [{ code: 'SELF_SIGNED_CERT_IN_CHAIN' }, 'UNREACHABLE', true],
    [{ code: 'CERT_HAS_EXPIRED' }, 'UNREACHABLE', true],
    [{ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'UNREACHABLE', true],
    [{ name: 'TimeoutError' }, 'TIMEOUT', false],
    [{ name: 'TimeoutError', code: 'ECONNRESET' }, 'CONNECTION', false],
    [{ code: 'ETIMEDOUT' }, 'TIMEOUT', false],
    [{ code: 'EPIPE' }, 'CONNECTION', false],
    [new Error('socket hang up'), 'CONNECTION', false],
    [http(429), 'BUSY', false],
    [http(503), 'BUSY', false],
    [http(403), 'DENIED', true],
    [http(403, 'ExpiredToken'), 'CREDENTIALS', true],
    [{ name: 'CredentialsProviderError' }, 'CREDENTIALS', true],
    [http(301), 'REGION', true],
    [http(404, 'NoSuchBucket'), 'NO_BUCKET', true],
    [http(400, 'XAmzContentSHA256Mismatch'), 'TRANSFER', false],
    [http(400, 'EntityTooLarge'), 'WRITE', true],
    [http(500), 'WRITE', false],
    [undefined, 'WRITE', false],
  ];
  for (const [error, name, permanent] of cases) {
    const sink = s3Error('sink', error, 's3://bucket/a.dbs');
    t.match(sink, { name: 'SinkError', code: `ERR_SINK_${name}`, permanent, message: /^s3:..bucket.a\.dbs: .*\.$/ });
    const source = s3Error('source', error, 's3://bucket/a.dbs');
    t.match(source, { name: 'SourceError', code: /^ERR_SOURCE_/, permanent });
  }
  t.match(answerOf(s3Error('sink', http(404, 'NoSuchKey'), 'x')), { status: 404, s3: 'NoSuchKey' });
});
