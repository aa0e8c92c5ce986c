/** The 4096-byte page that opens every record: fields to bytes and back (SPEC.md section 3). No parity here: see lib/erasure. */
import { crc32 } from 'node:zlib';
import {
  BODY_AT,
  BODY_SLICE,
  GROUP,
  GROUP_PARITY,
  MAJOR,
  MIN_PAYLOAD,
  MINOR,
  PAGE,
  PAGE_CONTENT,
  type RecordType,
} from './limits.ts';

export const MAGIC = Buffer.from([0x89, 0x44, 0x42, 0x53, 0x32, 0x0d, 0x0a, 0x1a]);
/** Where a page repeats the magic: its last 16 bytes are magic and the head of the fileID. */
export const TAIL_MAGIC_AT = 4080;

const CRC_AT = PAGE_CONTENT - 4;
const CRCS_AT = 128;
const PREVIOUS_CRCS_AT = 1148;
const PREVIOUS_HASH_AT = 2168;
const CHAIN_AT = 2200;
const MAX_ROWS = 255;

/** The fields of a page, whatever its record's type. Buffers are views of the page or the caller's own. */
export interface PageFields {
  major: number;
  type: RecordType;
  copy: 0 | 1;
  /** Of the whole record, in bytes. */
  recordLength: number;
  fileId: Buffer;
  sequence: number;
  origin: number;
  /** Bytes of payload or body. */
  length: number;
  rowLength: number;
  k: number;
  m: number;
  flags: number;
  layout: number;
  delay: number;
  page: number;
  pages: number;
  hash: Buffer;
  /** DATA, PARITY: CRC-32 of each of the k + m rows. */
  rowCrcs?: Uint32Array;
  /** DATA, PARITY: the same of the previous block, as 255 slots; zero beyond its rows. */
  previousCrcs?: Uint32Array;
  previousHash?: Buffer;
  chain?: Buffer;
  /** HEADER, INDEX, END: this page's slice of the body, at most 2156 bytes. */
  body?: Buffer;
}

/** Writes the 2288 content bytes and the tail marker into `page` (4096 bytes). The parity in between is the caller's. */
export function writePage(page: Buffer, f: Omit<PageFields, 'major'>): void {
  page.fill(0);
  MAGIC.copy(page, 0);
  page[8] = MAJOR;
  page[9] = MINOR;
  page[10] = f.type;
  page[11] = f.copy;
  page.writeUInt32BE(f.recordLength, 12);
  f.fileId.copy(page, 16);
  writeU64(page, f.sequence, 48);
  writeU64(page, f.origin, 56);
  page.writeUInt32BE(f.length, 64);
  page.writeUInt16BE(f.rowLength, 68);
  page[70] = f.k;
  page[71] = f.m;
  page[72] = f.flags;
  page[73] = GROUP;
  page[74] = GROUP_PARITY;
  page[75] = f.layout;
  page.writeUInt32BE(f.delay, 76);
  page.writeUInt16BE(f.page, 80);
  page.writeUInt16BE(f.pages, 82);
  f.hash.copy(page, 88);
  if (f.body) f.body.copy(page, BODY_AT);
  if (f.rowCrcs) writeCrcs(page, f.rowCrcs, CRCS_AT);
  if (f.previousCrcs) writeCrcs(page, f.previousCrcs, PREVIOUS_CRCS_AT);
  f.previousHash?.copy(page, PREVIOUS_HASH_AT);
  f.chain?.copy(page, CHAIN_AT);
  page.writeUInt32BE(crc32(page.subarray(0, CRC_AT)), CRC_AT);
  MAGIC.copy(page, TAIL_MAGIC_AT);
  f.fileId.copy(page, TAIL_MAGIC_AT + 8, 0, 8);
}

/** Whether the content's CRC fits. Says nothing about magic or values. */
export function pageIntact(page: Buffer): boolean {
  return page.readUInt32BE(CRC_AT) === crc32(page.subarray(0, CRC_AT)) && MAGIC.compare(page, 0, 8) === 0;
}

