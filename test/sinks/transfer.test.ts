/** Whole files between places of every kind: those that can go on with a part, that can be read back, that can only be read under the name, and none of it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bufferSource } from '../../lib/container/source.ts';
import { SourceError } from '../../lib/errors.ts';
import { FileDestination } from '../../lib/sinks/folder.ts';
import { MemoryDestination } from '../../lib/sinks/memory.ts';
import type { ByteSource, Destination } from '../../lib/sinks/sink.ts';
import { transfer } from '../../lib/sinks/transfer.ts';
import { Random } from '../../lib/testkit/index.ts';

const bytes = new Random('transfer').bytes(9 * 2 ** 20 + 77);
const file = bufferSource(bytes, 'the file');

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dbs-transfer-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A source that breaks at an offset. */
function breaking(at: number, error: unknown): ByteSource {
  return {
    ...file,
    read: async (offset, into) => {
      if (offset >= at && offset < bytes.length - 70_000) throw error;
      return file.read(offset, into);
    },
  };
}

async function all(at: Destination, name: string): Promise<Buffer> {
  const source = await at.open(name);
  const into = Buffer.alloc(source.size);
  await source.read(0, into);
  return into;
}

t.test('to any place, whole and verified', async (t) => {
  const seen: number[] = [];
  for (const at of [new FileDestination(folder(t)), new MemoryDestination()]) {
    const result = await transfer(file, at, 'a', { onProgress: (done) => seen.push(done) });
    t.same(result, { bytes: bytes.length, resumed: 0, verified: true });
    t.ok((await all(at, 'a')).equals(bytes));
    t.equal(seen.at(-1), bytes.length);
    await t.rejects(transfer(file, at, 'a'), { code: 'ERR_SINK_EXISTS' });
    await transfer(bufferSource(Buffer.alloc(0)), at, 'a', { force: true });
    t.equal((await at.stat('a'))?.size, 0);
    t.match(await transfer(file, at, 'b', { verify: false }), { verified: false });
  }
  const blind = new MemoryDestination({ readsBack: false });
  t.match(await transfer(file, blind, 'a'), { verified: false }, 'a place that cannot be read back says so');
});

t.test('a place that can be read under the name only: what does not verify is withdrawn', async (t) => {
  const memory = new MemoryDestination({ readsBack: false });
  const sink = memory.sink.bind(memory);
  memory.sink = (name, options) => ({
    name,
    create: async () => ({
      ...(await sink(name, options).create()),
      published: () => memory.open(name),
      withdraw: () => memory.remove(name),
    }),
  });
  t.match(await transfer(file, memory, 'a'), { verified: true });
  const verify = async () => {
    throw new Error('not as it should be');
  };
  await t.rejects(transfer(file, memory, 'b', { verify }), { message: 'not as it should be' });
  t.equal(await memory.stat('b'), null);
});

t.test('a folder: what broke off is gone on with', async (t) => {
  const dir = folder(t);
  const at = new FileDestination(dir);
  const broken = new SourceError('ERR_SOURCE_READ', 'broken', { permanent: false });
  const begin = async () => {
    await t.rejects(transfer(breaking(6 * 2 ** 20, broken), at, 'a'), broken);
    const [part] = readdirSync(dir);
    t.match(part, /^\.a\.[0-9a-f]{24}\.part$/);
    return join(dir, part!);
  };
  await begin();
  t.match(await transfer(file, at, 'a'), { resumed: 6 * 2 ** 20, verified: true });
  t.ok(readFileSync(join(dir, 'a')).equals(bytes));
  t.strictSame(readdirSync(dir), ['a']);
  rmSync(join(dir, 'a'));

  const part = await begin();
  truncateSync(part, 5_000_001);
  t.match(await transfer(file, at, 'a'), { resumed: 5_000_001 });
  rmSync(join(dir, 'a'));

  writeFileSync(part, Buffer.alloc(5_000_000));
  t.match(await transfer(file, at, 'a'), { resumed: 0 }, 'another beginning');
  rmSync(join(dir, 'a'));
  writeFileSync(part, Buffer.concat([bytes, Buffer.alloc(1)]));
  t.match(await transfer(file, at, 'a'), { resumed: 0 }, 'longer than the file');
  rmSync(join(dir, 'a'));

  writeFileSync(part, Buffer.concat([Buffer.alloc(1000), bytes.subarray(1000, 5_000_000)]));
  await t.rejects(transfer(file, at, 'a'), { code: 'ERR_SINK_VERIFY' });
  t.strictSame(readdirSync(dir), [], 'what is wrong is not gone on with');

  await begin();
  const other = bufferSource(Buffer.concat([bytes.subarray(1), Buffer.alloc(1)]));
  t.match(await transfer(other, at, 'a'), { resumed: 0 }, 'another file of the same name and length');
  t.equal(readdirSync(dir).length, 2);
});

t.test('a signal ends it, and so does a file that shrinks', async (t) => {
  const dir = folder(t);
  const at = new FileDestination(dir);
  const reason = new Error('enough');
  const ending = new AbortController();
  const onProgress = () => ending.abort(reason);
  await t.rejects(transfer(file, at, 'a', { signal: ending.signal, onProgress }), reason);
  t.match(readdirSync(dir), [/\.part$/], 'what was brought there stays');
  t.ok((await transfer(file, at, 'a')).resumed > 0);
  const shrunk: ByteSource = { ...file, size: file.size + 5 };
  await t.rejects(transfer(shrunk, at, 'b'), { code: 'ERR_SOURCE_READ', message: /shorter/ });
  t.equal(await at.stat('b'), null);
});
