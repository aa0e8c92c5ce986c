/** Whether backups are as they should be: their age at each destination, how the last run went, room for the next. */
import { problemOf } from './announce.ts';
import { DURATION_FORMS, type Duration, durationText, parseDuration } from './catalog/duration.ts';
import { byAge, DEFAULT_PREFIX, parseName } from './catalog/naming.ts';
import { parseSchedule } from './catalog/schedule.ts';
import { expect } from './checks.ts';
import { openDestination } from './destinations.ts';
import { ConfigError } from './errors.ts';
import type { BackupConfig } from './settings.ts';
import type { Destination } from './sinks/sink.ts';
import { readState, type ValidationNote, writeState } from './state.ts';
import { formatBytes } from './summary.ts';
import type { BackupRun, Problem } from './types.ts';
import { validateBackup } from './validate.ts';

export interface HealthOptions {
  /** Of the newest backup at each destination. Default: twice the schedule's interval and an hour, or 25 hours without a schedule. */
  maxAge?: Duration | undefined;
  /** Bytes that must be free. Default: one and a half times the newest backup. */
  minFree?: number | undefined;
  /** Read the newest backup at each destination from end to end. */
  validate?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Default: now. */
  now?: Date | undefined;
}

export interface DestinationHealth {
  name: string;
  ok: boolean;
  /** Of this prefix. */
  backups: number;
  newest: { name: string; time: string; ageSeconds: number; bytes: number } | null;
  /** Bytes, where that can be known. */
  freeBytes: number | null;
  problems: Problem[];
}

export interface HealthReport {
  type: 'health';
  ok: boolean;
  at: string;
  maxAgeSeconds: number;
  destinations: DestinationHealth[];
  /** From the state file of this machine. */
  lastRun: Pick<BackupRun, 'ok' | 'endedAt' | 'name' | 'problem'> | null;
  lastSuccess: { name: string | null; endedAt: string } | null;
  lastValidation: ValidationNote | null;
  /** Of the whole; each destination has its own. */
  problems: Problem[];
}

const HOUR = 3_600_000;

/**
 * Looks at every destination of the settings. Changes nothing, but for the note of a validation in the state file.
 * @param settings with the environment in them (`withEnvironment`)
 * @throws ConfigError for settings that cannot be meant; what cannot be reached is a problem in the report
 */
export async function checkHealth(settings: BackupConfig, options: HealthOptions = {}): Promise<HealthReport> {
  const { signal, now = new Date() } = options;
  if (!settings.destinations?.length)
    throw new ConfigError(
      'ERR_CONFIG_NO_DESTINATIONS',
      'The settings name no destinations for unattended backups. Set destinations, or $DBS_DESTINATIONS.',
    );
  const maxAge = parseDuration(options.maxAge) ?? usualAge(settings, now);
  expect(options.maxAge === undefined || parseDuration(options.maxAge) !== null, 'maxAge', DURATION_FORMS);
  const destinations: DestinationHealth[] = [];
  let validation: ValidationNote | undefined;
  for (const one of settings.destinations) {
    signal?.throwIfAborted();
    const looked = await look(one, settings, { ...options, maxAge, now });
    destinations.push(looked.health);
    // The worst is what counts.
    if (looked.validation && (!validation || validation.ok)) validation = looked.validation;
  }
  if (validation) await writeState(settings, { lastValidation: validation }).catch(() => {});
  const { lastRun, lastSuccess, lastValidation } = await readState(settings);
  const problems = stateProblems(lastRun, lastValidation);
  return {
    type: 'health',
    ok: problems.length === 0 && destinations.every(({ ok }) => ok),
    at: now.toISOString(),
    maxAgeSeconds: Math.round(maxAge / 1000),
    destinations,
    lastRun: lastRun && { ok: lastRun.ok, endedAt: lastRun.endedAt, name: lastRun.name, problem: lastRun.problem },
    lastSuccess,
    lastValidation: validation ?? lastValidation,
    problems,
  };
}

/** So that one run may fail, and a slow one is no alarm. */
function usualAge({ schedule: settings }: BackupConfig, now: Date): number {
  if (!settings) return 25 * HOUR;
  const schedule = parseSchedule(settings);
  const first = schedule.next(now);
  const second = first && schedule.next(first);
  return first && second ? 2 * (second.getTime() - first.getTime()) + schedule.jitter + HOUR : 25 * HOUR;
}

