/** One entity or one file of a backup, or the list of all, reading only the blocks that hold them (SPEC.md section 8). */
import { Readable } from 'node:stream';
import { ConfigError, FormatError } from './errors.ts';
import { FrameType, MORE, readFooter } from './format/frame.ts';
import type { BackupSchema, TableSchema } from './format/items.ts';
import { FOOTER, FULL_RECORD, SEGMENT_HEAD, SEGMENT_STREAM, TAG } from './format/limits.ts';
import { readTocPage, type TocEntry } from './format/toc.ts';
import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { decryptingStages } from './reading.ts';
import { openKeys, withReader } from './sources.ts';
import { decodeBody, FrameReader } from './stages/deserializer.ts';
import type { BackupSource, ListEntry, OpeningSecret, ReadOptions } from './types.ts';

/** An opened stream: any range of its bytes, decrypted and healed. */
class StreamReader {
  readonly #reader: ContainerReader;
  readonly #keys: OpenedKeys;

  constructor(reader: ContainerReader, keys: OpenedKeys) {
    this.#reader = reader;
    this.#keys = keys;
  }

  get length(): number {
    const { count, lastLength } = this.#reader.extent;
    return (count - 1) * SEGMENT_STREAM + lastLength - TAG - SEGMENT_HEAD;
  }

