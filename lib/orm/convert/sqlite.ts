/** SQLite's types and cells. What is declared is a hint only: each cell says itself what it is. */
import type { Cell } from '../driver.ts';
import { fromMillis, parseDate, parseMoment, parseTime, toMillis } from './moments.ts';
import {
  bytesOf,
  type Dialect,
  integer,
  isPlain,
  type NeutralType,
  type Plain,
  splitType,
  Unconvertible,
  type Value,
} from './neutral.ts';

const INTEGERS = /^(integer|int|bigint|smallint|tinyint|mediumint|int2|int4|int8|unsigned big int)( unsigned)?$/;
const TEXTS =
  /^(text|clob|varchar|character varying|character|char|nchar|nvarchar|native character|varying character|tinytext|mediumtext|longtext|enum|citext)$/;
/** Digits that a double always keeps. */
const DOUBLE = 15;

function typeOf(name: string): NeutralType {
  const { base, args } = splitType(name);
  if (INTEGERS.test(base)) return integer(name, 64);
  if (/^bool/.test(base)) return { kind: 'boolean', name };
  if (/^(real|double|double precision|float)$/.test(base)) return { kind: 'float', name, digits: 53 };
  if (/^(numeric|decimal)$/.test(base))
    return {
      kind: 'decimal',
      name,
      digits: DOUBLE,
      ...(args.length ? { precision: args[0]!, scale: args[1] ?? 0 } : {}),
    };
  // MikroORM keeps moments as milliseconds since 1970.
  if (/^(datetime|timestamp)/.test(base)) return { kind: 'instant', name, digits: 3 };
  if (base === 'date' || base === 'json' || base === 'uuid') return { kind: base, name };
  if (base === 'jsonb') return { kind: 'json', name };
  if (base === 'time') return { kind: 'time', name };
  if (/^(blob|binary|varbinary)$/.test(base)) return { kind: 'bytes', name };
  if (TEXTS.test(base)) return { kind: 'text', name };
  return { kind: 'dynamic', name };
}

/** A cell by its storage class. */
function plainOf(cell: Cell): Value {
  if (cell === null || typeof cell === 'string') return cell;
  if (typeof cell === 'number') return { plain: 'integer', text: String(cell) };
  if (typeof cell === 'object') {
    if (typeof cell.i === 'string') return { plain: 'integer', text: cell.i };
    if (typeof cell.r === 'string') return { plain: 'float', text: cell.r };
    if (typeof cell.t === 'string') throw new Unconvertible('it is text that is not valid UTF-8');
  }
  return bytesOf(cell);
}

/** @throws Unconvertible where a cell is not what its column is declared to hold */
function decode(type: NeutralType): (cell: Cell) => Value {
  const read = readerOf(type);
  return (cell) => {
    const value = plainOf(cell);
    return value === null || type.kind === 'dynamic' ? value : read(value);
  };
}

function readerOf({ kind, name }: NeutralType): (value: Value) => Value {
  const unfit = (value: Value): Unconvertible => {
    const is = isPlain(value) ? value.plain : Buffer.isBuffer(value) ? 'blob' : 'text';
    return new Unconvertible(`it is ${is} in a column that is declared ${name || 'without a type'}`);
  };
  const number = (value: Value, what: Plain['plain'] | 'any'): string => {
    if (isPlain(value) && (what === 'any' || value.plain === what)) return value.text;
    throw unfit(value);
  };
  const text = (value: Value): string => {
    if (typeof value === 'string') return value;
    throw unfit(value);
  };
  switch (kind) {
    case 'boolean':
      return (value) => {
        const found = number(value, 'integer');
        if (found !== '0' && found !== '1') throw new Unconvertible('it is neither 0 nor 1');
        return found === '1';
      };
    case 'integer':
      return (value) => number(value, 'integer');
    case 'decimal':
      return (value) => (typeof value === 'string' ? value : unexponent(number(value, 'any')));
    case 'float':
      return (value) => number(value, 'any');
    case 'instant':
      return (value) => {
        if (isPlain(value)) return fromMillis(Number(value.text));
        return parseMoment(text(value));
      };
    case 'date':
      return (value) =>
        isPlain(value) ? parseDate(fromMillis(Number(value.text)).slice(0, 10)) : parseDate(text(value));
    case 'time':
      return (value) => parseTime(text(value));
    case 'json':
      // A JSON number, in a column with numeric affinity.
      return (value) => (isPlain(value) ? value.text : text(value));
    case 'bytes':
      return (value) => {
        if (Buffer.isBuffer(value)) return value;
        throw unfit(value);
      };
    case 'text':
    case 'uuid':
      return (value) => text(value);
    default:
      return (value) => value;
  }
}

/** 1e-7 as 0.0000001: decimals have no exponent. */
export function unexponent(text: string): string {
  const [, sign = '', whole = '', fraction = '', power] = /^(-?)(\d+)(?:\.(\d+))?e([+-]?\d+)$/i.exec(text) ?? [];
  if (power === undefined) return text;
  const digits = whole + fraction;
  const point = whole.length + Number(power);
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return point >= digits.length
    ? sign + digits + '0'.repeat(point - digits.length)
    : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

function integerCell(text: string): Cell {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : { i: text };
}

function floatCell(text: string): Cell {
  // SQLite keeps NaN as NULL.
  if (text === 'NaN') throw new Unconvertible('SQLite has no NaN');
  const number = Number(text);
  return { r: Object.is(number, -0) ? '-0' : String(number) };
}

/** SQLite turns text that looks like a number into one, where the column's declared type is none of text. */
function keepsText(name: string): boolean {
  return /char|clob|text|blob/i.test(name) || name === '';
}

const NUMERIC = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

function encode(type: NeutralType): (value: Value) => Cell {
  const { kind, name } = type;
  const guarded = !keepsText(name) && kind !== 'decimal';
  const write = (value: Value): Cell => {
    if (value === null) return null;
    if (Buffer.isBuffer(value)) return { b: value.toString('base64') };
    if (typeof value === 'boolean') return value ? 1 : 0;
    if (isPlain(value)) return value.plain === 'integer' ? integerCell(value.text) : floatCell(value.text);
    if (typeof value !== 'string') throw new Unconvertible('SQLite has no lists');
    switch (kind) {
      case 'integer':
        return integerCell(value);
      case 'float':
        return floatCell(value);
      case 'decimal':
        // Whole numbers as SQLite's NUMERIC keeps them.
        return /^-?\d+(\.0*)?$/.test(value) && Math.abs(Number(value)) < 2 ** 53
          ? Number(value.split('.')[0]) || 0
          : floatCell(value);
      case 'instant':
        return toMillis(value);
      default:
        if (guarded && NUMERIC.test(value) && String(Number(value)) !== value)
          throw new Unconvertible(`SQLite would make another number of it in a column that is declared ${name}`);
        return value;
    }
  };
  return write;
}

export const sqlite: Dialect = { typeOf, decode, encode };
