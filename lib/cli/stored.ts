/** Backups at destinations, as people read of them. */
import type { PruneResult } from '../prune.ts';
import type { QuickCheck } from '../quick-check.ts';
import { counted, duration, printable, size } from '../texts.ts';
import type { TransferReport } from '../transfers.ts';

const UNITS: [number, string][] = [
  [365 * 86_400_000, 'y'],
  [30 * 86_400_000, 'mo'],
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
];

/** `3 d`: the largest unit that there is one of. */
export function age(milliseconds: number): string {
  const [length, unit] = UNITS.find(([ms]) => milliseconds >= ms) ?? [1000, 's'];
  return `${Math.max(0, Math.floor(milliseconds / length))} ${unit}`;
}

/** One word. */
export function checkWord({ ok, health }: QuickCheck): string {
  if (!ok) return 'DAMAGED';
  return health && health.intact < health.pages ? 'healable' : 'ok';
}

export function transferSummary(report: TransferReport): string {
  const { type, source, output, bytes, resumed, healed, milliseconds } = report;
  const lines = [
    `${type === 'pull' ? 'Pulled' : 'Pushed'} ${printable(source)} to ${printable(output)}: ${size(bytes)} in ${duration(milliseconds)}, verified`,
  ];
  if (resumed > 0) lines.push(`  ${size(resumed)} of it were there from an earlier run`);
  if (healed) lines.push('  It was damaged where it came from, and healed on the way: look after that medium.');
  return lines.join('\n');
}

/** The table of what stays and why. */
export function pruneSummary(result: PruneResult): string {
  const { files, leftovers, dryRun, removed, freedBytes, prefix, destination } = result;
  const lines = files.map((file) => {
    const what = file.keep ? 'keep' : file.problem ? 'FAILED' : dryRun ? 'would go' : 'removed';
    const why = file.problem ? `${file.problem.message} (${file.problem.code})` : file.reasons.join(', ');
    return `${what.padEnd(8)}  ${size(file.bytes).padStart(10)}  ${printable(file.name)}${why ? `  ${printable(why)}` : ''}`;
  });
  for (const { name, started, problem } of leftovers) {
    const what = problem ? 'FAILED' : dryRun ? 'would go' : 'removed';
    const why = problem ? `${problem.message} (${problem.code})` : `left unfinished on ${started.slice(0, 10)}`;
    lines.push(`${what.padEnd(8)}  ${''.padStart(10)}  ${printable(name)}  ${printable(why)}`);
  }
  const kept = files.filter(({ keep }) => keep).length;
  const gone = dryRun ? files.length - kept : removed;
  const bytes = dryRun ? files.reduce((sum, file) => sum + (file.keep ? 0 : file.bytes), 0) : freedBytes;
  const verb = dryRun ? 'Dry run: would remove' : 'Removed';
  lines.push(
    files.length === 0
      ? `There is no backup of prefix ${prefix} at ${printable(destination)}.`
      : `${verb} ${counted(gone, 'backup')} (${size(bytes)}) of prefix ${prefix}; ${counted(kept, 'stays', 'stay')}.`,
  );
  return lines.join('\n');
}
