/** Cells of the `sqlite-typed` encoding (SPEC.md, "Cell encodings") as values that SQLite's modules bind. */
import { FormatError } from '../../errors.ts';
import type { Cell } from '../driver.ts';
import type { Bind, SqliteFlavour } from './sqlite-connection.ts';

/** How a value is bound: as it is, or through a cast, because the module has no type of its own for it. */
export type Form = '?' | 'CAST(? AS TEXT)' | 'CAST(? AS INTEGER)' | 'CAST(? AS REAL)';

const DECIMAL = /^-?(0|[1-9]\d{0,18})$/;
const REAL = /^(-?(Infinity|\d+(\.\d+)?(e[+-]?\d+)?))$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const MAX_INT64 = 9223372036854775807n;

function bad(what: string): FormatError {
  return new FormatError(
    'ERR_FORMAT_CELL',
    `A row of the backup holds a cell that this version cannot read (${what}). Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.`,
  );
}

/**
 * Decodes cells into `values` and `forms`, two arrays of the caller's that are reused row after row.
 *
 * @throws FormatError ERR_FORMAT_CELL
 */
export function decodeCell(cell: Cell, flavour: SqliteFlavour, at: number, values: Bind[], forms: Form[]): void {
  // Whatever the last row had there serves for NULL: fewer different statements.
  if (cell !== null || forms[at] === undefined || forms[at] === 'CAST(? AS TEXT)') forms[at] = '?';
  if (cell === null || typeof cell === 'string') {
    values[at] = cell;
    return;
  }
  if (typeof cell === 'number') {
    if (!Number.isSafeInteger(cell) || Object.is(cell, -0)) throw bad('a JSON number that is no safe integer');
    decodeInteger(BigInt(cell), flavour, at, values, forms);
    return;
  }
  if (typeof cell !== 'object') throw bad(`a JSON ${typeof cell}`);
  const [entry, ...more] = Object.entries(cell);
  if (!entry || more.length || typeof entry[1] !== 'string') throw bad('an object that is not one of i, r, b, t');
  const [kind, text] = entry as [string, string];
  if (kind === 'i') {
    const value = DECIMAL.test(text) ? BigInt(text) : MAX_INT64 + 1n;
    if (value > MAX_INT64 || value < -MAX_INT64 - 1n) throw bad('an integer beyond 64 bits');
    decodeInteger(value, flavour, at, values, forms);
  } else if (kind === 'r') {
    if (!REAL.test(text)) throw bad('a real number out of form');
    values[at] = Number(text);
    if (flavour === 'sqlite3') {
      // It binds whole numbers as INTEGER, of which none is -0.
      forms[at] = 'CAST(? AS REAL)';
      if (Object.is(values[at], -0)) values[at] = '-0.0';
    } else if (flavour === 'remote' && !Number.isFinite(values[at])) {
      // The JSON of its requests has no infinity.
      forms[at] = 'CAST(? AS REAL)';
      values[at] = text.startsWith('-') ? '-9e999' : '9e999';
    }
  } else if (kind === 'b' || kind === 't') {
    if (!BASE64.test(text)) throw bad('base64 out of form');
    values[at] = Buffer.from(text, 'base64');
    if (kind === 't') forms[at] = 'CAST(? AS TEXT)';
  } else throw bad(`an object with the key ${JSON.stringify(kind)}`);
}

function decodeInteger(value: bigint, flavour: SqliteFlavour, at: number, values: Bind[], forms: Form[]): void {
  if (flavour === 'sqlite3') {
    values[at] = String(value);
    forms[at] = 'CAST(? AS INTEGER)';
  } else values[at] = value;
}

/** A cell for people: in messages about keys. */
export function showCell(cell: Cell | undefined): string {
  if (cell === undefined || cell === null) return 'NULL';
  if (typeof cell === 'object') return String(Object.values(cell)[0]);
  return typeof cell === 'string' && cell.length > 60 ? `${cell.slice(0, 60)}...` : String(cell);
}

/** The cell of a REAL. @param value as text where it is an infinity that a libSQL server sent: see `finite` */
export function realCell(value: number | string): string {
  return `{"r":"${Object.is(value, -0) ? '-0' : String(value)}"}`;
}
