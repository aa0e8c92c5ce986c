/** The bytes of a container, from a pipe, to whole blocks (SPEC.md section 9). */
import { parsePage } from '../container/pages.ts';
import { ContainerReader } from '../container/reader.ts';
import { Spool } from '../container/spool.ts';
import { blockHash } from '../crypto/hash.ts';
import { BackupError, TruncatedError } from '../errors.ts';
import { type Header, readHeader } from '../format/header.ts';
import { DELAY, FINAL, FULL_RECORD, GROUP, GROUP_PARITY, type LayoutName, PAGE, RecordType } from '../format/limits.ts';
import type { PageFields } from '../format/page.ts';
import { takeSlot } from './blocks.ts';
import type { VerifiedBlock } from './deblocker.ts';
import { Stage } from './stage.ts';

/** What a consumer needs before it can decrypt. */
export interface MergerHeader {
  fileId: Buffer;
  /** Distinct HEADER bodies, best first: for `openFileKeys`. */
  headers: Header[];
}

/** Bytes after which a group has all that an append-only writer gives it: its parity and, where the copies are interleaved, those of its last blocks. */
function span(layout: LayoutName): number {
  const secondCopies = layout === 'interleaved' ? GROUP + 2 * DELAY : 0;
  return (GROUP + GROUP_PARITY + secondCopies + 4) * FULL_RECORD;
}

/**
 * Takes a container's bytes, cut anywhere, and emits its blocks in order, each as soon as its hash fits. From a damaged block on it waits for the
 * parity of the group and, in interleaved layout, for the copies that follow: the group is in a temporary file, as ciphertext, and is healed as soon as
 * those are there. What they do not heal waits for the rest, as in tandem layout the second copy is the end of the file. For a file that can be read
 * at any offset, `validateBackup` and `restoreBackup` need no spool.
 *
 * Memory: two blocks, and what `ContainerReader` takes to heal. Disk: the records of one group, 280 MB, and 40 MB more where it is damaged; for a group
 * that its own parity does not heal, up to all that follows it. Errors: as `ContainerReader`.
 * @see DualCopyInterleaver, the mirror
 */
export class HealingMerger extends Stage<Buffer, VerifiedBlock> {
  /** Settles when the first HEADER was read: keys can be opened while blocks wait. */
  readonly header: Promise<MergerHeader>;
  #found!: { resolve: (header: MergerHeader) => void; reject: (error: unknown) => void };
  readonly #record = Buffer.allocUnsafeSlow(FULL_RECORD);
  #have = 0;
  /** The page that it begins with, once that is there; `null` where that is none of this file. */
  #first: PageFields | null | undefined;
  #fileId: Buffer | undefined;
  #spool: Spool | undefined;
  /** That one, and those that are still being read. */
  readonly #spools = new Set<Spool>();
  #next = 0;
  /** Since the beginning, or since a damaged group was healed. */
  #wholeSoFar = true;
  #damaged = false;
  #layout: LayoutName = 'interleaved';
  /** Bytes to spool before the next attempt at a damaged group. */
  #enough = 0;
  #finished = false;

