/** Dates and times as text, in the one form that neutral.ts names. */
import { Unconvertible } from './neutral.ts';

const DAY = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
const CLOCK = /^([01]\d|2[0-4]):[0-5]\d:[0-5]\d(\.\d{1,6})?$/;
const MOMENT = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(?:\s?(Z|[+-]\d\d(?::?\d\d)?(?::\d\d)?))?$/i;

/** Without zeros at the end of the fraction: the same moment has one text. */
function trimmed(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** Milliseconds since 1970 of a UTC text without its fraction. */
function millisOf(day: string, clock: string): number {
  return Date.UTC(
    +day.slice(0, 4),
    +day.slice(5, 7) - 1,
    +day.slice(8, 10),
    +clock.slice(0, 2),
    +clock.slice(3, 5),
    +clock.slice(6, 8),
  );
}

function isDay(day: string): boolean {
  if (!DAY.test(day) || day.startsWith('0000')) return false;
  const date = new Date(`${day}T00:00:00Z`);
  // 31 February is a day to MariaDB, and to nobody else.
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day);
}

/** @throws Unconvertible for zero dates, 31 February, `infinity`, years beyond 9999 */
export function parseDate(text: string): string {
  if (isDay(text)) return text;
  throw new Unconvertible('it is no date from 0001-01-01 to 9999-12-31');
}

export function parseTime(text: string): string {
  if (CLOCK.test(text)) return trimmed(text);
  throw new Unconvertible('it is no time of a day');
}

/**
 * @param text ISO 8601, or the databases' form of it; with a zone, the moment in UTC
 * @throws Unconvertible
 */
export function parseMoment(text: string): string {
  const [, day, minutes, seconds = ':00', fraction = '', zone] = MOMENT.exec(text) ?? [];
  if (day && minutes && isDay(day) && /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$/.test(minutes + seconds)) {
    const clock = minutes + seconds;
    const offset = zone ? offsetOf(zone) : 0;
    if (offset === 0) return trimmed(`${day} ${clock}${fraction.slice(0, 7)}`);
    const iso = new Date(millisOf(day, clock) - offset * 1000).toISOString();
    if (/^\d/.test(iso)) return trimmed(`${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction.slice(0, 7)}`);
  }
  if (DAY.test(text)) return `${parseDate(text)} 00:00:00`;
  throw new Unconvertible('it is no moment from 0001-01-01 to 9999-12-31');
}

/** Seconds east of Greenwich. */
function offsetOf(zone: string): number {
  if (/^z$/i.test(zone)) return 0;
  const [hours = 0, minutes = 0, seconds = 0] = (zone.slice(1).replaceAll(':', '').match(/../g) ?? []).map(Number);
  return (zone.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

/** Milliseconds since 1970, as MikroORM keeps moments in SQLite. Digits beyond are not in it. */
export function toMillis(moment: string): number {
  return millisOf(moment.slice(0, 10), moment.slice(11, 19)) + Number((moment.slice(20, 23) || '0').padEnd(3, '0'));
}

/** @throws Unconvertible beyond the years 1 to 9999 */
export function fromMillis(millis: number): string {
  const date = new Date(millis);
  const iso = Number.isNaN(date.getTime()) ? '' : date.toISOString();
  if (!/^\d{4}-/.test(iso)) throw new Unconvertible('it is no moment from 0001-01-01 to 9999-12-31');
  return parseMoment(iso);
}

/** Cuts a fraction of a second. Answers the text, and whether something was cut. */
export function cut(text: string, digits: number): { text: string; lost: boolean } {
  const point = text.indexOf('.');
  if (point === -1 || text.length - point - 1 <= digits) return { text, lost: false };
  return { text: trimmed(text.slice(0, digits ? point + 1 + digits : point)), lost: true };
}
