/** One backup to several places: what fails alone, what is left where, and how much memory a slow one costs. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { parseName } from '../../lib/catalog/naming.ts';
import { type BackupEvent, SinkError, sealStream, validateBackup } from '../../lib/index.ts';
import { recycle } from '../../lib/memory.ts';
import { FileDestination } from '../../lib/sinks/folder.ts';
import { MemoryDestination, MemorySink } from '../../lib/sinks/memory.ts';
import type { Sink, SinkWriter } from '../../lib/sinks/sink.ts';

const secret = { passphrases: ['x'], kdf: { memoryKiB: 8192, iterations: 1, parallelism: 1 } };
const input = (bytes = 1_500_000) => Readable.from([randomBytes(bytes)]);

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dbs-outputs-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Faults {
  /** After so many bytes its stream fails. */
  failAt?: number;
  /** Each write takes so long, in ms. */
  delay?: number;
  /** What is read back has a wrong byte there. */
  lieAt?: number;
  failFinish?: boolean;
  remote?: boolean;
  readsBack?: boolean;
}

/** A place in memory that fails as told, and remembers how it was ended. */
class FaultySink implements Sink {
  readonly name: string;
  readonly memory: MemorySink;
  ended: string[] = [];
  largest = 0;
  readonly #faults: Faults;

  constructor(name: string, faults: Faults = {}) {
    this.name = name;
    this.#faults = faults;
    this.memory = new MemorySink({ readsBack: faults.readsBack ?? true });
  }

  async create(): Promise<SinkWriter> {
    const { failAt = Number.POSITIVE_INFINITY, delay = 0, lieAt, failFinish, remote } = this.#faults;
    const writer = await this.memory.create();
    let length = 0;
    const failure = () => new SinkError('ERR_SINK_WRITE', `${this.name} is gone.`);
    const stream = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, callback) => {
        length += chunk.length;
        if (length > failAt) return callback(failure());
        const copy = Buffer.from(chunk);
        recycle(chunk);
        setTimeout(() => writer.stream.write(copy, callback), delay);
      },
      final: (callback) => void writer.stream.end(() => callback()),
      destroy: (error, callback) => {
        writer.stream.destroy();
        callback(error);
      },
    });
    const readBack = async (offset: number, into: Buffer) => {
      const have = await writer.readBack!(offset, into);
      if (lieAt !== undefined && offset <= lieAt && offset + have > lieAt) into[lieAt - offset]! ^= 1;
      return have;
    };
    return {
      stream,
      ...(writer.readBack ? { readBack } : {}),
      ...(remote ? { remote } : {}),
      finish: async () => {
        this.ended.push('finish');
        if (failFinish) throw failure();
        await writer.finish();
      },
      abort: async () => {
        stream.destroy();
        if (!this.ended.includes('abort')) this.ended.push('abort');
        await writer.abort();
      },
    };
  }
}

t.test('read once, written to all', async (t) => {
  const dir = folder(t);
  const memory = new MemorySink();
  const outputs = [join(dir, 'a.dbs'), `${dir}/`, memory, new MemoryDestination()];
  const result = await sealStream(input(), secret, { outputs, prefix: 'shop' });
  t.match(result, { layout: 'tandem', verified: true, output: outputs[0] });
  t.equal(parseName(result.name!)?.prefix, 'shop');
  t.equal(result.outputs.length, 4);
  t.ok(result.outputs.every(({ ok, verified, problem }) => ok && verified && problem === null));
  t.strictSame(readdirSync(dir).sort(), ['a.dbs', result.name].sort());
  const first = readFileSync(join(dir, 'a.dbs'));
  t.equal(first.length, result.bytes, 'bytes are those of the container');
  t.ok(first.equals(readFileSync(join(dir, result.name!))));
  t.ok(first.equals(memory.bytes!));
  t.match(await validateBackup(first, 'x'), { ok: true, damaged: false });
});

t.test('the layout is what all can bear', async (t) => {
  const far = new FaultySink('far', { remote: true });
  t.match(await sealStream(input(), secret, { outputs: [new MemorySink(), far] }), { layout: 'interleaved' });
  const tandem = { outputs: [new MemorySink(), new FaultySink('far', { remote: true })], layout: 'tandem' as const };
  t.match(await sealStream(input(), secret, tandem), { layout: 'tandem', verified: true });
  const append = new MemorySink({ readsBack: false });
  const mixed = await sealStream(input(), secret, { outputs: [new MemorySink(), append] });
  t.match(mixed, { layout: 'interleaved', verified: false, outputs: [{ verified: true }, { verified: false }] });
  const outputs = [new MemorySink(), new MemorySink({ readsBack: false })];
  await t.rejects(sealStream(input(), secret, { outputs, layout: 'tandem' }), { code: 'ERR_CONFIG_LAYOUT' });
  await t.rejects(sealStream(input(), secret, { outputs, mirror: 'x' }), { code: 'ERR_CONFIG_LAYOUT' });
  await t.rejects(sealStream(input(), secret, { outputs: [] }), { code: 'ERR_CONFIG_NO_OUTPUT' });
});

