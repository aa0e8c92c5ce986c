/** Names of backups at destinations: `PREFIX-YYYYMMDD-HHMMSSZ.dbs`, in UTC, so that they sort by age everywhere. */
import { ConfigError } from '../errors.ts';

/** Where nothing else was said. */
export const DEFAULT_PREFIX = 'backup';

/** One path segment, the same on every system and in every URL. */
export const PREFIX = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const NAME = /^(.+)-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)Z(?:-([2-9]|[1-9]\d{1,3}))?\.dbs$/;

/** What a name says. */
export interface ParsedName {
  prefix: string;
  time: Date;
  /** 1, or more where several backups began in the same second. */
  sequence: number;
}

/** @throws ConfigError ERR_CATALOG_PREFIX */
export function checkPrefix(prefix: string): string {
  if (PREFIX.test(prefix)) return prefix;
  throw new ConfigError(
    'ERR_CATALOG_PREFIX',
    `${JSON.stringify(prefix)} cannot be the prefix of names: it has at most 100 letters, digits, ".", "_" and "-", and begins with a letter or a digit.`,
    { facts: { prefix } },
  );
}

/**
 * The name of a backup that begins at `time`; fractions of a second are dropped. @param sequence from 2 on for the second backup of the same second
 * @throws ConfigError ERR_CATALOG_PREFIX
 */
export function makeName(prefix: string, time: Date, sequence = 1): string {
  const stamp = time.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${checkPrefix(prefix)}-${stamp}Z${sequence > 1 ? `-${sequence}` : ''}.dbs`;
}

/**
 * What a name says; `null` for every name that `makeName` does not make, such as one with a date that does not exist.
 * @param prefix then only names of this very prefix count
 */
export function parseName(name: string, prefix?: string): ParsedName | null {
  const found = NAME.exec(name);
  if (!found || (prefix !== undefined && found[1] !== prefix) || !PREFIX.test(found[1]!)) return null;
  const [, own, year, month, day, hour, minute, second, sequence = '1'] = found;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time.getTime())) return null;
  const parsed = { prefix: own!, time, sequence: Number(sequence) };
  // February 30 is rolled over to March by some engines: what does not come out as it went in is no name of ours.
  return makeName(parsed.prefix, time, parsed.sequence) === name ? parsed : null;
}

/** Older before newer. */
export function byAge(a: ParsedName, b: ParsedName): number {
  return a.time.getTime() - b.time.getTime() || a.sequence - b.sequence;
}
