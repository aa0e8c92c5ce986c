/** From one kind of value to another: whether there is a way, what gets lost on it, and the way itself. */
import { joinList, splitList } from './arrays.ts';
import { cut, parseDate, parseMoment, parseTime } from './moments.ts';
import { isPlain, type Kind, type Lose, type NeutralType, type Value } from './neutral.ts';
import {
  binary,
  bits,
  dayOf,
  exactly,
  fitDecimal,
  fitFloat,
  json,
  near,
  number,
  toBoolean,
  unfit,
  uuid,
  whole,
} from './values.ts';

/**
 * - `same`: every value arrives as it is, or stops the restore (one that does not fit in).
 * - `told`: the same, in another form that people should know of.
 * - `lossy`: a value may lose something.
 */
export interface Way {
  grade: 'same' | 'told' | 'lossy';
  /** What changes or gets lost. */
  note?: string;
  /** The target holds less, or something else, than the source: drift, in one kind of database. */
  narrows: boolean;
  convert(value: Value, lose: Lose): Value;
}

type Step = (value: never, lose: Lose, from: NeutralType, to: NeutralType) => Value;
interface Rule {
  note?: string;
  lossy?: string;
  step?: Step;
}

const asText: Rule = {};
const isoText: Rule = { note: 'ISO text' };

const jsonOf = (value: Value, kind: Kind): unknown => {
  if (Array.isArray(value)) return value.map((one) => jsonOf(one, kind));
  if (value === null || typeof value === 'boolean') return value;
  if (kind === 'json') return JSON.parse(value as string) as unknown;
  const safe = kind === 'integer' && Number.isSafeInteger(Number(value));
  return safe || (kind === 'float' && Number.isFinite(Number(value))) ? Number(value) : (value as string);
};

/** `from>to`. What is not here has no way, but for `same kind`, `dynamic` and `other`. */
const RULES: Record<string, Rule> = {
  'boolean>integer': { step: (v: boolean) => (v ? '1' : '0') },
  'boolean>decimal': { step: (v: boolean) => (v ? '1' : '0') },
  'boolean>bits': { step: (v: boolean) => (v ? '1' : '0') },
  'boolean>text': { note: '"true" or "false"', step: (v: boolean) => String(v) },
  'integer>boolean': { step: toBoolean },
  'integer>decimal': {},
  'integer>float': { step: (v: string) => exactly(v) },
  'integer>text': asText,
  'integer>bits': { step: (v: string) => binary(v) },
  'decimal>integer': { step: whole },
  'decimal>float': { lossy: 'digits beyond those of a floating-point number', step: near },
  'decimal>text': asText,
  'float>integer': { step: whole },
  'float>decimal': { step: number },
  'float>text': asText,
  'text>boolean': { step: toBoolean },
  'text>integer': { step: whole },
  'text>decimal': { step: number },
  'text>float': {
    lossy: 'digits beyond those of a floating-point number',
    step: (v: string, l: Lose) => near(number(v) as never, l),
  },
  'text>json': { step: json },
  'text>uuid': { step: uuid },
  'text>date': { step: parseDate },
  'text>time': { step: parseTime },
  'text>timestamp': { note: 'a moment with a zone is written in UTC', step: parseMoment },
  'text>instant': { note: 'a moment without a zone is taken for UTC', step: parseMoment },
  'text>array': {
    note: 'a list of texts, separated by commas, as MikroORM keeps them',
    step: (v: string, lose: Lose, from: NeutralType, to: NeutralType) =>
      isJsonColumn(from) && v.startsWith('[') ? listOfJson(v as never, lose, from, to) : splitList(v),
  },
  'text>set': { step: splitList },
  'json>text': asText,
  'json>array': { step: listOfJson },
  'uuid>text': asText,
  'uuid>bytes': { note: 'its 16 bytes', step: (v: string) => Buffer.from(v.replaceAll('-', ''), 'hex') },
  'bytes>uuid': { step: (v: Buffer) => uuid(v.toString('hex')) },
  'date>text': isoText,
  'date>timestamp': { step: (v: string) => `${v} 00:00:00` },
  'date>instant': { note: 'midnight in UTC', step: (v: string) => `${v} 00:00:00` },
  'time>text': isoText,
  'timestamp>text': isoText,
  'timestamp>date': { lossy: 'the time of day', step: dayOf },
  'timestamp>instant': { note: 'it has no time zone: taken for UTC' },
  'instant>text': { note: 'ISO text in UTC', step: (v: string) => `${v.replace(' ', 'T')}Z` },
  'instant>date': { lossy: 'the time of day', step: dayOf },
  'instant>timestamp': { note: 'written in UTC, without its zone' },
  'set>text': { step: (v: string[]) => v.join(',') },
  'set>array': {},
  'set>json': { step: (v: string[]) => JSON.stringify(v) },
  'bits>boolean': { step: (v: string) => toBoolean(bits(v)) },
  'bits>integer': { step: bits },
  'bits>text': asText,
  'array>json': {
    note: 'a JSON array',
    step: (v: Value[], _: Lose, from: NeutralType) => jsonList(v, from),
  },
  'array>text': {
    note: 'its elements, separated by commas, as MikroORM keeps lists (a JSON array in a longtext)',
    step: (v: Value[], _: Lose, from: NeutralType, to: NeutralType) =>
      isJsonColumn(to) ? jsonList(v, from) : joinList(v),
  },
  'array>set': { step: (v: Value[]) => splitList(joinList(v)) },
};

