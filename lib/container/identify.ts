/** Which file this is: its keys, its extent, and where its records stand. */
import { fileIdOf } from '../crypto/hash.ts';
import { DamageError, FormatError } from '../errors.ts';
import { type End, type Header, readEnd, readHeader } from '../format/header.ts';
import { countOf } from '../format/layout.ts';
import { FULL_PAYLOAD, GROUP, MAJOR, PAGE, RecordType } from '../format/limits.ts';
import { readBody } from './body.ts';
import { pageAt } from './pages.ts';
import { RecordMap } from './record-map.ts';
import { type FoundRecord, scan } from './scan.ts';
import type { ByteSource } from './source.ts';

/** Where the file ends, and its chain where an END record says it. */
export interface KnownEnd {
  count: number;
  lastLength: number;
  chain?: Buffer;
}

/** One source, identified. */
export interface Identity {
  fileId: Buffer;
  map: RecordMap;
  /** Distinct HEADER bodies that stand in it, newest first; may be none. */
  headers: Header[];
  end: KnownEnd | null;
  /** The copy that most of its records are of: which half of a split pair it is. */
  half: 0 | 1;
  /** As it was written: page 0, the END page and the size fit together. */
  regular: boolean;
}

/**
 * Identifies a source: two page reads for a healthy file, one walk over it for any other.
 * @param wanted which backup, where the source holds several
 * @throws FormatError ERR_FORMAT_NOT_DBS, ERR_FORMAT_NEWER, ERR_FORMAT_SEVERAL
 */
export async function identify(source: ByteSource, wanted?: string, signal?: AbortSignal): Promise<Identity> {
  const quick = await identifyRegular(source);
  if (quick && (!wanted || quick.fileId.toString('hex').startsWith(wanted))) return quick;
  const { records, newer } = await scan(source, signal);
  if (records.length === 0) throw newer ? tooNew(newer) : notDbs(source);
  const fileId = choose(source, records, wanted);
  const map = new RecordMap(
    source,
    fileId,
    records.filter((r) => credible(source, blocksBehind(r))),
  );
  const { headers, ends } = await collect(map, fileId);
  const end: KnownEnd | null = ends[0] ?? extentOf(map.records);
  return { fileId, map, headers, end, half: halfOf(map.records), regular: false };
}

async function identifyRegular(source: ByteSource): Promise<Identity | null> {
  const first = await pageAt(source, 0);
  if (first && first.fields.major > MAJOR) throw tooNew(first.fields.major);
  const last = await pageAt(source, source.size - PAGE);
  if (first?.fields.type !== RecordType.HEADER || last?.fields.type !== RecordType.END) return null;
  const { fileId } = first.fields;
  const map = new RecordMap(source, fileId);
  const header = await headerAt(map, 0, fileId);
  const end = await endAt(map, source.size - PAGE, fileId);
  if (!header || !end) return null;
  const half = first.fields.copy;
  map.extend({ layout: header.core.layout, ...end }, half);
  if (map.plan!.size !== source.size) return null;
  const other = ownHeader(end.headerBytes, fileId);
  const headers = other && !other.bytes.equals(header.bytes) ? newestFirst([header, other]) : [header];
  return { fileId, map, headers, end, half, regular: true };
}

async function headerAt(map: RecordMap, offset: number, fileId: Buffer): Promise<Header | null> {
  const body = await readBody(map, offset, RecordType.HEADER, null, fileId);
  return body && ownHeader(body, fileId);
}

async function endAt(map: RecordMap, offset: number, fileId: Buffer): Promise<End | null> {
  const body = await readBody(map, offset, RecordType.END, null, fileId);
  const end = body && readEnd(body);
  return end && credible(map.source, end.count) ? end : null;
}

/** The plan takes memory for each block: what a forger claims beyond all proportion is not believed. */
function credible(source: ByteSource, count: number): boolean {
  return count <= 1024 + source.size / PAGE;
}

function ownHeader(body: Buffer, fileId: Buffer): Header | null {
  const header = readHeader(body);
  return header && fileIdOf(header.coreBytes).equals(fileId) ? header : null;
}

function newestFirst(headers: Header[]): Header[] {
  return headers.sort((a, b) => b.generation - a.generation);
}

/** The distinct headers and ends among a scan's records. Of the many equal ones a few are read. */
async function collect(map: RecordMap, fileId: Buffer): Promise<{ headers: Header[]; ends: End[] }> {
  const headers: Header[] = [];
  const ends: End[] = [];
  for (const { type, offset } of map.records) {
    if (type !== RecordType.HEADER && type !== RecordType.END) continue;
    const end = type === RecordType.END ? await endAt(map, offset, fileId) : null;
    const header = end ? ownHeader(end.headerBytes, fileId) : await headerAt(map, offset, fileId);
    if (end) ends.push(end);
    if (header && headers.length < 8 && !headers.some((h) => h.bytes.equals(header.bytes))) headers.push(header);
  }
  return { headers: newestFirst(headers), ends };
}

