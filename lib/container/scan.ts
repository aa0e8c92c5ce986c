/** Finding records in a file that is not as it was written: bytes lost, inserted, overwritten, moved (SPEC.md section 9). */
import { PAGE, type RecordType } from '../format/limits.ts';
import { MAGIC, type PageFields, TAIL_MAGIC_AT } from '../format/page.ts';
import { type FoundPage, looksLikePage, parsePage } from './pages.ts';
import type { ByteSource } from './source.ts';

/** A record where it was found. About 100 bytes each, and one for each megabyte of the file. */
export interface FoundRecord {
  offset: number;
  type: RecordType;
  copy: 0 | 1;
  sequence: number;
  recordLength: number;
  origin: number;
  length: number;
  final: boolean;
  fileId: string;
  decoded: boolean;
}

export interface Scan {
  records: FoundRecord[];
  /** A page of a later major version was seen: its number. */
  newer: number | undefined;
}

const WINDOW = 1 << 20;

/**
 * Walks from record to record; where there is none, hunts for the marker at the head or the tail of a page at every byte offset.
 *
 * Memory: the records, and 1 MiB. Time: reads the file once at most; decodes a bounded number of damaged pages, as bytes that only
 * look like pages could otherwise keep it busy for days.
 */
export async function scan(source: ByteSource, signal?: AbortSignal): Promise<Scan> {
  const walker = new Walker(source);
  const result: Scan = { records: [], newer: undefined };
  for (let at = 0; at + PAGE <= source.size; ) {
    signal?.throwIfAborted();
    const hit = await walker.next(at);
    if (!hit) break;
    const { fields } = hit.page;
    if (fields.major > 1) {
      result.newer = fields.major;
      at = hit.offset + PAGE;
      continue;
    }
    result.records.push(record(hit.offset, fields, hit.page.decoded));
    // The last pages of a longer INDEX carry no record of their own.
    at = hit.offset + Math.max(PAGE, fields.recordLength - fields.page * PAGE);
    // A record that was cut short would hide those that now stand inside of it.
    if (fields.recordLength > PAGE && !(await walker.pageAt(at))) at = hit.offset + PAGE;
  }
  return result;
}

function record(offset: number, f: PageFields, decoded: boolean): FoundRecord {
  return {
    offset: offset - f.page * PAGE,
    type: f.type,
    copy: f.copy,
    sequence: f.sequence,
    recordLength: f.recordLength,
    origin: f.origin,
    length: f.length,
    final: (f.flags & 1) === 1,
    fileId: f.fileId.toString('hex'),
    decoded,
  };
}

interface Hit {
  offset: number;
  page: FoundPage;
}

class Walker {
  readonly #source: ByteSource;
  readonly #window: Buffer;
  #decodes: number;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#window = Buffer.allocUnsafe(Math.min(WINDOW, source.size) + PAGE);
    this.#decodes = 1000 + Math.ceil(source.size / WINDOW) * 4;
  }

  /** The page at exactly `at`, decoding it only if a marker stands there. */
  async pageAt(at: number): Promise<FoundPage | null> {
    if (at < 0 || at + PAGE > this.#source.size) return null;
    const bytes = Buffer.allocUnsafe(PAGE);
    if ((await this.#source.read(at, bytes)) < PAGE) return null;
    return this.#parse(bytes);
  }

  #parse(bytes: Buffer): FoundPage | null {
    if (!looksLikePage(bytes)) return null;
    const clean = parsePage(bytes, false);
    if (clean || this.#decodes === 0) return clean;
    this.#decodes--;
    return parsePage(bytes);
  }

  /** The first page at `at` or later. */
  async next(at: number): Promise<Hit | null> {
    const here = await this.pageAt(at);
    if (here) return { offset: at, page: here };
    for (let start = at; start < this.#source.size; start += WINDOW) {
      const have = await this.#source.read(start, this.#window);
      const bytes = this.#window.subarray(0, have);
      for (let i = bytes.indexOf(MAGIC); i >= 0 && i < WINDOW; i = bytes.indexOf(MAGIC, i + 1)) {
        const hit = await this.#around(start + i, at, start, bytes);
        if (hit) return hit;
      }
    }
    return null;
  }

  /** A marker stands at `offset`: at the head of a page, or at its tail. */
  async #around(offset: number, from: number, windowAt: number, window: Buffer): Promise<Hit | null> {
    for (const start of [offset - TAIL_MAGIC_AT, offset]) {
      if (start < from) continue;
      const at = start - windowAt;
      // From what is in memory, where it is: a file can be made of markers and nothing else.
      const inside = at >= 0 && at + PAGE <= window.length;
      const page = inside ? this.#parse(window.subarray(at, at + PAGE)) : await this.pageAt(start);
      if (page) return { offset: start, page };
    }
    return null;
  }
}
