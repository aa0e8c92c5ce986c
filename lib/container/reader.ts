/** A container, opened for reading: from one source or from several copies of it, healed as it is read. */
import { DamageError, FormatError, type LostBlock, TruncatedError } from '../errors.ts';
import { groupSize, parityCount } from '../format/group.ts';
import { type End, type Header, readEnd } from '../format/header.ts';
import { FULL_RECORD, GROUP, RecordType } from '../format/limits.ts';
import { blockShape } from '../format/page.ts';
import type { Slot } from '../memory.ts';
import { type How, isWhole } from './block.ts';
import { BlockReader } from './block-reader.ts';
import { readBody } from './body.ts';
import { healGroup } from './group-healer.ts';
import { type Identity, identify, leastExtent, noHeader, unknown } from './identify.ts';
import type { Extent } from './record-map.ts';
import type { ByteSource } from './source.ts';

export interface OpenOptions {
  /** Which backup, where a source holds several: its fileID in hex, or the beginning of it. */
  fileId?: string;
  signal?: AbortSignal;
  /** Called for each block that was not simply there. */
  onHealed?: (block: number, how: How) => void;
}

/** A block as it was written. */
export interface ReadBlock {
  sequence: number;
  final: boolean;
  payload: Buffer;
}

/**
 * Memory: 1 MiB for each read under way, 3 MiB more once something is healed, 9 MB and a mebibyte for each failing block while a group is rebuilt; 16 bytes for each
 * block of the file.
 */
export class ContainerReader {
  readonly fileId: Buffer;
  readonly extent: Extent;
  readonly headers: Header[];
  readonly blocks: BlockReader;
  /** False where no END record and no last block is left: what follows the last known block is unknown. */
  readonly complete: boolean;
  /** Every source is as it was written, as far as sizes and its first and last page tell. */
  readonly regular: boolean;
  /** The chain over all blocks, as END says it. */
  readonly chain: Buffer | undefined;
  readonly #identities: Identity[];
  readonly #options: OpenOptions;
  #rebuilt: { group: number; payloads: Map<number, Buffer> } | undefined;

  private constructor(identities: Identity[], options: OpenOptions) {
    const known = identities.find((i) => i.end)?.end ?? null;
    this.complete = known !== null;
    this.chain = known?.chain;
    this.fileId = identities[0]!.fileId;
    this.headers = distinct(identities.flatMap((i) => i.headers));
    const { count, lastLength } = known ?? leastExtent(identities.flatMap((i) => i.map.records));
    this.extent = { layout: this.headers[0]!.core.layout, count, lastLength };
    for (const { map, half } of identities) map.extend(this.extent, half);
    this.regular = identities.every((i) => i.regular);
    this.blocks = new BlockReader(
      identities.map((i) => i.map),
      this.fileId,
      this.extent,
      this.complete,
      known?.chain,
    );
    this.#identities = identities;
    this.#options = options;
  }

  /**
   * @param sources one, or several copies of one backup (of a split pair: both halves)
   * @throws FormatError ERR_FORMAT_NOT_DBS, ERR_FORMAT_NEWER, ERR_FORMAT_SEVERAL, ERR_FORMAT_DIFFERENT; DamageError
   *   ERR_DAMAGE_NO_HEADER
   */
  static async open(sources: ByteSource[], options: OpenOptions = {}): Promise<ContainerReader> {
    const identities = await identifyAll(sources, options);
    const [first, ...others] = identities;
    const different = others.find((i) => !i.fileId.equals(first!.fileId));
    if (different) {
      const names = `${first!.map.source.name} and ${different.map.source.name}`;
      throw new FormatError('ERR_FORMAT_DIFFERENT', `${names} are two different backups, not two copies of one.`);
    }
    if (identities.every((i) => i.headers.length === 0)) throw noHeader(identities);
    return new ContainerReader(identities, options);
  }

  get sources(): Identity[] {
    return this.#identities;
  }

  /** What the END records say. @throws TruncatedError ERR_TRUNCATED where none is left */
  async end(): Promise<End> {
    for (const { map } of this.#identities) {
      for (const copy of [0, 1] as const) {
        for (const place of map.places(RecordType.END, copy, this.extent.count)) {
          const body = await readBody(map, place, RecordType.END, this.extent.count, this.fileId);
          const end = body && readEnd(body);
          if (end) return end;
        }
      }
    }
    throw this.truncated();
  }

