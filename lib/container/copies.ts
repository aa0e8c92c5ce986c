/** The rows of a block from wherever copies of them stand. */
import { crc32 } from 'node:zlib';
import type { Remains } from './block.ts';
import type { ByteSource } from './source.ts';

/** Where the rows of one copy may begin. Not necessarily within the source. */
export interface RowsAt {
  source: ByteSource;
  at: number;
}

/** Rows that are read along, as two reads cost more than one longer one. */
const NEAR = 16;

/**
 * Takes every row from the first place where its CRC fits; of the second and later places it reads what is still wanted. Nothing where no table of
 * CRCs is left.
 * @param remains `rows` and `good` are filled
 * @param scratch as long as the rows, overwritten
 */
export async function collectRows(remains: Remains, places: Iterable<RowsAt>, scratch: Buffer): Promise<void> {
  const { rows, good, crcs, shape } = remains;
  const { k, rowLength } = shape;
  if (!crcs) return;
  for (const { source, at } of places) {
    if (good.slice(0, k).every(Boolean)) return;
    for (const [first, end] of wanted(good)) {
      await readRows(source, at + first * rowLength, scratch.subarray(first * rowLength, end * rowLength));
      for (let r = first; r < end; r++) {
        const row = scratch.subarray(r * rowLength, (r + 1) * rowLength);
        if (good[r] || crc32(row) !== crcs[r]) continue;
        row.copy(rows, r * rowLength);
        good[r] = true;
      }
    }
  }
}

/** Fills all of `into`, with zeros where the source has nothing. */
export async function readRows(source: ByteSource, at: number, into: Buffer): Promise<void> {
  const skip = Math.min(into.length, Math.max(0, -at));
  const have = await source.read(at + skip, into.subarray(skip));
  into.fill(0, 0, skip).fill(0, skip + have);
}

/** Runs of rows that are not good, from and to: such as are near to each other in one. */
function wanted(good: boolean[]): [number, number][] {
  const runs: [number, number][] = [];
  for (let r = 0; r < good.length; r++) {
    const last = runs.at(-1);
    if (good[r]) continue;
    if (last && r - last[1] < NEAR) last[1] = r + 1;
    else runs.push([r, r + 1]);
  }
  return runs;
}
