/** What is left of a stream that has lost blocks: items without gaps in them, and an account of what is missing. */

import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { RunningHash } from './crypto/hash.ts';
import { DamageError, TamperError } from './errors.ts';
import { CONTINUED, type FrameHead, FrameType, MORE } from './format/frame.ts';
import type { BackupItem, BackupSchema, FileMeta, SkippedSource, TableSchema } from './format/items.ts';
import { FULL_RECORD, NO_FRAME, SEGMENT_HEAD } from './format/limits.ts';
import { parseCells, parseFileMeta, parseObject, parseSchema } from './format/schema.ts';
import { readTocPage } from './format/toc.ts';
import { decryptingStages } from './reading.ts';
import { decodeBody, FrameReader } from './stages/deserializer.ts';
import { touches } from './stream-reader.ts';

/** A run of rows that is gone. Keys are primary keys as the cells say them; `null` where the run touches the table's start or end. */
export interface LostRows {
  entity: string;
  /** The last row that is there before the run. */
  after: unknown[] | null;
  /** The first row that is there behind it. */
  before: unknown[] | null;
}

export interface Losses {
  blocks: number[];
  /** By table: how many rows were restored, and how many are missing, where the backup still says. */
  entities: { name: string; restored: number; lost: number | null }[];
  ranges: LostRows[];
  /** Paths of files that are missing or incomplete. */
  files: string[];
}

export function noLosses(): Losses {
  return { blocks: [], entities: [], ranges: [], files: [] };
}

type SalvagedFrame = { head: FrameHead; raw: Buffer } | 'gap';

/** Every frame that lies in intact blocks, and `gap` wherever some are missing. Holds one block and one frame. */
async function* salvageFrames(
  reader: ContainerReader,
  keys: OpenedKeys,
  lost: number[],
): AsyncGenerator<SalvagedFrame> {
  const record = Buffer.allocUnsafeSlow(FULL_RECORD);
  const [, decryptor] = decryptingStages(reader, keys);
  let frames: FrameReader | null = new FrameReader();
  for (let index = 0; index < reader.extent.count; index++) {
    const plain = await salvageBlock(index);
    if (!plain) {
      lost.push(index);
      if (frames) yield 'gap';
      frames = null;
      continue;
    }
    const first = plain.readUInt32BE(0);
    let bytes = plain.subarray(SEGMENT_HEAD);
    if (!frames) {
      if (first === NO_FRAME) continue;
      bytes = bytes.subarray(first);
      frames = new FrameReader();
    }
    frames.push(bytes);
    for (let frame = frames.next(); frame; frame = frames.next())
      yield { head: frame.head, raw: decodeBody(frame.head, frame.body) };
  }

  async function salvageBlock(index: number): Promise<Buffer | null> {
    try {
      const { final, payload } = await reader.read(index, record);
      return await decryptor.openPlain({ index, final, payload });
    } catch (error) {
      // What cannot be authenticated is as good as lost.
      if (error instanceof DamageError || error instanceof TamperError) return null;
      throw error;
    }
  }
}

/** The schema, from either of the two places where it stands. @throws DamageError ERR_DAMAGE_NO_SCHEMA */
async function salvageSchema(reader: ContainerReader, keys: OpenedKeys): Promise<BackupSchema> {
  let parts: Buffer[] = [];
  for await (const frame of salvageFrames(reader, keys, [])) {
    if (frame === 'gap') parts = [];
    else if (frame.head.type === FrameType.SCHEMA) {
      parts.push(frame.raw);
      if (frame.head.flags & MORE) continue;
      try {
        return parseSchema(Buffer.concat(parts));
      } catch {
        // Its first part was lost.
      }
      parts = [];
    }
  }
  throw new DamageError(
    'ERR_DAMAGE_NO_SCHEMA',
    'Both copies of the schema are lost, so that no row can be given its columns. Single files can still be read: `dbs ls`, `dbs cat`.',
    { blocks: reader.extent.count > 0 ? [reader.lostBlock(0)] : [] },
  );
}

interface OpenTable {
  table: TableSchema;
  got: number;
  ended: boolean;
  /** A gap has passed since its last frame. */
  broken: boolean;
  /** The beginning of a line whose end has not come yet. */
  tail: Buffer;
  lastLine: string | null;
}

interface OpenFile {
  meta: FileMeta;
  hash: RunningHash;
  size: number;
  broken: boolean;
}

/**
 * Items of everything that is intact: whole rows, whole files. A file with a hole is ended as `incomplete`, which targets do not restore. `losses` is complete when the
 * generator ends.
 *
 * Memory: one block, one frame, and one row for each table that is open.
 */
export async function* salvageItems(
  reader: ContainerReader,
  keys: OpenedKeys,
  losses: Losses,
): AsyncGenerator<BackupItem> {
  const schema = await salvageSchema(reader, keys);
  yield { type: 'schema', schema };
  const salvager = new Salvager(schema, losses);
  for await (const frame of salvageFrames(reader, keys, losses.blocks)) {
    if (frame === 'gap') salvager.gap();
    else yield* salvager.frame(frame.head, frame.raw);
  }
  yield* salvager.end();
}

class Salvager {
  readonly #losses: Losses;
  readonly #tables = new Map<number, OpenTable>();
  readonly #files = new Map<number, OpenFile>();
  readonly #skipped: SkippedSource[] = [];
  readonly #lostFiles = new Set<string>();
  /** Rows of tables, as the table of contents says it. */
  readonly #expected = new Map<number, number>();
  #total = { rows: 0, files: 0, bytes: 0 };

