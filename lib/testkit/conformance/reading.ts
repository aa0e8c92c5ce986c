/** What a destination must say of what is there. */
import assert from 'node:assert/strict';
import { SourceError } from '../../errors.ts';
import { Random } from '../random.ts';
import type { Cases } from './index.ts';
import { fails, get, names, noise, put, same } from './tools.ts';

const DAY = 86_400_000;

export const READING: Cases = {
  'an empty place has nothing': async (at) => {
    assert.deepEqual(await names(at), []);
    assert.equal(await at.stat('a.dbs'), null);
    const error = await fails(at.open('a.dbs'), 'ERR_SOURCE_NOT_FOUND', 'open');
    assert(error instanceof SourceError, 'a SourceError');
    await at.remove('a.dbs');
  },

  'ranges: any offset, beyond the end, at once': async (at) => {
    const bytes = noise(2_000_003, 'ranges');
    await put(at, 'a.dbs', bytes);
    const source = await at.open('a.dbs');
    assert.equal(source.size, bytes.length);
    const check = async (offset: number, length: number) => {
      const into = Buffer.alloc(length, 0xaa);
      const have = await source.read(offset, into);
      const want = offset < 0 ? Buffer.alloc(0) : bytes.subarray(offset, offset + length);
      same(into.subarray(0, have), want, `${length} bytes at ${offset}`);
      assert(
        into.subarray(have).every((byte) => byte === 0xaa),
        'nothing is written behind what was read',
      );
    };
    const end = bytes.length;
    for (const [offset, length] of [
      [0, 1],
      [end - 1, 1],
      [0, end],
      [end - 10, 100],
      [end, 10],
      [end + 1, 10],
      [2 ** 45, 10],
      [-1, 10],
      [7, 0],
    ] as const)
      await check(offset, length);
    const random = new Random('ranges');
    await Promise.all(Array.from({ length: 24 }, () => check(random.below(end), random.between(1, 200_000))));
    await source.close();
  },

  'stat and list say size and time': async (at) => {
    const [before, sizes] = [
      Date.now(),
      new Map([
        ['a.dbs', 1],
        ['b.dbs', 70_001],
        ['c', 0],
      ]),
    ];
    for (const [name, size] of sizes) await put(at, name, noise(size, name));
    const listed = new Map<string, number>();
    for await (const { name, size, modified } of at.list()) {
      listed.set(name, size);
      // The clock of a server may differ.
      assert(Math.abs(modified.getTime() - before) < DAY, `${name} is of ${modified.toISOString()}`);
      const facts = await at.stat(name);
      assert.deepEqual([facts?.name, facts?.size], [name, size]);
      assert(Math.abs(facts!.modified.getTime() - modified.getTime()) < 2000, `${name}: one time, not two`);
    }
    assert.deepEqual([...listed].sort(), [...sizes].sort());
  },

  'a name that begins like another is another': async (at) => {
    for (const name of ['a', 'a.dbs', 'a.dbs.2', 'a.db', 'A.DBS']) await put(at, name, Buffer.from(name));
    assert.equal(await at.stat('a.d'), null);
    await at.remove('a.dbs');
    assert.deepEqual(await names(at), ['A.DBS', 'a', 'a.db', 'a.dbs.2']);
    assert.equal((await get(at, 'a')).toString(), 'a');
    await fails(at.open('a.dbs'), 'ERR_SOURCE_NOT_FOUND', 'a removed name');
  },

  'remove takes one, once': async (at) => {
    for (const name of ['a.dbs', 'b.dbs']) await put(at, name, noise(1000, name));
    await at.remove('a.dbs');
    await at.remove('a.dbs');
    assert.deepEqual(await names(at), ['b.dbs']);
    await put(at, 'a.dbs', noise(5, 'again'));
    same(await get(at, 'a.dbs'), noise(5, 'again'), 'a name can be used again');
  },

  'a file that is replaced while it is read does not become a mixture': async (at) => {
    const [old, young] = [noise(600_000, 'old'), noise(600_000, 'young')];
    await put(at, 'a.dbs', old);
    const source = await at.open('a.dbs');
    await source.read(0, Buffer.alloc(1000));
    await put(at, 'a.dbs', young, { force: true });
    const into = Buffer.alloc(500_000);
    const outcome = await source.read(100_000, into).catch((error: unknown) => error);
    if (typeof outcome === 'number') same(into.subarray(0, outcome), old.subarray(100_000, 600_000), 'the old one');
    else assert(outcome instanceof SourceError, `a SourceError, not ${String(outcome)}`);
    await source.close();
  },

  'free space is a number where it is known': async (at) => {
    const free = (await at.freeSpace?.()) ?? null;
    assert(free === null || (Number.isFinite(free) && free >= 0), `${free}`);
  },

  'close is idempotent': async (at) => {
    await put(at, 'a.dbs', noise(10, 'close'));
    await at.remove('a.dbs');
    await at.close();
    await at.close();
  },
};
