/** Rows found at any byte offset, against a search that is too slow to be wrong. */
import { deepEqual } from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { huntRows } from '../../lib/container/hunt.ts';
import { bufferSource } from '../../lib/container/source.ts';
import { noise, seed } from './support.ts';

const crcsOf = (rows: Buffer, rowLength: number) =>
  Uint32Array.from({ length: rows.length / rowLength }, (_, r) =>
    crc32(rows.subarray(r * rowLength, (r + 1) * rowLength)),
  );

/** Where the row area begins, by every row that is wanted and each place where it stands. */
function slowly(file: Buffer, from: number, to: number, rows: Buffer, rowLength: number, good: boolean[]): Set<number> {
  const begins = new Map<number, number>();
  for (const [r, isGood] of good.entries()) {
    if (isGood) continue;
    const row = rows.subarray(r * rowLength, (r + 1) * rowLength);
    for (let at = file.indexOf(row, from); at >= 0 && at + rowLength <= to; at = file.indexOf(row, at + 1))
      begins.set(at - r * rowLength, (begins.get(at - r * rowLength) ?? 0) + 1);
  }
  return new Set([...begins].filter(([, n]) => n >= 2).map(([begin]) => begin));
}

t.test('any pieces, any offsets, as the slow search finds them', async (t) => {
  const piece = fc.record({ gap: fc.nat(3000), first: fc.nat(23), rows: fc.nat(12), cut: fc.nat(1023) });
  const property = fc.asyncProperty(
    fc.constantFrom(512, 1024),
    fc.array(piece, { minLength: 1, maxLength: 6 }),
    fc.uniqueArray(fc.nat(23)),
    fc.nat(4000),
    fc.nat(30_000),
    fc.nat(1_000_000),
    async (rowLength, pieces, there, from, length, name) => {
      const rows = noise(`rows ${name}`, 24 * rowLength);
      const parts = pieces.flatMap(({ gap, first, rows: n, cut }, i) => [
        noise(`gap ${name} ${i}`, gap),
        rows.subarray(first * rowLength + cut, (first + n) * rowLength),
      ]);
      const file = Buffer.concat(parts);
      const good = Array.from({ length: 24 }, (_, r) => there.includes(r));
      const wanted = { crcs: crcsOf(rows, rowLength), rowLength, good };
      const found = await huntRows(bufferSource(file), from, from + length, wanted);
      deepEqual(new Set(found), slowly(file, from, Math.min(from + length, file.length), rows, rowLength, good));
    },
  );
  await fc.assert(property, { seed, numRuns: 200 });
  t.pass(`200 cases, SEED=${seed}`);
});

t.test('across windows of 1 MiB, and before the beginning of the file', async (t) => {
  const rows = noise('rows', 255 * 4096);
  const crcs = crcsOf(rows, 4096);
  const wanted = { crcs, rowLength: 4096, good: Array(255).fill(false) };
  const tail = rows.subarray(100 * 4096 + 5);
  const file = Buffer.concat([tail, noise('gap', (1 << 20) - tail.length - 5000), rows]);
  const second = (1 << 20) - 5000;
  t.same(await huntRows(bufferSource(file), -100 * 4096, file.length, wanted), [second, -(100 * 4096 + 5)]);
});

t.test('a file made of one row again and again ends the search early', async (t) => {
  const zeros = Buffer.alloc(16 << 20);
  const crcs = new Uint32Array(255).fill(crc32(zeros.subarray(0, 4096)));
  let read = 0;
  const source = bufferSource(zeros);
  const counting = {
    ...source,
    read: (at: number, into: Buffer) => source.read(at, into).finally(() => (read += into.length)),
  };
  const found = await huntRows(counting, 0, zeros.length, { crcs, rowLength: 4096, good: Array(255).fill(false) });
  t.same(found, [], 'one row alone says nothing');
  t.ok(read < 2 << 20, `${read} bytes read`);
});
