/** Results as a few lines for people. What stands here is also in the JSON objects, in full. */
import type { KeysReport, SlotInfo } from '../keys.ts';
import type { RepairReport } from '../repair.ts';
import { DRIFT_WORDS } from '../summary.ts';
import { count, counted, duration, printable, size } from '../texts.ts';
import type {
  BackupResult,
  InspectReport,
  Losses,
  RestoreResult,
  SealResult,
  Survival,
  WriteResult,
} from '../types.ts';

export function backupSummary(result: BackupResult): string {
  const { rows, entities, files, skipped, masked } = result;
  const holds = [`${counted(rows, 'row')} of ${counted(entities.length, 'table')}`];
  if (files.count) holds.push(`${counted(files.count, 'file')} (${size(files.bytes)})`);
  const lines = [`Backed up ${holds.join(' and ')}.`, ...written(result)];
  if (masked.length) lines.push(`  a MASKED copy: ${printable(masked.join(', '))} hold other values`);
  if (skipped.length)
    lines.push(
      `  ${counted(skipped.length, 'source')} could not be read and ${skipped.length === 1 ? 'is' : 'are'} NOT in it`,
    );
  return lines.join('\n');
}

export function sealSummary(result: SealResult): string {
  return [`Sealed ${size(result.input)}.`, ...written(result)].join('\n');
}

function written(result: WriteResult): string[] {
  const { output, outputs, bytes, layout, verified, milliseconds, survives } = result;
  const check = (verified: boolean) => (verified ? 'both copies read back and verified' : 'NOT read back');
  const facts = `${size(bytes)} in ${duration(milliseconds)}, layout ${layout}`;
  const several = outputs.length > 1 && layout !== 'split';
  const places = outputs.map(
    ({ output, ok, verified, problem }) =>
      `  ${printable(output)}: ${ok ? check(verified) : `FAILED, ${problem?.message} (${problem?.code})`}`,
  );
  return [
    ...(several ? [`  ${facts}`, ...places] : [`  ${printable(output ?? 'the stream')}: ${facts}, ${check(verified)}`]),
    `  survives ${survivalLines(survives).slice(0, 2).join(', or ')}, and more: see \`dbs inspect\``,
  ];
}

/** What a file survives, one promise a line: each holds by itself. */
export function survivalLines(survives: Survival): string[] {
  const { burstBytes, tailBytes, rowsPerBlock, rowBytes, errorsPerColumn, blocksPerGroup } = survives;
  const lines = [`any one run of ${size(burstBytes)} overwritten`];
  if (tailBytes > 0) lines.push(`its last ${size(tailBytes)} missing`);
  lines.push(
    `${rowsPerBlock} rows of ${size(rowBytes)} lost in each copy of every block`,
    `${errorsPerColumn} wrong bytes at unknown places in each column of either`,
  );
  if (blocksPerGroup > 0) lines.push(`${counted(blocksPerGroup, 'whole block')} lost in both copies, in each group`);
  return lines;
}

export function restoreSummary(result: RestoreResult, file: string): string {
  const { entities, files, dryRun, milliseconds } = result;
  const sum = (of: 'inserted' | 'updated' | 'untouched') => entities.reduce((total, entity) => total + entity[of], 0);
  const rows = [`${count(sum('inserted'))} inserted`, `${count(sum('updated'))} updated`];
  if (sum('untouched')) rows.push(`${count(sum('untouched'))} already as in the backup`);
  const lines = [
    dryRun
      ? 'Dry run: everything was done, and undone again. Nothing was changed.'
      : `Restored ${file === '-' ? 'the backup from stdin' : printable(file)}.`,
    `  rows of ${counted(entities.length, 'table')}: ${rows.join(', ')}`,
  ];
  if (files.written + files.unchanged)
    lines.push(`  files: ${count(files.written)} written, ${count(files.unchanged)} already there`);
  if (incompleteFiles(result))
    lines.push(`  files of which the backup has only a part: ${count(incompleteFiles(result))}, NOT restored`);
  lines.push(...driftLines(result.drift));
  lines.push(`  in ${duration(milliseconds)}`);
  if (result.refused)
    lines.push(
      `The restore itself would be REFUSED: ${printable(result.refused.message)}`,
      `  (${result.refused.code})`,
    );
  if (result.losses) lines.push(...lossLines(result.losses));
  else if (result.healed) lines.push(healedAdvice(file));
  return lines.join('\n');
}