  /** For messages: what was opened. */
  get name(): string {
    return this.#identities.map((i) => i.map.source.name).join(' + ');
  }

  /** Bytes of all sources. */
  get size(): number {
    return this.#identities.reduce((sum, i) => sum + i.map.source.size, 0);
  }

  /** Bytes beyond what the writer wrote; negative where some are missing. */
  get foreignBytes(): number {
    return this.#identities.reduce((sum, i) => sum + i.map.source.size - i.map.plan!.size, 0);
  }

  /**
   * Block i, healed if need be.
   * @param record 1 MiB, overwritten; the payload may be a view of it
   * @throws DamageError ERR_DAMAGE_BLOCKS naming this block; TruncatedError ERR_TRUNCATED for one after the known end
   */
  async read(sequence: number, record: Buffer): Promise<ReadBlock> {
    this.#options.signal?.throwIfAborted();
    const cached = this.#fromRebuilt(sequence);
    if (cached) return cached;
    if (!this.blocks.isDamaged(sequence)) {
      const first = this.blocks.replicas(RecordType.DATA, sequence).next().value;
      const whole = first && (await this.blocks.replica(first, RecordType.DATA, sequence, record));
      if (whole) return { sequence, final: whole.final, payload: whole.payload };
      this.blocks.markDamaged(sequence);
    }
    return this.#recover(sequence, record);
  }