  /** Stream bytes [from, to). Holds one block at a time. */
  async *bytes(from: number, to: number): AsyncGenerator<Buffer> {
    if (!(from >= 0 && from <= to && to <= this.length)) throw new FormatError('ERR_STREAM_FRAME', 'The table of contents points outside of the stream.');
    const first = Math.floor(from / SEGMENT_STREAM);
    const last = Math.ceil(to / SEGMENT_STREAM);
    const [, decryptor] = decryptingStages(this.#reader, this.#keys);
    const record = Buffer.allocUnsafeSlow(FULL_RECORD);
    for (let index = first; index < last; index++) {
      const { final, payload } = await this.#reader.read(index, record);
      const plain = await decryptor.open({ index, final, payload });
      const at = index * SEGMENT_STREAM;
      yield plain.subarray(Math.max(0, from - at), to - at);
    }
  }

  /** Whole frames between two offsets. */
  async *frames(from: number, to = this.length): AsyncGenerator<{ type: number; stream: number; flags: number; raw: Buffer }> {
    const frames = new FrameReader();
    for await (const chunk of this.bytes(from, to)) {
      frames.push(chunk);
      for (let frame = frames.next(); frame; frame = frames.next()) {
        const { type, stream, flags } = frame.head;
        yield { type, stream, flags, raw: decodeBody(frame.head, frame.body) };
      }
    }
  }

  async frame(at: number, type: number): Promise<Buffer> {
    for await (const frame of this.frames(at)) {
      if (frame.type === type) return frame.raw;
      break;
    }
    throw new FormatError('ERR_STREAM_FRAME', 'The table of contents points at something else.');
  }

  async schema(): Promise<BackupSchema> {
    const parts: Buffer[] = [];
    for await (const { type, flags, raw } of this.frames(0)) {
      if (type !== FrameType.SCHEMA) break;
      parts.push(raw);
      if (!(flags & MORE)) return JSON.parse(Buffer.concat(parts).toString('utf8')) as BackupSchema;
    }
    throw new FormatError('ERR_STREAM_ORDER', 'The stream does not begin with its schema.');
  }

  /** All entries, the last page of the table of contents first. */
  async *entries(): AsyncGenerator<TocEntry[]> {
    const footer: Buffer[] = [];
    for await (const part of this.bytes(this.length - FOOTER, this.length)) footer.push(part);
    const endAt = readFooter(Buffer.concat(footer));
    if (endAt === null) throw new FormatError('ERR_STREAM_FRAME', 'The stream has no footer.');
    const end = JSON.parse((await this.frame(endAt, FrameType.END)).toString('utf8')) as { toc: number | null };
    for (let at = end.toc; at !== null; ) {
      const { previous, entries } = readTocPage(await this.frame(at, FrameType.TOC));
      yield entries;
      // Pages link backwards; one that does not would go round in circles.
      if (previous !== null && previous >= at) throw new FormatError('ERR_STREAM_FRAME', 'The table of contents links forwards.');
      at = previous;
    }
  }
}

/**
 * Lists entities and files. Reads the blocks of the table of contents only.
 * Memory: one page of it for files in the millions. @throws as `restoreBackup`
 */
export async function* listBackup(source: BackupSource, secret: OpeningSecret, options: ReadOptions = {}): AsyncGenerator<ListEntry> {
  // An async generator cannot yield from inside of a callback: pages are handed over one by one.
  const opened = await openStream(source, secret, options);
  try {
    const schema = await opened.stream.schema();
    const tables = new Map(schema.tables.map((t) => [t.stream, t]));
    for await (const entries of opened.stream.entries()) for (const entry of entries) yield listEntry(entry, tables);
  } finally {
    await opened.close();
  }
}

function listEntry(entry: TocEntry, tables: Map<number, TableSchema>): ListEntry {
  if (entry.kind === 'file') return { type: 'file', kind: entry.file.kind, root: entry.file.root, path: entry.file.path, size: entry.size };
  const { name, rows, from, to, stream } = entry;
  return { type: 'entity', name, entities: tables.get(stream)?.entities ?? [], rows, bytes: to - from };
}

/**
 * The content of one entity (NDJSON objects, one a row, cells as SPEC.md section 8 says) or of one file (its bytes), as a Readable.
 * @param name an entity's or a table's name, or a file's path, alone or after its root: `media/a.jpg`
 * @throws ConfigError ERR_CONTENT_NOT_FOUND, ERR_CONTENT_AMBIGUOUS; else as `restoreBackup`
 */
export async function readEntry(source: BackupSource, secret: OpeningSecret, name: string, options: ReadOptions = {}): Promise<Readable> {
  const opened = await openStream(source, secret, options);
  try {
    const { tables } = await opened.stream.schema();
    const entry = await findEntry(opened.stream, tables, name);
    const table = tables.find((t) => t.stream === entry.stream);
    const read = entry.kind === 'file' ? fileBytes(opened.stream, entry) : rowObjects(opened.stream, entry, table!);
    return Readable.from(finallyClose(read, opened.close), { objectMode: false });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function findEntry(stream: StreamReader, tables: TableSchema[], name: string): Promise<TocEntry> {
  const found: TocEntry[] = [];
  for await (const entries of stream.entries()) {
    for (const entry of entries) {
      const names = entry.kind === 'file' ? fileNames(entry.file) : [entry.name, ...(tables.find((t) => t.stream === entry.stream)?.entities ?? [])];
      if (names.includes(name)) found.push(entry);
    }
  }
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    throw new ConfigError('ERR_CONTENT_AMBIGUOUS', `${found.length} entries are named ${name}. Put the root before the path: ROOT/${name}.`);
  }
  throw new ConfigError('ERR_CONTENT_NOT_FOUND', `The backup holds no entity or file ${name}. \`dbs ls\` lists what it holds.`);
}

const fileNames = ({ root, path }: { root: string; path: string }): string[] => (root ? [path, `${root}/${path}`] : [path]);

async function* fileBytes(stream: StreamReader, entry: TocEntry): AsyncGenerator<Buffer> {
  for await (const frame of stream.frames(entry.from, entry.to)) {
    if (frame.stream === entry.stream && frame.type === FrameType.FILE_DATA) yield frame.raw;
  }
}

async function* rowObjects(stream: StreamReader, entry: TocEntry, table: TableSchema): AsyncGenerator<Buffer> {
  const keys = table.columns.map((c) => JSON.stringify(c.name));
  let rest = '';
  for await (const frame of stream.frames(entry.from, entry.to)) {
    if (frame.stream !== entry.stream || frame.type !== FrameType.ROWS) continue;
    const lines = (rest + frame.raw.toString('utf8')).split('\n');
    rest = lines.pop()!;
    if (lines.length > 0) yield Buffer.from(lines.map((line) => rowObject(keys, line)).join(''));
  }
}

function rowObject(keys: string[], line: string): string {
  const cells = JSON.parse(line) as unknown[];
  return `{${cells.map((cell, i) => `${keys[i]}:${JSON.stringify(cell)}`).join(',')}}\n`;
}

async function* finallyClose(source: AsyncGenerator<Buffer>, close: () => Promise<void>): AsyncGenerator<Buffer> {
  try {
    yield* source;
  } finally {
    await close();
  }
}

/** Opens a backup for as long as the caller needs it: `withReader` turned inside out. */
async function openStream(source: BackupSource, secret: OpeningSecret, options: ReadOptions): Promise<{ stream: StreamReader; close: () => Promise<void> }> {
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  return new Promise((resolve, reject) => {
    const session = withReader(source, options, async (reader) => {
      const stream = new StreamReader(reader, await openKeys(reader, secret));
      resolve({
        stream,
        close: async () => {
          release();
          await session;
        },
      });
      await released;
    });
    session.catch(reject);
  });
}