/** How the schemas differ; JSON has all of it. */
function driftLines({ entities, migrations }: RestoreResult['drift']): string[] {
  const lines = entities.flatMap(({ name, columns }) =>
    columns.map(({ column, kind, from, to, note, values }) => {
      const types = from === undefined ? '' : `, ${from} into ${to}`;
      const counted =
        values === undefined
          ? ''
          : `, ${count(values)} ${values === 1 ? 'value' : 'values'} lost${kind === 'converted' ? ' something' : ''}`;
      return `    ${printable(`${name}.${column}: ${DRIFT_WORDS[kind]}${types}${note === undefined ? '' : ` (${note})`}`)}${counted}`;
    }),
  );
  const found = lines.length ? ['  the schemas differ:', ...some(lines)] : [];
  for (const [names, which] of [
    [migrations.onlyInBackup, 'the backup'],
    [migrations.onlyInTarget, 'the target'],
  ] as const) {
    if (names.length) found.push(`  migrations that only ${which} has executed: ${printable(names.join(', '))}`);
  }
  return found;
}

/** Files that could not be read to their end when the backup was made. */
export function incompleteFiles({ files }: RestoreResult): number {
  return files.incomplete;
}

/** Rows and files that are named one by one; JSON has all. */
const LOST_SHOWN = 20;

function some(lines: string[]): string[] {
  if (lines.length <= LOST_SHOWN) return lines;
  return [...lines.slice(0, LOST_SHOWN), `    and ${count(lines.length - LOST_SHOWN)} more (--json has all)`];
}

function lossLines({ blocks, entities, ranges, files }: Losses): string[] {
  const key = (of: unknown[] | null, end: string) => (of ? of.map((cell) => JSON.stringify(cell)).join(', ') : end);
  const rows = entities.filter(({ lost }) => lost !== 0);
  return [
    `SALVAGED: ${counted(blocks.length, 'block')} of the backup could not be rebuilt. What is missing:`,
    ...some(
      rows.map(
        ({ name, restored, lost }) =>
          `    ${printable(name)}: ${lost === null ? 'an unknown number of' : count(lost)} rows (${count(restored)} restored)`,
      ),
    ),
    ...some(
      ranges.map(
        ({ entity, after, before }) =>
          `    ${printable(entity)}: after ${printable(key(after, 'its start'))}, before ${printable(key(before, 'its end'))}`,
      ),
    ),
    ...some(files.map((path) => `    file ${printable(path)}`)),
  ];
}

/** The data is whole, and the place it lies in is not. */
export function healedAdvice(file: string): string {
  const what = file === '-' ? 'the backup' : printable(file);
  return `The backup was damaged and healed itself: nothing is lost. Its medium is failing: copy ${what} to another one.`;
}

export function repairSummary({ source, output, report }: RepairReport): string {
  if (output === null) return `Nothing is damaged: ${printable(source)} needs no repair.`;
  const { copyA, copyB, outerParity, tables, rebuilt } = report;
  const bad = [copyA, copyB, outerParity, tables].reduce((sum, { total, good }) => sum + total - good, 0);
  const lines = [`Repaired ${printable(source)}: ${printable(output)} is what was first written, byte for byte.`];
  lines.push(
    `  ${counted(bad, 'record')} healed${rebuilt ? `, ${counted(rebuilt, 'block')} rebuilt that no copy had whole` : ''}`,
  );
  lines.push('  Its medium is failing: keep backups on another one.');
  return lines.join('\n');
}

export function keysSummary({ source, slots }: KeysReport): string {
  return [printable(source), ...slots.map((slot) => `  slot ${slot.slot}  ${keySlot(slot)}`)].join('\n');
}

export function inspectSummary(report: InspectReport): string {
  const { health, streamBytes, bytes } = report;
  const rows: [string, string][] = [
    [
      'size',
      `${size(bytes)} for ${size(streamBytes)} of compressed content, in ${counted(report.blocks, 'block')} of ${counted(report.groups, 'group')}`,
    ],
    ['format', `${report.version}, layout ${report.layout}`],
    ['backup id', report.fileId],
  ];
  rows.push(...titled('key slots', report.keySlots.map(keySlot)));
  rows.push(['health', healthLine(health)]);
  rows.push(...titled('survives', survivalLines(report.survives)));
  return [printable(report.source), ...rows.map(([name, text]) => `  ${name.padEnd(11)}${text}`)].join('\n');
}

function titled(title: string, lines: string[]): [string, string][] {
  return lines.map((line, i) => [i ? '' : title, line]);
}

function keySlot({ kind, kdf }: Pick<SlotInfo, 'kind' | 'kdf'> | InspectReport['keySlots'][number]): string {
  if (!kdf) return kind;
  return `${kind} (Argon2id: ${counted(kdf.iterations, 'pass', 'passes')}, ${size(kdf.memoryKiB * 1024)}, ${counted(kdf.parallelism, 'lane')})`;
}

function healthLine({ pages, intact, healable, missing }: InspectReport['health']): string {
  const looked = 'a quick look; `dbs validate` reads everything';
  if (intact === pages) return `all ${count(pages)} pages intact (${looked})`;
  const parts = [`${count(intact)} of ${count(pages)} pages intact`];
  if (healable) parts.push(`${count(healable)} damaged and healable`);
  if (missing) parts.push(`${count(missing)} missing`);
  return `${parts.join(', ')} (${looked})`;
}
