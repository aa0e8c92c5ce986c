/** Trying again, and the limit of the line: both pass the suite, over a place that fails often. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import { SinkError, SourceError } from '../../lib/errors.ts';
import { Rate, throttled } from '../../lib/sinks/bandwidth.ts';
import { MemoryDestination } from '../../lib/sinks/memory.ts';
import { mayPass, retrying, withRetries } from '../../lib/sinks/retry.ts';
import type { ByteSource, Destination } from '../../lib/sinks/sink.ts';
import { type ConformanceOptions, Random, sinkConformance } from '../../lib/testkit/index.ts';

const MiB = 2 ** 20;
const quick = { attempts: 5, firstDelay: 1, maxDelay: 2 };
const code = (expected: string) => ({ code: expected });
const passing = () => new SinkError('ERR_SINK_CONNECTION', 'cut', { permanent: false });

async function passes(t: Test, options: ConformanceOptions): Promise<void> {
  const all = { big: 8 * MiB, memory: Number.POSITIVE_INFINITY, ...options };
  for (const { name, run } of sinkConformance(all)) await t.resolves(run(), name);
}

/** Every other operation fails. */
function flaky(inner: Destination, random: Random): Destination & { failures: number } {
  const fail = () => {
    if (random.unit() < 0.5) return;
    place.failures++;
    throw new SourceError('ERR_SOURCE_CONNECTION', 'cut', { permanent: false });
  };
  const source = (of: ByteSource): ByteSource => ({
    ...of,
    read: async (offset, into) => {
      fail();
      return of.read(offset, into);
    },
  });
  const place = {
    failures: 0,
    name: inner.name,
    sink: (name: string, options?: { force?: boolean }) => {
      const sink = inner.sink(name, options);
      return {
        ...sink,
        create: async () => {
          fail();
          return sink.create();
        },
      };
    },
    open: async (name: string) => {
      fail();
      return source(await inner.open(name));
    },
    stat: async (name: string) => {
      fail();
      return inner.stat(name);
    },
    list: async function* () {
      let given = 0;
      for await (const file of inner.list()) {
        if (given++ === 1) fail();
        yield file;
      }
    },
    remove: async (name: string) => {
      fail();
      return inner.remove(name);
    },
    close: () => inner.close(),
  };
  return place;
}

t.test('a place that fails often, tried again', async (t) => {
  let failures = 0;
  const random = new Random(Date.now());
  t.comment(`seed ${random.seed}`);
  await passes(t, {
    open: async () => {
      const inner = flaky(new MemoryDestination({ readsBack: false }), random);
      // A read that failed takes three good answers in a row: one time in eight.
      const place = retrying(inner, { ...quick, attempts: 300 });
      return {
        ...place,
        close: async () => {
          failures += inner.failures;
          inner.failures = 0;
        },
      };
    },
  });
  t.ok(failures > 100, `${failures} failures were got over`);
});

t.test('the limit of the line', async (t) => {
  const limits = { write: 400 * MiB, read: 400 * MiB };
  await passes(t, { open: async () => throttled(new MemoryDestination(), limits) });
  await passes(t, { open: async () => throttled(new MemoryDestination({ readsBack: false }), limits) });

  const at = throttled(new MemoryDestination(), { write: 1_000_000, read: 500_000 });
  const timed = async (work: () => Promise<unknown>) => {
    const begin = performance.now();
    await work();
    return performance.now() - begin;
  };
  const writer = await at.sink('a.dbs').create();
  const wrote = await timed(() =>
    pipeline(Readable.from([Buffer.alloc(150_000), Buffer.alloc(150_000)]), writer.stream),
  );
  // The last piece is not waited for.
  t.ok(wrote >= 240, `300,000 bytes at 1,000,000 a second took ${wrote.toFixed(0)} ms`);
  await writer.finish();
  const source = await at.open('a.dbs');
  const read = await timed(async () => {
    for (const offset of [0, 100_000, 200_000]) await source.read(offset, Buffer.alloc(100_000));
  });
  t.ok(read >= 390, `300,000 bytes at 500,000 a second took ${read.toFixed(0)} ms`);

  const slow = await throttled(new MemoryDestination(), { write: 1000 }).sink('a.dbs').create();
  slow.stream.on('error', () => {});
  slow.stream.write(Buffer.alloc(1_000_000));
  const stopped = await timed(() => slow.abort());
  t.ok(stopped < 60_000, 'an abort does not wait for what is due');
});

t.test('a rate is shared by all who take', async (t) => {
  const rate = new Rate(1_000_000);
  const begin = performance.now();
  await Promise.all(Array.from({ length: 5 }, () => rate.take(50_000)));
  t.ok(performance.now() - begin >= 190, 'four of five waited for those before');
  const stop = new AbortController();
  const waiting = rate.take(1, stop.signal);
  stop.abort();
  await t.rejects(waiting, { name: 'AbortError' });
});

t.test('how often, and when not', async (t) => {
  const count = async (error: unknown, options = {}) => {
    let attempts = 0;
    await t.rejects(
      withRetries(
        async () => {
          attempts++;
          throw error;
        },
        { ...quick, ...options },
      ),
      error as Error,
    );
    return attempts;
  };
  t.equal(await count(passing()), 5);
  t.equal(await count(passing(), { attempts: 1 }), 1);
  t.equal(await count(new SinkError('ERR_SINK_DENIED', 'no')), 1, 'permanent');
  t.equal(await count(new SourceError('ERR_SOURCE_NOT_FOUND', 'no')), 1, 'permanent');
  t.equal(await count(new TypeError('a bug')), 1, 'nobody knows what that is');
  t.notOk(mayPass(undefined));

  const told: [unknown, number][] = [];
  const third = await withRetries(
    async (attempt) => {
      if (attempt < 3) throw passing();
      return attempt;
    },
    { ...quick, onRetry: (error, attempt) => told.push([error, attempt]) },
  );
  t.equal(third, 3);
  t.match(told, [
    [code('ERR_SINK_CONNECTION'), 1],
    [code('ERR_SINK_CONNECTION'), 2],
  ]);

  const stop = new AbortController();
  const begun = withRetries(() => Promise.reject(passing()), {
    firstDelay: 600_000,
    maxDelay: 600_000,
    signal: stop.signal,
  });
  setTimeout(() => stop.abort(new Error('the user had enough')), 20);
  await t.rejects(begun, { message: 'the user had enough' });
});

t.test('a file that is another one when it is opened again', async (t) => {
  const memory = new MemoryDestination();
  const put = async (content: string) => {
    const writer = await memory.sink('a.dbs', { force: true }).create();
    await pipeline(Readable.from([Buffer.from(content)]), writer.stream);
    await writer.finish();
  };
  await put('the old one');
  let broken = false;
  const at = retrying(
    {
      ...retrying(memory),
      open: async (name) => {
        const source = await memory.open(name);
        return {
          ...source,
          read: async (offset: number, into: Buffer) => {
            if (broken) throw new SourceError('ERR_SOURCE_CONNECTION', 'cut', { permanent: false });
            return source.read(offset, into);
          },
        };
      },
    },
    quick,
  );
  const source = await at.open('a.dbs');
  t.equal(await source.read(0, Buffer.alloc(3)), 3);
  await put('another one');
  broken = true;
  await t.rejects(source.read(3, Buffer.alloc(3)), code('ERR_SOURCE_REPLACED'));
  await source.close();
});
