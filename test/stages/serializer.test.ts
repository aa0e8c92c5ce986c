/** Serializer and Deserializer: every kind of item there and back, and every stream that is to be refused. */

import * as zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { H } from '../../lib/crypto/hash.ts';
import { Codec, type CodecName, FrameType, MORE, readFooter, readFrameHead } from '../../lib/format/frame.ts';
import type { BackupItem, BackupSchema, TableSchema } from '../../lib/format/items.ts';
import { readTocPage, type TocEntry } from '../../lib/format/toc.ts';
import { Deserializer, decodeBody } from '../../lib/stages/deserializer.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { Random } from '../../lib/testkit/index.ts';
import { writeFrame } from '../format/frames.ts';
import { bytesThrough, codeOf, cuts, seed, through } from './support.ts';

const random = new Random(seed);
const { deflateRawSync } = zlib;
/** Node.js has it from 22.15 on. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (data: Buffer) => Buffer };
const codecs: CodecName[] = zstdCompressSync ? ['none', 'deflate', 'zstd'] : ['none', 'deflate'];

t.before(() => t.comment(`SEED=${seed}`));

function tableSchema(stream: number, table: string, schema?: string): TableSchema {
  const column = { name: 'id', type: 'integer', nullable: false };
  const common = {
    stream,
    table,
    entities: [],
    encoding: 'sqlite-typed' as const,
    columns: [column],
    primaryKey: ['id'],
    foreignKeys: [],
  };
  return schema === undefined ? common : { ...common, schema };
}

function schemaItem(tables: TableSchema[], kind: BackupSchema['kind'] = 'database'): BackupItem {
  return { type: 'schema', schema: { kind, created: '2020-01-01T00:00:00.000Z', tool: 'tests', tables } };
}

/** Tables and files, some of them at once; empty ones, large ones, one that could not be read to its end. */
function everything(): BackupItem[] {
  const lines = (n: number, width: number) =>
    Buffer.from(Array.from({ length: n }, (_, i) => `[${i},"${'x'.repeat(width)}"]\n`).join(''));
  const photo = random.bytes(1_500_000);
  const long = Buffer.from(`["${'y'.repeat(2_500_000)}"]\n`);
  const rest = random.bytes(70_000);
  return [
    schemaItem([tableSchema(1, 'a'), tableSchema(2, 'b', 'other'), tableSchema(3, 'empty')]),
    { type: 'rows', stream: 1, count: 3, data: lines(3, 10) },
    { type: 'rows', stream: 2, count: 1000, data: lines(1000, 200) },
    { type: 'rows', stream: 1, count: 2, data: lines(2, 10) },
    { type: 'rows', stream: 2, count: 0, data: long.subarray(0, 1_000_000) },
    { type: 'rows', stream: 2, count: 1, data: long.subarray(1_000_000) },
    { type: 'entity-end', stream: 1, rows: 5 },
    {
      type: 'file-begin',
      stream: 10,
      file: { kind: 'root', root: 'media', path: 'ä/photo.jpg', size: photo.length, mode: 420, mtime: 1 },
    },
    { type: 'file-data', stream: 10, data: photo.subarray(0, 1 << 20) },
    {
      type: 'skipped',
      skipped: { kind: 'path', root: '', path: 'gone', reason: 'It is not there.', from: 'Book.cover' },
    },
    { type: 'file-begin', stream: 11, file: { kind: 'field', root: 'local', path: 'empty' } },
    { type: 'file-end', stream: 11, size: 0 },
    { type: 'file-data', stream: 10, data: photo.subarray(1 << 20) },
    { type: 'file-end', stream: 10, size: photo.length },
    { type: 'entity-end', stream: 2, rows: 1001 },
    { type: 'entity-end', stream: 3, rows: 0 },
    { type: 'file-begin', stream: 12, file: { kind: 'path', root: '', path: 'b' } },
    { type: 'file-data', stream: 12, data: rest },
    { type: 'file-end', stream: 12, size: rest.length, incomplete: 'It became shorter.' },
    {
      type: 'end',
      rows: 1006,
      files: 3,
      bytes: photo.length + rest.length,
      skipped: [{ kind: 'path', root: '', path: 'gone', reason: 'It is not there.', from: 'Book.cover' }],
    },
  ];
}