/** MariaDB's JSON is a longtext, and MikroORM declares no other list as one. */
function isJsonColumn({ name }: NeutralType): boolean {
  return /^longtext\b/.test(name);
}

function jsonList(list: Value[], from: NeutralType): string {
  return JSON.stringify(jsonOf(list, from.element!.kind));
}

function listOfJson(text: never, lose: Lose, _: NeutralType, to: NeutralType): Value[] {
  const list = JSON.parse(json(text)) as unknown;
  if (!Array.isArray(list)) throw unfit('it is no JSON array');
  const way = wayBetween({ kind: 'text', name: 'text' }, to.element!) ?? raise('its elements do not fit');
  const each = (one: unknown): Value => {
    if (one === null) return null;
    if (Array.isArray(one)) return one.map(each);
    if (to.element!.kind === 'json') return JSON.stringify(one);
    return typeof one === 'object' ? raise('it holds objects') : way.convert(String(one), lose);
  };
  return list.map(each);
}

function raise(what: string): never {
  throw unfit(what);
}

/** @returns undefined where there is no way at all */
export function wayBetween(from: NeutralType, to: NeutralType): Way | undefined {
  if (from.kind === to.kind && from.kind !== 'other') {
    const { lossy, narrows, note } = sameKind(from, to);
    return way(from, to, lossy ? 'lossy' : note ? 'told' : 'same', lossy ?? note, narrows, undefined);
  }
  if (to.kind === 'dynamic') return toDynamic(from, to);
  if (from.kind === 'dynamic') return fromDynamic(from, to);
  if (from.kind === 'other' || to.kind === 'other') {
    // Its text, which the other database reads or refuses. Bytes of a geometry are another database's own.
    const name = (from.kind === 'other' ? from : to).name;
    if (from.kind === 'text') return way(from, to, 'told', `the text of ${name}`, true, undefined);
    if (to.kind === 'text' && !isGeometry(from.name))
      return way(from, to, 'told', `the text of ${name}`, to.members !== undefined, undefined);
    if (from.kind === 'other' && to.kind === 'other' && from.name === to.name)
      return way(from, to, 'same', undefined, false, undefined);
    return undefined;
  }
  const rule = RULES[`${from.kind}>${to.kind}`];
  if (!rule) return undefined;
  const midnight = from.kind === 'date' ? { digits: 0 } : {};
  const fits = sameKind({ ...from, ...ASSUMED[to.kind], ...midnight, kind: to.kind }, to);
  const lossy = rule.lossy ?? fits.lossy;
  const note = rule.note ?? fits.note;
  const narrows = !(from.kind === 'json' && isJsonColumn(to));
  return way(from, to, lossy ? 'lossy' : note ? 'told' : 'same', lossy ?? note, narrows, rule.step);
}

