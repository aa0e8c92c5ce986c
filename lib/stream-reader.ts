/** The stream of an opened container, at any offset: what `ls`, `cat` and salvage read by (SPEC.md section 8). */

import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { BackupError, FormatError } from './errors.ts';
import { FrameType, MORE, readFooter } from './format/frame.ts';
import type { BackupSchema } from './format/items.ts';
import { FOOTER, FULL_RECORD, SEGMENT_HEAD, SEGMENT_STREAM, TAG } from './format/limits.ts';
import { parseObject, parseSchema } from './format/schema.ts';
import { readTocPage, type TocEntry } from './format/toc.ts';
import { decryptingStages } from './reading.ts';
import { decodeBody, FrameReader, MAX_SCHEMA_FRAMES } from './stages/deserializer.ts';

/** An opened stream: any range of its bytes, decrypted and healed. */
export class StreamReader {
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
    if (!(from >= 0 && from <= to && to <= this.length))
      throw new FormatError('ERR_STREAM_FRAME', 'The table of contents points outside of the stream.');
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
  async *frames(
    from: number,
    to = this.length,
  ): AsyncGenerator<{ type: number; stream: number; flags: number; raw: Buffer }> {
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
      if (!(flags & MORE)) return parseSchema(Buffer.concat(parts));
      if (parts.length >= MAX_SCHEMA_FRAMES) break;
    }
    throw new FormatError('ERR_STREAM_ORDER', 'The stream does not begin with its schema.');
  }

  /**
   * Entities and files that have bytes in these blocks, as far as the table of contents can still be read.
   * @returns names, at most 1000 of each
   */
  async touched(blocks: number[]): Promise<{ entities: string[]; files: string[] }> {
    const names = { entities: [] as string[], files: [] as string[] };
    const lost = new Set(blocks);
    try {
      for await (const entries of this.entries()) {
        for (const entry of entries.filter((e) => touches(e, lost))) {
          const list = entry.kind === 'entity' ? names.entities : names.files;
          // What was sealed as a stream has no name.
          if (entry.kind === 'file' && entry.file.kind === 'stream') continue;
          if (list.length < 1000) list.push(entry.kind === 'entity' ? entry.name : entry.file.path);
        }
      }
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
    }
    return names;
  }

  /** All entries, the last page of the table of contents first. */
  async *entries(): AsyncGenerator<TocEntry[]> {
    const footer: Buffer[] = [];
    for await (const part of this.bytes(this.length - FOOTER, this.length)) footer.push(part);
    const endAt = readFooter(Buffer.concat(footer));
    if (endAt === null) throw new FormatError('ERR_STREAM_FRAME', 'The stream has no footer.');
    const end = parseObject<{ toc: number | null }>(await this.frame(endAt, FrameType.END));
    for (let at = end.toc; at !== null; ) {
      const { previous, entries } = readTocPage(await this.frame(at, FrameType.TOC));
      yield entries;
      // Pages link backwards; one that does not would go round in circles.
      if (previous !== null && previous >= at)
        throw new FormatError('ERR_STREAM_FRAME', 'The table of contents links forwards.');
      at = previous;
    }
  }
}

/** Whether an entry has bytes in any of these blocks. An entry can lie about its length: the shorter list is walked. */
export function touches({ from, to }: TocEntry, blocks: Set<number>): boolean {
  const first = Math.floor(from / SEGMENT_STREAM);
  const end = Math.ceil(to / SEGMENT_STREAM);
  if (end - first > blocks.size) return [...blocks].some((b) => b >= first && b < end);
  for (let b = first; b < end; b++) if (blocks.has(b)) return true;
  return false;
}