/** Data of one stream may be cut elsewhere: joined, with its count; other items as they are, in order. */
function normal(items: BackupItem[]): unknown[] {
  const data = new Map<number, { hash: string; count: number; parts: Buffer[] }>();
  const rest: unknown[] = [];
  for (const item of items) {
    if (item.type !== 'rows' && item.type !== 'file-data') {
      rest.push(item);
      continue;
    }
    const known = data.get(item.stream) ?? { hash: '', count: 0, parts: [] };
    data.set(item.stream, known);
    known.parts.push(item.data);
    if (item.type === 'rows') known.count += item.count;
  }
  const joined = [...data].map(([stream, d]) => [stream, d.count, H(...d.parts).toString('hex')]);
  return [...rest, ...joined];
}

const serialized = (items: BackupItem[], compression: CodecName) =>
  bytesThrough(items, new Serializer({ compression }));
const parsed = (stream: Buffer, cut = cuts.whole!) => through<BackupItem>(cut(stream), new Deserializer());

t.test('there and back', async (t) => {
  const items = everything();
  for (const compression of codecs) {
    const stream = await serialized(items, compression);
    t.equal(stream.length % 512, 0, `${compression}: a multiple of 512 bytes`);
    for (const [name, cut] of Object.entries(cuts)) {
      if (name === 'byte by byte') continue;
      const back = await parsed(stream, cut);
      t.same(normal(back), normal(items), `${compression}, ${name}`);
      t.ok(
        back.every((i) => !('data' in i) || i.data.length <= 1 << 20),
        'no item is larger than 1 MiB',
      );
    }
  }
  const small = [schemaItem([], 'stream'), { type: 'end', rows: 0, files: 0, bytes: 0, skipped: [] } as BackupItem];
  for (const [name, cut] of Object.entries(cuts)) {
    t.same(await parsed(await serialized(small, 'deflate'), cut), small, `the least stream, ${name}`);
  }
  const wide = schemaItem(Array.from({ length: 20_000 }, (_, i) => tableSchema(i + 1, `table number ${i}`)));
  const back = await parsed(await serialized([wide, small[1]!], 'deflate'), cuts['in random chunks']!);
  t.same(back, [wide, small[1]], 'a schema of several frames');
});

t.test('any sequence of tables and files', async (t) => {
  const chunk = fc.uint8Array({ maxLength: 400 });
  const file = fc.record({ path: fc.string(), parts: fc.array(chunk, { maxLength: 4 }) });
  const table = fc.array(
    fc.array(fc.array(fc.oneof(fc.string(), fc.integer(), fc.constant(null)), { maxLength: 3 }), { maxLength: 3 }),
    { maxLength: 3 },
  );
  const arbitrary = fc.record({
    tables: fc.array(table, { maxLength: 3 }),
    files: fc.array(file, { maxLength: 3 }),
    size: fc.integer({ min: 1, max: 600 }),
  });
  await fc.assert(
    fc.asyncProperty(arbitrary, async ({ tables, files, size }) => {
      const items: BackupItem[] = [schemaItem(tables.map((_, i) => tableSchema(i + 1, `t${i}`)))];
      let rows = 0;
      let bytes = 0;
      for (const [i, batches] of tables.entries()) {
        for (const batch of batches) {
          items.push({
            type: 'rows',
            stream: i + 1,
            count: batch.length,
            data: Buffer.from(batch.map((r) => `${JSON.stringify(r)}\n`).join('')),
          });
        }
        const count = batches.reduce((sum, b) => sum + b.length, 0);
        rows += count;
        items.push({ type: 'entity-end', stream: i + 1, rows: count });
      }
      for (const [i, { path, parts }] of files.entries()) {
        const stream = tables.length + i + 1;
        items.push({ type: 'file-begin', stream, file: { kind: 'root', root: 'r', path } });
        for (const part of parts) items.push({ type: 'file-data', stream, data: Buffer.from(part) });
        const length = parts.reduce((sum, p) => sum + p.length, 0);
        bytes += length;
        items.push({ type: 'file-end', stream, size: length });
      }
      items.push({ type: 'end', rows, files: files.length, bytes, skipped: [] });
      const stream = await serialized(items, 'deflate');
      const cut = function* () {
        for (let at = 0; at < stream.length; at += size) yield stream.subarray(at, at + size);
      };
      const back = await through<BackupItem>(cut(), new Deserializer());
      t.same(normal(back.filter(notEmpty)), normal(items.filter(notEmpty)));
    }),
    { seed, numRuns: 40 },
  );
});

