/** `survives`: each number is true at its bound. Damage of exactly that size, wherever it falls, restores exactly. */
import t from 'tap';
import { survival } from '../../lib/container/survival.ts';
import { FULL_PAYLOAD, type LayoutName } from '../../lib/format/limits.ts';
import { blockShape } from '../../lib/format/page.ts';
import { Random } from '../../lib/testkit/index.ts';
import { type Container, DATA, type Patch, type Placed, restore, rowRange, seal, seed, whileLost } from './support.ts';

const random = new Random(seed);
const cases: [LayoutName, number][] = [
  ['tandem', 0],
  ['tandem', 20_000],
  ['tandem', 1_200_000],
  ['tandem', 17 * 978_924 + 5000],
  ['interleaved', 0],
  ['interleaved', 20_000],
  ['interleaved', 1_200_000],
  ['interleaved', 17 * 978_924 + 5000],
];

t.before(() => t.comment(`SEED=${seed}`));

function shapeOf(c: Container, sequence: number) {
  return blockShape(sequence === c.count - 1 ? c.lastLength : FULL_PAYLOAD)!;
}

/** Every copy of every block, with its number and shape. */
function copies(c: Container): { record: Placed; rows: number; rowLength: number }[] {
  return c.records
    .filter((r) => r.type === DATA)
    .map((record) => {
      const { k, m, rowLength } = shapeOf(c, record.sequence);
      return { record, rows: k + m, rowLength };
    });
}

for (const [layout, size] of cases) {
  t.test(`${layout}, ${size} bytes`, async (t) => {
    const c = await seal(layout, size);
    const s = survival({ layout, count: c.count, lastLength: c.lastLength });
    const large = c.count > 10;
    const survives = async (what: string, ranges: Patch[]) => {
      const { ok, error } = await whileLost(c.file, ranges, random, () => restore(c, c.file));
      t.ok(ok, `${what}${error ? `: ${error.message} (SEED=${seed})` : ''}`);
    };

    const room = c.file.length - s.burstBytes;
    t.ok(room > 0 && s.burstBytes > 0);
    const edges = c.records.flatMap((r) => [r.at, r.at + 4096, r.at + r.length, r.at - s.burstBytes, r.at + 2000]);
    const starts = [0, room, ...edges.filter((at) => at >= 0 && at <= room)];
    const chosen = large ? random.sample(3, starts.length).map((i) => starts[i]!) : starts;
    for (const at of [...chosen, random.below(room), random.below(room)]) {
      await survives(`a burst of ${s.burstBytes} bytes at ${at}`, [{ at, length: s.burstBytes }]);
    }

    const cut = await restore(c, c.file.subarray(0, c.file.length - s.tailBytes));
    t.ok(cut.ok, `${s.tailBytes} bytes cut off at the end${cut.error ? `: ${cut.error.message}` : ''}`);
    const less = await restore(c, c.file.subarray(0, c.file.length - random.below(s.tailBytes)));
    t.ok(less.ok, 'and any less');

    for (const same of [true, false]) {
      const rows = copies(c).flatMap(({ record, rows, rowLength }) => {
        const chosen = same ? new Random(record.sequence) : random;
        return chosen.sample(s.rowsPerBlock, rows).map((r) => rowRange(record, r, rowLength));
      });
      await survives(`${s.rowsPerBlock} rows in each copy of each block, ${same ? 'the same' : 'others'}`, rows);
    }

    const errors = copies(c)
      .filter(({ record }) => !large || record.sequence % 8 === 1)
      .flatMap(({ record, rows, rowLength }) =>
        Array.from({ length: rowLength }, (_, column) =>
          random
            .sample(s.errorsPerColumn, rows)
            .map((r) => ({ at: rowRange(record, r, rowLength).at + column, length: 1 })),
        ).flat(),
      );
    const spoilt = Buffer.from(c.file);
    for (const { at } of errors) spoilt[at]! ^= random.between(1, 255);
    const found = await restore(c, spoilt);
    t.ok(
      found.ok,
      `${s.errorsPerColumn} wrong bytes in each column of each copy${found.error ? `: ${found.error.message}` : ''}`,
    );

    if (s.blocksPerGroup > 0) {
      const blocks = random.sample(s.blocksPerGroup, c.count);
      const lost = c.records.filter((r) => r.type === DATA && blocks.includes(r.sequence));
      await survives(`blocks ${blocks} lost in both copies`, lost);
    } else t.equal(c.count, 1);
  });
}

t.test('half of a split pair, alone', async (t) => {
  for (const size of [0, 20_000, 1_200_000, 2_900_000]) {
    const c = await seal('split', size);
    const s = survival({ layout: 'split', count: c.count, lastLength: c.lastLength });
    t.equal(s.tailBytes, 0);
    const room = c.file.length - s.burstBytes;
    const edges = c.records.flatMap((r) => [r.at, r.at + 4096, r.at + r.length, r.at - s.burstBytes, r.at - 3000]);
    const starts = [0, room, ...edges.filter((at) => at >= 0 && at <= room), random.below(room), random.below(room)];
    for (const at of starts) {
      const range = { at, length: s.burstBytes };
      const { ok, error } = await whileLost(c.file, [range], random, () => restore(c, c.file));
      t.ok(ok, `${size} bytes: a burst of ${s.burstBytes} at ${at}${error ? `: ${error.message}` : ''}`);
    }
    const rows = copies(c).flatMap(({ record, rows, rowLength }) =>
      random.sample(s.rowsPerBlock, rows).map((r) => rowRange(record, r, rowLength)),
    );
    t.ok((await whileLost(c.file, rows, random, () => restore(c, c.file))).ok, `${s.rowsPerBlock} rows in each block`);
    const blocks = c.records.filter((r) => r.type === DATA && r.sequence < s.blocksPerGroup);
    t.ok((await whileLost(c.file, blocks, random, () => restore(c, c.file))).ok, `${s.blocksPerGroup} blocks`);
  }
});
