/** Pages with their parity, in the order in which they are written: keeps count of the offset that each one records. */
import { crc32 } from 'node:zlib';
import { blockHash } from '../crypto/hash.ts';
import { sharedKernel } from '../erasure/kernel/index.ts';
import { BODY_SLICE, PAGE, PAGE_CONTENT, type RecordType } from '../format/limits.ts';
import {
  blockShape,
  bodyPages,
  type PageFields,
  pageIntact,
  readPage,
  TAIL_MAGIC_AT,
  writePage,
} from '../format/page.ts';
import type { Block } from './blocks.ts';

/** What the place in the file adds to a block. */
export interface RowsPlace {
  copy: 0 | 1;
  sequence: number;
  flags: number;
  chain: Buffer;
  previous: { crcs: Uint32Array; hash: Buffer } | undefined;
}

export interface BodyPlace {
  copy: 0 | 1;
  sequence: number;
  hash: Buffer;
  body: Buffer;
}

type Variable = Omit<PageFields, 'major' | 'fileId' | 'origin' | 'layout' | 'delay'>;

/** Makes pages. Each call counts the whole record as written. */
export class PageSealer {
  readonly #fileId: Buffer;
  readonly #layout: number;
  readonly #delay: number;
  /** Bytes of the file so far. */
  offset = 0;

  constructor(fileId: Buffer, layout: number, delay: number) {
    this.#fileId = fileId;
    this.#layout = layout;
    this.#delay = delay;
  }

  /** The page of a DATA or PARITY record, and the zeros that its rows need after them. */
  rows(block: Block, place: RowsPlace): { page: Buffer; padding: number } {
    const { recordLength, k, m, rowLength } = blockShape(block.payload.length)!;
    const page = this.#page({
      type: block.type,
      copy: place.copy,
      recordLength,
      sequence: place.sequence,
      length: block.payload.length,
      rowLength,
      k,
      m,
      flags: place.flags,
      page: 0,
      pages: 1,
      hash: block.hash,
      rowCrcs: block.rowCrcs,
      chain: place.chain,
      ...(place.previous ? { previousCrcs: place.previous.crcs, previousHash: place.previous.hash } : {}),
    });
    this.offset += recordLength;
    return { page, padding: recordLength - PAGE - block.rows.length };
  }

  /** The pages of a HEADER, INDEX or END record. */
  body(type: RecordType, place: BodyPlace): Buffer[] {
    const { copy, sequence, hash, body } = place;
    const pages = bodyPages(body.length);
    const recordLength = pages * PAGE;
    const made = Array.from({ length: pages }, (_, i) =>
      this.#page({
        type,
        copy,
        recordLength,
        sequence,
        length: body.length,
        rowLength: 0,
        k: 0,
        m: 0,
        flags: 0,
        page: i,
        pages,
        hash,
        body: body.subarray(i * BODY_SLICE, (i + 1) * BODY_SLICE),
      }),
    );
    this.offset += recordLength;
    return made;
  }

  /** A record of copy A, as read back, as one of copy B; `null` if anything about it does not fit. `rows` is a view of `record`. */
  asCopyB(record: Buffer): { pages: Buffer[]; rows: Buffer; hash: Buffer } | null {
    const first = this.#read(record.subarray(0, PAGE));
    if (!first || first.recordLength !== record.length) return null;
    const pages: Buffer[] = [];
    for (let i = 0; i < first.pages; i++) {
      const fields = this.#read(record.subarray(i * PAGE, (i + 1) * PAGE));
      if (!fields) return null;
      pages.push(this.#page({ ...fields, copy: 1 }));
    }
    const rows = record.subarray(first.pages * PAGE);
    if (!intactRows(first, rows, this.#fileId)) return null;
    this.offset += record.length;
    return { pages, rows, hash: first.hash };
  }

  #read(page: Buffer): PageFields | null {
    const fields = pageIntact(page) ? readPage(page) : null;
    return fields?.fileId.equals(this.#fileId) ? fields : null;
  }

  #page(fields: Variable): Buffer {
    const page = Buffer.allocUnsafe(PAGE);
    const { offset: origin } = this;
    writePage(page, { ...fields, fileId: this.#fileId, layout: this.#layout, delay: this.#delay, origin });
    sealPage(page);
    return page;
  }
}

/** Adds the parity to a page whose content is written. */
export function sealPage(page: Buffer): void {
  sharedKernel().encodePage(page.subarray(0, PAGE_CONTENT), page.subarray(PAGE_CONTENT, TAIL_MAGIC_AT));
}

/** Whether rows are what their page says: every CRC, and the hash over the payload. */
export function intactRows(page: PageFields, rows: Buffer, fileId: Buffer): boolean {
  if (!page.rowCrcs) return true;
  const { k, m, rowLength, rowCrcs } = page;
  for (let r = 0; r < k + m; r++) {
    if (crc32(rows.subarray(r * rowLength, (r + 1) * rowLength)) !== rowCrcs[r]) return false;
  }
  return blockHash(fileId, page.type, page.sequence, page.flags, rows.subarray(0, page.length)).equals(page.hash);
}