function notEmpty(item: BackupItem): boolean {
  return !('data' in item) || item.data.length > 0;
}

/** The frames of a stream, as a reader that knows nothing else would find them. */
function framesOf(stream: Buffer) {
  const frames: { at: number; end: number; type: number; stream: number; flags: number; codec: number; raw: Buffer }[] =
    [];
  for (let at = 0; at < stream.length; ) {
    const head = readFrameHead(stream, at);
    if (typeof head === 'string') throw new Error(head);
    const end = at + 24 + head.codedLength;
    frames.push({ at, end, ...head, raw: decodeBody(head, stream.subarray(at + 24, end)) });
    at = end;
  }
  return frames;
}

t.test('what stands where: table of contents, END and footer', async (t) => {
  const stream = await serialized(everything(), 'deflate');
  const frames = framesOf(stream);
  t.equal(frames[0]!.type, FrameType.SCHEMA);
  const schemas = frames.filter((f) => f.type === FrameType.SCHEMA);
  t.equal(schemas.length, 2);
  t.ok(schemas[0]!.raw.equals(schemas[1]!.raw), 'the schema stands twice');
  const endAt = readFooter(stream.subarray(-16))!;
  const end = frames.find((f) => f.at === endAt)!;
  t.equal(end.type, FrameType.END, 'the footer points at END');
  t.equal(frames.at(-1)!.type, FrameType.PAD);
  const totals = JSON.parse(end.raw.toString()) as { toc: number; frames: number };
  t.equal(totals.frames, frames.indexOf(end));
  const toc = frames.find((f) => f.at === totals.toc)!;
  t.equal(toc.type, FrameType.TOC, 'END points at the table of contents');
  const { previous, entries } = readTocPage(toc.raw);
  t.equal(previous, null);
  t.same(entries.map((e) => (e.kind === 'entity' ? e.name : e.file.path)).sort(), [
    'a',
    'b',
    'empty',
    'empty',
    'other.b',
    'ä/photo.jpg',
  ]);
  for (const entry of entries as TocEntry[]) {
    const own = frames.filter((f) => f.stream === entry.stream && f.type !== FrameType.SCHEMA);
    t.same([entry.from, entry.to], [own[0]!.at, own.at(-1)!.end], `stream ${entry.stream} stands where the entry says`);
  }
  const photo = frames.filter((f) => f.stream === 10 && f.type === FrameType.FILE_DATA);
  t.ok(
    photo.every((f) => f.codec === Codec.none),
    'what does not shrink is stored',
  );
  const rows = frames.filter((f) => f.stream === 2 && f.type === FrameType.ROWS);
  t.ok(
    rows.every((f) => f.codec === Codec.deflate),
    'rows are compressed',
  );
  t.same(
    rows.map((f) => f.flags),
    [0, 0, 2, 2],
    'CONTINUED where a frame begins inside of a line',
  );
});

