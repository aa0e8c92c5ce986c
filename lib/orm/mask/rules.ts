/** How each declared column is masked: the kind that was asked for, held against the column's type and constraints. */
import { ConfigError } from '../../errors.ts';
import { type DialectName, dialects, type NeutralType, type Value } from '../convert/index.ts';
import type { Cell } from '../driver.ts';
import type { MaskContext, MaskFunction, MaskKind } from '../registry.ts';
import { LEAST_DISTINCT, type Pseudonyms } from './pseudonyms.ts';

/** A column that is masked. */
export interface MaskedColumn {
  entity: string;
  property: string;
  column: string;
  /** As the database says it. */
  type: string;
  nullable: boolean;
  /** Part of a unique key. */
  unique: boolean;
  /** What the property may be, where MikroORM says so. */
  items?: unknown[];
  mask: MaskKind | MaskFunction | 'default';
  /** JSON to MikroORM, whatever the database calls it: MariaDB has a longtext. */
  json?: boolean;
}

export type CellMask = (cell: Cell) => Cell;

const FITS: Record<Exclude<MaskKind, 'null'>, string[]> = {
  email: ['text', 'dynamic'],
  name: ['text', 'dynamic'],
  text: ['text', 'json', 'array', 'dynamic'],
  number: ['integer', 'decimal', 'float', 'dynamic'],
  date: ['date', 'time', 'timestamp', 'instant'],
  uuid: ['uuid', 'text'],
};

/** @throws ConfigError ERR_CONFIG_MASK_TYPE, ERR_CONFIG_MASK_UNIQUE, ERR_CONFIG_MASK_NULL */
export function maskOf(column: MaskedColumn, dialect: DialectName, names: Pseudonyms): CellMask {
  const { mask } = column;
  const { typeOf, decode, encode } = dialects[dialect];
  const type = typeOf(column.type);
  if (typeof mask === 'function') return ownMask(column, mask, dialect, names);
  if (mask === 'null') {
    if (!column.nullable) throw notNull(column);
    return () => null;
  }
  if (mask !== 'default' && !FITS[mask].includes(type.kind)) throw wrongType(column, type);
  if (mask === 'uuid' && type.kind === 'text' && (type.length ?? 36) < 36) throw wrongType(column, type);
  const change = valueMask(column, mask, type, names);
  if (!change) {
    if (!column.nullable) throw wrongType(column, type);
    return () => null;
  }
  if (column.unique) requireDistinct(column, mask, type);
  const [read, write] = [decode(type), encode(type)];
  return (cell) => {
    if (cell === null) return null;
    try {
      return write(change(read(cell)));
    } catch {
      return standIn(cell, type, column, names);
    }
  };
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What a value of this kind becomes; undefined where only NULL is left. */
function valueMask(
  { items, unique, json }: MaskedColumn,
  mask: MaskKind | 'default',
  type: NeutralType,
  names: Pseudonyms,
): ((value: Value) => Value) | undefined {
  // Where a database has no type for UUIDs, their text is to stay one.
  const text = (value: string) => (UUID.test(value) ? names.uuid(value) : names.text(value, type.length, unique));
  if (mask === 'email') return (value) => names.email(shown(value), type.length);
  if (mask === 'name') return (value) => names.name(shown(value), type.length, unique);
  if (mask === 'uuid') return (value) => names.uuid(value as string);
  const members = type.members ?? items?.map(String);
  if (members?.length && !['set', 'array', 'boolean', 'bits'].includes(type.kind))
    return (value) => names.pick(shown(value), members);
  switch (json && type.kind === 'text' ? 'json' : type.kind) {
    case 'text':
      return (value) => text(value as string);
    case 'integer':
      return (value) =>
        unique
          ? String(names.number(value as string, bitsOf(type)))
          : within(names.digits(value as string), value as string, type);
    case 'decimal':
    case 'float':
      return (value) => (/\d/.test(value as string) ? names.digits(value as string) : value);
    case 'boolean':
      return (value) => names.pick(String(value), [true, false]);
    case 'date':
    case 'time':
    case 'timestamp':
    case 'instant':
      return (value) => names.moment(value as string);
    case 'uuid':
      return (value) => names.uuid(value as string);
    case 'bytes':
      return (value) => names.bytes(value as Buffer);
    case 'json':
      return (value) => JSON.stringify(inJson(JSON.parse(value as string), names));
    case 'set':
      return (value) =>
        (value as string[]).map((one) => names.pick(one, members!)).filter((one, i, all) => all.indexOf(one) === i);
    case 'array': {
      const element = valueMask({ items, unique: false } as MaskedColumn, 'default', type.element!, names);
      const each = (list: Value[]): Value[] =>
        list.map((one) => (one === null ? null : Array.isArray(one) ? each(one) : element!(one)));
      return element && ((value) => each(value as Value[]));
    }
    case 'dynamic':
      return (value) => {
        if (Buffer.isBuffer(value)) return names.bytes(value);
        if (typeof value === 'object' && value !== null && 'plain' in value)
          return {
            plain: value.plain,
            text:
              value.plain === 'integer' ? within(names.digits(value.text), value.text, type) : names.digits(value.text),
          };
        return text(shown(value));
      };
    default:
      return undefined;
  }
}

function shown(value: Value): string {
  if (Buffer.isBuffer(value)) return value.toString('base64');
  return typeof value === 'object' && value !== null && 'plain' in value ? value.text : String(value);
}

/** Keys and shape stay. */
function inJson(value: unknown, names: Pseudonyms): unknown {
  if (typeof value === 'string') return names.text(value);
  if (typeof value === 'number') return Number(names.digits(String(value)));
  if (Array.isArray(value)) return value.map((one) => inJson(one, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inJson(one, names)]));
}