t.test('one that fails is reported, at whatever stage, and the others finish', async (t) => {
  const stages: [string, Faults, string][] = [
    ['before the first byte', { failAt: 0 }, 'ERR_SINK_WRITE'],
    ['in the middle', { failAt: 1_000_000 }, 'ERR_SINK_WRITE'],
    ['in the second half', { failAt: 3_500_000 }, 'ERR_SINK_WRITE'],
    ['what it reads back is wrong', { lieAt: 500_000 }, 'ERR_SINK_READBACK'],
    ['what it reads back at the end is wrong', { lieAt: 3_500_000 }, 'ERR_SINK_VERIFY'],
    ['when it should be named', { failFinish: true }, 'ERR_SINK_WRITE'],
  ];
  for (const [stage, faults, code] of stages) {
    // The faulty one is first: it is the one that the second half is read back from.
    const bad = new FaultySink('bad', faults);
    const [good, far] = [new FaultySink('good'), new FaultySink('slow', { delay: 1 })];
    const events: BackupEvent[] = [];
    const onEvent = (event: BackupEvent) => void events.push(event);
    const result = await sealStream(input(), secret, { outputs: [bad, good, far], onEvent });
    t.match(
      result.outputs,
      [
        { output: 'bad', ok: false, verified: code === 'ERR_SINK_WRITE' && 'failFinish' in faults, problem: { code } },
        { output: 'good', ok: true, verified: true, problem: null },
        { output: 'slow', ok: true },
      ],
      stage,
    );
    t.match(result, { output: 'good', verified: true, layout: 'tandem' });
    t.equal(bad.memory.bytes, undefined, 'nothing is left where it failed');
    t.strictSame(bad.ended.at(-1), 'abort');
    t.match(
      events.filter(({ type }) => type === 'output-failed'),
      [{ output: 'bad', code }],
    );
    for (const { memory } of [good, far])
      t.match(await validateBackup(memory.bytes!, 'x'), { ok: true, damaged: false });
  }
});

t.test('all fail', async (t) => {
  const bad = [new FaultySink('one', { failAt: 100_000 }), new FaultySink('two', { failAt: 1_000_000 })];
  await t.rejects(sealStream(input(), secret, { outputs: bad }), {
    code: 'ERR_SINK_ALL',
    message: 'None of the 2 destinations has the backup. one is gone. two is gone.',
    facts: { outputs: [{ output: 'one', code: 'ERR_SINK_WRITE' }, { output: 'two' }] },
  });
  await t.rejects(sealStream(input(), secret, { outputs: [new FaultySink('one', { failAt: 0 })] }), {
    code: 'ERR_SINK_WRITE',
  });
  const broken = async function* () {
    yield randomBytes(1_500_000);
    throw new Error('the source broke');
  };
  const outputs = [new FaultySink('one'), new FaultySink('two')];
  await t.rejects(sealStream(broken(), secret, { outputs }), /the source broke/);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('stopped')), 50);
  const slow = [new FaultySink('three', { delay: 20 }), new FaultySink('four')];
  await t.rejects(sealStream(input(), secret, { outputs: slow, signal: stop.signal }), /^stopped$|stopped/);
  for (const sink of [...outputs, ...slow]) {
    t.equal(sink.memory.bytes, undefined);
    t.strictSame(sink.ended, ['abort'], `${sink.name} was ended once`);
  }
});

t.test('a name that exists, a place that does not', async (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'there.dbs'), 'theirs');
  const outputs = [join(dir, 'there.dbs'), join(dir, 'none/a.dbs'), join(dir, 'new.dbs')];
  const result = await sealStream(input(), secret, { outputs });
  t.match(result.outputs, [
    { ok: false, problem: { code: 'ERR_SINK_EXISTS' } },
    { ok: false, problem: { code: 'ERR_SINK_NOT_FOUND' } },
    { ok: true },
  ]);
  t.equal(readFileSync(join(dir, 'there.dbs'), 'utf8'), 'theirs');
  t.strictSame(readdirSync(dir).sort(), ['new.dbs', 'there.dbs']);
});

