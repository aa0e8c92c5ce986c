/** The whole of a container, looked at: both copies of every block, all parity and every table, healing on the way. */
import { blockHash, chainHash } from '../crypto/hash.ts';
import { DamageError } from '../errors.ts';
import { groupSize, indexShape, parityCount } from '../format/group.ts';
import { FINAL, FULL_RECORD, GROUP, PAGE, RecordType } from '../format/limits.ts';
import { bodyPages } from '../format/page.ts';
import type { Slot } from '../memory.ts';
import type { Replica } from './block.ts';
import { exactPageAt } from './pages.ts';
import type { ContainerReader, ReadBlock } from './reader.ts';
import type { RecordMap } from './record-map.ts';

/** Records of one kind. */
export interface Health {
  total: number;
  good: number;
  /** Damaged, and its content is had from elsewhere. */
  healed: number;
}

export interface Tally {
  copyA: Health;
  copyB: Health;
  outerParity: Health;
  tables: Health;
  /** Blocks of which no copy was whole. */
  rebuilt: number;
  lost: number[];
  /** Of all blocks so far (SPEC.md section 3); meaningful while none is lost. */
  chain: Buffer;
}

export function newTally(fileId: Buffer): Tally {
  const health = (): Health => ({ total: 0, good: 0, healed: 0 });
  return {
    copyA: health(),
    copyB: health(),
    outerParity: health(),
    tables: health(),
    rebuilt: 0,
    lost: [],
    chain: fileId,
  };
}

/** What is not as it was written. */
export function isDamaged(t: Tally): boolean {
  return [t.copyA, t.copyB, t.outerParity, t.tables].some((h) => h.good < h.total) || t.lost.length > 0;
}

/**
 * Yields every block in order, whole, in a slot that the consumer releases, and counts in `tally` what state each record is in. After
 * the first lost block it yields nothing more, but looks at the rest.
 *
 * @param maps the sources whose state is looked at; of the others only what heals these is read
 * @throws DamageError naming all lost blocks, at the end; TruncatedError for a file without one
 */
export async function* checkBlocks(
  reader: ContainerReader,
  tally: Tally,
  take: () => Slot,
  maps: RecordMap[] = reader.blocks.maps,
): AsyncGenerator<ReadBlock & { type: 2; slot: Slot }> {
  const scratch = Buffer.allocUnsafeSlow(FULL_RECORD);
  const { count } = reader.extent;
  let ended = false;
  for (let i = 0; i < count; i++) {
    if (i % GROUP === 0) await checkTable(reader, tally, maps, RecordType.HEADER, i / GROUP);
    const slot = take();
    const block = await checkBlock(reader, tally, maps, i, slot.bytes, scratch);
    if (block) tally.chain = chainHash(tally.chain, block.hash);
    ended = block?.final === true;
    if (block && tally.lost.length === 0) yield { ...block, type: RecordType.DATA, slot };
    else slot.release();
    if (i === count - 1 || (i + 1) % GROUP === 0)
      await checkGroupEnd(reader, tally, maps, Math.floor(i / GROUP), scratch);
  }
  await checkTable(reader, tally, maps, RecordType.END, count);
  if (reader.isCut(tally.lost)) throw reader.truncated(count - tally.lost.length);
  if (tally.lost.length > 0) throw reader.damage(tally.lost);
  // Somebody made a shorter file of it, and could not make its end.
  if (!ended) throw reader.truncated();
}

type HashedBlock = ReadBlock & { hash: Buffer };

async function checkBlock(
  reader: ContainerReader,
  tally: Tally,
  maps: RecordMap[],
  i: number,
  record: Buffer,
  scratch: Buffer,
): Promise<HashedBlock | null> {
  let block: HashedBlock | null = null;
  let hash: Buffer | undefined;
  const damaged: Health[] = [];
  for (const replica of plannedReplicas(maps, RecordType.DATA, i)) {
    const health = replica.copy === 0 ? tally.copyA : tally.copyB;
    health.total++;
    const into = block ? scratch : record;
    const { state, page } = await reader.blocks.state(replica, RecordType.DATA, i, into, hash);
    if (state === 'good') health.good++;
    else damaged.push(health);
    // The pass that writes need not find it out again.
    if (state === 'damaged' && !block) reader.blocks.markDamaged(i);
    if (block || state === 'damaged' || !page) continue;
    hash = page.hash;
    block = {
      sequence: i,
      final: (page.flags & FINAL) !== 0,
      payload: record.subarray(PAGE, PAGE + page.length),
      hash,
    };
  }
  if (!block) {
    const read = await reader.read(i, record).catch((error) => {
      if (error instanceof DamageError) return null;
      throw error;
    });
    if (read) {
      block = { ...read, hash: blockHash(reader.fileId, RecordType.DATA, i, read.final ? FINAL : 0, read.payload) };
      tally.rebuilt++;
    } else tally.lost.push(i);
  }
  if (block) for (const health of damaged) health.healed++;
  return block;
}

/** Replicas by plan alone: a record that stands elsewhere is damage, too. */
function* plannedReplicas(maps: RecordMap[], type: RecordType, sequence: number): Generator<Replica> {
  for (const copy of [0, 1] as const) {
    for (const map of maps) if (map.planned(type, copy, sequence) >= 0) yield { map, copy };
  }
}

async function checkGroupEnd(
  reader: ContainerReader,
  tally: Tally,
  maps: RecordMap[],
  group: number,
  scratch: Buffer,
): Promise<void> {
  const n = groupSize(group, reader.extent.count);
  await checkTable(reader, tally, maps, RecordType.INDEX, group);
  const whole = !tally.lost.some((block) => Math.floor(block / GROUP) === group);
  for (let j = 0; j < parityCount(n); j++) {
    for (const replica of plannedReplicas(maps, RecordType.PARITY, 256 * group + j)) {
      tally.outerParity.total++;
      const { state } = await reader.blocks.state(replica, RecordType.PARITY, 256 * group + j, scratch);
      if (state === 'good') tally.outerParity.good++;
      // It is a function of the blocks.
      else if (whole) tally.outerParity.healed++;
    }
  }
}

/** A HEADER, INDEX or END: good where each of its pages is, without decoding. All that they say stands elsewhere too. */
async function checkTable(
  reader: ContainerReader,
  tally: Tally,
  maps: RecordMap[],
  type: RecordType,
  sequence: number,
): Promise<void> {
  const { count, lastLength } = reader.extent;
  const pages = type === RecordType.INDEX ? bodyPages(indexShape(sequence, count, lastLength).length) : 1;
  for (const { map, copy } of plannedReplicas(maps, type, sequence)) {
    tally.tables.total++;
    let good = true;
    for (let p = 0; p < pages; p++) {
      const page = await exactPageAt(map.source, map.planned(type, copy, sequence) + p * PAGE);
      const f = page?.fields;
      good &&= f?.type === type && f.sequence === sequence && f.page === p && f.fileId.equals(reader.fileId);
    }
    if (good) tally.tables.good++;
    else tally.tables.healed++;
  }
}
