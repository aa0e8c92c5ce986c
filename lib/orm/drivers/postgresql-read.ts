/**
 * Rows out of PostgreSQL: the bytes of a COPY become lines of the `text` encoding (SPEC.md, "Cell encodings"), without
 * a JavaScript string between. COPY's text format and JSON escape nearly alike, so that this is one pass over bytes.
 *
 * @see postgresql-write.ts
 */
import { isUtf8 } from 'node:buffer';
import { SourceError } from '../../errors.ts';
import type { TableSchema } from '../../format/items.ts';
import type { ReadOptions, RowBatch } from '../driver.ts';
import { MAX_LINE, rowTooLarge } from '../row-limit.ts';
import type { PgTable } from './postgresql-catalog.ts';
import type { PgConnection } from './postgresql-connection.ts';
import { NOT_UTF8 } from './postgresql-errors.ts';
import { ident, only } from './postgresql-sql.ts';

const TAB = 9;
const NEWLINE = 10;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Bytes that become others: everything else is copied as it is. */
const SPECIAL = new Uint8Array(256).fill(1, 0, 32);
SPECIAL[QUOTE] = SPECIAL[BACKSLASH] = 1;
const HEX = Buffer.from('0123456789abcdef');
/** Input bytes that are taken at once: each becomes at most six, and there must be room for them. */
const PIECE = 1 << 14;
/** A larger buffer is handed over instead of copied, and not kept. */
const KEEP = 1 << 20;

/** A cell's text in COPY's text format, as JSON lines. Memory: one batch, or twice the largest row. */
export class CopyToJson {
  readonly #columns: number;
  readonly #fields: number;
  readonly #limit: number;
  #out: Buffer;
  #at = 0;
  /** The end of the last whole line. */
  #lineEnd = 0;
  #count = 0;
  #field = -1;
  #isNull = false;
  #escaped = false;
  #fieldStart = 0;
  #row: (string | null)[] = [];
  #keys: (string | null)[][] = [];

  /** @param keys columns at the end of each row whose text is wanted beside the lines, not in them */
  constructor(columns: number, keys = 0, limit = 256 * 1024) {
    this.#columns = columns;
    this.#fields = columns + keys;
    this.#limit = limit;
    this.#out = Buffer.allocUnsafe(limit + 8 * PIECE);
  }

