/** Hours, days, weeks, months and years of a time zone, as texts that are the same for all moments of one period. */

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

const DAY = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** `2026-11-25T22+01:00`, `2026-11-25`, `2026-W48`, `2026-11`, `2026`. @param timeZone default UTC */
export function periodOf(period: Period, time: Date, timeZone = 'UTC'): string {
  const { year, month, day, hour, offset } = localParts(time, timeZone);
  switch (period) {
    // With its offset: the hour that comes twice, when clocks are set back, is two hours.
    case 'hourly':
      return `${year}-${month}-${day}T${hour}${offset}`;
    case 'daily':
      return `${year}-${month}-${day}`;
    case 'weekly':
      return isoWeek(Number(year), Number(month), Number(day));
    case 'monthly':
      return `${year}-${month}`;
    case 'yearly':
      return year;
  }
}

function localParts(time: Date, timeZone: string) {
  let format = formats.get(timeZone);
  if (!format) {
    const two = '2-digit';
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, calendar: 'gregory', hourCycle: 'h23' },
      ...{ year: 'numeric', month: two, day: two, hour: two, timeZoneName: 'longOffset' },
    });
    formats.set(timeZone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
  return {
    year: parts.year!.padStart(4, '0'),
    month: parts.month!,
    day: parts.day!,
    hour: parts.hour!.padStart(2, '0'),
    offset: parts.timeZoneName!.replace(/^GMT(\+00:00)?$/, 'Z').replace('GMT', ''),
  };
}

/** The week of ISO 8601: it belongs to the year that has its Thursday. */
function isoWeek(year: number, month: number, day: number): string {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const weekday = (date.getUTCDay() + 6) % 7;
  const thursday = new Date(date.getTime() + (3 - weekday) * DAY);
  const first = new Date(0);
  first.setUTCFullYear(thursday.getUTCFullYear(), 0, 1);
  const week = 1 + Math.floor((thursday.getTime() - first.getTime()) / (7 * DAY));
  return `${String(thursday.getUTCFullYear()).padStart(4, '0')}-W${String(week).padStart(2, '0')}`;
}
