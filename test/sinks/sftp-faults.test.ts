/** SFTP when things go wrong: a server that cuts the line at every request, says no, says nonsense, or says nothing. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import { bufferSource } from '../../lib/container/source.ts';
import { BackupError, SinkError } from '../../lib/errors.ts';
import type { SessionOptions } from '../../lib/sinks/sftp/options.ts';
import type { SshTarget } from '../../lib/sinks/sftp/targets.ts';
import { parseSftpUrl } from '../../lib/sinks/sftp/url.ts';
import { SftpDestination } from '../../lib/sinks/sftp.ts';
import { transfer } from '../../lib/sinks/transfer.ts';
import { Random } from '../../lib/testkit/index.ts';
import { type Fault, type Request, type SshDouble, startDouble } from '../support/ssh-double.ts';
import { freePort } from '../support/sshd.ts';

const BYTES = new Random('sftp').bytes(100_001);
const QUICK = { delays: [2, 2, 2, 2], stallMs: 30_000 };

function destination(t: Test, target: SshTarget, options: SessionOptions = QUICK): SftpDestination {
  const at = new SftpDestination(parseSftpUrl('sftp://nas/', { nas: target }), options);
  t.teardown(() => at.close());
  return at;
}

/** Writes, reads back, finishes: what a backup does. */
async function put(at: SftpDestination, name: string, bytes: Buffer, force = false): Promise<void> {
  const writer = await at.sink(name, { force }).create();
  try {
    const chunks = function* () {
      for (let i = 0; i < bytes.length; i += 20_000) yield bytes.subarray(i, i + 20_000);
    };
    await pipeline(chunks, writer.stream);
    const back = Buffer.alloc(bytes.length);
    await writer.readBack!(0, back);
    if (!back.equals(bytes)) throw new SinkError('ERR_SINK_VERIFY', 'It does not read back.');
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function get(at: SftpDestination, name: string): Promise<Buffer> {
  const source = await at.open(name);
  const bytes = Buffer.alloc(source.size);
  for (let i = 0; i < bytes.length; i += 10_000) await source.read(i, bytes.subarray(i, i + 10_000));
  await source.close();
  return bytes;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** A fresh place on the same server. */
function reset(server: SshDouble, fault: (request: Request) => Fault | undefined = () => undefined): number {
  server.files.clear();
  server.fault = fault;
  return server.count;
}

t.test('logging in with a password', async (t) => {
  const server = await startDouble(t);
  await put(destination(t, server.target), 'a.dbs', BYTES);
  t.ok(server.files.get('/backups/a.dbs')?.equals(BYTES), 'by the method password');
  server.keyboard = true;
  t.ok((await get(destination(t, server.target), 'a.dbs')).equals(BYTES), 'by keyboard-interactive');
  server.password = 'other';
  for (const keyboard of [true, false]) {
    server.keyboard = keyboard;
    await t.rejects(destination(t, server.target).stat('a.dbs'), { code: 'ERR_SSH_AUTH', permanent: true });
  }
  const unset = { ...server.target, passwordEnv: 'DBS_TEST_UNSET' };
  await t.rejects(destination(t, unset).stat('a.dbs'), { code: 'ERR_SSH_SECRET_MISSING', message: /DBS_TEST_UNSET/ });
  server.password = 'right';
  server.noSftp = true;
  await t.rejects(destination(t, server.target).stat('a.dbs'), { code: 'ERR_SSH_PROTOCOL' });
});

t.test('the line is cut at every request of a backup, before and after it is done', async (t) => {
  const server = await startDouble(t);
  for (const force of [false, true]) {
    for (const fault of ['cut', 'done-and-cut'] as const) {
      let cuts = 0;
      for (let at = 1; cuts === at - 1; at++) {
        const begun = reset(server, ({ count }) => {
          if (count !== begun + at) return undefined;
          cuts++;
          return fault;
        });
        if (force) server.files.set('/backups/a.dbs', Buffer.from('old'));
        const place = destination(t, server.target);
        await put(place, 'a.dbs', BYTES, force);
        await place.close();
        const there = [...server.files.keys()];
        if (!server.files.get('/backups/a.dbs')?.equals(BYTES)) t.fail(`${fault} ${at}, force ${force}: not whole`);
        if (there.length !== 1) t.fail(`${fault} ${at}, force ${force}: ${there.join(', ')}`);
      }
      t.ok(cuts > 12, `${fault}, force ${force}: ${cuts} places`);
    }
  }
});

t.test('the line is cut at every request of a reader and of a list', async (t) => {
  const server = await startDouble(t);
  for (let at = 1, cuts = 0; cuts === at - 1; at++) {
    const begun = reset(server, ({ count }) => {
      if (count !== begun + at) return undefined;
      cuts++;
      return 'cut';
    });
    server.files.set('/backups/a.dbs', BYTES);
    const place = destination(t, server.target);
    if (!(await get(place, 'a.dbs')).equals(BYTES)) t.fail(`cut ${at}`);
    await place.close();
    if (cuts < at) t.ok(cuts > 5, `${cuts} places`);
  }
});

t.test('several readers of one file, with others in between: all read what is there', async (t) => {
  const seed = process.env.DBS_TEST_SEED ?? String(Date.now());
  t.comment(`DBS_TEST_SEED=${seed}`);
  const random = new Random(seed);
  const server = await startDouble(t);
  const bytes = random.bytes(3_000_000);
  server.files.set('/backups/a.dbs', bytes);
  const source = await destination(t, server.target).open('a.dbs');
  const next = [0, 700_000, 1_500_000, 2_900_000];
  let wrong = 0;
  const read = async (offset: number, length: number) => {
    const into = Buffer.alloc(length);
    const have = await source.read(offset, into);
    if (!into.subarray(0, have).equals(bytes.subarray(offset, offset + length))) wrong++;
  };
  for (let round = 0; round < 60; round++) {
    const reads = Array.from({ length: random.between(1, 4) }, () => {
      const length = random.pick([1, 4096, 100_000, random.between(0, 300_000)]);
      if (random.below(4) === 0) return read(random.below(bytes.length + 10), length);
      const line = random.below(next.length);
      next[line]! += length;
      return read(next[line]! - length, length);
    });
    await Promise.all(reads);
  }
  t.equal(wrong, 0);
  await source.close();
});

t.test('a file that is replaced while the line is down is not gone on with', async (t) => {
  const server = await startDouble(t);
  server.files.set('/backups/a.dbs', BYTES);
  const source = await destination(t, server.target).open('a.dbs');
  await source.read(0, Buffer.alloc(10));
  server.fault = ({ kind }) => {
    if (kind !== 'READ') return undefined;
    server.files.set('/backups/a.dbs', BYTES.subarray(1));
    server.fault = () => undefined;
    return 'cut';
  };
  await t.rejects(source.read(1000, Buffer.alloc(10)), { code: 'ERR_SOURCE_REPLACED' });
});

t.test('a line that is cut again and again ends the work', async (t) => {
  const server = await startDouble(t);
  const place = destination(t, server.target);
  reset(server, ({ kind }) => (kind === 'WRITE' ? 'cut' : undefined));
  const error = await put(place, 'a.dbs', BYTES).catch((error: unknown) => error);
  t.match(error, { code: 'ERR_SSH_CONNECTION', permanent: false });
  t.ok(error instanceof SinkError);
  // One more to remove the part.
  t.ok([1, 2].includes(server.connections - QUICK.delays.length), `${server.connections} connections`);
  t.equal(server.files.size, 0, 'the part is removed by the next connection');
});

t.test('every request is refused, answered with nonsense, or not at all', async (t) => {
  const server = await startDouble(t);
  const options = { delays: [], stallMs: 100 };
  const seen = new Set<string>();
  const faults: Fault[] = [
    { status: 4 },
    { status: 3 },
    { status: 8 },
    { status: 2 },
    { status: 4, message: 'Disk quota exceeded' },
    { status: 4, message: 'out\nof\tthe blue' },
    'nonsense',
    'garbage',
    'silence',
  ];
  const putting = ['LSTAT', 'OPEN', 'WRITE', 'READ', 'FSTAT', 'CLOSE', 'RENAME', 'REMOVE'];
  const works: [string, string[], (at: SftpDestination) => Promise<unknown>][] = [
    ['put', putting, (at) => put(at, 'a.dbs', BYTES)],
    ['replace', putting, (at) => put(at, 'b.dbs', BYTES.subarray(5), true)],
    ['get', ['OPEN', 'READ', 'FSTAT', 'CLOSE'], (at) => get(at, 'b.dbs')],
    ['stat', ['STAT'], (at) => at.stat('b.dbs')],
    ['list', ['OPENDIR', 'READDIR'], (at) => all(at.list())],
    ['unfinished', ['OPENDIR', 'READDIR'], (at) => all(at.unfinished())],
    ['remove', ['REMOVE'], (at) => at.remove('b.dbs')],
  ];
  for (const [what, kinds, work] of works) {
    for (const kind of kinds) {
      let at = destination(t, server.target, options);
      for (const fault of faults) {
        // Silence costs its time.
        if (fault === 'silence' && !['put WRITE', 'put RENAME', 'get READ', 'list READDIR'].includes(`${what} ${kind}`))
          continue;
        reset(server, (request) => (request.kind === kind ? fault : undefined));
        server.files.set('/backups/b.dbs', BYTES);
        const where = `${what}: ${JSON.stringify(fault)} for ${kind}`;
        const error = await work(at).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (error instanceof BackupError) {
          seen.add(error.code);
          if (/\n/.test(error.message)) t.fail(`${where}: ${error.message}`);
          if (error.code.startsWith('ERR_SSH')) {
            await at.close();
            at = destination(t, server.target, options);
          }
        } else if (error !== undefined) t.fail(`${where}: ${String(error)}`);
        const [a, b] = ['a', 'b'].map((name) => server.files.get(`/backups/${name}.dbs`));
        if (a && !a.equals(BYTES)) t.fail(`${where}: a.dbs is not whole`);
        if (what !== 'remove' && !b?.equals(BYTES) && !b?.equals(BYTES.subarray(5))) t.fail(`${where}: b.dbs is lost`);
      }
      await at.close();
    }
  }
  for (const code of ['SINK_DENIED', 'SINK_FULL', 'SINK_NOT_FOUND', 'SINK_WRITE', 'SOURCE_DENIED', 'SOURCE_NOT_FOUND'])
    t.ok(seen.has(`ERR_${code}`), code);
  t.ok(seen.has('ERR_SSH_CONNECTION'));
});

t.test('a server without extensions', async (t) => {
  const server = await startDouble(t);
  const place = destination(t, server.target);
  t.equal(await place.freeSpace(), null);
  const [one, two] = [await place.sink('a.dbs').create(), await place.sink('a.dbs').create()];
  for (const writer of [one, two]) await pipeline([BYTES], writer.stream);
  await one.finish();
  await t.rejects(two.finish(), { code: 'ERR_SINK_EXISTS' });
  await put(place, 'a.dbs', BYTES.subarray(1), true);
  t.strictSame([...server.files.keys()], ['/backups/a.dbs']);
  t.ok(server.files.get('/backups/a.dbs')!.equals(BYTES.subarray(1)));

  let renames = 0;
  server.fault = ({ kind }) => (kind === 'RENAME' && ++renames === 3 ? { status: 4 } : undefined);
  await t.rejects(put(place, 'a.dbs', BYTES, true), { code: 'ERR_SINK_WRITE' });
  t.ok(server.files.get('/backups/a.dbs')!.equals(BYTES.subarray(1)), 'the old one is back where it was');
  t.equal(server.files.size, 1);

  server.fault = ({ kind }) => (kind === 'WRITE' ? { status: 4, message: 'No space left on device' } : undefined);
  await t.rejects(put(place, 'b.dbs', BYTES), { code: 'ERR_SINK_FULL' });
  t.equal(server.files.size, 1);
});

t.test('a server that loses what it had taken is found out', async (t) => {
  const server = await startDouble(t);
  const place = destination(t, server.target);
  const writer = await place.sink('a.dbs').create();
  writer.stream.write(BYTES.subarray(0, 50_000));
  // When it reads back, its answers are here.
  await writer.readBack!(0, Buffer.alloc(50_000));
  server.fault = ({ kind, path }) => {
    if (kind !== 'WRITE') return undefined;
    server.files.set(path, BYTES.subarray(0, 100));
    server.fault = () => undefined;
    return 'cut';
  };
  writer.stream.write(BYTES.subarray(50_000, 51_000));
  const [error] = await once(writer.stream, 'error').catch((error) => [error]);
  t.match(error, { code: 'ERR_SINK_WRITE', message: /had taken/ });
  await writer.abort();
  t.equal(server.files.size, 0);
  server.fault = ({ kind, path }) => {
    if (kind === 'FSTAT' && path.endsWith('.part')) server.files.set(path, server.files.get(path)!.subarray(0, 100));
    return undefined;
  };
  await t.rejects(put(place, 'a.dbs', BYTES), { code: 'ERR_SINK_WRITE', message: /100 bytes, of 100001/ });
  t.equal(server.files.size, 0);
});

t.test('a slow server is waited for', async (t) => {
  const server = await startDouble(t);
  server.delay = 25;
  const place = destination(t, server.target);
  await put(place, 'a.dbs', BYTES);
  t.ok((await get(place, 'a.dbs')).equals(BYTES));
});

t.test('hosts that cannot be reached, or are no SSH servers', async (t) => {
  const at = (port: number, more: Partial<SshTarget> = {}) =>
    destination(t, {
      host: '127.0.0.1',
      port,
      username: 'me',
      passwordEnv: 'DBS_TEST_PASSWORD',
      hostKey: `SHA256:${'A'.repeat(43)}`,
      remoteDir: '/',
      ...more,
    });
  process.env.DBS_TEST_PASSWORD = 'right';
  await t.rejects(at(await freePort()).stat('a'), { code: 'ERR_SSH_UNREACHABLE', permanent: false });
  await t.rejects(at(22, { host: 'nowhere.invalid' }).stat('a'), { code: 'ERR_SSH_UNREACHABLE' });
  const mute = await listen(t, createServer());
  await t.rejects(at(mute, { connectTimeoutMs: 300 }).stat('a'), { code: 'ERR_SSH_TIMEOUT', permanent: false });
  const http = await listen(
    t,
    createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
  );
  await t.rejects(at(http).stat('a'), { code: /ERR_SSH_(PROTOCOL|CONNECTION)/ });
  const closed = at(mute);
  const waiting = closed.stat('a');
  waiting.catch(() => {});
  await closed.close();
  await t.rejects(waiting, { code: 'ERR_SSH_CONNECTION' }, 'close ends a connection that is being made');
});

async function listen(t: Test, server: Server): Promise<number> {
  const sockets: { destroy(): void }[] = [];
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    sockets.push(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

t.test('an upload goes on in a later run, and only on what is its own', async (t) => {
  const server = await startDouble(t);
  const place = destination(t, server.target, { delays: [], stallMs: 30_000 });
  const bytes = new Random('long').bytes(3.5 * 2 ** 20);
  const file = bufferSource(bytes);
  const interrupted = async (after = 115) => {
    let writes = 0;
    server.fault = ({ kind }) => (kind === 'WRITE' && ++writes > after ? 'cut' : undefined);
    await t.rejects(transfer(file, place, 'a.dbs'), { code: 'ERR_SSH_CONNECTION' });
    server.fault = () => undefined;
    t.equal(server.files.size, 1, 'the part stays');
    return [...server.files.keys()][0]!;
  };
  const part = await interrupted();
  t.match(part, /^\/backups\/\.a\.dbs\.[0-9a-f]{24}\.part$/);
  t.same(await all(place.list()), []);
  t.match(await all(place.unfinished()), [{ name: 'a.dbs' }]);
  const result = await transfer(file, place, 'a.dbs');
  t.ok(result.resumed > 2 ** 20 && result.resumed < bytes.length, `from ${result.resumed}`);
  t.match(result, { bytes: bytes.length, verified: true });
  t.ok(server.files.get('/backups/a.dbs')!.equals(bytes));
  t.equal(server.files.size, 1);
  await t.rejects(transfer(file, place, 'a.dbs'), { code: 'ERR_SINK_EXISTS' });

  server.files.clear();
  await interrupted();
  server.files.get(part)!.fill(0, 1_000_000, 1_000_100);
  t.equal((await transfer(file, place, 'a.dbs')).resumed, 0, 'what is not its own is begun anew');

  server.files.clear();
  await interrupted();
  server.files.get(part)![5]! ^= 1;
  await t.rejects(transfer(file, place, 'a.dbs'), { code: 'ERR_SINK_VERIFY', facts: { offset: 0 } });
  t.equal(server.files.size, 0, 'what does not verify is not gone on with');
  await transfer(file, place, 'a.dbs');
  t.ok(server.files.get('/backups/a.dbs')!.equals(bytes));

  for (const kind of ['READ', 'FSTAT', 'RENAME']) {
    server.files.clear();
    let seen = 0;
    // The first FSTAT is of the part that is opened.
    server.fault = (request) => (request.kind === kind && ++seen > (kind === 'FSTAT' ? 1 : 0) ? 'cut' : undefined);
    await t.rejects(transfer(file, place, 'a.dbs'), { code: 'ERR_SSH_CONNECTION' });
    server.fault = () => undefined;
    t.strictSame([...server.files.keys()], [part], `${kind}: the part stays`);
    t.ok((await transfer(file, place, 'a.dbs')).resumed > 2 ** 20, `${kind}: and is gone on with`);
  }
});
