/**
 * Rows on their way to a libSQL server, many in one statement, as each statement is a request. A batch that the database refuses is
 * tried again in halves, down to the row: so that a clash has a name, and the rows beside it are written.
 */
import type { Cell } from '../driver.ts';
import type { Form } from './sqlite-cells.ts';
import type { Bind } from './sqlite-connection.ts';
import { isRowRefused, restoreError } from './sqlite-errors.ts';

/** SQLite's default limit. */
const MAX_PARAMETERS = 32_766;
/** sqld 0.24 dies of a stack overflow when it is given some 50,000. */
const MAX_ROWS = 1000;
/** Bytes of values in one statement, unless one row is larger. */
const MAX_BYTES = 1 << 20;

/** A row as it is bound. */
export interface BoundRow {
  row: Cell[];
  values: Bind[];
  forms: Form[];
}

export interface BatchWriter {
  /** Writes them all, or throws what the database said. Some may be written then: they are tried again. */
  many(rows: BoundRow[]): Promise<void>;
  /** Writes one, whatever becomes of it. */
  one(row: Cell[]): Promise<void>;
}

/** Memory: one batch. Throws what `one` throws, and RestoreError where it is no row's fault. */
export class RowBatches {
  readonly #writer: BatchWriter;
  readonly #table: string;
  readonly #most: number;
  #rows: BoundRow[] = [];
  #bytes = 0;

  constructor(writer: BatchWriter, table: string, columns: number) {
    this.#writer = writer;
    this.#table = table;
    this.#most = Math.max(1, Math.min(MAX_ROWS, Math.floor(MAX_PARAMETERS / columns)));
  }

  async add(row: BoundRow): Promise<void> {
    const bytes = sizeOf(row.values);
    if (this.#rows.length >= this.#most || this.#bytes + bytes > MAX_BYTES) await this.flush();
    this.#rows.push(row);
    this.#bytes += bytes;
  }

  /** Writes what is waiting. */
  async flush(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    this.#bytes = 0;
    if (rows.length) await this.#write(rows);
  }

  async #write(rows: BoundRow[]): Promise<void> {
    if (rows.length === 1) return this.#writer.one(rows[0]!.row);
    try {
      await this.#writer.many(rows);
    } catch (error) {
      // Anything else is no row's fault, and the transaction may be gone.
      if (!isRowRefused(error)) throw restoreError(error, `write the table "${this.#table}"`, { table: this.#table });
      const half = rows.length >> 1;
      await this.#write(rows.slice(0, half));
      await this.#write(rows.slice(half));
    }
  }
}

/** About what they take on the way. */
function sizeOf(values: Bind[]): number {
  let bytes = 0;
  for (const value of values) bytes += 24 + (typeof value === 'string' || Buffer.isBuffer(value) ? value.length : 0);
  return bytes;
}
