/** The result of a restore, tried or done, as a part of a page. */
import { DRIFT_WORDS, formatBytes } from '../summary.ts';
import { count, counted } from '../texts.ts';
import type { RestoreResult } from '../types.ts';
import { type Html, html } from './html.ts';

/** In one sentence: whole, healed, or refused. */
export function verdict({ dryRun, healed, refused, report }: RestoreResult): Html {
  const { totals } = report;
  const held = totals
    ? `: ${counted(totals.rows, 'row')}, ${counted(totals.files, 'file')} (${formatBytes(totals.bytes)})`
    : '';
  const found = [`Every block is authentic${held}.`];
  if (healed)
    found.push(
      'It was damaged, and healed itself: nothing is lost. What it is kept on is failing: keep a copy elsewhere.',
    );
  if (refused)
    return note('warn', 'The restore would be refused', [
      ...found,
      refused.message,
      'If that difference is all right, tick the box below and check again.',
    ]);
  if (!dryRun)
    return note(healed ? 'warn' : 'good', 'The backup is restored', [...found, 'All of it is in the app again.']);
  found.push('The restore was tried, and undone again. Nothing was changed.');
  return note(healed ? 'warn' : 'good', healed ? 'The backup healed itself' : 'The backup is whole', found);
}

function note(kind: 'good' | 'warn', title: string, texts: string[]): Html {
  return html`<section class="note ${kind}" role="status"><h2>${title}</h2>${texts.map((text) => html`<p>${text}</p>`)}</section>`;
}

/** Table by table, file counts, and how the schemas differ. */
export function outcome(result: RestoreResult): Html {
  const { entities, files, drift, report, dryRun } = result;
  const skipped = report.totals?.skipped ?? 0;
  return html`${table(
    dryRun ? 'What the restore would do' : 'Rows',
    ['Table', 'Added', 'Updated', 'Unchanged'],
    entities.map(({ name, inserted, updated, untouched }) => [name, inserted, updated, untouched]),
  )}
<dl><dt>Files</dt><dd>${count(files.written)} ${dryRun ? 'to write' : 'written'}, ${count(files.unchanged)} in place already</dd>
${skipped > 0 && html`<dt>Not in the backup</dt><dd>${counted(skipped, 'source')} could not be read when it was made</dd>`}
${files.incomplete > 0 && html`<dt>Not restored</dt><dd>${counted(files.incomplete, 'file')} of which the backup has only a part</dd>`}</dl>
${driftTable(drift)}`;
}

function driftTable({ entities, migrations }: RestoreResult['drift']): Html {
  const rows = entities.flatMap(({ name, columns }) =>
    columns.map(({ column, kind, from, to, note, values }) => [
      `${name}.${column}`,
      [DRIFT_WORDS[kind], from && `${from} into ${to}`, note].filter(Boolean).join(', '),
      values ?? '',
    ]),
  );
  const only = [
    ['Migrations only in the backup', migrations.onlyInBackup],
    ['Migrations only here', migrations.onlyInTarget],
  ] as const;
  return html`${rows.length > 0 && table('How the schemas differ', ['Column', 'Difference', 'Values lost'], rows)}
<dl>${only.map(([title, names]) => names.length > 0 && html`<dt>${title}</dt><dd>${names.join(', ')}</dd>`)}</dl>`;
}

/** Numbers stand on the right. The first cell heads its row. */
function table(caption: string, head: string[], rows: (string | number)[][]): Html {
  const isNumber = (i: number) => typeof rows[0]?.[i] === 'number';
  const side = (i: number) => isNumber(i) && html` class="n"`;
  return html`<div class="wide" role="region" tabindex="0" aria-label="${caption}"><table><caption>${caption}</caption>
<thead><tr>${head.map((text, i) => html`<th scope="col"${side(i)}>${text}</th>`)}</tr></thead>
<tbody>${rows.map(
    ([first, ...rest]) =>
      html`<tr><th scope="row">${first}</th>${rest.map((cell, i) => html`<td${side(i + 1)}>${typeof cell === 'number' ? count(cell) : cell}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}
