/** Which backups stay: a pure function of their names, the rules and nothing else. No clock, no network, no files. */
import { ConfigError } from '../errors.ts';
import { byAge, parseName } from './naming.ts';
import { PERIODS, type Period, periodOf } from './periods.ts';

/**
 * How many backups stay. Each rule keeps the newest backup of each of the last so many periods that have one, as restic's `forget` does; what any rule keeps stays.
 */
export interface RetentionRules {
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  /** Weeks begin on Monday. */
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
  /** File names that are never removed. */
  pins?: string[];
  /** In which hours, days and the rest begin, such as `Europe/Berlin`. Default UTC. */
  timeZone?: string;
}

/** What happens to one backup, and why. */
export interface Verdict {
  name: string;
  time: Date;
  keep: boolean;
  /** Why it stays: `last 2`, `daily 2026-11-25`, `pinned`. Empty where it goes. */
  reasons: string[];
}

const COUNTS: [keyof RetentionRules, Period][] = [
  ['keepHourly', 'hourly'],
  ['keepDaily', 'daily'],
  ['keepWeekly', 'weekly'],
  ['keepMonthly', 'monthly'],
  ['keepYearly', 'yearly'],
];

/**
 * Refuses rules that cannot be meant: none at all, as they would remove everything, and counts that are no counts.
 * @throws ConfigError ERR_CATALOG_NO_RULES, ERR_CATALOG_RULE
 */
export function checkRules(rules: RetentionRules): void {
  const counts = (['keepLast', ...COUNTS.map(([name]) => name)] as const).map((name) => [name, rules[name]] as const);
  for (const [name, count] of counts) {
    if (count === undefined || (Number.isSafeInteger(count) && (count as number) >= 0)) continue;
    throw wrongRule(`${name} must be a whole number, 0 or more.`, { [name]: count });
  }
  if (rules.timeZone !== undefined) checkZone(rules.timeZone);
  if (counts.some(([, count]) => count !== undefined && (count as number) > 0)) return;
  throw new ConfigError(
    'ERR_CATALOG_NO_RULES',
    'No rule says which backups stay, so none is removed. Give at least one, such as --keep-last 7 (keepLast: 7).',
  );
}

/**
 * Decides about every file whose name has this prefix and the pattern of `makeName`; others are not in the result, and so are never touched.
 * @returns newest first
 * @throws as `checkRules`
 */
export function retain(names: Iterable<string>, prefix: string, rules: RetentionRules): Verdict[] {
  checkRules(rules);
  const files = [...new Set(names)].flatMap((name) => {
    const parsed = parseName(name, prefix);
    return parsed ? [{ name, ...parsed }] : [];
  });
  files.sort((a, b) => byAge(b, a));
  const left = new Map(COUNTS.map(([name, period]) => [period, (rules[name] as number | undefined) ?? 0]));
  const last = new Map<Period, string>();
  return files.map(({ name, time }, index) => {
    const reasons: string[] = [];
    if (rules.pins?.includes(name)) reasons.push('pinned');
    if (index < (rules.keepLast ?? 0)) reasons.push(`last ${index + 1}`);
    for (const period of PERIODS) {
      const count = left.get(period)!;
      if (count === 0) continue;
      const key = periodOf(period, time, rules.timeZone);
      if (last.get(period) === key) continue;
      last.set(period, key);
      left.set(period, count - 1);
      reasons.push(`${period} ${key}`);
    }
    return { name, time, keep: reasons.length > 0, reasons };
  });
}

/** The verdicts, with the newest backup that is known to be whole kept whatever the rules say. */
export function keepNewestValid(verdicts: Verdict[], name: string): Verdict[] {
  return verdicts.map((v) => (v.name === name ? { ...v, keep: true, reasons: [...v.reasons, 'newest valid'] } : v));
}

function checkZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw wrongRule(`${JSON.stringify(timeZone)} is no time zone. Give one such as UTC or Europe/Berlin.`, {
      timeZone,
    });
  }
}

function wrongRule(message: string, facts: Record<string, unknown>): ConfigError {
  return new ConfigError('ERR_CATALOG_RULE', message, { facts });
}
