/** Lengths of time as people write them in settings: `90s`, `30m`, `6h`, `1d`, `2w`; a number is milliseconds. */

export type Duration = string | number;

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
/** For messages. */
export const DURATION_FORMS = 'a length of time such as 90s, 30m, 6h, 1d or 2w';

/** Milliseconds, more than 0 and at most a hundred years; `null` for what is none. Parts add up: `1h30m`. */
export function parseDuration(value: unknown): number | null {
  if (typeof value === 'number') return inBounds(value);
  if (typeof value !== 'string') return null;
  const text = value.trim().toLowerCase();
  if (!/^(\d+(\.\d+)?\s*(ms|[smhdw])\s*)+$/.test(text)) return null;
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdw])/g))
    sum += Number(number) * UNITS[unit as keyof typeof UNITS];
  return inBounds(Math.round(sum));
}

function inBounds(milliseconds: number): number | null {
  return Number.isFinite(milliseconds) && milliseconds > 0 && milliseconds <= 36_525 * UNITS.d ? milliseconds : null;
}

/** `6h`, `1d 12h`: the two largest units that say something. */
export function durationText(milliseconds: number): string {
  let rest = Math.max(0, Math.round(milliseconds / 1000)) * 1000;
  const parts: string[] = [];
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const n = Math.floor(rest / UNITS[unit]);
    rest -= n * UNITS[unit];
    if (n > 0) parts.push(`${n}${unit}`);
  }
  return parts.slice(0, 2).join(' ') || '0s';
}
