/** `ls` and `cat`: the blocks that are needed and no others; rows and characters over the edges of frames; tables of contents that lie. */
import t from 'tap';
import { bufferSource } from '../../lib/container/source.ts';
import { listBackup, readEntry } from '../../lib/contents.ts';
import { BackupError } from '../../lib/errors.ts';
import { FrameType, padBody } from '../../lib/format/frame.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { Random } from '../../lib/testkit/index.ts';
import type { BackupSource } from '../../lib/types.ts';
import { writeFrame } from '../format/frames.ts';
import { DATA, key, noise, seal, sealItems, seed, whileLost } from './support.ts';

const random = new Random(seed);

t.before(() => t.comment(`SEED=${seed}`));

async function cat(source: BackupSource, name: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of await readEntry(source, key, name)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function ls(source: BackupSource): Promise<unknown[]> {
  const entries: unknown[] = [];
  for await (const entry of listBackup(source, key)) entries.push(entry);
  return entries;
}

const columns = ['id', 'näme'].map((name) => ({ name, type: 'any', nullable: true }));
const book = {
  stream: 1,
  table: 'book',
  entities: ['Book'],
  encoding: 'sqlite-typed' as const,
  columns,
  primaryKey: ['id'],
  foreignKeys: [],
};
const schema: BackupItem = { type: 'schema', schema: { kind: 'database', created: '', tool: '', tables: [book] } };

t.test('an entity and its files', async (t) => {
  // Three bytes a character, and frames of 1 MiB: some character is cut in two.
  const rows = Array.from({ length: 9 }, (_, i) => [i, '€'.repeat(100_000 * i + 1)]);
  const data = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const photo = noise('photo', 2_000_000);
  const file = (stream: number, root: string, path: string, bytes: Buffer): BackupItem[] => [
    { type: 'file-begin', stream, file: { kind: 'root', root, path } },
    { type: 'file-data', stream, data: bytes },
    { type: 'file-end', stream, size: bytes.length },
  ];
  const items: BackupItem[] = [
    schema,
    { type: 'rows', stream: 1, count: rows.length, data },
    { type: 'entity-end', stream: 1, rows: rows.length },
    ...file(2, 'media', 'a/photo.jpg', photo),
    ...file(3, 'media', 'twice', Buffer.from('one')),
    ...file(4, 'other', 'twice', Buffer.from('two')),
    { type: 'end', rows: rows.length, files: 3, bytes: photo.length + 6, skipped: [] },
  ];
  const backup = await sealItems('contents', items);
  const listed = await ls(backup);
  t.match(listed, [
    { type: 'entity', name: 'book', entities: ['Book'], rows: 9 },
    { type: 'file', kind: 'root', root: 'media', path: 'a/photo.jpg', size: photo.length },
    { type: 'file', root: 'media', path: 'twice', size: 3 },
    { type: 'file', root: 'other', path: 'twice', size: 3 },
  ]);
  const expected = rows.map(([id, name]) => `${JSON.stringify({ id, näme: name })}\n`).join('');
  for (const name of ['book', 'Book'])
    t.equal((await cat(backup, name)).toString(), expected, `${name}: every character`);
  t.ok((await cat(backup, 'a/photo.jpg')).equals(photo));
  t.ok((await cat(backup, 'media/a/photo.jpg')).equals(photo), 'with its root');
  t.equal((await cat(backup, 'other/twice')).toString(), 'two');
  await t.rejects(cat(backup, 'twice'), { code: 'ERR_CONTENT_AMBIGUOUS' });
  await t.rejects(cat(backup, 'nobody'), { code: 'ERR_CONTENT_NOT_FOUND' });
});

t.test('only what is needed is read', async (t) => {
  const c = await seal('tandem', 6 * 978_924);
  let read = 0;
  const { size, ...source } = bufferSource(c.file);
  const counting = {
    ...source,
    size,
    read: (at: number, into: Buffer) => {
      read += into.length;
      return source.read(at, into);
    },
  };
  t.equal((await ls(counting)).length, 1);
  t.ok(read < 5 << 20, `ls read ${read} of ${size} bytes`);
  const hurt = [c.place(DATA, 0, 0), c.place(DATA, 0, c.count - 1)];
  await whileLost(c.file, hurt, random, async () => t.equal((await ls(c.file)).length, 1, 'healed on the way'));
});

/** A sealed stream whose END and table of contents say what they are told to. */
async function lying(end: unknown, toc?: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = 0;
  const add = (type: number, body: Buffer) => {
    const raw = { rawLength: body.length, ordinal: parts.length };
    const frame = writeFrame({ type, codec: 0, flags: 0, stream: 0, ...raw }, body);
    parts.push(frame);
    at += frame.length;
  };
  add(FrameType.SCHEMA, Buffer.from(JSON.stringify(schema.type === 'schema' && schema.schema)));
  const tocAt = at;
  if (toc !== undefined) add(FrameType.TOC, Buffer.from(toc));
  const endAt = at;
  add(FrameType.END, Buffer.from(JSON.stringify(end).replace('"TOC"', String(tocAt))));
  add(FrameType.PAD, padBody(at, endAt));
  return sealItems('lying', Buffer.concat(parts));
}

t.test('tables of contents that lie', async (t) => {
  const entry = (change: object) =>
    JSON.stringify({ stream: 1, kind: 'entity', name: 'book', rows: 0, from: 0, to: 24, ...change });
  const page = (...lines: string[]) => ['{"previous":null}', ...lines].join('\n');
  const good = await lying({ toc: 'TOC' }, page(entry({})));
  t.equal((await ls(good)).length, 1, 'one that is right');
  const lies: [string, Promise<Buffer>][] = [
    ['END is null', lying(null)],
    ['no toc', lying({})],
    ['toc behind the end', lying({ toc: 2 ** 52 })],
    ['toc is text', lying({ toc: 'x' })],
    ['toc points at the schema', lying({ toc: 0 })],
    ['no JSON', lying({ toc: 'TOC' }, 'x')],
    ['entries that are null', lying({ toc: 'TOC' }, page('null'))],
    ['it links forwards', lying({ toc: 'TOC' }, '{"previous":999999}')],
    ['an entry without a file', lying({ toc: 'TOC' }, page(entry({ kind: 'file' })))],
    ['an entry of 2^1000 bytes', lying({ toc: 'TOC' }, page(entry({ to: 1e300 })))],
  ];
  for (const [what, made] of lies) {
    const error = await ls(await made).catch((e) => e);
    t.ok(error instanceof BackupError && /^ERR_STREAM/.test(error.code), `${what}: ${error.code ?? error.stack}`);
  }
  const reads: [string, Promise<Buffer>][] = [
    ['a span behind the end', lying({ toc: 'TOC' }, page(entry({ to: 2 ** 52 })))],
    ['a span that begins in the middle of a frame', lying({ toc: 'TOC' }, page(entry({ from: 7, to: 300 })))],
    ['a table that the schema lacks', lying({ toc: 'TOC' }, page(entry({ stream: 9 })))],
  ];
  for (const [what, made] of reads) {
    const error = await cat(await made, 'book').catch((e) => e);
    t.ok(
      error instanceof BackupError && /^ERR_STREAM/.test(error.code),
      `${what}: ${error.code ?? error.stack ?? 'no error'}`,
    );
  }
});
