/** Damage of every kind, and what comes back: the exact bytes, or an error that names exactly what is lost. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { bufferSource } from '../../lib/container/source.ts';
import { DamageError, FormatError } from '../../lib/errors.ts';
import { parityCount } from '../../lib/format/group.ts';
import { blockShape } from '../../lib/format/page.ts';
import { repairBackup } from '../../lib/repair.ts';
import { corrupt, Random } from '../../lib/testkit/index.ts';
import { validateBackup } from '../../lib/validate.ts';
import {
  type Container,
  DATA,
  END,
  HEADER,
  INDEX,
  PARITY,
  type Placed,
  restore,
  rowRange,
  seal,
  seed,
  whileLost,
} from './support.ts';

const random = new Random(seed);
const KB20 = 20_000;
const MB12 = 1_200_000;

t.before(() => t.comment(`SEED=${seed}`));

/** Restores, and says what happened in a word or two. */
async function verdict(c: Container, source: Buffer): Promise<string> {
  const { ok, report, error } = await restore(c, source);
  if (!ok) return error.code;
  return report.damaged ? 'healed' : 'whole';
}

const lost = (error: unknown): number[] => (error instanceof DamageError ? error.blocks.map((b) => b.block) : []);

const layouts = ['tandem', 'interleaved'] as const;

