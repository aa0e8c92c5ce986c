/** The file sink against the real file system: atomic names, permissions, a disk that is full. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import { FileSink, fileSource, MemorySink, sealStream, streamSink, validateBackup } from '../../lib/index.ts';
import type { SinkWriter } from '../../lib/sinks/sink.ts';

const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
const secret = { passphrases: ['x'], kdf };
const code = (expected: string) => ({ code: expected });

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'dbs-sink-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function write(writer: SinkWriter, bytes: Buffer): Promise<void> {
  await pipeline(Readable.from([bytes]), writer.stream);
}

t.test('a file has its name only when it is whole', async (t) => {
  const dir = folder(t);
  const path = join(dir, 'a.dbs');
  const writer = await new FileSink(path).create();
  await write(writer, Buffer.from('hello'));
  t.match(readdirSync(dir), [/^\.a\.dbs\.[0-9a-f]{12}\.part$/]);
  const into = Buffer.alloc(3);
  t.equal(await writer.readBack!(1, into), 3);
  t.equal(into.toString(), 'ell');
  await writer.finish();
  t.strictSame(readdirSync(dir), ['a.dbs']);
  t.equal(readFileSync(path, 'utf8'), 'hello');
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test('abort leaves nothing; a name that was taken meanwhile is not replaced', async (t) => {
  const dir = folder(t);
  const path = join(dir, 'a.dbs');
  const aborted = await new FileSink(path).create();
  await write(aborted, Buffer.from('half'));
  await aborted.abort();
  t.strictSame(readdirSync(dir), []);

  const late = await new FileSink(path).create();
  await write(late, Buffer.from('mine'));
  writeFileSync(path, 'theirs');
  await t.rejects(late.finish(), code('ERR_SINK_EXISTS'));
  await late.abort();
  t.equal(readFileSync(path, 'utf8'), 'theirs');
  t.strictSame(readdirSync(dir), ['a.dbs']);

  const forced = await new FileSink(path, { force: true }).create();
  await write(forced, Buffer.from('mine'));
  await forced.finish();
  t.equal(readFileSync(path, 'utf8'), 'mine');
});

t.test('places where nothing can be written', async (t) => {
  const dir = folder(t);
  await t.rejects(new FileSink(join(dir, 'no', 'a.dbs')).create(), code('ERR_SINK_NOT_FOUND'));
  symlinkSync(join(dir, 'nowhere'), join(dir, 'link.dbs'));
  await t.rejects(
    new FileSink(join(dir, 'link.dbs')).create(),
    code('ERR_SINK_EXISTS'),
    'a dangling link is something, too',
  );
  writeFileSync(join(dir, 'file'), '');
  await t.rejects(new FileSink(join(dir, 'file', 'a.dbs')).create(), code('ERR_SINK_NOT_FOUND'));
  if (process.getuid?.() === 0) {
    // Root may write anywhere but in /proc.
    await t.rejects(new FileSink('/proc/a.dbs').create(), { code: /ERR_SINK_(NOT_FOUND|DENIED)/ });
  } else {
    mkdirSync(join(dir, 'locked'));
    chmodSync(join(dir, 'locked'), 0o500);
    await t.rejects(new FileSink(join(dir, 'locked', 'a.dbs')).create(), code('ERR_SINK_DENIED'));
  }
});

t.test('a full disk', async (t) => {
  const dir = folder(t);
  const full = join(dir, 'full');
  mkdirSync(full);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', full], { stdio: 'ignore' });
  } catch {
    const why = 'CANNOT RUN: a small file system cannot be mounted here (that needs root)';
    if (process.env.CI) t.fail(why);
    else t.pass(why, { skip: why });
    return;
  }
  t.teardown(() => execFileSync('umount', [full]));
  const input = Readable.from([randomBytes(4_000_000)]);
  await t.rejects(sealStream(input, secret, { output: join(full, 'a.dbs') }), code('ERR_SINK_FULL'));
  t.strictSame(readdirSync(full), [], 'nothing half-written stays');
});

t.test('sources', async (t) => {
  const dir = folder(t);
  await t.rejects(fileSource(join(dir, 'none')), code('ERR_SOURCE_NOT_FOUND'));
  await t.rejects(fileSource(dir), code('ERR_SOURCE_READ'));
  writeFileSync(join(dir, 'a'), 'hello');
  const source = await fileSource(join(dir, 'a'));
  const into = Buffer.alloc(10);
  t.equal(await source.read(3, into), 2);
  t.equal(await source.read(-5, into), 0);
  t.equal(await source.read(99, into), 0);
  await source.close();
});

t.test('a medium that does not keep what is written is found out before success is said', async (t) => {
  for (const layout of ['tandem', 'interleaved'] as const) {
    const memory = new MemorySink();
    const lying = {
      name: 'lying',
      create: async (): Promise<SinkWriter> => {
        const writer = await memory.create();
        const readBack = async (offset: number, into: Buffer) => {
          const have = await writer.readBack!(offset, into);
          if (offset <= 20_000 && offset + have > 20_000) into[20_000 - offset]! ^= 1;
          return have;
        };
        return { ...writer, readBack };
      },
    };
    const sealing = sealStream(Readable.from([randomBytes(1_500_000)]), secret, { output: lying, layout });
    await t.rejects(sealing, code(layout === 'tandem' ? 'ERR_SINK_READBACK' : 'ERR_SINK_VERIFY'));
    t.equal(memory.bytes, undefined);
  }
});

t.test('any Writable is a sink', async (t) => {
  const through = new PassThrough();
  const chunks: Buffer[] = [];
  through.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
  const result = await sealStream(Readable.from([randomBytes(3_000_000)]), secret, { output: streamSink(through) });
  t.match(result, { layout: 'interleaved', verified: false, input: 3_000_000 });
  await finished(through);
  t.match(await validateBackup(Buffer.concat(chunks), 'x'), { ok: true, damaged: false });
  await t.rejects(
    sealStream(Readable.from([randomBytes(10)]), secret, { output: streamSink(new PassThrough()), layout: 'tandem' }),
    code('ERR_CONFIG_LAYOUT'),
  );
  const closing = new PassThrough();
  closing.destroy();
  await t.rejects(
    sealStream(Readable.from([randomBytes(3_000_000)]), secret, { output: streamSink(closing) }),
    code('ERR_SINK_WRITE'),
  );
});
