/** What `schedule`, `health` and `doctor` share: the settings as they hold here, and results as text. */
import type { Command } from 'commander';
import type { Check } from '../doctor.ts';
import type { HealthReport } from '../health.ts';
import type { BackupConfig } from '../settings.ts';
import { count, counted, duration, printable, size } from '../texts.ts';
import type { BackupRun } from '../types.ts';
import type { App } from './app.ts';
import { repeated } from './options.ts';
import type { Session } from './session.ts';

export interface TargetFlags {
  to?: string[];
  prefix?: string;
}

export function targetOptions(command: Command): Command {
  return command
    .option(
      '--to <url>',
      'a destination, instead of $DBS_DESTINATIONS and the settings: a URL or a folder; several times for several',
      repeated,
    )
    .option('--prefix <name>', 'of the names of backups (default: $DBS_PREFIX, or the settings)');
}

/** The app's settings, the environment before them, and options before both. */
export async function unattendedSettings(
  { ctx }: Session,
  app: App,
  { to, prefix }: TargetFlags,
): Promise<BackupConfig> {
  const { withEnvironment } = await ctx.library();
  const config = (app.backupConfig ?? {}) as BackupConfig;
  return {
    ...withEnvironment(config, ctx.env),
    ...(to ? { destinations: to } : {}),
    ...(prefix === undefined ? {} : { prefix }),
  };
}

/** One line for a log. */
export function runSummary(run: BackupRun): string {
  const { ok, name, destinations, rows, files, bytes, milliseconds, skipped, removed, problem, endedAt } = run;
  const good = destinations.filter((one) => one.ok).map((one) => printable(one.name));
  const bad = destinations.filter((one) => !one.ok).map((one) => printable(one.name));
  const gone = removed.reduce((sum, { names }) => sum + names.length, 0);
  if (!good.length) return `${endedAt} FAILED: ${problem?.message} (${problem?.code})`;
  const parts = [
    `${endedAt} ${ok ? 'backed up' : 'PARTLY backed up'} ${counted(rows, 'row')} and ${counted(files.count, 'file')} as ${name} (${size(bytes)}) to ${good.join(', ')} in ${duration(milliseconds)}`,
  ];
  if (bad.length) parts.push(`NOT to ${bad.join(', ')}: ${problem?.message}`);
  if (skipped) parts.push(`${counted(skipped, 'source')} could not be read`);
  if (gone) parts.push(`${count(gone)} old removed`);
  return parts.join('; ');
}

export function healthSummary(report: HealthReport): string {
  const lines = [report.ok ? 'Healthy.' : 'UNHEALTHY.'];
  for (const { name, ok, backups, newest, freeBytes, problems } of report.destinations) {
    const age = newest
      ? `newest ${newest.name}, ${duration(newest.ageSeconds * 1000)} old, ${size(newest.bytes)}`
      : 'none';
    const free = freeBytes === null ? '' : `, ${size(freeBytes)} free`;
    lines.push(`  ${ok ? 'ok    ' : 'FAILED'} ${printable(name)}: ${counted(backups, 'backup')}, ${age}${free}`);
    for (const { message, code } of problems) lines.push(`         ${message} (${code})`);
  }
  const { lastRun, lastValidation } = report;
  lines.push(
    lastRun
      ? `  last run: ${lastRun.ok ? 'good' : 'failed'}, at ${lastRun.endedAt}`
      : '  last run: none is known on this machine',
  );
  if (lastValidation)
    lines.push(
      `  last validation: ${lastValidation.ok ? 'whole' : 'DAMAGED'}, ${lastValidation.name} at ${lastValidation.at}`,
    );
  for (const { message, code } of report.problems) lines.push(`  ${message} (${code})`);
  return lines.join('\n');
}

export function checkSummary({ name, status, message, todo }: Check): string {
  const word = { ok: 'ok      ', warning: 'warning ', failed: 'FAILED  ' }[status];
  return `${word} ${printable(name)}: ${printable(message)}${todo ? `\n          ${printable(todo)}` : ''}`;
}
