/** One entity or one file of a backup, or the list of all, reading only the blocks that hold them (SPEC.md section 8). */
import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { ConfigError, FormatError } from './errors.ts';
import { FrameType } from './format/frame.ts';
import type { TableSchema } from './format/items.ts';
import { parseCells } from './format/schema.ts';
import type { TocEntry } from './format/toc.ts';
import { openKeys, withReader } from './sources.ts';
import { StreamReader } from './stream-reader.ts';
import type { BackupSource, ListEntry, OpeningSecret, ReadOptions } from './types.ts';

/**
 * Lists entities and files. Reads the blocks of the table of contents only.
 * Memory: one page of it for files in the millions. @throws as `restoreBackup`
 */
export async function* listBackup(
  source: BackupSource,
  secret: OpeningSecret,
  options: ReadOptions = {},
): AsyncGenerator<ListEntry> {
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
  if (entry.kind === 'file')
    return { type: 'file', kind: entry.file.kind, root: entry.file.root, path: entry.file.path, size: entry.size };
  const { name, rows, from, to, stream } = entry;
  return { type: 'entity', name, entities: tables.get(stream)?.entities ?? [], rows, bytes: to - from };
}

/**
 * The content of one entity (NDJSON objects, one a row, cells as SPEC.md section 8 says) or of one file (its bytes), as a Readable.
 * @param name an entity's or a table's name, or a file's path, alone or after its root: `media/a.jpg`
 * @throws ConfigError ERR_CONTENT_NOT_FOUND, ERR_CONTENT_AMBIGUOUS; else as `restoreBackup`
 */
export async function readEntry(
  source: BackupSource,
  secret: OpeningSecret,
  name: string,
  options: ReadOptions = {},
): Promise<Readable> {
  const opened = await openStream(source, secret, options);
  try {
    const { tables } = await opened.stream.schema();
    const entry = await findEntry(opened.stream, tables, name);
    const table = tables.find((t) => t.stream === entry.stream);
    if (entry.kind === 'entity' && !table)
      throw new FormatError('ERR_STREAM_FRAME', 'The table of contents names a table that the schema lacks.');
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
      const names =
        entry.kind === 'file'
          ? fileNames(entry.file)
          : [entry.name, ...(tables.find((t) => t.stream === entry.stream)?.entities ?? [])];
      if (names.includes(name)) found.push(entry);
    }
  }
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    throw new ConfigError(
      'ERR_CONTENT_AMBIGUOUS',
      `${found.length} entries are named ${name}. Put the root before the path: ROOT/${name}.`,
    );
  }
  throw new ConfigError(
    'ERR_CONTENT_NOT_FOUND',
    `The backup holds no entity or file ${name}. \`dbs ls\` lists what it holds.`,
  );
}

const fileNames = ({ root, path }: { root: string; path: string }): string[] =>
  root ? [path, `${root}/${path}`] : [path];

async function* fileBytes(stream: StreamReader, entry: TocEntry): AsyncGenerator<Buffer> {
  for await (const frame of stream.frames(entry.from, entry.to)) {
    if (frame.stream === entry.stream && frame.type === FrameType.FILE_DATA) yield frame.raw;
  }
}

async function* rowObjects(stream: StreamReader, entry: TocEntry, table: TableSchema): AsyncGenerator<Buffer> {
  const keys = table.columns.map((c) => JSON.stringify(c.name));
  // A character may be cut in two where a row goes on in the next frame.
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const frame of stream.frames(entry.from, entry.to)) {
    if (frame.stream !== entry.stream || frame.type !== FrameType.ROWS) continue;
    const lines = (rest + decoder.write(frame.raw)).split('\n');
    rest = lines.pop()!;
    if (lines.length > 0) yield Buffer.from(lines.map((line) => rowObject(keys, line)).join(''));
  }
}

function rowObject(keys: string[], line: string): string {
  const cells = parseCells(line);
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
async function openStream(
  source: BackupSource,
  secret: OpeningSecret,
  options: ReadOptions,
): Promise<{ stream: StreamReader; close: () => Promise<void> }> {
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