t.test('a table of contents of many pages', async (t) => {
  const count = 5000;
  const items: BackupItem[] = [schemaItem([], 'stream')];
  for (let i = 0; i < count; i++) {
    items.push({
      type: 'file-begin',
      stream: i + 1,
      file: { kind: 'root', root: 'r', path: `${i}/${'long '.repeat(20)}` },
    });
    items.push({ type: 'file-end', stream: i + 1, size: 0 });
  }
  items.push({ type: 'end', rows: 0, files: count, bytes: 0, skipped: [] });
  const stream = await serialized(items, 'deflate');
  t.equal((await parsed(stream)).length, items.length);
  const frames = framesOf(stream);
  const found: TocEntry[] = [];
  let pages = 0;
  const end = frames.find((f) => f.type === FrameType.END)!;
  for (let at = (JSON.parse(end.raw.toString()) as { toc: number | null }).toc; at !== null; pages++) {
    const page = readTocPage(frames.find((f) => f.at === at)!.raw);
    found.push(...page.entries);
    at = page.previous;
  }
  t.ok(pages > 3, `${pages} pages, linked backwards`);
  t.equal(new Set(found.map((e) => e.stream)).size, count, 'list every file');
});

t.test('a source that is out of order is refused', async (t) => {
  const [schema, rows, end] = [
    schemaItem([tableSchema(1, 'a')]),
    { type: 'rows', stream: 1, count: 1, data: Buffer.from('[]\n') } as BackupItem,
    { type: 'end', rows: 1, files: 0, bytes: 0, skipped: [] } as BackupItem,
  ];
  const done: BackupItem = { type: 'entity-end', stream: 1, rows: 1 };
  const begin: BackupItem = { type: 'file-begin', stream: 2, file: { kind: 'path', root: '', path: 'p' } };
  const wrong: [string, BackupItem[]][] = [
    ['nothing', []],
    ['no schema', [rows]],
    ['no end', [schema, rows, done]],
    ['two schemas', [schema, schema]],
    ['an item after the end', [schema, rows, done, end, rows]],
    ['two ends', [schema, rows, done, end, end]],
    ['a table that is not ended', [schema, rows, end]],
    ['a count that does not fit', [schema, rows, { ...done, rows: 2 } as BackupItem]],
    ['totals that do not fit', [schema, rows, done, { ...end, rows: 2 } as BackupItem]],
    ['an end of an unknown table', [schema, { ...done, stream: 9, rows: 0 } as BackupItem]],
    ['file data without a file', [schema, { type: 'file-data', stream: 2, data: Buffer.alloc(1) }]],
    ['a file that ends without a beginning', [schema, { type: 'file-end', stream: 2, size: 0 }]],
    ['a file that begins twice', [schema, begin, begin]],
    ['a size that does not fit', [schema, begin, { type: 'file-end', stream: 2, size: 1 }]],
    ['a file that is not ended', [schema, begin, { ...end, rows: 0 } as BackupItem]],
    ['a file that ends as a table', [schema, begin, { type: 'entity-end', stream: 2, rows: 0 }]],
  ];
  for (const [what, items] of wrong) t.equal(await codeOf(serialized(items, 'none')), 'ERR_SOURCE_ORDER', what);
});

/** A stream of frames, numbered and with correct lengths unless they say otherwise. */
function forged(
  ...frames: {
    type: number;
    body?: unknown;
    stream?: number;
    flags?: number;
    codec?: number;
    rawLength?: number;
    ordinal?: number;
  }[]
): Buffer {
  return Buffer.concat(
    frames.map(({ type, body = {}, stream = 0, flags = 0, codec = 0, rawLength, ordinal }, i) => {
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      return writeFrame(
        { type, codec, flags, stream, rawLength: rawLength ?? bytes.length, ordinal: ordinal ?? i },
        bytes,
      );
    }),
  );
}