const MOST = 2n ** 63n - 1n;
/** Where whole numbers end in some database or other: SQLite does not say which the app has in mind. */
const BOUNDS = [2n ** 7n, 2n ** 15n, 2n ** 23n, 2n ** 31n, 2n ** 63n].map((size) => size - 1n);

/** No larger than a type that the value itself fits into. */
function within(text: string, value: string, { most = MOST, least = -MOST }: NeutralType): string {
  const size = (of: bigint) => (of < 0n ? -of : of);
  // There is one negative number more.
  const real = BigInt(value) < 0n ? size(BigInt(value)) - 1n : BigInt(value);
  const bound = BOUNDS.find((one) => one >= real || one >= most) ?? most;
  const number = BigInt(text);
  const top = number < 0n ? size(least) : most;
  const room = bound < top ? bound : top;
  return size(number) <= room ? text : String(number % (room + 1n));
}

/** Bits that fit into a whole number; in SQLite, where MikroORM reads numbers, those of a safe one. */
function bitsOf({ most = MOST, name }: NeutralType): number {
  if (/^int(eger)?$/i.test(name)) return most < MOST ? most.toString(2).length : 52;
  return Math.min(60, most.toString(2).length);
}

/** A value that is none of its column's kind: what it was must not stay. */
function standIn(cell: Cell, type: NeutralType, { nullable, json }: MaskedColumn, names: Pseudonyms): Cell {
  if (nullable) return null;
  if (type.kind === 'date') return '2000-01-01';
  if (type.kind === 'time') return '00:00:00';
  if (type.kind === 'timestamp' || type.kind === 'instant') return '2000-01-01 00:00:00';
  if (type.kind === 'json' || json) return 'null';
  return names.text(JSON.stringify(cell), Math.min(type.length ?? 60, 60));
}

function ownMask(column: MaskedColumn, mask: MaskFunction, dialect: DialectName, names: Pseudonyms): CellMask {
  const { typeOf, decode, encode } = dialects[dialect];
  const type = typeOf(column.type);
  const [read, write] = [decode(type), encode(type)];
  const { entity, property } = column;
  return (cell) => {
    if (cell === null) return null;
    try {
      const value = read(cell);
      const given =
        typeof value === 'boolean' || Buffer.isBuffer(value)
          ? value
          : Array.isArray(value)
            ? JSON.stringify(value)
            : shown(value);
      const context: MaskContext = {
        entity,
        property,
        column: column.column,
        hash: (text) => names.hash('own', text).toString('hex'),
      };
      const made = mask(given, context);
      if (made === null) return null;
      if (typeof made === 'boolean') return write(type.kind === 'boolean' ? made : made ? '1' : '0');
      if (made instanceof Uint8Array) return write(Buffer.from(made));
      if (!['string', 'number', 'bigint'].includes(typeof made)) throw new Error('no value');
      const text = String(made);
      return write(
        type.kind === 'boolean'
          ? text === 'true' || text === '1'
          : type.kind === 'array'
            ? (JSON.parse(text) as Value)
            : text,
      );
    } catch {
      // Whatever it says may hold the value.
      throw new ConfigError(
        'ERR_CONFIG_MASK_FUNCTION',
        `The mask function of ${entity}.${property} failed, or returned what its column (${column.type}) does not take. It returns text, a number, a boolean, bytes or null, and must not throw.`,
        { facts: { entity, field: property } },
      );
    }
  };
}

/** @throws ConfigError ERR_CONFIG_MASK_UNIQUE */
function requireDistinct(column: MaskedColumn, mask: MaskKind | 'default', type: NeutralType): void {
  const room = type.length ?? 255;
  const members = type.members ?? column.items;
  let distinct = true;
  if (mask === 'email') distinct = room >= LEAST_DISTINCT + 8;
  else if (type.kind === 'text') distinct = !members?.length && room >= LEAST_DISTINCT;
  else if (type.kind === 'integer') distinct = bitsOf(type) >= 52;
  else distinct = type.kind === 'uuid';
  if (distinct) return;
  throw new ConfigError(
    'ERR_CONFIG_MASK_UNIQUE',
    `${at(column)} cannot be masked so: its column is unique, and ${column.type} has too few values for masked ones to stay so. Use 'null' where it may be NULL, or a function of your own.`,
    { facts: { entity: column.entity, field: column.property } },
  );
}

function at({ entity, property }: MaskedColumn): string {
  return `${entity}.${property}`;
}

function notNull(column: MaskedColumn): ConfigError {
  return new ConfigError(
    'ERR_CONFIG_MASK_NULL',
    `${at(column)} cannot be masked with NULL: its column "${column.column}" is NOT NULL. Choose another mask.`,
    { facts: { entity: column.entity, field: column.property } },
  );
}

function wrongType(column: MaskedColumn, type: NeutralType): ConfigError {
  const asked = column.mask === 'default' ? 'sensitive' : `mask '${column.mask as string}'`;
  const good = Object.keys(FITS).filter((one) => FITS[one as keyof typeof FITS].includes(type.kind));
  return new ConfigError(
    'ERR_CONFIG_MASK_TYPE',
    `${at(column)} (${asked}) is of the type ${column.type}, which that mask does not fit. Use ${[...good.map((one) => `'${one}'`), ...(column.nullable ? ["'null'"] : []), 'a function of your own'].join(', or ')}.`,
    { facts: { entity: column.entity, field: column.property, type: column.type } },
  );
}
