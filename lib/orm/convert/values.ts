/** One value into another, without a look at its neighbours: numbers, JSON, UUIDs, bits. Each throws Unconvertible. */
import { type Lose, type NeutralType, Unconvertible } from './neutral.ts';
import { unexponent } from './sqlite.ts';

export const unfit = (what: string) => new Unconvertible(what);

export const toBoolean = (text: string): boolean => {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw unfit('it is neither true nor false');
};

/** A text as a number. */
export function number(text: string): string {
  if (/^-?\d+(\.\d+)?$/.test(text)) return text;
  if (/^-?\d+(\.\d+)?e[+-]?\d{1,3}$/i.test(text)) return unexponent(text);
  throw unfit('it is no number');
}

export function whole(text: string): string {
  const found = /^(-?\d+)(\.0*)?$/.exec(number(text));
  if (!found) throw unfit('it is no whole number');
  return found[1] as string;
}

export function json(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    throw unfit('it is no JSON');
  }
  return text;
}

export function uuid(text: string): string {
  const plain = text.replace(/[-{}]/g, '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(plain)) throw unfit('it is no UUID');
  return plain.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

export const bits = (text: string): string => BigInt(`0b${text || '0'}`).toString();

export function dayOf(moment: string, lose: Lose): string {
  if (!moment.endsWith(' 00:00:00')) lose('its time of day');
  return moment.slice(0, 10);
}

export function exactly(text: string): string {
  if (BigInt(Number(text)) !== BigInt(text)) throw unfit('it has more digits than a floating-point number');
  return text;
}

export function binary(text: string): string {
  const value = BigInt(text);
  if (value < 0n) throw unfit('it is negative');
  return value.toString(2);
}

/** Digits without the point, and zeros at the ends. */
function significant(text: string): string {
  return text.replace(/[-.]|e.*$/gi, '').replace(/^0+|0+$/g, '');
}

export function near(text: never, lose: Lose): string {
  const number = Number(text);
  if (significant(unexponent(String(number))) !== significant(text)) lose('digits');
  return String(number);
}

export function fitDecimal(value: string, lose: Lose, to: NeutralType): string {
  if (!/^-?\d+(\.\d+)?$/.test(value)) {
    if (to.precision === undefined && to.digits === undefined) return value;
    throw unfit('it is no finite number');
  }
  if (to.digits !== undefined && significant(value).length > to.digits) lose(`digits beyond ${to.digits}`);
  if (to.scale === undefined) return value;
  const [whole, fraction = ''] = value.split('.') as [string, string?];
  if (whole.replace(/^-?0*/, '').length > to.precision! - to.scale) throw unfit(`it does not fit into ${to.name}`);
  if (/[1-9]/.test(fraction.slice(to.scale))) lose(`digits behind the point beyond ${to.scale}`);
  return value;
}

export function fitFloat(value: string, lose: Lose, to: NeutralType): string {
  if (to.digits !== 24 || !Number.isFinite(Number(value))) return value;
  const single = Math.fround(Number(value));
  if (!Number.isFinite(single)) throw unfit(`it does not fit into ${to.name}`);
  // 0.1 is the text of both: a single keeps about seven digits of a decimal text.
  if (single !== Number(value) && Number(single.toPrecision(7)) !== Number(value)) lose('its last digits');
  return value;
}
