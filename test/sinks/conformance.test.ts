/** The suite for sinks: memory and files pass it, and sinks that are wrong do not. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import t, { type Test } from 'tap';
import { FileDestination } from '../../lib/sinks/folder.ts';
import { MemoryDestination } from '../../lib/sinks/memory.ts';
import type { Destination, SinkWriter } from '../../lib/sinks/sink.ts';
import { type ConformanceOptions, sinkConformance } from '../../lib/testkit/index.ts';

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dbs-conformance-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function passes(t: Test, options: ConformanceOptions): Promise<void> {
  for (const { name, run } of sinkConformance(options)) await t.resolves(run(), name);
}

t.test('memory', (t) => passes(t, { open: async () => new MemoryDestination(), memory: Number.POSITIVE_INFINITY }));
t.test('memory that cannot be read back', (t) =>
  passes(t, { open: async () => new MemoryDestination({ readsBack: false }), memory: Number.POSITIVE_INFINITY }),
);

t.test('a folder', async (t) => {
  const dir = folder(t);
  const full = join(dir, 'full');
  mkdirSync(full);
  const mounted = mountSmall(full);
  if (mounted) t.teardown(() => execFileSync('umount', [full]));
  else if (process.env.CI) t.fail('CANNOT RUN: a small file system cannot be mounted here (that needs root)');
  else t.pass('the full disk', { skip: 'CANNOT RUN: a small file system cannot be mounted here (that needs root)' });
  const place = join(dir, 'place');
  mkdirSync(place);
  await passes(t, {
    open: async () => new FileDestination(place),
    leftovers: async (at) =>
      [...readdirSync(place), ...readdirSync(full)].filter((name) => name.endsWith('.part') && at),
    ...(mounted ? { failing: async () => new FileDestination(full) } : {}),
    memory: 16 * 2 ** 20,
  });
  t.strictSame(readdirSync(place), []);
});

t.test('what a killed run left in a folder is found', async (t) => {
  const dir = folder(t);
  const at = new FileDestination(dir);
  const writer = await at.sink('app.dbs').create();
  writeFileSync(join(dir, 'theirs.part'), '');
  const found = [];
  for await (const file of at.unfinished()) found.push(file);
  t.match(found, [{ name: 'app.dbs' }], 'only what is named as ours');
  t.ok(Math.abs(found[0]!.started.getTime() - Date.now()) < 60_000);
  await found[0]!.remove();
  await found[0]!.remove();
  t.strictSame(readdirSync(dir), ['theirs.part']);
  await writer.abort();
  for await (const file of new FileDestination(join(dir, 'none')).unfinished()) t.fail(file.name);
  for await (const file of new FileDestination(join(dir, 'none')).list()) t.fail(file.name);
  t.equal(await new FileDestination(join(dir, 'none')).freeSpace(), null);
  t.ok((await at.freeSpace())! > 0);
});

function mountSmall(path: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A memory destination with something wrong about its writers. */
function wrong(
  change: (writer: SinkWriter, name: string, at: MemoryDestination) => SinkWriter,
): () => Promise<Destination> {
  return async () => {
    const at = new MemoryDestination();
    const sink = at.sink.bind(at);
    at.sink = (name, options) => {
      const right = sink(name, options);
      return { ...right, create: async () => change(await right.create(), name, at) };
    };
    return at;
  };
}

t.test('sinks that are wrong are found out', async (t) => {
  const failures = async (open: () => Promise<Destination>): Promise<string[]> => {
    const failed: string[] = [];
    for (const { name, run } of sinkConformance({ open, memory: 30 * 2 ** 20, big: 40 * 2 ** 20 }))
      await run().catch(() => failed.push(name));
    return failed;
  };
  t.strictSame(await failures(async () => new MemoryDestination()), [
    'a fast writer is held back, and memory stays bounded',
  ]);

  const forgets = wrong((writer) => {
    const stream = new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        // A copy: the chunk that was lent never comes back.
        writer.stream.write(Buffer.from(chunk), callback);
      },
      final: (callback) => {
        writer.stream.end(callback);
      },
    });
    return { ...writer, stream, abort: async () => void stream.destroy() };
  });
  t.ok((await failures(forgets)).includes('every chunk comes back by recycle, and is not looked at afterwards'));

  const forgetful = wrong((writer) => ({ ...writer, finish: async () => {} }));
  t.ok((await failures(forgetful)).includes('a stream in odd chunks comes back as it was'));
});
