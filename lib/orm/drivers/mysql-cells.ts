/** Cells of the `text` encoding (SPEC.md, "Cell encodings") as SQL, or as values of the binary protocol. */
import { FormatError } from '../../errors.ts';
import type { Cell } from '../driver.ts';
import { literal } from './mysql-sql.ts';

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function bad(what: string): FormatError {
  return new FormatError(
    'ERR_FORMAT_CELL',
    `A row of the backup holds a cell that this version cannot read (${what}). Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.`,
  );
}

/** The base64 of a cell of bytes, or undefined for NULL and text. */
export function base64Of(cell: Cell | undefined): string | undefined {
  if (cell === null || typeof cell === 'string') return undefined;
  if (typeof cell !== 'object') throw bad(`a JSON ${typeof cell}`);
  const [entry, ...more] = Object.entries(cell);
  if (entry?.[0] !== 'b' || more.length || typeof entry[1] !== 'string') throw bad('an object that is not {"b": ...}');
  if (!BASE64.test(entry[1]) || entry[1].length % 4) throw bad('base64 out of form');
  return entry[1];
}

/**
 * A cell as an SQL literal.
 *
 * @throws FormatError ERR_FORMAT_CELL
 */
export function cellLiteral(cell: Cell | undefined): string {
  if (typeof cell === 'string') return literal(cell);
  const base64 = base64Of(cell);
  if (base64 === undefined) return 'NULL';
  // The server decodes: shorter than X'...', and no work here.
  return base64 === '' ? "''" : `FROM_BASE64('${base64}')`;
}

/** What stands for `cellValue` in the SQL. MySQL would take the bytes of a bare `?` for text, or, for a BIT, a number. */
export function cellMark(cell: Cell | undefined): string {
  return base64Of(cell) === undefined ? '?' : 'CAST(? AS BINARY)';
}

/** A cell as a value of the binary protocol: bytes travel as they are. */
export function cellValue(cell: Cell | undefined): string | Buffer | null {
  const base64 = base64Of(cell);
  if (base64 !== undefined) return Buffer.from(base64, 'base64');
  return (cell as string | null | undefined) ?? null;
}

/** Bytes that a cell takes at most in either protocol, without encoding it. */
export function cellSize(cell: Cell | undefined): number {
  if (typeof cell === 'string') return cell.length + 3;
  return 20 + ((cell as { b?: string } | null)?.b?.length ?? 0);
}

/** A surrogate without its partner would become U+FFFD on its way, without a word. */
export function mustBeWellFormed(sql: string): void {
  if (!(sql as unknown as { isWellFormed(): boolean }).isWellFormed()) throw bad('text with a lone surrogate');
}

/** A cell for people: in messages about keys. */
export function showCell(cell: Cell | undefined): string {
  if (cell === undefined || cell === null) return 'NULL';
  const text = typeof cell === 'object' ? String(Object.values(cell)[0]) : String(cell);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