/** Which file the records are of: the one asked for, or the only one that is more than a stray piece. */
function choose(source: ByteSource, records: FoundRecord[], wanted: string | undefined): Buffer {
  const counts = new Map<string, { records: number; header: boolean; end: boolean }>();
  for (const r of records) {
    const c = counts.get(r.fileId) ?? { records: 0, header: false, end: false };
    counts.set(r.fileId, c);
    c.records++;
    c.header ||= r.type === RecordType.HEADER;
    c.end ||= r.type === RecordType.END;
  }
  if (wanted) {
    const match = [...counts.keys()].find((id) => id.startsWith(wanted));
    if (match) return Buffer.from(match, 'hex');
    throw new FormatError(
      'ERR_FORMAT_SEVERAL',
      `${source.name} holds no backup ${wanted}. It holds ${[...counts.keys()].map(short).join(', ')}.`,
    );
  }
  const ranked = [...counts].sort((a, b) => b[1].records - a[1].records);
  const whole = ranked.filter(([, c]) => c.header && c.end);
  if (whole.length > 1) {
    const names = whole.map(([id]) => short(id)).join(', ');
    throw new FormatError(
      'ERR_FORMAT_SEVERAL',
      `${source.name} holds ${whole.length} backups: ${names}. Choose one with --file-id (fileId).`,
      {
        facts: { fileIds: whole.map(([id]) => id) },
      },
    );
  }
  return Buffer.from((whole[0] ?? ranked[0]!)[0], 'hex');
}

const short = (id: string): string => id.slice(0, 12);

/** What is known of the extent when no END record is left: `null` if the last block was not seen either. */
function extentOf(records: readonly FoundRecord[]): { count: number; lastLength: number } | null {
  const last = records.find((r) => r.type === RecordType.DATA && r.final);
  return last ? countOf(last.sequence * FULL_PAYLOAD + last.length) : null;
}

/** Blocks that a file must have in which this record stands. */
function blocksBehind({ type, sequence }: FoundRecord): number {
  if (type === RecordType.END) return sequence;
  if (type === RecordType.DATA) return sequence + 1;
  return (type === RecordType.PARITY ? Math.floor(sequence / 256) : sequence) * GROUP + 1;
}

/** The least extent that the records prove, for a file whose end is missing. */
export function leastExtent(records: readonly FoundRecord[]): { count: number; lastLength: number } {
  let count = 1;
  for (const r of records) {
    if (r.type === RecordType.DATA) count = Math.max(count, r.sequence + 1);
    // A header stands before its group's first block; parity and index behind their group's last.
    if (r.type === RecordType.HEADER) count = Math.max(count, r.sequence * GROUP + 1);
  }
  return { count, lastLength: FULL_PAYLOAD };
}

function halfOf(records: readonly FoundRecord[]): 0 | 1 {
  return records.filter((r) => r.copy === 1).length * 2 > records.length ? 1 : 0;
}

/** A source in which nothing was found: it may still hold rows where its records used to begin. */
export function unknown(source: ByteSource, fileId: Buffer, half: 0 | 1): Identity {
  return { fileId, map: new RecordMap(source, fileId, []), headers: [], end: null, half, regular: false };
}

/** The error for a backup whose keys are gone. */
export function noHeader(identities: Identity[]): DamageError {
  const sequences = identities.flatMap((i) =>
    i.map.records.filter((r) => r.type === RecordType.DATA).map((r) => r.sequence),
  );
  const blocks = [...new Set(sequences)].sort((a, b) => a - b);
  return new DamageError(
    'ERR_DAMAGE_NO_HEADER',
    `Not one of the key records of ${identities.map((i) => i.map.source.name).join(' and ')} is left, so nothing can be decrypted. Heal it from another copy: \`dbs repair FILE --with OTHER\`.`,
    { blocks: blocks.map((block) => ({ block, ranges: [] })) },
  );
}

function tooNew(major: number): FormatError {
  return new FormatError(
    'ERR_FORMAT_NEWER',
    `This backup has format version ${major}; this program reads up to ${MAJOR}. Update mikro-orm-dbs.`,
    {
      facts: { major },
    },
  );
}

function notDbs(source: ByteSource): FormatError {
  return new FormatError(
    'ERR_FORMAT_NOT_DBS',
    `${source.name} is not a .dbs backup: nothing in it looks like one. Check the path.`,
  );
}