  async #recover(sequence: number, record: Buffer): Promise<ReadBlock> {
    const group = Math.floor(sequence / GROUP);
    if (!this.#isThere(RecordType.DATA, sequence)) {
      await this.#scanAll();
      if (!this.#isThere(RecordType.DATA, sequence) && this.#beyondParity(group)) throw this.damage([sequence]);
    }
    let result = await this.blocks.read(RecordType.DATA, sequence, record);
    if (!isWhole(result) && (await this.#scanAll())) result = await this.blocks.read(RecordType.DATA, sequence, record);
    if (isWhole(result)) {
      this.#options.onHealed?.(sequence, result.how);
      return { sequence, final: result.final, payload: result.payload };
    }
    if (this.#beyondParity(group)) throw this.damage([sequence]);
    if (this.#rebuilt?.group !== group) {
      const { healed } = await healGroup(this.blocks, group);
      this.#rebuilt = { group, payloads: healed };
    }
    const rebuilt = this.#fromRebuilt(sequence);
    if (!rebuilt) throw this.damage([sequence]);
    this.#options.onHealed?.(sequence, 'outer');
    return rebuilt;
  }

  /** More blocks of the group are gone without a trace than there is parity: reading what is left of it would not bring them back. */
  #beyondParity(group: number): boolean {
    let missing = 0;
    for (let i = 0; i < groupSize(group, this.extent.count); i++) {
      if (!this.#isThere(RecordType.DATA, group * GROUP + i)) missing++;
    }
    let parity = 0;
    for (const sequence of this.parities(group)) if (this.#isThere(RecordType.PARITY, sequence)) parity++;
    return missing > parity || parity === 0;
  }

  /** Whether there is any place in the sources where the record could stand. */
  #isThere(type: RecordType, sequence: number): boolean {
    return this.blocks.replicas(type, sequence).next().done === false;
  }

  #fromRebuilt(sequence: number): ReadBlock | null {
    const payload = this.#rebuilt?.payloads.get(sequence);
    return payload ? { sequence, payload, final: this.complete && sequence === this.extent.count - 1 } : null;
  }

  async #scanAll(): Promise<boolean> {
    let news = false;
    for (const map of this.blocks.maps) news = (await map.scan()) || news;
    if (news) this.blocks.forget();
    return news;
  }

  /** Blocks in order, into slots that the consumer releases. @throws as `read`; TruncatedError ERR_TRUNCATED at the end of a file that has none */
  async *stream(
    take: () => Slot,
    from = 0,
    to = this.extent.count,
  ): AsyncGenerator<ReadBlock & { type: 2; slot: Slot }> {
    let slot = take();
    let next: Promise<ReadBlock> | undefined;
    for (let i = from; i < to; i++) {
      const block = await (next ?? this.read(i, slot.bytes)).catch((error) => {
        throw error instanceof DamageError && this.isCut([i]) ? this.truncated(i) : error;
      });
      const current = slot;
      next = undefined;
      if (i + 1 < to) {
        slot = take();
        next = this.read(i + 1, slot.bytes);
        next.catch(() => {});
      }
      yield { ...block, type: RecordType.DATA, slot: current };
    }
    if (!this.complete && to === this.extent.count) throw this.truncated();
  }

  /** Other payloads for a block whose authentication failed: each copy whose hash fits, then the outer code. */
  async *alternatives(sequence: number): AsyncGenerator<Buffer> {
    const record = Buffer.allocUnsafeSlow(FULL_RECORD);
    for (const replica of this.blocks.replicas(RecordType.DATA, sequence)) {
      const whole = await this.blocks.replica(replica, RecordType.DATA, sequence, record);
      if (whole) yield whole.payload;
    }
    const group = Math.floor(sequence / GROUP);
    if (this.#beyondParity(group)) return;
    const { healed } = await healGroup(this.blocks, group, sequence);
    const payload = healed.get(sequence);
    if (payload) yield payload;
  }

  /** @throws nothing: makes the error for blocks that are beyond repair */
  damage(blocks: number[], facts: { entities?: string[]; files?: string[] } = {}): DamageError {
    const lost = blocks.map((block) => this.lostBlock(block));
    const names = some(blocks.map(String));
    const held = [...(facts.entities ?? []), ...(facts.files ?? [])];
    return new DamageError(
      'ERR_DAMAGE_BLOCKS',
      `Beyond repair: block${blocks.length > 1 ? 's' : ''} ${names} of ${this.extent.count} cannot be rebuilt from both copies and all parity` +
        `${held.length > 0 ? `; they held parts of ${some(held)}` : ''}. ` +
        'Another copy of this backup may heal it (--with), and `dbs restore --salvage` restores what is intact.',
      { blocks: lost, ...facts },
    );
  }

  lostBlock(block: number): LostBlock {
    const { count, lastLength } = this.extent;
    const length = block === count - 1 ? blockShape(lastLength)!.recordLength : FULL_RECORD;
    const places = this.blocks.maps.flatMap((map) =>
      ([0, 1] as const).map((copy) => map.planned(RecordType.DATA, copy, block)),
    );
    return { block, ranges: places.filter((p) => p >= 0).map((p): [number, number] => [p, p + length]) };
  }

  /** Whether what is lost is what a file that was cut short lacks: its last blocks, and the end. */
  isCut(lost: number[]): boolean {
    return !this.complete && lost.every((block, i) => block === this.extent.count - lost.length + i);
  }

  /** @param blocks how many are there, from the first on */
  truncated(blocks = this.extent.count): TruncatedError {
    const there = blocks > 0 ? `blocks up to ${blocks - 1} are there, and the end is not` : 'not one block is whole';
    return new TruncatedError(
      'ERR_TRUNCATED',
      `The file has no end: ${there}. It was cut or overwritten, or is still being written.`,
      { facts: { blocks } },
    );
  }

  /** Outer parity records of a group, by sequence number. */
  *parities(group: number): Generator<number> {
    const n = parityCount(groupSize(group, this.extent.count));
    for (let j = 0; j < n; j++) yield 256 * group + j;
  }

  async close(): Promise<void> {
    for (const { map } of this.#identities) await map.source.close();
  }
}

function some(names: string[]): string {
  return names.slice(0, 8).join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '');
}

/** One copy of several may be so far gone that nothing in it is recognised. */
async function identifyAll(sources: ByteSource[], { fileId, signal }: OpenOptions): Promise<Identity[]> {
  const found: (Identity | null)[] = [];
  let failure: unknown;
  for (const source of sources) {
    found.push(
      await identify(source, fileId, signal).catch((error) => {
        if (!(error instanceof FormatError) || error.code !== 'ERR_FORMAT_NOT_DBS') throw error;
        failure = error;
        return null;
      }),
    );
  }
  const known = found.find((i) => i !== null);
  if (!known) throw failure;
  return found.map((i, n) => i ?? unknown(sources[n]!, known.fileId, known.half === 0 ? 1 : 0));
}

function distinct(headers: Header[]): Header[] {
  const unique = headers.filter((h, i) => headers.findIndex((o) => o.bytes.equals(h.bytes)) === i);
  return unique.sort((a, b) => b.generation - a.generation);
}
