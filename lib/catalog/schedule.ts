/**
 * When backups are due: cron expressions (by `croner`) and intervals. Pure, but for the clock that the caller gives.
 *
 * Intervals are counted from the epoch, not from the start of the process: `every: '6h'` is due at 00:00, 06:00, 12:00 and 18:00 UTC whatever was restarted when,
 * and so that a fleet agrees on the moment.
 */
import { Cron } from 'croner';
import { ConfigError } from '../errors.ts';
import { DURATION_FORMS, type Duration, parseDuration } from './duration.ts';

export interface ScheduleSettings {
  /** A cron expression of 5 fields, or 6 with seconds first; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Either this or `every`. */
  cron?: string;
  /** `6h`, `30m`, `1d`: at multiples of it since 1970-01-01 00:00 UTC. */
  every?: Duration;
  /** Of the cron expression, as `Europe/Berlin`. Default: the machine's. */
  timezone?: string;
  /** Each run begins up to this much later, at random, so that a fleet of apps does not come all at once. */
  jitter?: Duration;
  /** Make a backup at the start, too. Default false. */
  runAtStart?: boolean;
}

/** A checked schedule. */
export interface Schedule {
  /** For people: `0 3 * * * (Europe/Berlin)`, `every 6h`. */
  readonly text: string;
  /** Milliseconds. */
  readonly jitter: number;
  readonly runAtStart: boolean;
  /** The next moment strictly after `after`; `null` where there is none any more. */
  next(after: Date): Date | null;
}

/** Often enough: a backup that reads the whole database is no replication. */
const SHORTEST = 1000;

/** @throws ConfigError ERR_CONFIG_SCHEDULE */
export function parseSchedule(settings: ScheduleSettings): Schedule {
  const { cron, every, timezone } = settings;
  if ((cron === undefined) === (every === undefined))
    throw wrong('Give either a cron expression or an interval (`every`).', settings);
  const jitter = settings.jitter === undefined ? 0 : parseDuration(settings.jitter);
  if (jitter === null) throw wrong(`schedule.jitter must be ${DURATION_FORMS}.`, settings);
  if (typeof (cron ?? '') !== 'string' || typeof (timezone ?? '') !== 'string')
    throw wrong('schedule.cron and schedule.timezone must be texts.', settings);
  const common = { jitter, runAtStart: settings.runAtStart ?? false };
  if (every !== undefined) {
    const period = parseDuration(every);
    if (period === null || period < SHORTEST) throw wrong(`schedule.every must be ${DURATION_FORMS}.`, settings);
    const next = (after: Date) => new Date((Math.floor(after.getTime() / period) + 1) * period);
    return { ...common, text: `every ${every}`, next };
  }
  if (timezone !== undefined && !isTimezone(timezone))
    throw wrong(`There is no time zone "${timezone}". Name one like Europe/Berlin or UTC.`, settings);
  const job = parseCron(cron!, timezone, settings);
  if (!job.nextRun()) throw wrong(`The cron expression "${cron}" never comes due.`, settings);
  return {
    ...common,
    text: timezone ? `${cron} (${timezone})` : cron!,
    next: (after) => job.nextRun(after),
  };
}

/** `0 3 * * *` as it is; `6h` and `every 6h` as an interval: how the command line and the environment say it. */
export function scheduleFromText(text: string): ScheduleSettings {
  const interval = /^(?:every\s+)?(.*)$/i.exec(text.trim())![1]!;
  return parseDuration(interval) === null ? { cron: text.trim() } : { every: interval };
}

function parseCron(cron: string, timezone: string | undefined, settings: ScheduleSettings): Cron {
  try {
    // Without a function, croner starts no timer: it only answers when.
    return new Cron(cron, timezone === undefined ? {} : { timezone });
  } catch (cause) {
    const reason = (cause as Error).message.replace(/^Cron\w*:\s*/, '').replace(/\.$/, '');
    throw wrong(
      `The schedule "${cron}"${timezone ? ` in ${timezone}` : ''} cannot be understood: ${reason}. Write it like "0 3 * * *" (every day at 03:00), or as an interval like 6h.`,
      settings,
      cause,
    );
  }
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format() !== '';
  } catch {
    return false;
  }
}

function wrong(message: string, settings: ScheduleSettings, cause?: unknown): ConfigError {
  const { cron, every, timezone } = settings;
  return new ConfigError('ERR_CONFIG_SCHEDULE', message, { cause, facts: { cron, every, timezone } });
}
