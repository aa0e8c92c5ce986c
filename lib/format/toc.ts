/** The table of contents: entries in pages that link backwards, so that a writer holds one page (SPEC.md section 8). */
import type { FileMeta } from './items.ts';
import { isCount, isFileMeta, isObject, malformed } from './schema.ts';

interface Span {
  stream: number;
  /** Stream offset of the first frame. */
  from: number;
  /** Stream offset after the last frame. */
  to: number;
}

export interface EntityEntry extends Span {
  kind: 'entity';
  name: string;
  rows: number;
}

export interface FileEntry extends Span {
  kind: 'file';
  file: FileMeta;
  size: number;
}

export type TocEntry = EntityEntry | FileEntry;

/** Raw bytes at which a writer closes a TOC page. */
export const TOC_PAGE = 256 * 1024;

/** Collects entries; `take` empties it into the body of a TOC frame. Holds at most one page and one entry. */
export class TocPage {
  #lines: string[] = [];
  #bytes = 0;

  add(entry: TocEntry): void {
    const line = JSON.stringify(entry);
    this.#lines.push(line);
    this.#bytes += line.length + 1;
  }

  get full(): boolean {
    return this.#bytes >= TOC_PAGE;
  }

  get empty(): boolean {
    return this.#lines.length === 0;
  }

  /** @param previous stream offset of the TOC frame before, or null */
  take(previous: number | null): Buffer {
    const text = `${[JSON.stringify({ previous }), ...this.#lines].join('\n')}\n`;
    this.#lines = [];
    this.#bytes = 0;
    return Buffer.from(text);
  }
}

/** The entries of one TOC frame, and where the one before it is. @throws FormatError ERR_STREAM_FRAME */
export function readTocPage(body: Buffer): { previous: number | null; entries: TocEntry[] } {
  const lines = body.toString('utf8').split('\n').filter(Boolean);
  let values: unknown[];
  try {
    values = lines.map((line) => JSON.parse(line) as unknown);
  } catch (cause) {
    throw malformed('its table of contents is no JSON', cause);
  }
  const [head, ...entries] = values;
  const previous = isObject(head) ? head.previous : undefined;
  if (!(previous === null || isCount(previous)) || !entries.every(isEntry))
    throw malformed('its table of contents is none');
  return { previous, entries };
}

function isEntry(value: unknown): value is TocEntry {
  if (!isObject(value) || ![value.stream, value.from, value.to].every(isCount)) return false;
  if (value.kind === 'entity') return typeof value.name === 'string' && isCount(value.rows);
  return value.kind === 'file' && isFileMeta(value.file) && isCount(value.size);
}
