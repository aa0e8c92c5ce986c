/** Blocks to the bytes of a container, twice: pages, layouts, HEADER, INDEX and END (SPEC.md sections 3, 5 and 6). */
import { blockHash, chainHash } from '../crypto/hash.ts';
import { SinkError } from '../errors.ts';
import { writeEnd } from '../format/header.ts';
import { afterEnd, order, recordLength } from '../format/layout.ts';
import { DELAY, FINAL, GROUP, Layout, type LayoutName, RecordType } from '../format/limits.ts';
import { freeYoung } from '../garbage.ts';
import { lease } from '../memory.ts';
import { type Block, type Encoded, type GroupIndex, type SlotPool, takeSlot } from './blocks.ts';
import { PageSealer } from './page-sealer.ts';
import { Stage } from './stage.ts';

/** Fills `into` with what was written at `offset`, once it has reached the sink; resolves to the bytes read. */
export type ReadBack = (offset: number, into: Buffer) => Promise<number>;

export interface DualCopyInterleaverOptions {
  fileId: Buffer;
  headerBytes: Buffer;
  layout: LayoutName;
  /** Needed for `tandem`: the second half is the first, read back and checked. */
  readBack?: ReadBack;
  /** Where `readBack` has other places to read from: called when one does not give back what was written; says whether there is another. */
  nextReadBack?: () => boolean;
  /** For `split`: which of the two files this is. */
  copy?: 0 | 1;
  pool?: SlotPool;
}

/** What the finished container is. Set when the stage ends. */
export interface ContainerFacts {
  bytes: number;
  blocks: number;
  groups: number;
  lastLength: number;
  fileId: Buffer;
  /** Over the hashes of all blocks. */
  chain: Buffer;
}

/** The facts of a block that outlive its rows. */
interface Remembered {
  block: Block;
  chain: Buffer;
  previous: { crcs: Uint32Array; hash: Buffer } | undefined;
}

/**
 * Takes what RSEncoder emits and emits the bytes of a container in one of three layouts. Emits Buffers in object mode, pages and rows apart, so that no
 * megabyte is copied; any Writable takes them.
 *
 * Memory: `interleaved` holds the last 16 blocks, 16 MiB; the others one. Errors: SinkError ERR_SINK_READBACK when what was written does not read
 * back as it was (`tandem`).
 * @see HealingMerger, the mirror
 */
export class DualCopyInterleaver extends Stage<Encoded, Buffer> {
  readonly #options: DualCopyInterleaverOptions;
  readonly #sealer: PageSealer;
  readonly #copy: 0 | 1;
  readonly #delayed: Remembered[] = [];
  readonly #indexes = new Map<number, Buffer>();
  #chain: Buffer;
  #lastData: Remembered['previous'];
  #lastRecord: Remembered['previous'];
  #count = 0;
  #payload = 0;
  #lastLength = 0;
  #facts: ContainerFacts | undefined;

  constructor(options: DualCopyInterleaverOptions) {
    super({ objectsIn: true, objectsOut: true });
    this.#options = options;
    this.#copy = options.layout === 'split' ? (options.copy ?? 0) : 0;
    this.#sealer = new PageSealer(options.fileId, Layout[options.layout], options.layout === 'interleaved' ? DELAY : 0);
    this.#chain = options.fileId;
  }

