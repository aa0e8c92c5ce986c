/** Damage, described: the small language of `dbs drill --damage` and of this kit's tests. */
import { ConfigError } from '../errors.ts';

/** Bytes, or a share of the file. */
export type Extent = { bytes: number } | { share: number };

/** One kind of damage. Where no place is given it is chosen by the seed. */
export type Damage =
  /** Each byte becomes another one with this probability. */
  | { kind: 'flip'; rate: number }
  /** Each aligned sector is lost, and reads as zeros, with this probability. */
  | { kind: 'sectors'; size: Extent; rate: number }
  /** Runs of random bytes. */
  | { kind: 'burst'; size: Extent; count: number }
  | { kind: 'zero' | 'overwrite'; size: Extent; at?: Extent | undefined }
  /** Bytes of another file (`foreign`), or random ones, where something else was. */
  | { kind: 'splice'; size: Extent; at?: Extent | undefined }
  | { kind: 'cut-head' | 'cut-tail'; size: Extent }
  /** Random bytes that were not there. */
  | { kind: 'insert'; size: Extent; count: number; at?: Extent | undefined }
  | { kind: 'delete'; size: Extent; count: number; at?: Extent | undefined }
  /** Two ranges of one size change places. */
  | { kind: 'swap'; size: Extent; count: number }
  /** A range is there twice, the second time at another place. */
  | { kind: 'duplicate'; size: Extent; count: number };

export type DamageKind = Damage['kind'];

/** What `parseDamage` takes, for help texts. */
export const DAMAGE_HELP = `flip:RATE                    each byte wrong with this probability       flip:1e-6
sectors:SIZE:RATE            lost sectors, at this rate                   sectors:4096:0.01
burst:SIZE[:COUNT]           runs of random bytes                         burst:1MiB:20
zero:SIZE[@PLACE]            one run of zeros                             zero:64KiB@0
overwrite:SIZE[@PLACE]       one run of random bytes                      overwrite:64KiB@head
splice:SIZE[@PLACE]          bytes of another file over this one's        splice:10%
cut-head:SIZE cut-tail:SIZE  the beginning or the end missing             cut-tail:5%
insert:SIZE[:COUNT][@PLACE]  bytes that were not there                    insert:1:3
delete:SIZE[:COUNT][@PLACE]  bytes missing                                delete:7
swap:SIZE[:COUNT]            two ranges change places                     swap:4096:2
duplicate:SIZE[:COUNT]       a range once more, elsewhere                 duplicate:1MiB
SIZE and PLACE: bytes, KiB, MiB, GiB, or % of the file; PLACE also head or tail. RATE: 0.01 or 1%. Several, with commas.`;

const UNITS: Record<string, number> = { '': 1, b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 };

/**
 * Reads damage as text, several joined by commas: `sectors:4096:0.01,cut-tail:5%`. See `DAMAGE_HELP`.
 * @throws ConfigError ERR_CONFIG_DAMAGE
 */
export function parseDamage(text: string): Damage[] {
  return text.split(',').map((part) => parseOne(part.trim()));
}

function parseOne(text: string): Damage {
  const [front, place, ...tooMany] = text.split('@');
  const [kind, ...args] = front!.split(':');
  const fail = (why: string): ConfigError =>
    new ConfigError(
      'ERR_CONFIG_DAMAGE',
      `"${text}" is no damage: ${why}. Examples: sectors:4096:0.01, burst:1MiB:20, flip:1e-6, cut-tail:5%.`,
    );
  if (tooMany.length > 0) throw fail('it names two places');
  const size = (n: number): Extent => extentOf(args[n]) ?? raise(fail(`"${args[n] ?? ''}" is no size`));
  const rate = (n: number): number => rateOf(args[n]) ?? raise(fail(`"${args[n] ?? ''}" is no rate from 0 to 1`));
  const count = (n: number): number =>
    args[n] === undefined ? 1 : (countOf(args[n]) ?? raise(fail(`"${args[n]}" is no count`)));
  const at = () => (place === undefined ? undefined : (placeOf(place) ?? raise(fail(`"${place}" is no place`))));
  const parsed = ((): { damage: Damage; args: number; place?: true } => {
    switch (kind) {
      case 'flip':
        return { damage: { kind, rate: rate(0) }, args: 1 };
      case 'sectors':
        return { damage: { kind, size: size(0), rate: rate(1) }, args: 2 };
      case 'burst':
      case 'swap':
      case 'duplicate':
        return { damage: { kind, size: size(0), count: count(1) }, args: 2 };
      case 'zero':
      case 'overwrite':
      case 'splice':
        return { damage: { kind, size: size(0), at: at() }, args: 1, place: true };
      case 'cut-head':
      case 'cut-tail':
        return { damage: { kind, size: size(0) }, args: 1 };
      case 'insert':
      case 'delete':
        return { damage: { kind, size: size(0), count: count(1), at: at() }, args: 2, place: true };
      default:
        throw fail('its kind is unknown');
    }
  })();
  if (args.length > parsed.args) throw fail('it says too much');
  if (place !== undefined && !parsed.place) throw fail(`${kind} takes no place`);
  return parsed.damage;
}

function extentOf(text: string | undefined): Extent | null {
  const match = /^(\d+(?:\.\d+)?)\s*(%|[a-z]*)$/i.exec(text ?? '');
  if (!match) return null;
  const value = Number(match[1]);
  if (match[2] === '%') return value <= 100 ? { share: value / 100 } : null;
  const unit = UNITS[match[2]!.toLowerCase()];
  return unit === undefined ? null : { bytes: Math.round(value * unit) };
}

function placeOf(text: string): Extent | null {
  if (text === 'head') return { bytes: 0 };
  if (text === 'tail') return { share: 1 };
  return extentOf(text);
}

function rateOf(text: string | undefined): number | null {
  if (text === undefined || text === '') return null;
  const value = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  return value >= 0 && value <= 1 ? value : null;
}

function countOf(text: string): number | null {
  return /^\d{1,6}$/.test(text) ? Number(text) : null;
}

function raise(error: Error): never {
  throw error;
}

/** The damage as text again: `parseDamage` takes it. */
export function damageText(damage: Damage): string {
  const { kind } = damage;
  const parts: string[] = [kind];
  if ('size' in damage) parts.push(extentText(damage.size));
  if ('rate' in damage) parts.push(String(damage.rate));
  if ('count' in damage && damage.count !== 1) parts.push(String(damage.count));
  const at = 'at' in damage && damage.at ? `@${extentText(damage.at)}` : '';
  return parts.join(':') + at;
}

function extentText(extent: Extent): string {
  if ('share' in extent) return `${Number((extent.share * 100).toPrecision(12))}%`;
  const unit = ['GiB', 'MiB', 'KiB'].find((u) => extent.bytes > 0 && extent.bytes % UNITS[u.toLowerCase()]! === 0);
  return unit ? `${extent.bytes / UNITS[unit.toLowerCase()]!}${unit}` : String(extent.bytes);
}