function stateProblems(lastRun: BackupRun | null, lastValidation: ValidationNote | null): Problem[] {
  const problems: Problem[] = [];
  if (lastRun && !lastRun.ok && lastRun.problem?.code !== 'ERR_INTERRUPTED')
    problems.push({
      code: 'WARN_HEALTH_LAST_RUN',
      message: `The last run failed at ${lastRun.endedAt}: ${lastRun.problem?.message} (${lastRun.problem?.code})`,
    });
  if (lastValidation && !lastValidation.ok)
    problems.push({
      code: 'WARN_HEALTH_VALIDATION',
      message: `${lastValidation.name} at ${lastValidation.destination} did not validate at ${lastValidation.at}: ${lastValidation.problem?.message}`,
    });
  return problems;
}

async function look(
  target: string | Destination,
  settings: BackupConfig,
  options: HealthOptions & { maxAge: number; now: Date },
): Promise<{ health: DestinationHealth; validation?: ValidationNote }> {
  const { maxAge, now, minFree, signal } = options;
  const name = typeof target === 'string' ? target : target.name;
  const health: DestinationHealth = { name, ok: false, backups: 0, newest: null, freeBytes: null, problems: [] };
  const { problems } = health;
  let destination: Destination | undefined;
  let validation: ValidationNote | undefined;
  try {
    destination = await openDestination(target, settings);
    health.name = destination.name;
    const { newest, count } = await newestOf(destination, settings.prefix ?? DEFAULT_PREFIX);
    health.backups = count;
    health.freeBytes = (await destination.freeSpace?.()) ?? null;
    if (!newest) problems.push({ code: 'WARN_HEALTH_NO_BACKUP', message: `There is no backup at ${health.name}.` });
    else {
      const age = now.getTime() - newest.time.getTime();
      const { name: file, time, bytes } = newest;
      health.newest = { name: file, time: time.toISOString(), ageSeconds: Math.round(age / 1000), bytes };
      if (age > maxAge)
        problems.push({
          code: 'WARN_HEALTH_AGE',
          message: `The newest backup at ${health.name} is ${durationText(age)} old, and ${durationText(maxAge)} are allowed.`,
        });
      if (options.validate) {
        validation = await validated(destination, file, signal);
        if (!validation.ok) problems.push(validation.problem!);
      }
    }
    const least = minFree ?? Math.ceil((newest?.bytes ?? 0) * 1.5);
    if (health.freeBytes !== null && health.freeBytes < least)
      problems.push({
        code: 'WARN_HEALTH_SPACE',
        message: `At ${health.name} ${formatBytes(health.freeBytes)} are free, and ${formatBytes(least)} are wanted for the next backup.`,
      });
  } catch (error) {
    signal?.throwIfAborted();
    problems.push(problemOf(error));
  } finally {
    if (destination && destination !== target) await destination.close();
  }
  health.ok = problems.length === 0;
  return { health, ...(validation ? { validation } : {}) };
}

/** The newest backup of a prefix by its name, and how many there are. @throws SourceError */
export async function newestOf(
  destination: Destination,
  prefix: string,
): Promise<{ newest: { name: string; time: Date; bytes: number } | null; count: number }> {
  let newest: { name: string; time: Date; bytes: number; sequence: number; prefix: string } | null = null;
  let count = 0;
  for await (const { name, size } of destination.list()) {
    const parsed = parseName(name, prefix);
    if (!parsed) continue;
    count++;
    if (!newest || byAge(newest, parsed) < 0) newest = { name, bytes: size, ...parsed };
  }
  return { newest, count };
}

async function validated(destination: Destination, name: string, signal?: AbortSignal): Promise<ValidationNote> {
  const note = { at: new Date().toISOString(), destination: destination.name, name };
  try {
    const source = await destination.open(name);
    const report = await validateBackup(source, undefined, signal ? { signal } : {});
    if (report.ok) return { ...note, ok: true, problem: null };
    return { ...note, ok: false, problem: report.problem ?? { code: 'ERR_DAMAGE_BLOCKS', message: report.summary() } };
  } catch (error) {
    signal?.throwIfAborted();
    return { ...note, ok: false, problem: problemOf(error) };
  }
}
