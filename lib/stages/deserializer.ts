/** Frames to items (SPEC.md section 8). */
import * as zlib from 'node:zlib';
import { RunningHash } from '../crypto/hash.ts';
import { ConfigError, FormatError, TruncatedError } from '../errors.ts';
import { Codec, FIRST_OPTIONAL_TYPE, type FrameHead, FrameType, MORE, readFrameHead } from '../format/frame.ts';
import type { BackupItem, SkippedSource } from '../format/items.ts';
import { FRAME_HEAD } from '../format/limits.ts';
import { malformed, parseFileMeta, parseObject, parseSchema } from '../format/schema.ts';
import { freeYoung } from '../garbage.ts';
import { Stage } from './stage.ts';

type ZstdDecompress = (data: Uint8Array, options: { maxOutputLength: number }) => Buffer;

/** The raw body of a frame. Never inflates beyond the length that the head names. @throws FormatError ERR_STREAM_FRAME, ConfigError ERR_CONFIG_NO_ZSTD */
export function decodeBody(head: FrameHead, body: Buffer): Buffer {
  if (head.codec === Codec.none) return body;
  const options = { maxOutputLength: Math.max(1, head.rawLength) };
  const zstd = (zlib as { zstdDecompressSync?: ZstdDecompress }).zstdDecompressSync;
  if (head.codec === Codec.zstd && !zstd) {
    throw new ConfigError(
      'ERR_CONFIG_NO_ZSTD',
      'This backup is compressed with Zstandard: restore it with Node.js 22.15 or later.',
    );
  }
  let raw: Buffer;
  try {
    raw = head.codec === Codec.zstd ? zstd!(body, options) : zlib.inflateRawSync(body, options);
  } catch (cause) {
    throw malformed(`frame ${head.ordinal} does not decompress`, cause);
  }
  if (raw.length !== head.rawLength) throw malformed(`frame ${head.ordinal} has not the length that it claims`);
  return raw;
}

