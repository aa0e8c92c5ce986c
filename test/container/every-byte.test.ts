/** Any one byte may be wrong: 2,000 seeded positions of a small and of a larger backup, each changed alone. */
import t from 'tap';
import { Random } from '../../lib/testkit/index.ts';
import { type Container, restore, restoreOnce, seal, seed } from './support.ts';

const random = new Random(seed);
const POSITIONS = Number(process.env.POSITIONS ?? 2000);

t.before(() => t.comment(`SEED=${seed}`));

/** Positions all over the file, and each record's first and last bytes among them. */
function positionsOf(c: Container, count: number): number[] {
  const edges = c.records.flatMap((r) => [r.at, r.at + 4095, r.at + r.length - 1]);
  return [...edges, ...Array.from({ length: count - edges.length }, () => random.below(c.file.length))];
}

for (const [layout, size, count] of [
  ['tandem', 20_000, POSITIONS],
  ['interleaved', 20_000, POSITIONS / 4],
  ['tandem', 1_200_000, POSITIONS],
] as const) {
  t.test(`${layout}, ${size} bytes`, async (t) => {
    const c = await seal(layout, size);
    const failed: string[] = [];
    for (const [n, at] of positionsOf(c, count).entries()) {
      const mask = random.between(1, 255);
      c.file[at]! ^= mask;
      try {
        const full = n % 16 === 0 ? await restore(c, c.file) : null;
        const { damaged, error } = full
          ? { damaged: full.report?.damaged, error: full.error }
          : await restoreOnce(c, c.file);
        if (error) failed.push(`byte ${at} ^ ${mask}: ${error.code}`);
        else if (!damaged) failed.push(`byte ${at} ^ ${mask}: not said to be damaged`);
      } catch (error) {
        failed.push(`byte ${at} ^ ${mask}: ${(error as Error).message}`);
      } finally {
        c.file[at]! ^= mask;
      }
    }
    t.same(failed, [], `${count} positions: exact each time, and said to be damaged (SEED=${seed})`);
  });
}
