/** Reports as a few lines for people. */
import type { Health, SchemaDrift, ValidationReport } from './types.ts';

/** How a column differs, in a few words. */
export const DRIFT_WORDS: Record<SchemaDrift['entities'][number]['columns'][number]['kind'], string> = {
  dropped: 'not in the target, left out',
  defaulted: 'not in the backup, gets its default',
  converted: 'converted',
  told: 'in another form',
};

/** 1536 → "1.5 KiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

export function summarize(r: Omit<ValidationReport, 'summary'>): string {
  const lines = [
    `${r.source}: ${formatBytes(r.bytes)}, ${r.blocks} block${r.blocks === 1 ? '' : 's'}, layout ${r.layout}`,
    `  copy A        ${health(r.copyA)}`,
    `  copy B        ${health(r.copyB)}`,
    `  outer parity  ${health(r.outerParity)}`,
    `  tables        ${health(r.tables)}`,
  ];
  if (r.rebuilt > 0)
    lines.push(`  ${r.rebuilt} block${r.rebuilt === 1 ? ' was' : 's were'} damaged in both copies and rebuilt`);
  if (r.foreignBytes > 0) lines.push(`  ${formatBytes(r.foreignBytes)} more than was written`);
  if (r.foreignBytes < 0) lines.push(`  ${formatBytes(-r.foreignBytes)} less than was written`);
  if (r.totals) {
    const { rows, files, bytes, skipped } = r.totals;
    const left = skipped > 0 ? `, ${skipped} sources were skipped when it was made` : '';
    lines.push(`  authentic: ${rows} rows, ${files} files (${formatBytes(bytes)})${left}`);
  }
  lines.push(verdict(r));
  return lines.join('\n');
}

function health({ total, good, healed }: Health): string {
  if (total === 0) return 'none';
  if (good === total) return `${total} good`;
  const lost = total - good - healed;
  return `${good} of ${total} good, ${healed} can be healed${lost > 0 ? `, ${lost} cannot` : ''}`;
}

function verdict(r: Omit<ValidationReport, 'summary'>): string {
  if (!r.ok) return `NOT OK: ${r.problem?.message ?? 'beyond repair.'}`;
  if (r.damaged) return 'OK, but damaged: everything can be restored. Run `dbs repair` and replace the medium.';
  return r.authentic === null ? 'OK. Authenticity was not checked: that needs the passphrase.' : 'OK.';
}