t.test('streams that are to be refused', async (t) => {
  const schema = {
    type: FrameType.SCHEMA,
    body: { kind: 'database', created: '', tool: '', tables: [tableSchema(1, 'a')] },
  };
  const begin = { type: FrameType.FILE_BEGIN, stream: 5, body: { kind: 'path', root: '', path: 'p' } };
  const empty = H().toString('hex');
  const fileEnd = { type: FrameType.FILE_END, stream: 5, body: { size: 0, hash: empty } };
  const rows = { type: FrameType.ROWS, stream: 1, body: '[1]\n' };
  const entityEnd = {
    type: FrameType.ENTITY_END,
    stream: 1,
    body: { rows: 1, hash: H(Buffer.from('[1]\n')).toString('hex') },
  };
  const end = (body: object) => ({
    type: FrameType.END,
    body: { rows: 0, files: 0, bytes: 0, skipped: 0, frames: 1, toc: null, ...body },
  });
  const pad = { type: FrameType.PAD, body: Buffer.alloc(16) };
  t.same(
    (await parsed(forged(schema, end({}), pad))).map((i) => i.type),
    ['schema', 'end'],
    'one that is right',
  );
  const unknown = { type: 200, body: 'whatever', codec: 0 };
  t.equal(
    (await parsed(forged(schema, unknown, end({ frames: 2 }), pad))).length,
    2,
    'unknown types from 128 on are skipped',
  );
  const huge = deflateRawSync(Buffer.alloc(64 << 20));
  const cases: [string, string, Buffer][] = [
    ['ERR_TRUNCATED_STREAM', 'nothing', Buffer.alloc(0)],
    ['ERR_TRUNCATED_STREAM', 'a schema only', forged(schema)],
    ['ERR_TRUNCATED_STREAM', 'half a frame', forged(schema, rows).subarray(0, -1)],
    ['ERR_TRUNCATED_STREAM', 'half a head', forged(schema, rows).subarray(0, 10)],
    [
      'ERR_TRUNCATED_STREAM',
      'something behind END that is no frame',
      Buffer.concat([forged(schema, end({})), Buffer.alloc(7)]),
    ],
    ['ERR_STREAM_FRAME', 'zeros', Buffer.alloc(512)],
    ['ERR_STREAM_FRAME', 'type 0', forged(schema, { type: 0 })],
    ['ERR_STREAM_FRAME', 'type 11', forged(schema, { type: 11 })],
    ['ERR_STREAM_FRAME', 'type 127', forged(schema, { type: 127 })],
    ['ERR_STREAM_FRAME', 'codec 3', forged(schema, { ...rows, codec: 3 })],
    ['ERR_STREAM_FRAME', 'two lengths of a stored frame', forged(schema, { ...rows, rawLength: 3 })],
    [
      'ERR_STREAM_FRAME',
      'a raw length of 1 MiB and a byte',
      forged(schema, { ...rows, codec: 1, rawLength: (1 << 20) + 1 }),
    ],
    ['ERR_STREAM_FRAME', 'a raw length of 4 GiB', forged(schema, { ...rows, codec: 1, rawLength: 0xffffffff })],
    ['ERR_STREAM_FRAME', 'a coded length of 4 GiB', withLength(forged(schema), 0xffffffff)],
    ['ERR_STREAM_FRAME', 'no deflate at all', forged(schema, { ...rows, codec: 1, rawLength: 100 })],
    [
      'ERR_STREAM_FRAME',
      'a bomb: more than it says',
      forged(schema, { ...rows, body: huge, codec: 1, rawLength: 1000 }),
    ],
    [
      'ERR_STREAM_FRAME',
      'a bomb: 64 MiB as 1 MiB',
      forged(schema, { ...rows, body: huge, codec: 1, rawLength: 1 << 20 }),
    ],
    [
      'ERR_STREAM_FRAME',
      'less than it says',
      forged(schema, { ...rows, body: deflateRawSync(Buffer.alloc(10)), codec: 1, rawLength: 11 }),
    ],
    ['ERR_STREAM_FRAME', 'a bomb that says 0', forged(schema, { ...rows, body: huge, codec: 1, rawLength: 0 })],
    ['ERR_STREAM_FRAME', 'a schema that is no JSON', forged({ ...schema, body: 'x' })],
    ['ERR_STREAM_FRAME', 'a schema that is null', forged({ ...schema, body: 'null' })],
    ['ERR_STREAM_FRAME', 'a schema that is a list', forged({ ...schema, body: '[]' })],
    ['ERR_STREAM_FRAME', 'a schema without tables', forged({ ...schema, body: { kind: 'database' } })],
    ['ERR_STREAM_FRAME', 'a schema of another kind', forged({ ...schema, body: { kind: 'x', tables: [] } })],
    ...tableLies(schema.body.tables[0]!).map((lie): [string, string, Buffer] => [
      'ERR_STREAM_FRAME',
      `a schema with ${JSON.stringify(lie)}`,
      forged({ ...schema, body: { kind: 'database', ...lie } }),
    ]),
    ['ERR_STREAM_FRAME', 'an END that is null', forged(schema, { type: FrameType.END, body: 'null' })],
    ['ERR_STREAM_FRAME', 'an ENTITY_END that is null', forged(schema, { ...entityEnd, body: 'null' })],
    ['ERR_STREAM_FRAME', 'a FILE_END that is a number', forged(schema, begin, { ...fileEnd, body: '7' })],
    ['ERR_STREAM_FRAME', 'a SKIPPED that is a string', forged(schema, { type: FrameType.SKIPPED, body: '"x"' })],
    ['ERR_STREAM_FRAME', 'a file without a path', forged(schema, { ...begin, body: { kind: 'path', root: '' } })],
    [
      'ERR_STREAM_FRAME',
      'a file whose path is an object',
      forged(schema, { ...begin, body: { kind: 'path', root: '', path: {} } }),
    ],
    ['ERR_STREAM_ORDER', 'rows first', forged(rows)],
    ['ERR_STREAM_ORDER', 'a frame twice', forged(schema, { ...rows, ordinal: 0 })],
    ['ERR_STREAM_ORDER', 'a frame missing', forged(schema, { ...rows, ordinal: 2 })],
    ['ERR_STREAM_ORDER', 'an ordinal of 2^53', forged(schema, { ...rows, ordinal: 2 ** 53 })],
    ['ERR_STREAM_ORDER', 'rows behind END', forged(schema, end({}), rows)],
    ['ERR_STREAM_ORDER', 'two ENDs', forged(schema, end({}), end({ frames: 2 }))],
    [
      'ERR_STREAM_ORDER',
      'file data without a beginning',
      forged(schema, { type: FrameType.FILE_DATA, stream: 5, body: 'x' }),
    ],
    ['ERR_STREAM_ORDER', 'a file end without a beginning', forged(schema, fileEnd)],
    ['ERR_STREAM_ORDER', 'a file that begins twice', forged(schema, begin, begin)],
    ['ERR_STREAM_ORDER', 'rows of a file', forged(schema, begin, { ...rows, stream: 5 })],
    [
      'ERR_STREAM_ORDER',
      'file data of a table',
      forged(schema, rows, { type: FrameType.FILE_DATA, stream: 1, body: 'x' }),
    ],
    ['ERR_STREAM_ORDER', 'a file that ends as a table', forged(schema, begin, { ...entityEnd, stream: 5 })],
    ['ERR_STREAM_HASH', 'rows of another hash', forged(schema, { ...rows, body: '[2]\n' }, entityEnd)],
    [
      'ERR_STREAM_HASH',
      'another number of rows',
      forged(schema, rows, { ...entityEnd, body: { ...entityEnd.body, rows: 2 } }),
    ],
    [
      'ERR_STREAM_HASH',
      'rows that are text',
      forged(schema, rows, { ...entityEnd, body: { ...entityEnd.body, rows: '1' } }),
    ],
    [
      'ERR_STREAM_HASH',
      'a file of another size',
      forged(schema, begin, { ...fileEnd, body: { size: 1, hash: empty } }),
    ],
    [
      'ERR_STREAM_HASH',
      'a file of another hash',
      forged(
        schema,
        begin,
        { type: FrameType.FILE_DATA, stream: 5, body: 'x' },
        { ...fileEnd, body: { size: 1, hash: empty } },
      ),
    ],
    ['ERR_STREAM_HASH', 'an END before a table ended', forged(schema, rows, end({ frames: 2 }))],
    ['ERR_STREAM_HASH', 'an END before a file ended', forged(schema, begin, end({ frames: 2 }))],
    ['ERR_STREAM_HASH', 'totals of more rows', forged(schema, end({ rows: 1 }))],
    ['ERR_STREAM_HASH', 'totals of more files', forged(schema, end({ files: 1 }))],
    ['ERR_STREAM_HASH', 'totals of other frames', forged(schema, end({ frames: 5 }))],
    ['ERR_STREAM_HASH', 'totals of more that was skipped', forged(schema, end({ skipped: 1 }))],
  ];
  for (const [code, what, stream] of cases) {
    for (const cut of ['whole', 'in chunks of 997']) {
      t.equal(await codeOf(parsed(stream, cuts[cut]!)), code, `${what}, ${cut}`);
    }
  }
  const before = process.memoryUsage().rss;
  const mebibyte = deflateRawSync(Buffer.alloc(1 << 20));
  const endless = Array.from({ length: 3000 }, (_, i) => ({
    type: FrameType.SCHEMA,
    flags: MORE,
    codec: 1,
    rawLength: 1 << 20,
    ordinal: i,
    body: mebibyte,
  }));
  t.equal(
    await codeOf(
      through(
        endless.map((f) => forged(f)),
        new Deserializer(),
      ),
    ),
    'ERR_STREAM_FRAME',
    'a schema of 3 GiB in 3 MiB',
  );
  t.ok(process.memoryUsage().rss - before < 400 << 20, 'is not collected');
});