for (const layout of layouts) {
  t.test(`${layout}: records lost one by one`, async (t) => {
    for (const size of [0, KB20, MB12]) {
      const c = await seal(layout, size);
      t.equal(await verdict(c, c.file), 'whole', `${size} bytes, undamaged`);
      for (const r of c.records) {
        const found = await whileLost(c.file, [r], random, () => verdict(c, c.file));
        t.equal(found, 'healed', `${size} bytes: record ${r.type}.${r.copy}.${r.sequence} lost`);
        const page = { at: r.at, length: 4096 };
        const pageLost = await whileLost(c.file, [page], random, () => verdict(c, c.file));
        t.equal(pageLost, 'healed', `${size} bytes: page of ${r.type}.${r.copy}.${r.sequence} lost`);
      }
      const tables = c.records.filter((r) => r.type === INDEX || (r.type === HEADER && r.sequence > 0));
      const found = await whileLost(c.file, [...tables, c.place(END, 0, c.count)], random, () => verdict(c, c.file));
      t.equal(found, 'healed', `${size} bytes: every INDEX and END-A`);
      const ends = [c.place(END, 0, c.count), c.place(END, 1, c.count)];
      t.equal(await whileLost(c.file, ends, random, () => verdict(c, c.file)), 'healed', `${size} bytes: both ENDs`);
    }
  });

  t.test(`${layout}: blocks lost in both copies, and the outer code`, async (t) => {
    // 18 blocks, more than the delay line holds, have 2 parity blocks; the last block is short.
    const c = await seal(layout, 17 * 978_924 + 5000);
    const p = parityCount(c.count);
    t.equal(p, 2);
    const both = (blocks: number[]): Placed[] => blocks.flatMap((i) => [c.place(DATA, 0, i), c.place(DATA, 1, i)]);
    // The order of records matters little here: one layout takes all cases, the other some.
    const all = layout === 'tandem';
    for (const blocks of [...(all ? [[17], random.sample(p, c.count)] : []), [0, 17]]) {
      const found = await whileLost(c.file, both(blocks), random, () => restore(c, c.file));
      t.ok(found.ok, `blocks ${blocks} rebuilt${found.error ? `: ${found.error.message}` : ''}`);
      t.equal(found.report?.rebuilt, blocks.length);
    }
    for (const blocks of [...(all ? [random.sample(p + 1, c.count)] : []), [14, 15, 16, 17]]) {
      const { error } = await whileLost(c.file, both(blocks), random, () => restore(c, c.file));
      t.equal(error?.code, 'ERR_DAMAGE_BLOCKS', `blocks ${blocks} are too many`);
      t.same(lost(error), blocks, 'and exactly they are named');
      const ranges = blocks.map((i) => both([i]).map((r) => [r.at, r.at + r.length]));
      t.same(error instanceof DamageError && error.blocks.map((b) => b.ranges), ranges, 'with their byte ranges');
    }
    // Row by row: every block loses 19 rows in both copies, but no more than 2 blocks the same ones.
    const rows = Array.from({ length: c.count }, (_, i) => (i % 12) * 19).flatMap((first, i) => {
      const records = both([i]);
      const { k, rowLength } = blockShape(i === c.count - 1 ? c.lastLength : 978_944)!;
      const hit = Array.from({ length: 19 }, (_, n) => first + n).filter((r) => r < k + 16);
      return records.flatMap((record) => hit.map((r) => rowRange(record, r, rowLength)));
    });
    const found = await whileLost(c.file, rows, random, () => restore(c, c.file));
    t.ok(found.ok, `19 rows lost in both copies of all blocks${found.error ? `: ${found.error.message}` : ''}`);
    // The outer parity itself may be hurt in up to 16 rows, or be lost where it is not needed.
    const parity = Array.from({ length: p }, (_, j) => c.place(PARITY, 0, j));
    t.equal(await whileLost(c.file, parity, random, () => verdict(c, c.file)), 'healed', 'all outer parity lost');
    const hurt = [...both([7, 8]), ...parity.flatMap((r) => random.sample(16, 255).map((n) => rowRange(r, n, 4096)))];
    t.equal(await whileLost(c.file, hurt, random, () => verdict(c, c.file)), 'healed', '2 blocks, and parity hurt');
    const partly = [...both([7]), random.pick(parity)];
    t.equal(await whileLost(c.file, partly, random, () => verdict(c, c.file)), 'healed', '1 block, and 1 parity');
  });

  t.test(`${layout}: the pages that nothing follows, and INDEX in their place`, async (t) => {
    // One page of INDEX, and two.
    for (const size of [MB12, 3 * 978_924 - 5000]) {
      const c = await seal(layout, size);
      const last = c.count - 1;
      const copies = [c.place(DATA, 0, last), c.place(DATA, 1, last)];
      const parity = c.place(PARITY, 0, 0);
      const page = ({ at }: Placed, n = 0) => ({ at: at + 4096 * n, length: 4096 });
      const indexes = [c.place(INDEX, 0, 0), c.place(INDEX, 1, 0)];
      const pages = indexes[0]!.length / 4096;
      t.equal(pages, size === MB12 ? 1 : 2, `${size} bytes: pages of INDEX`);
      const { k, m, rowLength } = blockShape(c.lastLength)!;
      const some = random.sample(40, k + m);
      const rowsOf = (record: Placed, rows: number[]) => rows.map((r) => rowRange(record, r, rowLength));
      // 16 rows in both, 12 more in each.
      const gone = [...copies, parity].map((r) => page(r));
      const hurt = copies.flatMap((r, i) => rowsOf(r, [...some.slice(0, 16), ...some.slice(16 + 12 * i, 28 + 12 * i)]));
      const here = await whileLost(c.file, [...gone, ...hurt], random, () => restore(c, c.file));
      t.ok(here.ok, `${size} bytes: the last block without a page that knows its rows: ${here.error?.message}`);
      // 30 rows of block 0 in both copies: more than its own parity solves; most of them stand in what is left of the outer parity.
      const wanted = random.sample(30, 255);
      const block = [c.place(DATA, 0, 0), c.place(DATA, 1, 0)].flatMap((r) => wanted.map((n) => rowRange(r, n, 4096)));
      const rest = random.sample(60, 255).map((n) => rowRange(parity, n, 4096));
      const outer = await whileLost(c.file, [...block, page(parity), ...rest], random, () => restore(c, c.file));
      t.ok(outer.ok, `${size} bytes: outer parity without its page: ${outer.error?.message}`);
      const halves = indexes.map((r, i) => page(r, Math.min(i, pages - 1)));
      if (pages > 1) {
        const apart = await whileLost(c.file, [...gone, ...hurt, ...halves], random, () => restore(c, c.file));
        t.ok(apart.ok, `${size} bytes: each page of INDEX from another copy: ${apart.error?.message}`);
      }
      const none = [...gone, ...hurt, ...indexes];
      const { error } = await whileLost(c.file, none, random, () => restore(c, c.file));
      t.ok(!error || lost(error).includes(last), `${size} bytes: without INDEX: ${error?.code ?? 'by the outer code'}`);
    }
  });

  t.test(`${layout}: what the outer code gives of a block, its columns finish`, async (t) => {
    const c = await seal(layout, 3 * 978_924 - 5000);
    const page = ({ at }: Placed) => ({ at, length: 4096 });
    const copies = [c.place(DATA, 0, 0), c.place(DATA, 1, 0)] as const;
    // Nothing is left that knows the rows of block 0, and its hash stands in INDEX only.
    const pages = [...copies, c.place(DATA, 0, 1), c.place(DATA, 1, 1)].map(page);
    // Parity has lost more than it can mend by itself: it gives all rows of block 0 but these.
    const lacking = random.sample(21, 239);
    const parity = lacking.map((n) => rowRange(c.place(PARITY, 0, 0), n, 4096));
    const others = random
      .sample(120, 218)
      .map((n) => Array.from({ length: 239 }, (_, r) => r).filter((r) => !lacking.includes(r))[n]!);
    const rows = copies.flatMap((copy, i) =>
      [...others.filter((_, n) => n % 2 === i), ...lacking.slice(0, 3)].map((n) => rowRange(copy, n, 4096)),
    );
    const found = await whileLost(c.file, [...pages, ...parity, ...rows], random, () => restore(c, c.file));
    t.ok(found.ok, `rebuilt: ${found.error?.message}`);
    // With as many rows lost in both copies as no column can find, it is refused.
    const more = copies.flatMap((copy) => lacking.map((n) => rowRange(copy, n, 4096)));
    const lostNow = await whileLost(c.file, [...pages, ...parity, ...rows, ...more], random, () => restore(c, c.file));
    t.same(lost(lostNow.error), [0]);
    t.match(lostNow.error?.message, 'block 0 of 3 cannot be rebuilt from both copies and all parity. Another');
  });

  t.test(`${layout}: seeded damage`, async (t) => {
    const exact: [size: number, damage: string][] = [];
    for (const size of [KB20, MB12]) {
      for (const rate of ['1e-6', '1e-5', '1e-4', '1e-3', '3e-3', '1e-2']) exact.push([size, `flip:${rate}`]);
      for (const sector of [512, 4096]) {
        for (const rate of [0.001, 0.01, 0.05]) exact.push([size, `sectors:${sector}:${rate}`]);
      }
      exact.push(
        [size, 'overwrite:20%@head'],
        [size, 'zero:10%@head'],
        [size, 'zero:10%@tail'],
        [size, 'cut-head:4096'],
      );
      exact.push([size, 'cut-tail:4096'], [size, 'cut-head:1'], [size, 'cut-tail:1'], [size, 'cut-head:5000']);
      for (const n of [1, 7, 512, 4096, 10_000]) exact.push([size, `insert:${n}`], [size, `delete:${n}`]);
      exact.push([size, 'insert:100000@head'], [size, 'insert:100000@tail'], [size, 'splice:4096']);
      exact.push(
        [size, 'insert:4096@head'],
        [size, 'insert:1@head'],
        [size, 'insert:1@tail'],
        [size, 'duplicate:4096:3'],
      );
    }
    exact.push(
      [MB12, 'overwrite:64KiB@head'],
      [MB12, 'insert:1:2'],
      [MB12, 'delete:1:2'],
      [MB12, 'swap:4096:3'],
      [MB12, 'duplicate:100000:2'],
    );
    exact.push([MB12, 'sectors:4096:0.1'], [MB12, 'burst:4096:20'], [MB12, 'cut-tail:25%'], [MB12, 'cut-head:25%']);
    for (const [size, damage] of exact) {
      const c = await seal(layout, size);
      const spoilt = corrupt(c.file, damage, { seed: random.u32(), foreign: (await seal(layout, size, 'other')).file });
      const found = await restore(c, spoilt.bytes);
      // 3 pages hold the keys of a file of 2 blocks: once in 1,400 files a tenth of all sectors takes all of them.
      if (found.error?.code === 'ERR_DAMAGE_NO_HEADER' && damage.startsWith('sectors:')) {
        const pages = c.records.filter((r) => r.type === HEADER || r.type === END);
        const whole = pages.filter(({ at }) => spoilt.bytes.subarray(at, at + 4096).some((byte) => byte !== 0));
        t.same(whole, [], `${size} bytes, ${damage}: no key record is left, and that is said\n${spoilt.summary()}`);
        continue;
      }
      const why = found.error ? `: ${found.error.code} ${found.error.message}\n${spoilt.summary()}` : '';
      t.ok(found.ok, `${size} bytes, ${damage}${why}`);
      const changed = !spoilt.bytes.equals(c.file);
      if (found.ok && changed)
        t.ok(found.report.damaged, `${size} bytes, ${damage}: said to be damaged\n${spoilt.summary()}`);
    }
  });

  t.test(`${layout}: records in more than two pieces`, async (t) => {
    for (const size of [KB20, MB12]) {
      const c = await seal(layout, size);
      const more = size === KB20 ? [] : ['duplicate:5000:3', 'insert:1:4,delete:512:2'];
      for (const damage of ['insert:4096:3', 'delete:7:3', ...more])
        for (let trial = 0; trial < 8; trial++) {
          const spoilt = corrupt(c.file, damage, { seed: random.u32() });
          const { ok, error } = await restore(c, spoilt.bytes);
          t.ok(ok, `${size} bytes, ${damage}${ok ? '' : `: ${error.message}\n${spoilt.summary()}`}`);
        }
      // Each copy of block 0 in four pieces, as far apart as no neighbour says.
      const pieces: Buffer[] = [];
      let from = 0;
      for (const copy of [0, 1] as const) {
        const { at, length } = c.place(DATA, copy, 0);
        for (const part of [0.3, 0.5, 0.8]) {
          const to = at + Math.floor(length * (part + 0.03 * copy));
          pieces.push(c.file.subarray(from, to), random.bytes(1 + random.below(20_000)));
          from = to;
        }
      }
      const { ok, error } = await restore(c, Buffer.concat([...pieces, c.file.subarray(from)]));
      t.ok(ok, `${size} bytes: each copy in four pieces${ok ? '' : `: ${error.message}`}`);
    }
  });

  t.test(`${layout}: more than can be healed is refused, never guessed`, async (t) => {
    let healed = 0;
    for (const size of [KB20, MB12]) {
      const c = await seal(layout, size);
      for (const damage of [
        'sectors:4096:0.2',
        'sectors:512:0.3',
        'flip:0.05',
        'burst:64KiB:8',
        'cut-tail:60%',
        'delete:10%:5',
        'swap:30%:3',
      ]) {
        const spoilt = corrupt(c.file, damage, { seed: random.u32() });
        const { ok, error } = await restore(c, spoilt.bytes);
        healed += Number(ok);
        t.pass(`${size} bytes, ${damage}: ${ok ? 'exact' : error.code}`);
      }
    }
    t.comment(`${healed} of 14 were healed`);
  });

  t.test(`${layout}: records moved, repeated, among foreign bytes`, async (t) => {
    const c = await seal(layout, MB12);
    const parts = c.records.map((r) => c.file.subarray(r.at, r.at + r.length));
    const shuffled = () => {
      const all = [...parts];
      for (let i = all.length - 1; i > 0; i--) {
        const j = random.below(i + 1);
        [all[i], all[j]] = [all[j]!, all[i]!];
      }
      return all;
    };
    for (let i = 0; i < 6; i++) t.equal(await verdict(c, Buffer.concat(shuffled())), 'healed', 'records reordered');
    t.equal(await verdict(c, Buffer.concat([...parts].reverse())), 'healed', 'records backwards');
    t.equal(await verdict(c, Buffer.concat([...shuffled(), ...shuffled()])), 'healed', 'records twice, reordered');
    t.equal(await verdict(c, Buffer.concat([c.file, c.file])), 'healed', 'the file twice');
    const between = parts.flatMap((p) => [p, random.bytes(random.between(1, 5000))]);
    t.equal(await verdict(c, Buffer.concat(between)), 'healed', 'foreign bytes between all records');
    t.equal(
      await verdict(c, Buffer.concat([random.bytes(12_345), c.file, random.bytes(54_321)])),
      'healed',
      'around it',
    );
    const needed = c.records.filter((r) => (r.type === DATA && r.copy === 1) || r.type === HEADER);
    const least = Buffer.concat(needed.map((r) => c.file.subarray(r.at, r.at + r.length)));
    t.equal(await verdict(c, least), 'healed', 'nothing but one HEADER and the copies B');
  });

  t.test(`${layout}: two files in one`, async (t) => {
    const [c, d] = [await seal(layout, KB20), await seal(layout, MB12, 'd')];
    const both = Buffer.concat([c.file, d.file]);
    const { error } = await restore(c, both);
    t.equal(error?.code, 'ERR_FORMAT_SEVERAL');
    t.ok(error instanceof FormatError);
    const ids = [c, d].map((x) => x.keys.fileId.toString('hex'));
    t.same((error?.facts.fileIds as string[] | undefined)?.toSorted(), ids.toSorted(), 'both are named');
    for (const [i, x] of [c, d].entries()) {
      t.ok((await restore(x, both, { fileId: ids[i]! })).ok, 'either can be chosen');
      t.ok((await restore(x, both, { fileId: ids[i]!.slice(0, 10) })).ok, 'by the beginning of its fileID');
    }
    t.equal((await restore(c, both, { fileId: 'ffffffffffff' })).error?.code, 'ERR_FORMAT_SEVERAL', 'no such file');
    // One whole file and a piece of another.
    const piece = d.file.subarray(0, d.place(DATA, 0, 0).at + 100_000);
    t.ok((await restore(c, Buffer.concat([piece, c.file]))).ok, 'a piece of another in front');
    t.ok((await restore(c, Buffer.concat([c.file, piece]))).ok, 'a piece of another behind');
  });
}