/** What the value of another kind has, once it is of this kind: so that only fractions of a second count as lost. */
const ASSUMED: Partial<Record<Kind, Partial<NeutralType>>> = {
  decimal: { precision: 0, scale: 0 },
  float: { digits: 0 },
};

function isGeometry(name: string): boolean {
  return /^(geom|point|linestring|polygon|multi)/.test(name) && !/^(point|polygon)$/.test(name);
}

function way(
  from: NeutralType,
  to: NeutralType,
  grade: Way['grade'],
  note: string | undefined,
  narrows: boolean,
  step: Step | undefined,
): Way {
  const convert = (value: Value, lose: Lose): Value => {
    if (value === null) return null;
    const stepped = step ? step(value as never, lose, from, to) : value;
    return fit(stepped, lose, from, to);
  };
  return { grade, narrows: narrows || grade === 'lossy', convert, ...(note === undefined ? {} : { note }) };
}

/** Two types of one kind. */
function sameKind(from: NeutralType, to: NeutralType): { lossy?: string; note?: string; narrows: boolean } {
  const less = (a: number | undefined, b: number | undefined) => b !== undefined && (a === undefined || a > b);
  switch (to.kind) {
    case 'integer':
      return { narrows: from.kind === 'integer' && ((from.least ?? 0n) < to.least! || (from.most ?? 0n) > to.most!) };
    case 'decimal': {
      if (to.digits !== undefined && from.digits === undefined && less(from.precision, to.digits))
        return { lossy: `digits beyond ${to.digits}`, narrows: true };
      const whole = (t: NeutralType) => (t.precision === undefined ? undefined : t.precision - t.scale!);
      if (less(from.scale, to.scale))
        // What SQLite declares it does not hold to, and what it holds is checked value by value.
        return { lossy: `digits behind the point beyond ${to.scale}`, narrows: true };
      return { narrows: less(whole(from), whole(to)) };
    }
    case 'float':
      return less(from.digits, to.digits)
        ? { lossy: 'the last digits: single precision', narrows: true }
        : { narrows: false };
    case 'time':
    case 'timestamp':
    case 'instant':
      return less(from.digits ?? 6, to.digits)
        ? { lossy: `fractions of a second beyond ${to.digits} digits`, narrows: true }
        : { narrows: false };
    case 'text': {
      const members = to.members !== undefined && !from.members?.every((one) => to.members!.includes(one));
      const narrows = members || (to.members === undefined && !from.members && less(from.length, to.length));
      return from.fixed && !to.fixed ? { note: 'blanks at its end', narrows } : { narrows };
    }
    case 'set':
      return { narrows: !from.members?.every((one) => to.members?.includes(one)) };
    case 'bytes':
    case 'bits':
      return { narrows: less(from.length, to.length) || (to.fixed === true && from.length !== to.length) };
    case 'json':
      return to.parsed && !from.parsed
        ? { note: 'blanks, the order and repetition of keys', narrows: true }
        : { narrows: false };
    case 'array': {
      if (!from.element) return { narrows: true };
      const element = wayBetween(from.element, to.element!);
      if (!element) return { lossy: 'elements of another kind', narrows: true };
      return { narrows: element.narrows, ...(element.grade === 'lossy' ? { lossy: element.note! } : {}) };
    }
    default:
      return { narrows: false };
  }
}