  /** Takes bytes and gives the batches that are full with them. */
  *push(chunk: Buffer): Generator<RowBatch> {
    for (let from = 0; from < chunk.length; from += PIECE) {
      const piece = chunk.subarray(from, from + PIECE);
      this.#reserve(6 * piece.length + 16);
      this.#take(piece);
      if (this.#lineEnd >= this.#limit) yield this.#batch();
      else if (this.#at - this.#lineEnd > MAX_LINE) throw new RangeError('row too large');
    }
  }

  /** What is left, once COPY has ended. */
  end(): RowBatch | undefined {
    return this.#count ? this.#batch() : undefined;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#out.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#at + bytes, 2 * this.#out.length));
    this.#out.copy(larger, 0, 0, this.#at);
    this.#out = larger;
  }

  #batch(): RowBatch {
    const rest = this.#out.subarray(this.#lineEnd, this.#at);
    const whole = this.#out.subarray(0, this.#lineEnd);
    const large = whole.length > KEEP;
    const batch = { data: large ? whole : Buffer.from(whole), count: this.#count };
    if (large) this.#out = Buffer.allocUnsafe(Math.max(this.#limit, 2 * rest.length) + 8 * PIECE);
    rest.copy(this.#out, 0);
    this.#fieldStart -= this.#lineEnd;
    this.#at = rest.length;
    this.#lineEnd = this.#count = 0;
    const keys = this.#keys;
    this.#keys = [];
    return this.#fields > this.#columns ? { ...batch, keys } : batch;
  }

  /** One pass. `out` has room for six bytes for each of these. */
  #take(piece: Buffer): void {
    const out = this.#out;
    let i = 0;
    if (this.#escaped && piece.length) {
      this.#escaped = false;
      this.#at = this.#escape(piece[i++]!, this.#at);
    }
    if (this.#field === -1 && piece.length) this.#at = this.#startRow(this.#at);
    let at = this.#at;
    for (; i < piece.length; i++) {
      const byte = piece[i]!;
      if (SPECIAL[byte] === 0) {
        out[at++] = byte;
      } else if (byte === TAB) {
        at = this.#startField(this.#endField(at));
      } else if (byte === NEWLINE) {
        at = this.#endRow(at);
        if (i + 1 < piece.length) at = this.#startRow(at);
      } else if (byte === BACKSLASH) {
        // Its second half may be in the next piece.
        if (i + 1 < piece.length) at = this.#escape(piece[++i]!, at);
        else this.#escaped = true;
      } else if (byte === QUOTE) {
        out[at++] = BACKSLASH;
        out[at++] = QUOTE;
      } else at = control(out, byte, at);
    }
    this.#at = at;
  }

  /** The byte after a backslash. */
  #escape(byte: number, at: number): number {
    const out = this.#out;
    if (byte === 0x4e) {
      // \N: takes the opening quote back.
      this.#isNull = true;
      return at + out.write('null', at - 1) - 1;
    }
    // COPY writes \v for what JSON has no letter for; all its others are JSON's too.
    if (byte === 0x76) return control(out, 11, at);
    out[at++] = BACKSLASH;
    out[at++] = byte;
    return at;
  }

  #startRow(start: number): number {
    this.#out[start] = 0x5b;
    return this.#fields ? this.#startField(start + 1) : start + 1;
  }

  #startField(start: number): number {
    let at = start;
    this.#field++;
    if (this.#field === this.#columns) at = this.#endLine(at);
    this.#fieldStart = at;
    if (this.#field > 0 && this.#field < this.#columns) this.#out[at++] = 0x2c;
    this.#out[at++] = QUOTE;
    return at;
  }

  #endField(end: number): number {
    let at = end;
    if (!this.#isNull) this.#out[at++] = QUOTE;
    if (this.#field >= this.#columns) {
      this.#row.push(this.#isNull ? null : JSON.parse(this.#out.toString('utf8', this.#fieldStart, at)));
      at = this.#fieldStart;
    }
    this.#isNull = false;
    return at;
  }

  #endLine(end: number): number {
    this.#out[end] = 0x5d;
    this.#out[end + 1] = NEWLINE;
    return end + 2;
  }

  #endRow(end: number): number {
    let at = end;
    if (this.#fields) at = this.#endField(at);
    if (this.#field < this.#columns || this.#fields === 0) at = this.#endLine(at);
    if (this.#fields > this.#columns) {
      this.#keys.push(this.#row);
      this.#row = [];
    }
    this.#field = -1;
    this.#count++;
    this.#lineEnd = at;
    return at;
  }
}

function control(out: Buffer, byte: number, start: number): number {
  const at = start + out.write('\\u00', start, 'latin1');
  out[at] = HEX[byte >> 4]!;
  out[at + 1] = HEX[byte & 15]!;
  return at + 2;
}

/** All rows of a table in batches. Memory: one batch, or three times the largest row. */
export async function* readRows(
  db: PgConnection,
  table: TableSchema,
  catalog: PgTable,
  options: ReadOptions = {},
): AsyncGenerator<RowBatch> {
  const keys = options.keyColumns ?? [];
  const xml = new Set(catalog.xmlColumns);
  // As a value, XML loses the encoding in its declaration; as text it is what was stored.
  const cells = [...table.columns.map(({ name }) => name), ...keys].map((name) =>
    xml.has(name) ? `${ident(name)}::pg_catalog.text` : ident(name),
  );
  const rows = new CopyToJson(table.columns.length, keys.length, options.batchBytes);
  const check = (batch: RowBatch): RowBatch => {
    if (!isUtf8(batch.data)) throw badText(table.table);
    return batch;
  };
  try {
    for await (const chunk of db.copyOut(`COPY (SELECT ${cells.join(', ')} FROM ${only(catalog)}) TO STDOUT`)) {
      for (const batch of rows.push(chunk)) yield check(batch);
    }
  } catch (error) {
    throw error instanceof RangeError ? rowTooLarge(table.table) : error;
  }
  const last = rows.end();
  if (last) yield check(last);
}

function badText(table: string): SourceError {
  return new SourceError('ERR_SOURCE_TEXT_ENCODING', `Cannot read the table "${table}": ${NOT_UTF8}`, {
    facts: { table },
  });
}