t.test('a repaired file is the one that was first written', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-healing-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const [from, to] = [join(folder, 'damaged'), join(folder, 'repaired')];
  const damages = [
    'flip:1e-3',
    'sectors:512:0.03',
    'overwrite:10%@head',
    'insert:7',
    'delete:7',
    'cut-head:5000',
    'insert:5000@tail',
  ];
  for (const layout of [...layouts, 'split'] as const) {
    for (const size of [KB20, MB12]) {
      const c = await seal(layout, size);
      await writeFile(from, c.file);
      t.equal(
        (await repairBackup(from, { output: to, force: true })).output,
        null,
        `${layout}, ${size} bytes: nothing to do`,
      );
      for (const damage of damages) {
        const spoilt = corrupt(c.file, damage, { seed: random.u32() });
        await writeFile(from, spoilt.bytes);
        const options = c.mirror ? { with: [c.mirror] } : {};
        await repairBackup(from, { output: to, force: true, ...options });
        t.ok((await readFile(to)).equals(c.file), `${layout}, ${size} bytes, ${damage}\n${spoilt.summary()}`);
      }
    }
  }
});

t.test('nothing is rebuilt from what nothing confirms', async (t) => {
  for (const layout of layouts) {
    const c = await seal(layout, MB12);
    // All that knows the hash of block 1 is gone, and so is its parity: as zeros, and as a copy of another record, which are codewords both.
    const gone = [c.place(DATA, 0, 1), c.place(DATA, 1, 1), c.place(INDEX, 0, 0), c.place(INDEX, 1, 0)];
    const parity = c.place(PARITY, 0, 0);
    for (const misdirected of [false, true]) {
      const file = Buffer.from(c.file);
      for (const r of [...gone, parity]) file.fill(0, r.at, r.at + r.length);
      const { at } = c.place(DATA, 0, 0);
      if (misdirected) c.file.copy(file, parity.at, at, at + parity.length);
      const { error } = await restore(c, file);
      t.same(
        lost(error),
        [1],
        `${layout}, ${misdirected ? 'a copy of block 0 in its place' : 'zeros'}: ${error?.code}`,
      );
      const report = await validateBackup(file);
      t.same([report.ok, report.problem?.code], [false, 'ERR_DAMAGE_BLOCKS'], 'without a key, too');
    }
    const confirmed = Buffer.from(c.file);
    for (const r of gone) confirmed.fill(0, r.at, r.at + r.length);
    t.ok((await restore(c, confirmed)).ok, 'with its parity it is rebuilt');
  }
});