  constructor() {
    super({ objectsOut: true });
    this.header = new Promise((resolve, reject) => (this.#found = { resolve, reject }));
    // Whoever does not ask for the header must not see its failure as unhandled.
    this.header.catch(() => {});
  }

  /** Blocks had to be healed, or something behind the last one was not looked at. */
  get healed(): boolean {
    return this.#damaged || !this.#wholeSoFar;
  }

  protected override accept(chunk: Buffer): void | Promise<void> {
    if (this.#finished) return;
    // A few bytes that complete nothing, from a sender that hands them over one by one.
    if (this.#spool && this.#wholeSoFar && this.#have + chunk.length < this.#wanted()) {
      const appended = this.#spool.append(chunk);
      chunk.copy(this.#record, this.#have);
      this.#have += chunk.length;
      return appended;
    }
    return this.#accept(chunk);
  }

  async #accept(chunk: Buffer): Promise<void> {
    this.#spool ??= await this.#create();
    await this.#spool.append(chunk);
    for (let at = 0; at < chunk.length && this.#wholeSoFar && !this.#finished; ) {
      const wanted = this.#wanted();
      const step = Math.min(wanted - this.#have, chunk.length - at);
      chunk.copy(this.#record, this.#have, at, at + step);
      this.#have += step;
      at += step;
      if (this.#have < wanted) break;
      if (this.#have === PAGE && this.#wanted() > PAGE) continue;
      await this.#take(chunk.subarray(at));
    }
    if (this.#wholeSoFar) return;
    this.#enough ||= span(this.#layout);
    if (this.#spool.size >= this.#enough) await this.#healGroup();
  }

  /** Heals the group of the next block from what is there, and goes on behind it; or waits for as much again. */
  async #healGroup(): Promise<void> {
    const spool = this.#spool!;
    const end = (Math.floor(this.#next / GROUP) + 1) * GROUP;
    let reader: ContainerReader;
    try {
      reader = await this.#open(spool);
      if (reader.extent.count <= end) return this.#wait();
      await this.#emit(reader, end);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      return this.#wait();
    }
    this.#damaged = true;
    this.#wholeSoFar = true;
    this.#enough = 0;
    this.#have = 0;
    this.#first = undefined;
    this.#spool = undefined;
    const first = reader.blocks.maps[0]!.records.find(
      (r) =>
        (r.type === RecordType.HEADER && r.sequence * GROUP >= end) ||
        (r.type === RecordType.DATA && r.sequence >= end),
    );
    for await (const chunk of spool.from(first!.offset)) await this.#accept(chunk);
    await this.#drop(spool);
  }

  #wait(): void {
    this.#enough = this.#spool!.size * 2;
  }

  async #create(): Promise<Spool> {
    const spool = await Spool.create();
    this.#spools.add(spool);
    return spool;
  }

  async #drop(spool: Spool): Promise<void> {
    this.#spools.delete(spool);
    await spool.close();
  }

  async #open(spool: Spool): Promise<ContainerReader> {
    const reader = await ContainerReader.open([spool], this.#fileId ? { fileId: this.#fileId.toString('hex') } : {});
    const { fileId, headers } = reader;
    this.#fileId = fileId;
    this.#found.resolve({ fileId, headers });
    return reader;
  }

  async #emit(reader: ContainerReader, to?: number): Promise<void> {
    for await (const block of reader.stream(() => takeSlot(undefined), this.#next, to)) {
      await this.send(block);
      this.#next++;
    }
  }

  /** Bytes of the record that is being collected: its page first, and then what the page says. */
  #wanted(): number {
    if (this.#have < PAGE) return PAGE;
    const page = this.#page();
    return page && page.recordLength <= FULL_RECORD ? page.recordLength : PAGE;
  }

  #page(): PageFields | null {
    if (this.#first !== undefined) return this.#first;
    const page = parsePage(this.#record.subarray(0, PAGE), false)?.fields;
    this.#first = page?.major === 1 && (!this.#fileId || page.fileId.equals(this.#fileId)) ? page : null;
    return this.#first;
  }

  /** A whole record is there. @param rest what follows it */
  async #take(rest: Buffer): Promise<void> {
    const page = this.#page();
    this.#have = 0;
    this.#first = undefined;
    if (page?.type === RecordType.HEADER) this.#header(page);
    // Blocks that come before their header wait for it.
    else if (!this.#fileId) this.#wholeSoFar = false;
    else if (page?.type !== RecordType.DATA || page.sequence < this.#next) this.#wholeSoFar = page !== null;
    else this.#wholeSoFar = await this.#block(page, rest);
    if (!this.#fileId) this.#wholeSoFar = false;
  }

  #header(page: PageFields): void {
    const header = page.body && readHeader(page.body);
    if (!header) return;
    this.#fileId = page.fileId;
    this.#layout = header.core.layout;
    this.#found.resolve({ fileId: page.fileId, headers: [header] });
  }

  async #block(page: PageFields, rest: Buffer): Promise<boolean> {
    const payload = Buffer.from(this.#record.subarray(PAGE, PAGE + page.length));
    const hash = blockHash(page.fileId, page.type, page.sequence, page.flags, payload);
    if (page.sequence !== this.#next || !hash.equals(page.hash)) return false;
    this.#next++;
    const final = (page.flags & FINAL) !== 0;
    await this.send({ type: RecordType.DATA, sequence: page.sequence, final, payload });
    this.#finished = final;
    if (final || this.#next % GROUP === 0) {
      // Nothing before this place will be asked for again.
      await this.#spool!.clear();
      if (!final) await this.#spool!.append(rest);
    }
    return true;
  }

  protected override async finish(): Promise<void> {
    if (this.#finished) return;
    this.#wholeSoFar = false;
    this.#spool ??= await this.#create();
    try {
      await this.#emit(await this.#open(this.#spool));
    } catch (cause) {
      const error = this.#isCut(cause) ? this.#truncated(cause) : cause;
      this.#found.reject(error);
      throw error;
    }
  }

  /** What stood before the spool's beginning was whole, and nothing that could stand for the rest came. */
  #isCut(error: unknown): boolean {
    const codes = ['ERR_FORMAT_NOT_DBS', 'ERR_DAMAGE_NO_HEADER'];
    return this.#fileId !== undefined && error instanceof BackupError && codes.includes(error.code);
  }

  #truncated(cause: unknown): TruncatedError {
    const message = `The stream ends after block ${this.#next - 1}, which is not its last. It was cut, or its sender failed.`;
    return new TruncatedError('ERR_TRUNCATED', message, { cause, facts: { blocks: this.#next } });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#found.reject(error ?? new Error('the merger was destroyed'));
    const closed = [...this.#spools].map((spool) => this.#drop(spool));
    Promise.allSettled(closed).then(() => callback(error));
  }
}
