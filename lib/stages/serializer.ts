/** Items to frames (SPEC.md section 8). */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { RunningHash } from '../crypto/hash.ts';
import { ConfigError, SourceError } from '../errors.ts';
import { CONTINUED, Codec, type CodecName, FrameType, MORE, padBody, writeFrameHead } from '../format/frame.ts';
import type { BackupItem, EndItem, FileBeginItem, SchemaItem } from '../format/items.ts';
import { FRAME_HEAD, MAX_FRAME } from '../format/limits.ts';
import { type TocEntry, TocPage } from '../format/toc.ts';
import { freeYoung } from '../garbage.ts';
import { Stage } from './stage.ts';

export interface SerializerOptions {
  /** `deflate` (default: every reader has it), `zstd` (from Node 22.15 on, and only readers that have it), `none`. */
  compression?: CodecName;
}

interface Coded {
  codec: number;
  body: Buffer;
}

interface Pending {
  head: { type: number; flags: number; stream: number; rawLength: number };
  coded: Promise<Coded> | Coded;
  /** Runs with the frame's place in the stream. */
  placed?: (from: number, to: number) => void;
}

interface OpenStream {
  hash: RunningHash;
  from: number;
  count: number;
  bytes: number;
  /** Whether the file's first megabyte shrank: what is compressed already is stored. */
  shrinks?: Promise<boolean>;
  begin?: FileBeginItem;
  /** The last ROWS frame ended inside of a line. */
  inLine: boolean;
}

const NEWLINE = 10;

/** Frames that are being compressed on Node's thread pool while earlier ones travel on. */
const AHEAD = 3;

/** Bytes of what a compressor writes into at a time: most frames of rows fit, and need no second turn on the thread pool. */
const OUTPUT = 96 * 1024;

type Compress = (data: Uint8Array) => Promise<Buffer>;