  /** The finished container. @throws Error before the stage has ended */
  get facts(): ContainerFacts {
    if (!this.#facts) throw new Error('the container is not finished');
    return this.#facts;
  }

  protected override async accept(record: Encoded): Promise<void> {
    if (record.type === RecordType.INDEX) return this.#groupIndex(record);
    if (record.type === RecordType.PARITY) {
      await this.#rows({ block: record, chain: this.#chain, previous: this.#lastRecord }, this.#copy, true);
      this.#lastRecord = { crcs: record.rowCrcs, hash: record.hash };
      return;
    }
    return this.#data(record);
  }

  async #data(block: Block): Promise<void> {
    if (block.sequence % GROUP === 0) {
      await this.#body(RecordType.HEADER, this.#copy, block.sequence / GROUP, this.#options.headerBytes);
    }
    this.#chain = chainHash(this.#chain, block.hash);
    const remembered = { block, chain: this.#chain, previous: this.#lastData };
    this.#lastRecord = this.#lastData = { crcs: block.rowCrcs, hash: block.hash };
    this.#count++;
    this.#payload += block.payload.length;
    this.#lastLength = block.payload.length;
    const delays = this.#options.layout === 'interleaved';
    await this.#rows(remembered, this.#copy, !delays);
    if (!delays) return;
    this.#delayed.push(remembered);
    if (this.#delayed.length > DELAY) await this.#oldestB();
  }

  async #groupIndex(index: GroupIndex): Promise<void> {
    if (this.#options.layout === 'interleaved') this.#indexes.set(index.group, index.body);
    await this.#body(RecordType.INDEX, this.#copy, index.group, index.body);
  }

  protected override async finish(): Promise<void> {
    const { layout, fileId } = this.#options;
    await this.#end(this.#copy);
    if (layout === 'tandem') await this.#secondHalf();
    else for (const slot of afterEnd(layout, this.#count)) await this.#drain(slot.type);
    this.#facts = {
      bytes: this.#sealer.offset,
      blocks: this.#count,
      groups: Math.ceil(this.#count / GROUP),
      lastLength: this.#lastLength,
      fileId,
      chain: this.#chain,
    };
  }

  async #drain(type: RecordType): Promise<void> {
    if (type === RecordType.DATA) await this.#oldestB();
    else if (type === RecordType.END) await this.#end(1);
    // INDEX-B follows its block in #oldestB.
  }

  async #oldestB(): Promise<void> {
    const oldest = this.#delayed.shift()!;
    await this.#rows(oldest, 1, true);
    const { sequence, final } = oldest.block;
    const group = Math.floor(sequence / GROUP);
    const body = this.#indexes.get(group);
    if (!body || !(final || (sequence + 1) % GROUP === 0)) return;
    this.#indexes.delete(group);
    await this.#body(RecordType.INDEX, 1, group, body);
  }

  /** Copy B of every block, from what stands in the file. */
  async #secondHalf(): Promise<void> {
    let at = 0;
    let chain = this.#options.fileId;
    for (const slot of order('tandem', this.#count)) {
      if (slot.type === RecordType.END) break;
      const length = recordLength(slot, this.#count, this.#lastLength);
      freeYoung(length);
      if (slot.type === RecordType.DATA || slot.type === RecordType.INDEX) {
        const memory = takeSlot(this.#options.pool);
        const copy = await this.#copyB(at, memory.bytes.subarray(0, length));
        if (slot.type === RecordType.DATA) chain = chainHash(chain, copy.hash);
        for (const page of copy.pages) await this.send(page);
        if (copy.rows.length > 0) await this.send(lease(copy.rows, memory));
        else memory.release();
      }
      at += length;
    }
    if (!chain.equals(this.#chain)) throw readBackFailed(at);
    await this.#end(1);
  }

  async #copyB(at: number, into: Buffer) {
    const { readBack, nextReadBack } = this.#options;
    if (!readBack)
      throw new SinkError(
        'ERR_SINK_NO_READBACK',
        'The tandem layout needs a sink that can be read back. Use `interleaved`.',
      );
    for (;;) {
      const copy = (await readBack(at, into)) === into.length ? this.#sealer.asCopyB(into) : null;
      if (copy) return copy;
      if (!nextReadBack?.()) throw readBackFailed(at);
    }
  }

  async #rows({ block, chain, previous }: Remembered, copy: 0 | 1, last: boolean): Promise<void> {
    const sequence = block.sequence;
    const { page, padding } = this.#sealer.rows(block, {
      copy,
      sequence,
      flags: block.final ? FINAL : 0,
      chain,
      previous,
    });
    await this.send(page);
    const rows = block.slot.rows.subarray(0, block.rows.length + padding);
    rows.fill(0, block.rows.length);
    if (!last) block.slot.retain();
    await this.send(lease(rows, block.slot));
  }

  async #body(type: RecordType, copy: 0 | 1, sequence: number, body: Buffer): Promise<void> {
    const hash = blockHash(this.#options.fileId, type, sequence, 0, body);
    for (const page of this.#sealer.body(type, { copy, sequence, hash, body })) await this.send(page);
  }

  async #end(copy: 0 | 1): Promise<void> {
    const { headerBytes } = this.#options;
    const groups = Math.ceil(this.#count / GROUP);
    const body = writeEnd({ count: this.#count, totalPayload: this.#payload, groups, chain: this.#chain, headerBytes });
    await this.#body(RecordType.END, copy, this.#count, body);
  }
}

export function readBackFailed(offset?: number): SinkError {
  const where = offset === undefined ? '' : ` at byte ${offset}`;
  return new SinkError(
    'ERR_SINK_READBACK',
    `What was written${where} does not read back as it was. The medium is failing: write to another one.`,
    { facts: offset === undefined ? {} : { offset } },
  );
}