  constructor(schema: BackupSchema, losses: Losses) {
    this.#losses = losses;
    for (const table of schema.tables) {
      this.#tables.set(table.stream, {
        table,
        got: 0,
        ended: false,
        broken: false,
        tail: Buffer.alloc(0),
        lastLine: null,
      });
    }
  }

  /** Some blocks are missing here. */
  gap(): void {
    for (const open of this.#tables.values()) {
      open.tail = Buffer.alloc(0);
      if (!open.ended) open.broken = true;
    }
    for (const file of this.#files.values()) file.broken = true;
  }

  *frame(head: FrameHead, raw: Buffer): Generator<BackupItem> {
    const { type, stream, flags } = head;
    if (type === FrameType.ROWS) yield* this.#rows(stream, flags, raw);
    else if (type === FrameType.ENTITY_END) yield* this.#entityEnd(stream, parseObject<{ rows: number }>(raw).rows);
    else if (type === FrameType.FILE_BEGIN) yield* this.#fileBegin(stream, parseFileMeta(raw));
    else if (type === FrameType.FILE_DATA) yield* this.#fileData(stream, raw);
    else if (type === FrameType.FILE_END)
      yield* this.#fileEnd(stream, parseObject<{ hash: string; incomplete?: string }>(raw));
    else if (type === FrameType.TOC) this.#toc(raw);
    else if (type === FrameType.SKIPPED) {
      const skipped = parseObject<SkippedSource>(raw);
      this.#skipped.push(skipped);
      yield { type: 'skipped', skipped };
    }
  }

  *#rows(stream: number, flags: number, raw: Buffer): Generator<BackupItem> {
    const open = this.#tables.get(stream);
    if (!open) return;
    let data = raw;
    if (flags & CONTINUED && open.tail.length === 0) {
      // The line's beginning is gone; it ends at the first line break.
      const end = data.indexOf(10);
      data = end < 0 ? data.subarray(data.length) : data.subarray(end + 1);
    } else data = Buffer.concat([open.tail, data]);
    const end = data.lastIndexOf(10) + 1;
    open.tail = Buffer.from(data.subarray(end));
    data = data.subarray(0, end);
    if (data.length === 0) return;
    if (open.broken) {
      this.#losses.ranges.push({
        entity: nameOf(open.table),
        after: keyOf(open.table, open.lastLine),
        before: keyOf(open.table, firstLine(data)),
      });
      open.broken = false;
    }
    open.lastLine = data.subarray(data.lastIndexOf(10, data.length - 2) + 1, data.length - 1).toString('utf8');
    let count = 0;
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) count++;
    open.got += count;
    yield { type: 'rows', stream, count, data };
  }

  *#entityEnd(stream: number, rows: number | null): Generator<BackupItem> {
    const open = this.#tables.get(stream);
    if (!open || open.ended) return;
    open.ended = true;
    const name = nameOf(open.table);
    const lost = rows === null ? null : rows - open.got;
    // A gap that took rows of another table only.
    if (lost === 0) this.#losses.ranges = this.#losses.ranges.filter((r) => r.entity !== name);
    else {
      this.#losses.entities.push({ name, restored: open.got, lost });
      if (open.broken)
        this.#losses.ranges.push({ entity: name, after: keyOf(open.table, open.lastLine), before: null });
    }
    this.#total.rows += open.got;
    yield { type: 'entity-end', stream, rows: open.got };
  }

  *#fileBegin(stream: number, file: FileMeta): Generator<BackupItem> {
    this.#files.set(stream, { meta: file, hash: new RunningHash(), size: 0, broken: false });
    yield { type: 'file-begin', stream, file };
  }

  *#fileData(stream: number, data: Buffer): Generator<BackupItem> {
    const file = this.#files.get(stream);
    if (!file) return;
    file.hash.update(data);
    file.size += data.length;
    yield { type: 'file-data', stream, data };
  }

  *#fileEnd(stream: number, end: { hash: string; incomplete?: string } | null): Generator<BackupItem> {
    const file = this.#files.get(stream);
    if (!file) return;
    this.#files.delete(stream);
    const whole = end !== null && !file.broken && file.hash.hex() === end.hash;
    if (!whole) this.#lostFiles.add(pathOf(file.meta));
    this.#total.files++;
    this.#total.bytes += file.size;
    const incomplete = whole ? end.incomplete : 'a part of it is lost';
    yield { type: 'file-end', stream, size: file.size, ...(incomplete === undefined ? {} : { incomplete }) };
  }

  /** What a page of the table of contents lists, and no block holds any more. */
  #toc(raw: Buffer): void {
    const lost = new Set(this.#losses.blocks);
    for (const entry of readTocPage(raw).entries) {
      if (entry.kind === 'file' && touches(entry, lost)) this.#lostFiles.add(pathOf(entry.file));
      if (entry.kind === 'entity') this.#expected.set(entry.stream, entry.rows);
    }
  }

  /** Ends what a lost frame should have ended. */
  *end(): Generator<BackupItem> {
    for (const stream of [...this.#files.keys()]) yield* this.#fileEnd(stream, null);
    for (const stream of this.#tables.keys()) yield* this.#entityEnd(stream, this.#expected.get(stream) ?? null);
    this.#losses.files = [...this.#lostFiles].sort();
    yield { type: 'end', ...this.#total, skipped: this.#skipped };
  }
}

function nameOf(table: TableSchema): string {
  return table.entities.join(', ') || table.table;
}

const pathOf = ({ root, path }: FileMeta): string => (root ? `${root}/${path}` : path);

function firstLine(data: Buffer): string {
  return data.subarray(0, data.indexOf(10)).toString('utf8');
}

function keyOf(table: TableSchema, line: string | null): unknown[] | null {
  if (line === null) return null;
  const cells = parseCells(line);
  return table.primaryKey.map((name) => cells[table.columns.findIndex((c) => c.name === name)]);
}