t.test('a large file: two groups, a delay line, damage in both groups at once', async (t) => {
  const c = await seal('interleaved', 129 * 978_924 + 100_000);
  t.equal(c.count, 130);
  const both = (i: number): Placed[] => [c.place(DATA, 0, i), c.place(DATA, 1, i)];
  const first = random.sample(8, 128);
  const blocks = [...first, 128 + random.below(2)];
  const found = await whileLost(c.file, blocks.flatMap(both), random, () => restore(c, c.file));
  t.ok(found.ok, `blocks ${blocks} rebuilt${found.error ? `: ${found.error.message}` : ''}`);
  t.equal(found.report?.rebuilt, 9);
  t.same(found.report?.copyA, { total: 130, good: 121, healed: 9 });
});

t.test('of a second copy only what is wanted is read', async (t) => {
  const c = await seal('tandem', 3 * 978_924);
  const folder = await mkdtemp(join(tmpdir(), 'dbs-with-'));
  t.teardown(() => rm(folder, { recursive: true }));
  let read = 0;
  const { size, ...source } = bufferSource(c.file);
  const second = {
    ...source,
    size,
    read: (at: number, into: Buffer) => {
      read += into.length;
      return source.read(at, into);
    },
  };
  t.ok((await restore(c, c.file, { with: [second] })).ok);
  t.ok(read <= 4 * 4096, `of ${size} bytes ${read}, where nothing is damaged`);
  // 40 rows of one block, in both copies: more than its parity and the outer parity's one block can do with a second block hurt as well.
  const start = random.below(200);
  const rows = Array.from({ length: 40 }, (_, n) => start + n);
  const hurt = [0, 1].flatMap((block) =>
    [c.place(DATA, 0, block), c.place(DATA, 1, block)].flatMap((r) => rows.map((n) => rowRange(r, n, 4096))),
  );
  const spoilt = Buffer.from(c.file);
  for (const { at, length } of hurt) random.fill(spoilt.subarray(at, at + length));
  t.same(lost((await restore(c, spoilt)).error), [0, 1], 'alone it is lost');
  read = 0;
  t.ok((await restore(c, spoilt, { with: [second] })).ok);
  t.ok(read < size / 8, `of ${size} bytes ${read}, where two blocks are`);
  const path = join(folder, 'spoilt.dbs');
  await writeFile(path, spoilt);
  await repairBackup(path, { inPlace: true, with: [second] });
  t.ok((await readFile(path)).equals(c.file), 'and repaired to what it was');
  read = 0;
  await validateBackup(c.file, undefined, { with: [second] });
  t.ok(read >= size, 'validate looks at all of it');
});

