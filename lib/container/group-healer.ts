/**
 * Step 5 of the ladder: blocks that their own copies cannot heal, from the outer parity of their group, range by range; again while it
 * gains (SPEC.md sections 5 and 9).
 */
import { OuterRecovery } from '../erasure/outer.ts';
import { groupSize, parityCount } from '../format/group.ts';
import { FULL_PAYLOAD, FULL_RECORD, GROUP, RecordType, ROW_UNIT } from '../format/limits.ts';
import { blockShape } from '../format/page.ts';
import { isWhole, type Remains, type Whole } from './block.ts';
import type { BlockReader } from './block-reader.ts';

/** Row lengths are multiples of 512, so what is known is counted in units of that. */
const UNITS = FULL_PAYLOAD / ROW_UNIT;

interface Failing {
  index: number;
  remains: Remains;
  /** By unit: known, and added to the sums. */
  known: Uint8Array;
  /** Rows that were good when its columns were last decoded. */
  tried: number;
}

interface Parity {
  j: number;
  known: Uint8Array;
  /** Nothing is left that could confirm it. */
  doubtful: boolean;
}

/** What a group's healing came to. */
export interface GroupResult {
  /** Block number to payload: the blocks that were rebuilt. */
  healed: Map<number, Buffer>;
  /** What is left of those that were not. */
  lost: Remains[];
}

/**
 * Reads a whole group once. Memory: 9 MB of sums, 1 MiB for each block that fails by itself (a group that is lost entirely: 128 MiB), 1 MiB of buffer.
 * @param without a block to be rebuilt although its hash fits, as its authentication failed
 */
export async function healGroup(blocks: BlockReader, group: number, without?: number): Promise<GroupResult> {
  const n = groupSize(group, blocks.extent.count);
  const buffer = Buffer.allocUnsafeSlow(FULL_RECORD);
  const recovery = new OuterRecovery();
  const failing: Failing[] = [];
  for (let index = 0; index < n; index++) {
    const sequence = group * GROUP + index;
    const result = await blocks.read(RecordType.DATA, sequence, buffer);
    if (isWhole(result) && sequence !== without) recovery.add(index, result.payload);
    else failing.push(failure(index, isWhole(result) ? nothingLeft(sequence, result) : result));
  }
  const parities = await readParities(blocks, group, parityCount(n), recovery, buffer);
  for (const f of failing) addGoodRows(f, recovery);
  // Where nothing confirms a block either, it takes parity that is beyond doubt, or the judgement of authentication.
  const trusted = parities.every((p) => !p.doubtful);
  const healed = new Map<number, Buffer>();
  let open = failing;
  const keep = ({ remains }: Failing) => {
    healed.set(remains.sequence, Buffer.from(remains.rows.subarray(0, remains.shape.length)));
  };
  for (let gained = true; gained && open.length > 0; ) {
    gained = solveUnits(open, parities, recovery);
    for (const f of open) {
      if (!finish(f, blocks, recovery, trusted || f.remains.sequence === without)) continue;
      keep(f);
      gained = true;
    }
    open = open.filter((f) => !healed.has(f.remains.sequence));
    // The dearest way last: rows that the outer code gave leave fewer errors to find in each column.
    for (const f of gained ? [] : open) {
      const now = countGood(f.remains);
      if (now === f.tried || f.remains.hashes.length === 0) continue;
      f.tried = now;
      const whole = await blocks.healColumns(f.remains);
      if (whole) keep(f);
      if (addRows(f, recovery, (r) => whole || f.remains.good[r]!)) gained = true;
    }
    open = open.filter((f) => !healed.has(f.remains.sequence));
  }
  return { healed, lost: open.map((f) => f.remains) };
}

function failure(index: number, remains: Remains): Failing {
  const known = new Uint8Array(UNITS);
  // Beyond a short block's end the outer code sees zeros.
  known.fill(1, Math.ceil((remains.shape.k * remains.shape.rowLength) / ROW_UNIT));
  return { index, remains, known, tried: countGood(remains) };
}

function countGood({ good }: Remains): number {
  return good.filter(Boolean).length;
}

/** A block whose bytes are not to be believed: authentication decides about what the outer code makes of it. */
function nothingLeft(sequence: number, { payload, final }: Whole): Remains {
  const shape = { ...blockShape(payload.length)!, length: payload.length, final };
  const rows = shape.k + shape.m;
  return {
    type: RecordType.DATA,
    sequence,
    shape,
    rows: Buffer.alloc(rows * shape.rowLength),
    good: Array(rows).fill(false),
    hashes: [],
    crcs: undefined,
  };
}