function compressor(name: CodecName): Compress | undefined {
  if (name === 'none') return undefined;
  if (name === 'deflate') {
    const deflate = promisify(zlib.deflateRaw) as (data: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;
    return (data) => deflate(data, { level: 1, memLevel: 9, chunkSize: OUTPUT });
  }
  const zstd = (zlib as { zstdCompress?: (d: Uint8Array, cb: (e: Error | null, r: Buffer) => void) => void })
    .zstdCompress;
  if (!zstd) {
    throw new ConfigError(
      'ERR_CONFIG_NO_ZSTD',
      'This Node.js has no Zstandard (it came with 22.15). Use compression "deflate".',
    );
  }
  return promisify(zstd) as Compress;
}

/**
 * Takes `BackupItem`s in the order of items.ts and emits the bytes of frames: a head, then its body. Compresses each frame by itself, keeps the running hashes and
 * writes the table of contents.
 *
 * Memory: up to 3 frames of 1 MiB in compression, one page of the table of contents, and what is known of open streams.
 * Errors: SourceError ERR_SOURCE_ORDER for items out of order; ConfigError ERR_CONFIG_NO_ZSTD.
 * @see Deserializer, the mirror
 */
export class Serializer extends Stage<BackupItem, Buffer> {
  readonly #compress: Compress | undefined;
  readonly #codec: number;
  readonly #pending: Pending[] = [];
  readonly #open = new Map<number, OpenStream>();
  readonly #toc = new TocPage();
  #tocAt: number | null = null;
  #offset = 0;
  #ordinal = 0;
  #rows = 0;
  #files = 0;
  #bytes = 0;
  #skipped = 0;
  #begun = false;
  #ended = false;

  constructor(options: SerializerOptions = {}) {
    super({ objectsIn: true, objectsOut: true });
    const name = options.compression ?? 'deflate';
    this.#compress = compressor(name);
    this.#codec = Codec[name];
  }

  protected override async accept(item: BackupItem): Promise<void> {
    if (this.#ended || this.#begun === (item.type === 'schema')) throw outOfOrder(item.type);
    await this.#take(item);
    if (this.#toc.full) await this.#writeToc();
  }

  async #take(item: BackupItem): Promise<void> {
    switch (item.type) {
      case 'schema':
        this.#begun = true;
        return this.#schema(item);
      case 'rows':
        return this.#data(FrameType.ROWS, item.stream, item.data, item.count);
      case 'entity-end':
        return this.#entityEnd(item.stream, item.rows);
      case 'file-begin':
        return this.#fileBegin(item);
      case 'file-data':
        if (!this.#open.get(item.stream)?.begin) throw outOfOrder(item.type);
        return this.#data(FrameType.FILE_DATA, item.stream, item.data, 0);
      case 'file-end':
        return this.#fileEnd(item.stream, item.size, item.incomplete);
      case 'skipped':
        this.#skipped++;
        return this.#json(FrameType.SKIPPED, 0, item.skipped);
      case 'end':
        return this.#end(item);
    }
  }

  readonly #tables = new Map<number, string>();
  #schemaJson = Buffer.alloc(0);

  async #schema({ schema }: SchemaItem): Promise<void> {
    for (const t of schema.tables) this.#tables.set(t.stream, t.schema ? `${t.schema}.${t.table}` : t.table);
    this.#schemaJson = Buffer.from(JSON.stringify(schema));
    await this.#writeSchema();
  }

  async #writeSchema(): Promise<void> {
    const json = this.#schemaJson;
    for (let at = 0; at < json.length; at += MAX_FRAME) {
      const part = json.subarray(at, at + MAX_FRAME);
      await this.#frame(FrameType.SCHEMA, 0, part, { flags: at + MAX_FRAME < json.length ? MORE : 0 });
    }
  }

  async #data(type: number, stream: number, data: Buffer, count: number): Promise<void> {
    const open = this.#stream(stream);
    open.count += count;
    open.bytes += data.length;
    open.hash.update(data);
    freeYoung(data.length);
    for (let at = 0; at < data.length; at += MAX_FRAME) {
      const part = data.subarray(at, at + MAX_FRAME);
      const flags = open.inLine ? CONTINUED : 0;
      open.inLine = type === FrameType.ROWS && part.at(-1) !== NEWLINE;
      await this.#frame(type, stream, part, {
        flags,
        compress: this.#worthwhile(open, part),
        placed: (from) => note(open, from),
      });
    }
  }

  /** Rows always; of a file, whatever its first frame says: photographs and archives do not shrink. */
  #worthwhile(open: OpenStream, part: Buffer): Promise<Coded> | Coded {
    if (!open.begin) return this.#code(part);
    const stored = { codec: Codec.none, body: part };
    if (open.shrinks) return open.shrinks.then((shrinks) => (shrinks ? this.#code(part) : stored));
    const code = Promise.resolve(this.#code(part));
    open.shrinks = code.then((c) => c.body.length < part.length * 0.95);
    return open.shrinks.then((shrinks) => (shrinks ? code : stored));
  }

  #stream(stream: number): OpenStream {
    let open = this.#open.get(stream);
    if (!open)
      this.#open.set(stream, (open = { hash: new RunningHash(), from: -1, count: 0, bytes: 0, inLine: false }));
    return open;
  }

  async #entityEnd(stream: number, rows: number): Promise<void> {
    const open = this.#stream(stream);
    const name = this.#tables.get(stream);
    if (open.begin || name === undefined || open.count !== rows) throw outOfOrder('entity-end');
    this.#open.delete(stream);
    this.#rows += rows;
    await this.#json(FrameType.ENTITY_END, stream, { rows, hash: open.hash.hex() }, (from, to) => {
      note(open, from);
      this.#toc.add({ stream, kind: 'entity', name, rows, from: open.from, to } satisfies TocEntry);
    });
  }

  async #fileBegin(item: FileBeginItem): Promise<void> {
    if (this.#open.has(item.stream)) throw outOfOrder(item.type);
    const open = this.#stream(item.stream);
    open.begin = item;
    await this.#json(FrameType.FILE_BEGIN, item.stream, item.file, (from) => note(open, from));
  }

  async #fileEnd(stream: number, size: number, incomplete: string | undefined): Promise<void> {
    const open = this.#open.get(stream);
    if (!open?.begin || open.bytes !== size) throw outOfOrder('file-end');
    this.#open.delete(stream);
    this.#files++;
    this.#bytes += size;
    const { file } = open.begin;
    const body = { size, hash: open.hash.hex(), ...(incomplete === undefined ? {} : { incomplete }) };
    await this.#json(FrameType.FILE_END, stream, body, (_from, to) =>
      this.#toc.add({ stream, kind: 'file', file, size, from: open.from, to } satisfies TocEntry),
    );
  }

  async #writeToc(): Promise<void> {
    await this.#settle(0);
    const body = this.#toc.take(this.#tocAt);
    await this.#frame(FrameType.TOC, 0, body, { placed: (from) => (this.#tocAt = from) });
    await this.#settle(0);
  }

  async #end(item: EndItem): Promise<void> {
    const counted = item.rows === this.#rows && item.files === this.#files && item.bytes === this.#bytes;
    if (this.#open.size > 0 || !counted) throw outOfOrder('end');
    this.#ended = true;
    // Once more at the far end: rows whose columns nobody can name any more would be lost, too.
    await this.#writeSchema();
    await this.#settle(0);
    if (!this.#toc.empty) await this.#writeToc();
    const totals = { rows: this.#rows, files: this.#files, bytes: this.#bytes, skipped: this.#skipped };
    let endAt = 0;
    await this.#json(
      FrameType.END,
      0,
      { ...totals, frames: this.#ordinal, toc: this.#tocAt },
      (from) => (endAt = from),
    );
    await this.#settle(0);
    const pad = padBody(this.#offset, endAt);
    await this.#frame(FrameType.PAD, 0, pad, { compress: { codec: Codec.none, body: pad } });
    await this.#settle(0);
  }

  protected override finish(): void {
    if (!this.#ended)
      throw new SourceError('ERR_SOURCE_ORDER', 'The source ended without its `end` item: nothing is complete.');
  }

  async #json(type: number, stream: number, value: unknown, placed?: Pending['placed']): Promise<void> {
    await this.#frame(type, stream, Buffer.from(JSON.stringify(value)), placed ? { placed } : {});
  }

  async #frame(
    type: number,
    stream: number,
    raw: Buffer,
    options: { flags?: number; placed?: Pending['placed']; compress?: Promise<Coded> | Coded } = {},
  ): Promise<void> {
    const coded = options.compress ?? this.#code(raw);
    // A failure surfaces when the frame's turn comes; until then it must not count as unhandled.
    if (coded instanceof Promise) coded.catch(() => {});
    const pending: Pending = { head: { type, flags: options.flags ?? 0, stream, rawLength: raw.length }, coded };
    if (options.placed) pending.placed = options.placed;
    this.#pending.push(pending);
    await this.#settle(AHEAD);
  }

  #code(raw: Buffer): Promise<Coded> | Coded {
    const stored = { codec: Codec.none, body: raw };
    if (!this.#compress || raw.length < 64) return stored;
    return this.#compress(raw).then((body) => (body.length < raw.length ? { codec: this.#codec, body } : stored));
  }

  /** Emits the oldest frames until at most `most` are still being compressed. */
  async #settle(most: number): Promise<void> {
    while (this.#pending.length > most) {
      const { head, coded, placed } = this.#pending.shift()!;
      const { codec, body } = await coded;
      const from = this.#offset;
      this.#offset += FRAME_HEAD + body.length;
      placed?.(from, this.#offset);
      // Apart, as a body that is copied beside its head is another quarter of a megabyte that waits for the garbage collector.
      await this.send(writeFrameHead({ ...head, codec, codedLength: body.length, ordinal: this.#ordinal++ }));
      if (body.length > 0) await this.send(body);
    }
  }
}

function note(open: OpenStream, from: number): void {
  if (open.from < 0) open.from = from;
}

function outOfOrder(type: string): SourceError {
  return new SourceError(
    'ERR_SOURCE_ORDER',
    `The source emitted \`${type}\` where it may not stand, or with counts that do not fit.`,
  );
}
