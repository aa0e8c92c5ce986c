/** Types and cells of MariaDB and MySQL. */
import type { Cell } from '../driver.ts';
import { parseDate, parseMoment, parseTime } from './moments.ts';
import {
  bytesOf,
  type Dialect,
  integer,
  type NeutralType,
  splitType,
  textOf,
  Unconvertible,
  type Value,
} from './neutral.ts';

const BITS: Record<string, number> = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 };
const TEXTS: Record<string, number> = { tinytext: 255, text: 65535, mediumtext: 16777215, longtext: 4294967295 };
const BLOBS: Record<string, number> = { tinyblob: 255, blob: 65535, mediumblob: 16777215, longblob: 4294967295 };

/** `enum('a','it''s')` */
function membersOf(type: string): string[] {
  return [...type.matchAll(/'((?:[^']|'')*)'/g)].map(([, member]) => member!.replaceAll("''", "'"));
}

function typeOf(name: string): NeutralType {
  const plain = name.replace(/ character set \w+$/, '');
  const listed = /^(enum|set)\(/i.exec(plain);
  if (listed) return { kind: listed[1]!.toLowerCase() === 'set' ? 'set' : 'text', name, members: membersOf(plain) };
  const { base: full, args, rest } = splitType(plain);
  const [base = '', ...words] = full.split(' ');
  const [first] = args;
  const unsigned = [...words, ...rest.split(' ')].includes('unsigned');
  if (BITS[base]) return integer(name, BITS[base], unsigned);
  if (TEXTS[base]) return { kind: 'text', name, length: TEXTS[base] };
  if (BLOBS[base]) return { kind: 'bytes', name, length: BLOBS[base] };
  switch (base) {
    case 'year':
      return { kind: 'integer', name, least: 0n, most: 2155n };
    case 'decimal':
    case 'numeric':
      return { kind: 'decimal', name, precision: first ?? 10, scale: args[1] ?? 0 };
    case 'float':
      return { kind: 'float', name, digits: 24 };
    case 'double':
      return { kind: 'float', name, digits: 53 };
    case 'varchar':
    case 'char':
      // Blanks at the end of a CHAR are gone before anybody sees them.
      return { kind: 'text', name, length: first ?? 1, ...(base === 'char' ? { fixed: true } : {}) };
    case 'varbinary':
      return { kind: 'bytes', name, length: first ?? 1 };
    case 'binary':
      return { kind: 'bytes', name, length: first ?? 1, fixed: true };
    case 'bit':
      return { kind: 'bits', name, length: first ?? 1, fixed: true };
    case 'json':
      return { kind: 'json', name, parsed: true };
    case 'uuid':
    case 'date':
      return { kind: base, name };
    case 'time':
    case 'datetime':
    case 'timestamp':
      return {
        kind: base === 'datetime' ? 'timestamp' : base === 'timestamp' ? 'instant' : 'time',
        name,
        digits: first ?? 0,
      };
  }
  return { kind: 'other', name };
}

function decode(type: NeutralType): (cell: Cell) => Value {
  const read = readerOf(type);
  return (cell) => (cell === null ? null : read(cell));
}

function readerOf(type: NeutralType): (cell: Cell) => Value {
  switch (type.kind) {
    case 'bytes':
      return bytesOf;
    case 'bits':
      return (cell) => {
        const bits = [...bytesOf(cell)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
        return bits.slice(-type.length!);
      };
    case 'set':
      return (cell) => textOf(cell).split(',').filter(Boolean);
    case 'date':
      return (cell) => parseDate(textOf(cell));
    case 'time':
      return (cell) => parseTime(textOf(cell));
    case 'timestamp':
    case 'instant':
      return (cell) => parseMoment(textOf(cell));
    default:
      // Geometries are bytes, and stay some.
      return (cell) => (type.kind === 'other' && typeof cell === 'object' ? bytesOf(cell) : textOf(cell));
  }
}

function encode(type: NeutralType): (value: Value) => Cell {
  return (value) => {
    if (value === null) return null;
    if (Buffer.isBuffer(value)) return { b: value.toString('base64') };
    if (typeof value === 'boolean') return value ? '1' : '0';
    if (Array.isArray(value)) return value.join(',');
    if (typeof value !== 'string') throw new Unconvertible('it has no form in MariaDB and MySQL');
    if (type.kind === 'bits') {
      const digits = value.padStart(Math.ceil(value.length / 8) * 8, '0');
      return {
        b: Buffer.from(digits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []).toString('base64'),
      };
    }
    if (type.kind === 'float' && !Number.isFinite(Number(value)))
      throw new Unconvertible('MariaDB and MySQL have no NaN and no infinity');
    return value;
  };
}

export const mysql: Dialect = { typeOf, decode, encode };