async function readParities(
  blocks: BlockReader,
  group: number,
  count: number,
  recovery: OuterRecovery,
  buffer: Buffer,
): Promise<Parity[]> {
  const parities: Parity[] = [];
  for (let j = 0; j < count; j++) {
    const result = await blocks.read(RecordType.PARITY, 256 * group + j, buffer);
    const known = new Uint8Array(UNITS);
    if (isWhole(result)) {
      recovery.addParity(j, result.payload);
      known.fill(1);
    } else {
      forGoodRows(result, (row, from, to) => {
        recovery.addParity(j, row, from * ROW_UNIT);
        known.fill(1, from, to);
      });
    }
    parities.push({ j, known, doubtful: !isWhole(result) && result.hashes.length === 0 && known.some(Boolean) });
  }
  return parities;
}

function addGoodRows({ index, remains, known }: Failing, recovery: OuterRecovery): void {
  forGoodRows(remains, (row, from, to) => {
    recovery.add(index, row, from * ROW_UNIT);
    known.fill(1, from, to);
  });
}

/** Calls with each good data row and the units that it covers. */
function forGoodRows({ rows, shape, good }: Remains, visit: (row: Buffer, from: number, to: number) => void): void {
  const perRow = shape.rowLength / ROW_UNIT;
  for (let r = 0; r < shape.k; r++) {
    if (good[r]) visit(rows.subarray(r * shape.rowLength, (r + 1) * shape.rowLength), r * perRow, (r + 1) * perRow);
  }
}

/** Solves every run of units in which the same blocks are unknown, no more than there is parity. @returns whether any was */
function solveUnits(open: Failing[], parities: Parity[], recovery: OuterRecovery): boolean {
  let gained = false;
  for (let from = 0; from < UNITS; ) {
    const unknown = open.filter((f) => !f.known[from]);
    const parity = parities.filter((p) => p.known[from]);
    let to = from + 1;
    const same = (u: number) =>
      open.every((f) => f.known[u] === f.known[from]) && parities.every((p) => p.known[u] === p.known[from]);
    while (to < UNITS && same(to)) to++;
    if (unknown.length > 0 && unknown.length <= parity.length) {
      recoverRun(unknown, parity, from, to, recovery);
      gained = true;
    }
    from = to;
  }
  return gained;
}

function recoverRun(unknown: Failing[], parity: Parity[], from: number, to: number, recovery: OuterRecovery): void {
  const length = (to - from) * ROW_UNIT;
  const outputs = unknown.map(() => Buffer.alloc(length));
  recovery.recover(
    unknown.map((f) => f.index),
    parity.map((p) => p.j),
    from * ROW_UNIT,
    outputs,
  );
  unknown.forEach((f, i) => {
    outputs[i]!.copy(
      f.remains.rows,
      from * ROW_UNIT,
      0,
      Math.min(length, f.remains.shape.k * f.remains.shape.rowLength - from * ROW_UNIT),
    );
    recovery.add(f.index, outputs[i]!, from * ROW_UNIT);
    f.known.fill(1, from, to);
  });
}

/** Whether a block is whole now: by what the outer code gave, and its own parity rows for the rest. */
function finish(f: Failing, blocks: BlockReader, recovery: OuterRecovery, trusted: boolean): boolean {
  const { remains, known } = f;
  const { shape, good } = remains;
  const perRow = shape.rowLength / ROW_UNIT;
  for (let r = 0; r < shape.k; r++) {
    if (good[r] || !known.subarray(r * perRow, (r + 1) * perRow).every(Boolean)) continue;
    good[r] = remains.crcs === undefined || blocks.rowFits(remains, r);
  }
  const unverifiable = trusted && remains.hashes.length === 0 && good.slice(0, shape.k).every(Boolean);
  if (!unverifiable && !blocks.solveRows(remains)) return false;
  addRows(f, recovery, () => true);
  return true;
}

/** Adds what the sums do not have yet of some rows. @returns whether that was anything */
function addRows(
  { index, remains, known }: Failing,
  recovery: OuterRecovery,
  which: (row: number) => boolean,
): boolean {
  const { rows, shape } = remains;
  const perRow = shape.rowLength / ROW_UNIT;
  let gained = false;
  for (let u = 0; u < shape.k * perRow; u++) {
    if (known[u] || !which(Math.floor(u / perRow))) continue;
    recovery.add(index, rows.subarray(u * ROW_UNIT, (u + 1) * ROW_UNIT), u * ROW_UNIT);
    known[u] = 1;
    gained = true;
  }
  return gained;
}