t.test('split: either half alone, and each heals the other', async (t) => {
  for (const size of [KB20, MB12]) {
    const c = await seal('split', size);
    const mirror = c.mirror!;
    t.equal(mirror.length, c.file.length);
    for (const half of [c.file, mirror]) t.equal(await verdict(c, half), 'whole', 'one half alone');
    t.ok((await restore(c, c.file, { with: [mirror] })).ok, 'both');
    t.ok((await restore(c, mirror, { with: [c.file] })).ok, 'both, the other way round');
    const other = await seal('split', size, 'other');
    t.equal((await restore(c, c.file, { with: [other.file] })).error?.code, 'ERR_FORMAT_DIFFERENT');
    for (const damage of ['sectors:4096:0.2', 'flip:1e-2', 'cut-tail:50%', 'cut-head:50%', 'insert:1', 'delete:99:9']) {
      const spoilt = [c.file, mirror].map((half) => corrupt(half, damage, { seed: random.u32() }).bytes);
      const found = await restore(c, spoilt[0]!, { with: [mirror] });
      t.ok(found.ok, `${size} bytes, ${damage} in one half: ${found.error?.message}`);
      t.equal(found.report?.damaged, !spoilt[0]!.equals(c.file), 'and said to be damaged');
      const two = await restore(c, spoilt[0]!, { with: [spoilt[1]!] });
      if (/cut|delete|0\.2/.test(damage)) t.pass(`${damage} in both halves: ${two.error?.code ?? 'exact'}`);
      else t.ok(two.ok, `${size} bytes, ${damage} in both: ${two.error?.message}`);
    }
    // Three quarters of blocks destroyed here, and another three quarters there.
    const records = c.records.filter((r) => r.type === DATA);
    const here = records.filter((r) => r.sequence % 2 === 0);
    const there = records.filter((r) => r.sequence % 2 === 1);
    const found = await whileLost(c.file, here, random, () =>
      whileLost(mirror, there, random, () => restore(c, c.file, { with: [mirror] })),
    );
    t.ok(found.ok, 'blocks lost in turn');
  }
});
