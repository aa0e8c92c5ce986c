/** PostgreSQL's types and cells: its own text of every value. */
import type { Cell } from '../driver.ts';
import { formatArray, parseArray, type TextList } from './arrays.ts';
import { parseDate, parseMoment, parseTime } from './moments.ts';
import { type Dialect, integer, type NeutralType, splitType, textOf, Unconvertible, type Value } from './neutral.ts';

function typeOf(name: string): NeutralType {
  const list = /^(.*?)((?:\[\])+)$/.exec(name);
  if (list) return { kind: 'array', name, element: typeOf(list[1]!) };
  const { base, args, rest } = splitType(name);
  const [first] = args;
  const length = first === undefined ? {} : { length: first };
  switch (base) {
    case 'boolean':
      return { kind: 'boolean', name };
    case 'smallint':
      return integer(name, 16);
    case 'integer':
      return integer(name, 32);
    case 'bigint':
      return integer(name, 64);
    case 'oid':
      return integer(name, 32, true);
    case 'numeric':
      return { kind: 'decimal', name, ...(first === undefined ? {} : { precision: first, scale: args[1] ?? 0 }) };
    case 'real':
      return { kind: 'float', name, digits: 24 };
    case 'double precision':
      return { kind: 'float', name, digits: 53 };
    case 'text':
    case 'citext':
    case 'character varying':
      return { kind: 'text', name, ...length };
    case 'character':
      return { kind: 'text', name, fixed: true, ...length };
    case 'bytea':
      return { kind: 'bytes', name };
    case 'json':
      return { kind: 'json', name };
    case 'jsonb':
      return { kind: 'json', name, parsed: true };
    case 'uuid':
    case 'date':
      return { kind: base, name };
    case 'bit':
    case 'bit varying':
      return { kind: 'bits', name, ...length, ...(base === 'bit' ? { fixed: true } : {}) };
  }
  const digits = first ?? 6;
  if (/^time( without time zone)?$/.test(base) && !rest.startsWith('with time')) return { kind: 'time', name, digits };
  if (base.startsWith('timestamp'))
    return { kind: `${base} ${rest}`.includes('with time zone') ? 'instant' : 'timestamp', name, digits };
  return { kind: 'other', name };
}

function decode(type: NeutralType): (cell: Cell) => Value {
  const read = readerOf(type);
  return (cell) => (cell === null ? null : read(textOf(cell)));
}

function readerOf(type: NeutralType): (text: string) => Value {
  switch (type.kind) {
    case 'boolean':
      return (text) => text === 't';
    case 'bytes':
      return (text) => {
        if (!/^\\x([0-9a-f]{2})*$/i.test(text)) throw new Unconvertible('it is no bytes');
        return Buffer.from(text.slice(2), 'hex');
      };
    case 'date':
      return parseDate;
    case 'time':
      return parseTime;
    case 'timestamp':
    case 'instant':
      return parseMoment;
    case 'array': {
      const element = readerOf(type.element!);
      const each = (list: TextList): Value[] =>
        list.map((one) => (one === null ? null : Array.isArray(one) ? each(one) : element(one)));
      return (text) => each(parseArray(text));
    }
    default:
      return (text) => text;
  }
}

function encode(type: NeutralType): (value: Value) => Cell {
  const write = writerOf(type);
  return (value) => (value === null ? null : write(value));
}

function writerOf(type: NeutralType): (value: Value) => string {
  if (type.kind === 'array') {
    const element = writerOf(type.element!);
    const each = (list: Value[]): TextList =>
      list.map((one) => (one === null ? null : Array.isArray(one) ? each(one) : element(one)));
    return (value) => formatArray(each(value as Value[]));
  }
  return (value) => {
    if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`;
    if (typeof value === 'boolean') return value ? 't' : 'f';
    if (typeof value !== 'string') throw new Unconvertible('it has no form in PostgreSQL');
    if (value.includes('\0')) throw new Unconvertible('PostgreSQL has no text with a NUL character');
    // The order of year and day is ISO's; a zone is said, whatever the session's is.
    return type.kind === 'instant' ? `${value}+00` : value;
  };
}

export const postgresql: Dialect = { typeOf, decode, encode };
