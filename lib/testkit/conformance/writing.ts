/** What a sink must do with what is written to it. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, SinkError } from '../../errors.ts';
import type { Destination } from '../../sinks/sink.ts';
import { Random } from '../random.ts';
import type { Cases, Settled } from './index.ts';
import { fails, feed, get, Lender, names, noise, oddly, put, same } from './tools.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Nothing is there, finished or not. */
async function nothing(at: Destination, { leftovers }: Settled, what: string): Promise<void> {
  assert.deepEqual(await names(at), [], `${what}: files`);
  assert.deepEqual(await leftovers(), [], `${what}: unfinished files`);
}

export const WRITING: Cases = {
  'a stream in odd chunks comes back as it was': async (at) => {
    const bytes = noise(3 * MiB + 12_345, 'odd');
    await put(at, 'odd.dbs', bytes);
    same(await get(at, 'odd.dbs'), bytes, 'odd.dbs');
  },

  'an empty stream is an empty file': async (at) => {
    await put(at, 'empty.dbs', Buffer.alloc(0));
    assert.equal((await at.stat('empty.dbs'))?.size, 0);
    const source = await at.open('empty.dbs');
    assert.equal(source.size, 0);
    assert.equal(await source.read(0, Buffer.alloc(5)), 0);
    await source.close();
  },

  'nothing is under the name before finish': async (at, settled) => {
    const bytes = noise(2 * MiB, 'atomic');
    const writer = await at.sink('a.dbs').create();
    const absent = async (when: string) => {
      assert.equal(await at.stat('a.dbs'), null, when);
      assert.deepEqual(await names(at), [], when);
      await fails(at.open('a.dbs'), 'ERR_SOURCE_NOT_FOUND', when);
    };
    await absent('before the first byte');
    await feed(writer, oddly(bytes, 1));
    await absent('when all is written');
    await writer.finish();
    assert.deepEqual(await names(at), ['a.dbs']);
    assert.deepEqual(await settled.leftovers(), [], 'unfinished files after finish');
    await writer.abort();
    same(await get(at, 'a.dbs'), bytes, 'abort after finish changes nothing');
  },

  'abort leaves nothing': async (at, settled) => {
    const unused = await at.sink('a.dbs').create();
    await unused.abort();
    await nothing(at, settled, 'before the first byte');

    const half = await at.sink('a.dbs').create();
    half.stream.on('error', () => {});
    half.stream.write(noise(300_000, 2));
    await half.abort();
    await half.abort();
    await nothing(at, settled, 'in the middle, twice');

    const whole = await at.sink('a.dbs').create();
    await feed(whole, [noise(300_000, 3)]);
    await whole.abort();
    await nothing(at, settled, 'when all is written');
  },

  'a stream that breaks gets no name': async (at, settled) => {
    const writer = await at.sink('a.dbs').create();
    writer.stream.on('error', () => {});
    writer.stream.write(noise(300_000, 4));
    writer.stream.destroy(new Error('the pipeline broke'));
    await fails(writer.finish(), /^ERR_SINK_/, 'finish of a broken stream');
    await writer.abort();
    await nothing(at, settled, 'after a broken stream');
  },

  'a name that exists is refused without force and replaced with it': async (at, settled) => {
    const [first, second] = [noise(100_000, 'first'), noise(150_000, 'second')];
    await put(at, 'a.dbs', first);
    const error = await fails(at.sink('a.dbs').create(), 'ERR_SINK_EXISTS', 'without force');
    assert(error instanceof ConfigError, 'ERR_SINK_EXISTS is a ConfigError');
    const writer = await at.sink('a.dbs', { force: true }).create();
    await feed(writer, [second]);
    same(await get(at, 'a.dbs'), first, 'the old one stays until finish');
    await writer.abort();
    same(await get(at, 'a.dbs'), first, 'and after abort');
    await put(at, 'a.dbs', second, { force: true });
    same(await get(at, 'a.dbs'), second, 'replaced');
    assert.deepEqual(await settled.leftovers(), []);
  },

  'a name that came meanwhile is not replaced': async (at, settled) => {
    const [one, two] = [noise(200_000, 'one'), noise(200_000, 'two')];
    const sinks = [at.sink('a.dbs'), at.sink('a.dbs')];
    const [early, late] = [await sinks[0]!.create(), await sinks[1]!.create()];
    await feed(early, [one]);
    await feed(late, [two]);
    await early.finish();
    await fails(late.finish(), 'ERR_SINK_EXISTS', 'the second of two');
    await late.abort();
    same(await get(at, 'a.dbs'), one, 'the first of two');
    assert.deepEqual(await settled.leftovers(), []);
  },

  'names with odd characters': async (at) => {
    const odd = [
      'with space.dbs',
      'ä-ß-€-😀.dbs',
      '100%25+#?&=.dbs',
      `quote'"\`$HOME;*.dbs`,
      '-rf.dbs',
      '.hidden.dbs',
      'a:b@c,d(e)[f]{g}!~.dbs',
    ];
    for (const [i, name] of odd.entries()) await put(at, name, noise(1000 + i, name));
    assert.deepEqual(await names(at), [...odd].sort());
    for (const [i, name] of odd.entries()) {
      assert.deepEqual((await at.stat(name))?.size, 1000 + i, name);
      same(await get(at, name), noise(1000 + i, name), name);
    }
    for (const name of odd) await at.remove(name);
    assert.deepEqual(await names(at), []);
  },

  'what is no name is refused': async (at) => {
    for (const name of ['', '.', '..', '../a.dbs', 'a/b.dbs', '/a.dbs', 'a\\b.dbs', 'a\0b', 'a\nb', 'a.part']) {
      const attempt = async () => {
        await (await at.sink(name).create()).abort();
      };
      assert((await fails(attempt(), /^ERR_/, JSON.stringify(name))) instanceof ConfigError, JSON.stringify(name));
    }
    assert.deepEqual(await names(at), []);
  },

  'every chunk comes back by recycle, and is not looked at afterwards': async (at) => {
    const bytes = noise(4 * MiB + 99, 'recycle');
    const lender = new Lender();
    const random = new Random('recycle');
    const writer = await at.sink('a.dbs').create();
    const chunks = function* () {
      for (let offset = 0; offset < bytes.length; ) {
        const chunk = bytes.subarray(offset, offset + random.between(1, 64 * KiB));
        offset += chunk.length;
        yield lender.lend(chunk);
      }
    };
    await feed(writer, chunks());
    await writer.finish();
    assert.equal(lender.out, 0, 'chunks that did not come back');
    same(await get(at, 'a.dbs'), bytes, 'a.dbs');
  },

  'a fast writer is held back, and memory stays bounded': async (at, { big, memory }) => {
    const piece = noise(64 * KiB, 'big');
    const lender = new Lender();
    const before = held();
    let peak = 0;
    const writer = await at.sink('big.dbs').create();
    const chunks = async function* () {
      for (let sent = 0; sent < big; sent += piece.length) {
        piece.writeUInt32LE(sent / piece.length, 0);
        yield lender.lend(piece.subarray(0, Math.min(piece.length, big - sent)));
        if (sent % (4 * MiB) === 0) peak = Math.max(peak, held() - before);
      }
    };
    await feed(writer, chunks());
    await writer.finish();
    const most = Math.max(peak, lender.peak);
    assert(
      most <= memory,
      `${Math.ceil(most / MiB)} MiB were held at once, and ${Math.ceil(memory / MiB)} are allowed`,
    );
    const source = await at.open('big.dbs');
    assert.equal(source.size, big);
    const into = Buffer.alloc(piece.length);
    for (const index of new Random('big').sample(20, Math.floor(big / piece.length))) {
      assert.equal(await source.read(index * piece.length, into), piece.length);
      piece.writeUInt32LE(index, 0);
      same(into, piece, `piece ${index}`);
    }
    await source.close();
  },

  'what was written can be read back, where the sink offers it': async (at) => {
    const bytes = noise(1_500_000, 'back');
    const writer = await at.sink('a.dbs').create();
    if (writer.readBack) {
      // Asked for before it is there: it must wait.
      const early = Buffer.alloc(1000);
      const waiting = writer.readBack(1_400_000, early);
      await Promise.all([feed(writer, oddly(bytes, 5)), waiting]);
      same(early, bytes.subarray(1_400_000, 1_401_000), 'what was waited for');
      const end = Buffer.alloc(5000);
      assert.equal(await writer.readBack(bytes.length - 100, end), 100, 'fewer bytes at the end');
      assert.equal(await writer.readBack(bytes.length + 100, end), 0, 'none beyond it');
    } else await feed(writer, oddly(bytes, 5));
    await writer.finish();
    if (!writer.published) return;
    const source = await writer.published();
    const all = Buffer.alloc(bytes.length);
    assert.equal(source.size, bytes.length);
    assert.equal(await source.read(0, all), bytes.length);
    await source.close();
    same(all, bytes, 'published');
    await writer.withdraw!();
    assert.deepEqual(await names(at), [], 'withdrawn');
  },

  'several files are written at once': async (at) => {
    const files = Array.from({ length: 4 }, (_, i) => [`${i}.dbs`, noise(700_000 + i, i)] as const);
    await Promise.all(files.map(([name, bytes]) => put(at, name, bytes)));
    for (const [name, bytes] of files) same(await get(at, name), bytes, name);
  },
};

/** For places whose writes fail. */
export const FAILING: Cases = {
  'a place that fails says so by a SinkError, and keeps nothing': async (at, settled) => {
    const lender = new Lender();
    const chunks = async function* () {
      const piece = noise(64 * KiB, 'failing');
      for (let sent = 0; sent < settled.big; sent += piece.length) yield lender.lend(piece);
    };
    const attempt = async () => {
      const writer = await at.sink('a.dbs').create();
      try {
        await feed(writer, chunks());
        await writer.finish();
      } catch (error) {
        await writer.abort();
        await sleep(50);
        throw error;
      }
    };
    const error = await fails(attempt(), /^ERR_SINK_/, 'the failing write');
    assert(error instanceof SinkError, 'a SinkError');
    await nothing(at, settled, 'after a failure');
  },
};

function held(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}