t.test('two backups at once into one destination', async (t) => {
  const dir = folder(t);
  const place = new FileDestination(dir);
  const both = await Promise.all([1, 2, 3].map(() => sealStream(input(), secret, { output: place })));
  t.equal(new Set(both.map(({ name }) => name)).size, 3, 'each has a name of its own');
  t.strictSame(readdirSync(dir).sort(), both.map(({ name }) => name).sort());
  for (const { name } of both) t.match(await validateBackup(join(dir, name!), 'x'), { ok: true, damaged: false });
});

t.test('a slow output does not fill the memory', async (t) => {
  // 24 MiB through a sink that takes a millisecond for each chunk, beside one that takes all at once.
  const [slow, fast] = [new CountingSink(2), new CountingSink(0)];
  const source = async function* () {
    for (let i = 0; i < 24; i++) yield randomBytes(1_000_000);
  };
  const behind: number[] = [];
  const watch = setInterval(() => behind.push(fast.bytes - slow.bytes), 5);
  t.teardown(() => clearInterval(watch));
  await sealStream(source(), secret, { outputs: [slow, fast], compression: 'none' });
  const most = Math.max(...behind, 0);
  t.ok(slow.bytes === fast.bytes && slow.bytes > 48_000_000, `${slow.bytes} bytes each`);
  t.ok(most < 8 * 1024 * 1024, `the fast one was at most ${most} bytes ahead`);
});

/** Takes bytes and forgets them. */
class CountingSink implements Sink {
  readonly name = 'counting';
  bytes = 0;
  readonly #delay: number;
  constructor(delay: number) {
    this.#delay = delay;
  }
  async create(): Promise<SinkWriter> {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        this.bytes += chunk.length;
        recycle(chunk);
        if (this.#delay) sleep(this.#delay).then(() => callback());
        else callback();
      },
    });
    return { stream, finish: async () => {}, abort: async () => {} };
  }
}

t.test('what cannot be read back is verified under its name, and withdrawn where it is wrong', async (t) => {
  const published = (bytes: Buffer) => ({
    name: 'bucket',
    size: bytes.length,
    read: async (offset: number, into: Buffer) => bytes.copy(into, 0, offset, offset + into.length),
    close: async () => {},
  });
  const bucket = (spoil: boolean) => {
    const memory = new MemorySink({ readsBack: false });
    const log: string[] = [];
    const create = async (): Promise<SinkWriter> => ({
      ...(await memory.create()),
      published: async () => {
        log.push('published');
        if (spoil) memory.bytes![100_000]! ^= 1;
        return published(memory.bytes!);
      },
      withdraw: async () => {
        log.push('withdraw');
        memory.bytes = undefined;
      },
    });
    return { sink: { name: 'bucket', create }, memory, log };
  };
  const good = bucket(false);
  t.match(await sealStream(input(), secret, { output: good.sink }), { layout: 'interleaved', verified: true });
  t.strictSame(good.log, ['published']);
  const unread = bucket(true);
  t.match(await sealStream(input(), secret, { output: unread.sink, verify: false }), { verified: false });
  t.strictSame(unread.log, []);
  const bad = bucket(true);
  await t.rejects(sealStream(input(), secret, { output: bad.sink }), { code: 'ERR_SINK_VERIFY' });
  t.strictSame(bad.log, ['published', 'withdraw']);
  const beside = bucket(true);
  const both = await sealStream(input(), secret, { outputs: [beside.sink, new MemorySink()] });
  t.match(both.outputs, [
    { ok: false, problem: { code: 'ERR_SINK_VERIFY' } },
    { ok: true, verified: true },
  ]);
  t.equal(beside.memory.bytes, undefined);
});

t.test('folders: a link to one, and one that is named without a slash', async (t) => {
  const dir = folder(t);
  mkdirSync(join(dir, 'real'));
  symlinkSync(join(dir, 'real'), join(dir, 'link'));
  const { name, outputs } = await sealStream(input(1000), secret, { output: join(dir, 'link'), prefix: 'a' });
  t.strictSame(readdirSync(join(dir, 'real')), [name]);
  t.match(outputs, [{ output: join(dir, 'link', name!) }]);
  await t.rejects(sealStream(input(1000), secret, { output: `${dir}/none/` }), { code: 'ERR_SINK_NOT_FOUND' });
  await t.rejects(sealStream(input(1000), secret, { output: dir, prefix: '../x' }), { code: 'ERR_CATALOG_PREFIX' });
});
