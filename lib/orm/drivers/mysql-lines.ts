/** Rows of raw bytes as NDJSON lines, written straight into one buffer: no JavaScript string between. */
import { isUtf8 } from 'node:buffer';
import type { RawRow } from './mysql-connection.ts';
import type { Form } from './mysql-types.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NULL = Buffer.from('null');
const HEX = Buffer.from('0123456789abcdef');
/** Divisible by 3: pieces of base64 fit together. */
const PIECE = 3 << 18;

/** Of a cell, or `json`: several cells as they stand in a line, commas between, never NULL. */
export type LineForm = Form | 'json';

/** Memory: the buffer, which grows to hold one row beyond `limit`. */
export class LineBuilder {
  readonly #forms: LineForm[];
  readonly #limit: number;
  #out: Buffer;
  #at = 0;
  #count = 0;

  /** @param limit bytes after which a batch is full */
  constructor(forms: LineForm[], limit: number) {
    this.#forms = forms;
    this.#limit = limit;
    this.#out = Buffer.allocUnsafe(limit + 4096);
  }

  get full(): boolean {
    return this.#at >= this.#limit;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** Writes one line from the first cells of `row`, as many as there are forms. */
  add(row: RawRow): void {
    const forms = this.#forms;
    this.#room(2);
    this.#out[this.#at++] = 0x5b;
    for (let i = 0; i < forms.length; i++) {
      if (i) this.#out[this.#at++] = 0x2c;
      const cell = row[i];
      if (cell === null || cell === undefined) {
        if (forms[i] === 'json') throw new RangeError('the server joined cells and gave none');
        this.#copy(NULL);
        continue;
      }
      switch (forms[i]) {
        case 'json':
          this.#copy(cell);
          break;
        case 'plain':
          this.#plain(cell);
          break;
        case 'text':
          this.#text(cell);
          break;
        case 'bytes':
          this.#bytes(cell);
          break;
        case 'marked':
          if (cell[0] === 0x74) this.#text(cell.subarray(1));
          else this.#bytes(cell.subarray(1));
      }
    }
    this.#room(4);
    this.#out[this.#at++] = 0x5d;
    this.#out[this.#at++] = 0x0a;
    this.#count++;
  }

  /** The batch so far; the builder starts anew. */
  take(): { data: Buffer; count: number } {
    const batch = { data: this.#out.subarray(0, this.#at), count: this.#count };
    this.#out = Buffer.allocUnsafe(this.#limit + 4096);
    this.#at = 0;
    this.#count = 0;
    return batch;
  }

  #plain(cell: Buffer): void {
    this.#room(cell.length + 8);
    this.#out[this.#at++] = QUOTE;
    this.#copy(cell);
    this.#out[this.#at++] = QUOTE;
  }

  /** Byte by byte: `Buffer.copy` costs more for cells as short as most are. */
  #copy(cell: Buffer): void {
    const { length } = cell;
    this.#room(length + 8);
    const out = this.#out;
    let at = this.#at;
    for (let i = 0; i < length; i++) out[at++] = cell[i]!;
    this.#at = at;
  }

  #text(cell: Buffer): void {
    const { length } = cell;
    this.#room(length + 8);
    const out = this.#out;
    let at = this.#at;
    let high = 0;
    out[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const byte = cell[i]!;
      if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH) {
        this.#escaped(cell);
        return;
      }
      high |= byte;
      out[at++] = byte;
    }
    if (high & 0x80 && !isUtf8(cell)) {
      this.#bytes(cell);
      return;
    }
    out[at++] = QUOTE;
    this.#at = at;
  }

  #escaped(cell: Buffer): void {
    if (!isUtf8(cell)) {
      this.#bytes(cell);
      return;
    }
    let extra = 8;
    for (let i = 0; i < cell.length; i++) {
      const byte = cell[i]!;
      if (byte < 0x20) extra += 5;
      else if (byte === QUOTE || byte === BACKSLASH) extra++;
    }
    this.#room(cell.length + extra);
    const out = this.#out;
    let at = this.#at;
    out[at++] = QUOTE;
    for (let i = 0; i < cell.length; i++) {
      const byte = cell[i]!;
      if (byte < 0x20) {
        at += out.write('\\u00', at, 'latin1');
        out[at++] = HEX[byte >> 4]!;
        out[at++] = HEX[byte & 15]!;
      } else {
        if (byte === QUOTE || byte === BACKSLASH) out[at++] = BACKSLASH;
        out[at++] = byte;
      }
    }
    out[at++] = QUOTE;
    this.#at = at;
  }

  #bytes(cell: Buffer): void {
    this.#room(Math.ceil(cell.length / 3) * 4 + 16);
    this.#at += this.#out.write('{"b":"', this.#at, 'latin1');
    for (let i = 0; i < cell.length; i += PIECE) {
      this.#at += this.#out.write(cell.toString('base64', i, Math.min(i + PIECE, cell.length)), this.#at, 'latin1');
    }
    this.#at += this.#out.write('"}', this.#at, 'latin1');
  }

  /** Makes sure that `bytes` more fit, and a few of punctuation. */
  #room(bytes: number): void {
    const need = this.#at + bytes;
    if (need <= this.#out.length) return;
    const grown = Buffer.allocUnsafe(Math.max(need, Math.min(2 * this.#out.length, need + (1 << 20))) + 64);
    this.#out.copy(grown, 0, 0, this.#at);
    this.#out = grown;
  }
}