/**
 * The fields of an intact page (see `pageIntact`), or `null` where they contradict themselves: a CRC can be forged, so every
 * size is bounded here, before anybody allocates by it. Buffers in the result are copies.
 */
export function readPage(page: Buffer): PageFields | null {
  const type = page[10] as RecordType;
  const f: PageFields = {
    major: page[8]!,
    type,
    copy: page[11] === 1 ? 1 : 0,
    recordLength: page.readUInt32BE(12),
    fileId: Buffer.from(page.subarray(16, 48)),
    sequence: Number(page.readBigUInt64BE(48)),
    origin: Number(page.readBigUInt64BE(56)),
    length: page.readUInt32BE(64),
    rowLength: page.readUInt16BE(68),
    k: page[70]!,
    m: page[71]!,
    flags: page[72]!,
    layout: page[75]!,
    delay: page.readUInt32BE(76),
    page: page.readUInt16BE(80),
    pages: page.readUInt16BE(82),
    hash: Buffer.from(page.subarray(88, 120)),
  };
  if (f.major > MAJOR) return f;
  if (page[11]! > 1 || type < 1 || type > 5 || f.recordLength === 0 || f.recordLength % PAGE !== 0) return null;
  if (!Number.isSafeInteger(f.sequence) || f.layout > 2) return null;
  return type === 2 || type === 3 ? readRows(page, f) : readBody(page, f);
}

function readRows(page: Buffer, f: PageFields): PageFields | null {
  const shape = blockShape(f.length);
  if (!shape || shape.rowLength !== f.rowLength || shape.k !== f.k || f.m !== 16) return null;
  if (f.recordLength !== shape.recordLength || f.page !== 0 || f.pages !== 1) return null;
  f.rowCrcs = readCrcs(page, CRCS_AT, f.k + f.m);
  f.previousCrcs = readCrcs(page, PREVIOUS_CRCS_AT, MAX_ROWS);
  f.previousHash = Buffer.from(page.subarray(PREVIOUS_HASH_AT, PREVIOUS_HASH_AT + 32));
  f.chain = Buffer.from(page.subarray(CHAIN_AT, CHAIN_AT + 32));
  return f;
}

function readBody(page: Buffer, f: PageFields): PageFields | null {
  if (f.pages !== bodyPages(f.length) || f.page >= f.pages || f.recordLength !== f.pages * PAGE) return null;
  const at = f.page * BODY_SLICE;
  f.body = Buffer.from(page.subarray(BODY_AT, BODY_AT + Math.min(BODY_SLICE, f.length - at)));
  return f;
}

/** Pages that a body of `length` bytes takes. */
export function bodyPages(length: number): number {
  return Math.max(1, Math.ceil(length / BODY_SLICE));
}

/** How a payload of `length` bytes is laid out in rows (SPEC.md section 4); `null` for a length that no block has. */
export function blockShape(length: number): { rowLength: number; k: number; m: number; recordLength: number } | null {
  if (length < MIN_PAYLOAD || length > 239 * 4096) return null;
  // A power of two, so that rows and the sectors of a disk begin together: a lost sector costs whole rows, and no row costs two sectors.
  let rowLength = 512;
  while (length > 239 * rowLength) rowLength *= 2;
  const k = Math.ceil(length / rowLength);
  const m = 16;
  return { rowLength, k, m, recordLength: PAGE * Math.ceil((PAGE + (k + m) * rowLength) / PAGE) };
}

function writeU64(page: Buffer, value: number, at: number): void {
  page.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  page.writeUInt32BE(value % 2 ** 32, at + 4);
}

function writeCrcs(page: Buffer, crcs: Uint32Array, at: number): void {
  for (let r = 0; r < crcs.length; r++) page.writeUInt32BE(crcs[r]!, at + 4 * r);
}

function readCrcs(page: Buffer, at: number, count: number): Uint32Array {
  const crcs = new Uint32Array(count);
  for (let r = 0; r < count; r++) crcs[r] = page.readUInt32BE(at + 4 * r);
  return crcs;
}
