/** Rows out of ROWS items: whole lines, however the items cut them. */
import { FormatError } from '../errors.ts';
import type { Cell } from './driver.ts';
import { MAX_LINE } from './row-limit.ts';

/** Puts the pieces of one stream together. Memory: the piece at hand, or the row that spans several. */
export class RowLines {
  #rest: Buffer[] = [];
  #held = 0;

  /**
   * @param data the next piece
   * @returns the rows that end in it
   * @throws FormatError ERR_FORMAT_ROW
   */
  push(data: Buffer): Cell[][] {
    const lines = this.take(data);
    return lines ? parseRows(lines) : [];
  }

  /**
   * @param data the next piece
   * @returns the lines that end in it, without the last one's end; null where none does
   * @throws FormatError ERR_FORMAT_ROW
   */
  take(data: Buffer): Buffer | null {
    const last = data.lastIndexOf(10);
    if (last === -1) {
      this.#held += data.length;
      if (this.#held > MAX_LINE) throw bad();
      this.#rest.push(data);
      return null;
    }
    const whole = data.subarray(0, last);
    const lines = this.#rest.length ? Buffer.concat([...this.#rest, whole]) : whole;
    this.#rest = last + 1 < data.length ? [data.subarray(last + 1)] : [];
    this.#held = data.length - last - 1;
    return lines;
  }

  /** @throws FormatError ERR_FORMAT_ROW where a row has no end */
  end(): void {
    if (this.#held) throw bad();
  }
}

/** @throws FormatError ERR_FORMAT_ROW */
export function parseRows(lines: Buffer): Cell[][] {
  let rows: unknown;
  try {
    // One parse for all: a raw line break never occurs inside of JSON strings.
    rows = JSON.parse(`[${lines.toString('utf8').replaceAll('\n', ',')}]`);
  } catch (error) {
    throw bad(error);
  }
  if (!(rows as unknown[]).every(Array.isArray)) throw bad();
  return rows as Cell[][];
}

function bad(cause?: unknown): FormatError {
  return new FormatError(
    'ERR_FORMAT_ROW',
    'The backup holds rows that are no JSON arrays. Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.',
    cause === undefined ? {} : { cause },
  );
}