/** A value of the target's kind into the target's bounds. */
function fit(value: Value, lose: Lose, from: NeutralType, to: NeutralType): Value {
  switch (to.kind) {
    case 'integer': {
      const number = BigInt(value as string);
      if (number < to.least! || number > to.most!) throw unfit(`it does not fit into ${to.name}`);
      return value;
    }
    case 'decimal':
      return fitDecimal(value as string, lose, to);
    case 'float':
      return fitFloat(value as string, lose, to);
    case 'time':
    case 'timestamp':
    case 'instant': {
      const { text, lost } = cut(value as string, to.digits ?? 6);
      if (lost) lose('a fraction of a second');
      return text;
    }
    case 'text': {
      const text = value as string;
      if (to.members && !to.members.includes(text)) throw unfit(`it is no member of ${to.name}`);
      if (to.length !== undefined && text.length > to.length && [...text].length > to.length)
        throw unfit(`it is longer than ${to.name}`);
      // PostgreSQL pads char(n), MariaDB takes the blanks away: they mean nothing in either.
      return from.fixed && !to.fixed && from.kind === 'text' ? text.replace(/ +$/, '') : text;
    }
    case 'bytes': {
      const { length } = value as Buffer;
      if (to.length !== undefined && (length > to.length || (to.fixed && length !== to.length)))
        throw unfit(`its ${length} bytes do not fit into ${to.name}`);
      return value;
    }
    case 'bits': {
      const digits = value as string;
      const padded = to.fixed && from.kind !== 'bits' ? digits.padStart(to.length!, '0') : digits;
      if (to.length !== undefined && (padded.length > to.length || (to.fixed && padded.length !== to.length)))
        throw unfit(`its ${padded.length} bits do not fit into ${to.name}`);
      return padded;
    }
    case 'set': {
      const foreign = (value as string[]).some((one) => !to.members?.includes(one));
      if (foreign) throw unfit(`it has elements that are no members of ${to.name}`);
      return value;
    }
    case 'array': {
      // A list of another kind has been made one of texts.
      const element = from.kind === 'array' ? from.element! : { kind: 'text' as const, name: 'text' };
      const each = wayBetween(element, to.element!);
      if (from.kind === 'json') return value;
      if (!each) throw unfit(`its elements do not fit into ${to.name}`);
      const list = (of: Value[]): Value[] =>
        of.map((one) => (Array.isArray(one) ? list(one) : each.convert(one, lose)));
      return list(value as Value[]);
    }
    case 'json':
      return from.kind === 'json' || from.kind === 'text' ? json(value as string) : value;
    case 'uuid':
      return uuid(value as string);
    default:
      return value;
  }
}

/** SQLite without a type keeps anything in one of its five forms. */
function toDynamic(from: NeutralType, to: NeutralType): Way | undefined {
  if (isGeometry(from.name) && from.kind === 'other') return undefined;
  const note = `kept as SQLite's plain ${from.kind === 'bytes' ? 'bytes' : 'values'}`;
  const step: Step = (value: Value): Value => {
    if (from.kind === 'integer') return { plain: 'integer', text: value as string };
    if (from.kind === 'float') return { plain: 'float', text: value as string };
    if (from.kind === 'array') return JSON.stringify(jsonOf(value, from.element!.kind));
    return Array.isArray(value) ? value.join(',') : value;
  };
  return way(from, to, from.kind === 'text' || from.kind === 'bytes' ? 'same' : 'told', note, true, step);
}

/** Value by value, for what SQLite declared nothing. */
function fromDynamic(from: NeutralType, to: NeutralType): Way {
  const step: Step = (value: Value, lose: Lose): Value => {
    const kind: Kind = isPlain(value) ? value.plain : Buffer.isBuffer(value) ? 'bytes' : 'text';
    const type: NeutralType = {
      kind,
      name: kind,
      ...(kind === 'integer' ? { least: -(2n ** 63n), most: 2n ** 63n - 1n } : {}),
    };
    const found =
      to.kind === 'other' && kind === 'text'
        ? way(type, to, 'same', undefined, false, undefined)
        : wayBetween(type, to);
    if (!found) throw unfit(`it is ${kind}, which ${to.name} does not take`);
    return found.convert(isPlain(value) ? value.text : value, lose);
  };
  const convert = (value: Value, lose: Lose) => (value === null ? null : step(value as never, lose, from, to));
  return { grade: 'told', note: 'value by value', narrows: true, convert };
}
