/**
 * What a value is, whichever database it comes from: the small model in the middle of a restore across databases. Each
 * dialect knows the way in (`decode`) and the way out (`encode`), and between.ts knows the way from one kind to another.
 *
 * Pure: no connection, no stream.
 */
import type { Cell } from '../driver.ts';

/**
 * - `integer`, `decimal`, `float`: decimal text; a float may be `NaN`, `Infinity`, `-Infinity`, `-0`.
 * - `date` `2026-11-25`, `time` `23:59:59.000001`, `timestamp` (no zone) and `instant` (UTC) `2026-11-25 23:59:59.000001`.
 * - `set`: a list of texts; `bits`: digits `0` and `1`; `array`: a list; `bytes`: a Buffer; `boolean`: true or false.
 * - `dynamic`: whatever SQLite holds: text, Buffer, or a `Plain` number.
 * - `other`: the database's own text of a type that no other database has.
 */
export type Kind =
  | 'boolean'
  | 'integer'
  | 'decimal'
  | 'float'
  | 'text'
  | 'bytes'
  | 'json'
  | 'uuid'
  | 'date'
  | 'time'
  | 'timestamp'
  | 'instant'
  | 'set'
  | 'bits'
  | 'array'
  | 'dynamic'
  | 'other';

export interface NeutralType {
  kind: Kind;
  /** As the database says it. */
  name: string;
  /** Of an integer. */
  least?: bigint;
  most?: bigint;
  /** Of a decimal: digits in all, and behind the point. Absent: any number. */
  precision?: number;
  scale?: number;
  /** Digits that are kept: of a second, for times; of the number, for floats and for what SQLite keeps as a double. */
  digits?: number;
  /** Characters of text, bytes of bytes, digits of bits. */
  length?: number;
  /** Text that is padded with blanks, bytes with zeros. */
  fixed?: boolean;
  /** Of an enum or a set. */
  members?: string[];
  element?: NeutralType;
  /** JSON whose text is not kept: blanks, the order of keys, repeated keys. */
  parsed?: boolean;
}

/** A number of SQLite's in a column without a type. */
export interface Plain {
  plain: 'integer' | 'float';
  text: string;
}

export type Value = null | boolean | string | Buffer | Plain | Value[];

/** Why a value cannot be what the target wants; a sentence's end, without the value itself. */
export class Unconvertible extends Error {}

/** Called where a value loses something; refuses it where that was not allowed. */
export type Lose = (what: string) => void;

/** One kind of database. */
export interface Dialect {
  /** What a column's recorded type means. */
  typeOf(type: string): NeutralType;
  /** Reads cells of such a column. @throws Unconvertible */
  decode(type: NeutralType): (cell: Cell) => Value;
  /** Writes values of the column's own kind. @throws Unconvertible */
  encode(type: NeutralType): (value: Value) => Cell;
}

export function isPlain(value: Value): value is Plain {
  return typeof value === 'object' && value !== null && 'plain' in value;
}

/** The base64 of a cell of bytes. @throws Unconvertible */
export function bytesOf(cell: Cell): Buffer {
  const base64 = typeof cell === 'object' && cell !== null ? cell.b : undefined;
  if (typeof base64 !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) throw new Unconvertible('it is no bytes');
  return Buffer.from(base64, 'base64');
}

/** A cell that must be text. @throws Unconvertible */
export function textOf(cell: Cell): string {
  if (typeof cell === 'string') return cell;
  throw new Unconvertible('it is no valid text');
}

/** `varchar(20)` as its name and its numbers; everything in small letters. */
export function splitType(type: string): { base: string; args: number[]; rest: string } {
  const [, base = '', args = '', rest = ''] =
    /^([^(]*?)\s*(?:\(([\d\s,]*)\)\s*(.*))?$/s.exec(type.trim().toLowerCase()) ?? [];
  return { base: base.trim(), args: args.split(',').filter(Boolean).map(Number), rest: rest.trim() };
}

/** The bounds of an integer of so many bits. */
export function integer(name: string, bits: number, unsigned = false): NeutralType {
  const size = 1n << BigInt(unsigned ? bits : bits - 1);
  return { kind: 'integer', name, least: unsigned ? 0n : -size, most: size - 1n };
}