/** Schemas that a target would stumble over. */
function tableLies(table: TableSchema): object[] {
  const changes = [
    { stream: -1 },
    { stream: '1' },
    { table: 7 },
    { schema: {} },
    { entities: 'a' },
    { entities: [1] },
    { columns: {} },
    { columns: [null] },
    { columns: [{ name: 'x' }] },
    { primaryKey: [7] },
    { unique: ['x'] },
    { foreignKeys: [{ table: 't' }] },
  ];
  const tables = [table];
  return [
    ...changes.map((change) => ({ tables: [{ ...table, ...change }] })),
    { tables: [null] },
    { tables, sequences: [{ name: 'x' }] },
    { tables, migrations: null },
    { tables, migrations: { table: 'm', names: 'x' } },
  ];
}

function withLength(stream: Buffer, codedLength: number): Buffer {
  const head = Buffer.from(stream.subarray(0, 24));
  head.writeUInt32BE(codedLength, 12);
  return head;
}

t.test('Zstandard', async (t) => {
  const schema = forged({ type: FrameType.SCHEMA, codec: Codec.zstd, rawLength: 100, body: Buffer.alloc(10) });
  if (!zstdCompressSync) {
    t.throws(() => new Serializer({ compression: 'zstd' }), { code: 'ERR_CONFIG_NO_ZSTD' }, 'not on this Node.js');
    t.equal(await codeOf(parsed(schema)), 'ERR_CONFIG_NO_ZSTD');
    return;
  }
  t.equal(await codeOf(parsed(schema)), 'ERR_STREAM_FRAME', 'what is no Zstandard');
  const bomb = forged({
    type: FrameType.SCHEMA,
    codec: Codec.zstd,
    rawLength: 100,
    body: zstdCompressSync(Buffer.alloc(32 << 20)),
  });
  t.equal(await codeOf(parsed(bomb)), 'ERR_STREAM_FRAME', 'a bomb');
});