/** Cuts stream bytes into frames. Holds one frame. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #have = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
  }

  /** The next whole frame, or `null` until more bytes come. @throws FormatError ERR_STREAM_FRAME */
  next(): { head: FrameHead; body: Buffer } | null {
    if (this.#have < FRAME_HEAD) return null;
    const head = readFrameHead(this.#peek(FRAME_HEAD));
    if (typeof head === 'string') throw malformed(head);
    const length = FRAME_HEAD + head.codedLength;
    if (this.#have < length) return null;
    const bytes = this.#peek(length);
    this.#drop(length);
    return { head, body: bytes.subarray(FRAME_HEAD, length) };
  }

  get empty(): boolean {
    return this.#have === 0;
  }

  /** At least the first `length` bytes as one buffer, joining chunks only where it must. */
  #peek(length: number): Buffer {
    const first = this.#chunks[0]!;
    if (first.length >= length) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #drop(length: number): void {
    const first = this.#chunks[0]!;
    this.#have -= length;
    if (first.length === length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(length);
  }
}

/** 64 MiB: a schema of a hundred thousand tables. */
export const MAX_SCHEMA_FRAMES = 64;

interface Running {
  /** Begun by FILE_BEGIN. */
  file: boolean;
  hash: RunningHash;
  count: number;
  bytes: number;
}

/**
 * Takes stream bytes, cut anywhere, and emits `BackupItem`s in the order in which they were written. `end` comes last, and only when
 * all counts and hashes matched: a target commits on it, and on nothing else.
 *
 * Memory: two frames. Errors: FormatError ERR_STREAM_FRAME, ERR_STREAM_ORDER, ERR_STREAM_HASH; TruncatedError ERR_TRUNCATED_STREAM.
 * @see Serializer, the mirror
 */
export class Deserializer extends Stage<Buffer, BackupItem> {
  readonly #frames = new FrameReader();
  readonly #open = new Map<number, Running>();
  readonly #skipped: SkippedSource[] = [];
  #ordinal = 0;
  #schema: Buffer[] = [];
  #begun = false;
  #ended = false;
  #rows = 0;
  #files = 0;
  #bytes = 0;

  constructor() {
    super({ objectsOut: true });
  }

  protected override async accept(chunk: Buffer): Promise<void> {
    this.#frames.push(chunk);
    for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
      const { head, body } = frame;
      if (head.ordinal !== this.#ordinal++)
        throw disorder(`frame ${head.ordinal} stands where frame ${this.#ordinal - 1} belongs`);
      if (head.type >= FIRST_OPTIONAL_TYPE) continue;
      const item = this.#item(head, decodeBody(head, body));
      if (item) await this.send(item);
    }
  }

  protected override finish(): void {
    if (!this.#ended || !this.#frames.empty)
      throw new TruncatedError('ERR_TRUNCATED_STREAM', 'The stream ends before its END frame.');
  }

  #item(head: FrameHead, raw: Buffer): BackupItem | null {
    const { type, stream } = head;
    if (type === FrameType.PAD || type === FrameType.TOC) return null;
    if (type === FrameType.SCHEMA) return this.#takeSchema(head, raw);
    if (!this.#begun || this.#ended) throw disorder(`frame ${head.ordinal} may not stand there`);
    switch (type) {
      case FrameType.ROWS:
        return this.#takeRows(stream, raw);
      case FrameType.ENTITY_END:
        return this.#entityEnd(stream, raw);
      case FrameType.FILE_BEGIN:
        if (this.#open.has(stream)) throw disorder(`stream ${stream} begins twice`);
        this.#running(stream).file = true;
        return { type: 'file-begin', stream, file: parseFileMeta(raw) };
      case FrameType.FILE_DATA:
        this.#file(stream);
        this.#running(stream, raw);
        return { type: 'file-data', stream, data: raw };
      case FrameType.FILE_END:
        return this.#fileEnd(stream, raw);
      case FrameType.SKIPPED: {
        const skipped = parseObject<SkippedSource>(raw);
        this.#skipped.push(skipped);
        return { type: 'skipped', skipped };
      }
      default:
        return this.#end(raw);
    }
  }

  #takeSchema(head: FrameHead, raw: Buffer): BackupItem | null {
    this.#schema.push(raw);
    if (this.#schema.length > MAX_SCHEMA_FRAMES) throw malformed('its schema has no end');
    if (head.flags & MORE) return null;
    if (this.#begun) {
      this.#schema = [];
      return null;
    }
    this.#begun = true;
    return { type: 'schema', schema: parseSchema(Buffer.concat(this.#schema.splice(0))) };
  }

  #running(stream: number, data?: Buffer): Running {
    let running = this.#open.get(stream);
    if (!running) this.#open.set(stream, (running = { file: false, hash: new RunningHash(), count: 0, bytes: 0 }));
    if (data) {
      freeYoung(data.length);
      running.hash.update(data);
      running.bytes += data.length;
    }
    return running;
  }

  /** @throws FormatError where no file of that stream is open */
  #file(stream: number): Running {
    const running = this.#open.get(stream);
    if (!running?.file) throw disorder(`stream ${stream} is no file that began`);
    return running;
  }

  #takeRows(stream: number, data: Buffer): BackupItem {
    if (this.#open.get(stream)?.file) throw disorder(`stream ${stream} is a file, not a table`);
    let count = 0;
    for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) count++;
    this.#running(stream, data).count += count;
    return { type: 'rows', stream, count, data };
  }

  #entityEnd(stream: number, raw: Buffer): BackupItem {
    const { rows, hash } = parseObject<{ rows: number; hash: string }>(raw);
    const running = this.#running(stream);
    if (running.file) throw disorder(`stream ${stream} is a file, not a table`);
    this.#open.delete(stream);
    if (running.count !== rows || running.hash.hex() !== hash) throw unlike(`table ${stream}`);
    this.#rows += rows;
    return { type: 'entity-end', stream, rows };
  }

  #fileEnd(stream: number, raw: Buffer): BackupItem {
    const { size, hash, incomplete } = parseObject<{ size: number; hash: string; incomplete?: string }>(raw);
    const running = this.#file(stream);
    this.#open.delete(stream);
    if (running.bytes !== size || running.hash.hex() !== hash) throw unlike(`file ${stream}`);
    this.#files++;
    this.#bytes += size;
    return { type: 'file-end', stream, size, ...(incomplete === undefined ? {} : { incomplete }) };
  }

  #end(raw: Buffer): BackupItem {
    const end = parseObject<{ rows: number; files: number; bytes: number; skipped: number; frames: number }>(raw);
    const counted = end.rows === this.#rows && end.files === this.#files && end.bytes === this.#bytes;
    if (!counted || end.skipped !== this.#skipped.length || end.frames !== this.#ordinal - 1 || this.#open.size > 0) {
      throw unlike('the whole stream');
    }
    this.#ended = true;
    return { type: 'end', rows: end.rows, files: end.files, bytes: end.bytes, skipped: this.#skipped };
  }
}

function disorder(what: string): FormatError {
  return new FormatError('ERR_STREAM_ORDER', `The decrypted stream is out of order: ${what}.`);
}

function unlike(what: string): FormatError {
  return new FormatError(
    'ERR_STREAM_HASH',
    `The decrypted stream contradicts itself: count or hash of ${what} does not match its content.`,
  );
}
