/** The pages. They need no script; an error stands first, and leads to its field. */
import { formatBytes } from '../summary.ts';
import type { RestoreResult } from '../types.ts';
import type { Problem } from './answers.ts';
import { Html, html, type Shown } from './html.ts';
import { type Failed, Inputs, linkTo } from './inputs.ts';
import { outcome, verdict } from './report.ts';
import { STYLE } from './style.ts';
import type { Upload } from './uploads.ts';

/** Typed to confirm a restore. */
export const CONFIRMATION = 'RESTORE';

/** What every page with forms knows. */
export interface Site {
  /** Of all links, without a slash at its end. */
  base: string;
  /** For the forms. */
  token: string;
  maxBytes: number;
}

/** Of a restore. */
export interface Choices {
  mode: 'merge' | 'flush';
  allowDrift: boolean;
}

/** The first page: a backup down, a backup up. */
export function homePage(site: Site, failed?: Failed): Html {
  const download = new Inputs('download', failed);
  const upload = new Inputs('upload', failed);
  return layout({
    title: 'Backups',
    failed,
    body: html`<p class="soft">One encrypted file holds the whole database and the files that belong to it. A passphrase that you type here is used for one request, and kept nowhere.</p>
<section class="card" aria-labelledby="download">
<h2 id="download">Download a backup</h2>
<p>Whoever loses the passphrase loses the backup: there is no other way to open it.</p>
<form method="post" action="${site.base}/download">
${token(site)}
${download.password({ name: 'passphrase', label: 'New passphrase', hint: 'Several random words are best.', autocomplete: 'new-password' })}
${download.password({ name: 'repeat', label: 'The same passphrase again', autocomplete: 'new-password' })}
<button>Download the backup</button>
</form>
</section>
<section class="card" aria-labelledby="upload">
<h2 id="upload">Restore a backup</h2>
<p>First the file is checked, and its restore is tried and undone again. Nothing is changed before you confirm it on the next page.</p>
<form method="post" action="${site.base}/upload" enctype="multipart/form-data">
${token(site)}
${modes(upload, 'merge')}
${upload.password({ name: 'passphrase', label: 'Passphrase of the backup', autocomplete: 'off' })}
${upload.field(
  { name: 'backup', label: 'Backup file', hint: `A .dbs file of at most ${formatBytes(site.maxBytes)}.` },
  (attributes) => html`<input type="file" accept=".dbs" required${attributes}>`,
)}
<button>Upload and check</button>
</form>
</section>`,
  });
}

/** What an upload is, what its restore would do, and the form that does it. */
export function uploadPage(site: Site, upload: Upload, chosen: Choices, problem?: Problem): Html {
  const { name, bytes, expiresAt, checked } = upload;
  const failed = problem && ({ problem, form: 'restore' } as const);
  const inputs = new Inputs('restore', failed);
  return layout({
    title: checked ? 'Check before you restore' : 'Restore a backup',
    failed,
    body: html`${checked && verdict(checked)}
<section class="card" aria-labelledby="file">
<h2 id="file">The upload</h2>
<dl><dt>File</dt><dd>${name || 'without a name'}</dd>
<dt>Size</dt><dd>${formatBytes(bytes)}</dd>
<dt>Kept until</dt><dd><time datetime="${expiresAt}">${expiresAt.slice(0, 16).replace('T', ' ')} UTC</time>, encrypted as it came</dd></dl>
${checked && outcome(checked)}
</section>
<section class="card" aria-labelledby="next">
<h2 id="next">${checked ? 'Restore it' : 'Check it again'}</h2>
<form method="post" action="${site.base}/restore">
${token(site)}
<input type="hidden" name="upload" value="${upload.token}">
${modes(inputs, chosen.mode)}
<fieldset><legend>Columns that do not fit</legend>
${inputs.choice('checkbox', 'allowDrift', 'yes', chosen.allowDrift, 'Leave out what the database has no column for, and convert what its types cannot hold')}
</fieldset>
${inputs.password({ name: 'passphrase', label: 'Passphrase of the backup', hint: 'Once more, as it was not kept.', autocomplete: 'off' })}
<div class="buttons">
<button${checked && html` class="second"`} name="action" value="check">Check with these choices</button>
<button class="second" name="action" value="discard" formnovalidate>Remove the upload</button>
</div>
${checked && confirmation(inputs)}
</form>
</section>
${home(site)}`,
  });
}

function confirmation(inputs: Inputs): Html {
  return html`<hr class="rule">
${inputs.field(
  {
    name: 'confirmation',
    label: `To restore, type ${CONFIRMATION}`,
    hint: 'This changes the database: all of the backup is restored, or nothing.',
  },
  (attributes) =>
    html`<input type="text" autocomplete="off" autocapitalize="characters" spellcheck="false"${attributes}>`,
)}
<button class="danger" name="action" value="restore">Restore now</button>`;
}

export function restoredPage(site: Site, result: RestoreResult): Html {
  return layout({
    title: 'Restored',
    body: html`${verdict(result)}
<section class="card" aria-labelledby="done">
<h2 id="done">What was done</h2>
${outcome(result)}
</section>
${home(site)}`,
  });
}

/** An error that has nothing to do with a form. */
export function errorPage(problem: Problem, site: Site): Html {
  return layout({ title: 'Backups', failed: { problem, form: null }, body: home(site) });
}

/** For whoever may not know more. */
export function plainPage(title: string, text: string): Html {
  return layout({ title, body: html`<p>${text}</p>` });
}

function layout({ title, failed, body }: { title: string; failed?: Failed | undefined; body: Shown }): Html {
  return html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${failed && 'Error: '}${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${failed && errorSummary(failed)}
${body}
</main>
</body>
</html>
`;
}

function errorSummary(failed: Failed): Html {
  const { message, code } = failed.problem;
  const link = linkTo(failed);
  return html`<div class="note bad" role="alert" tabindex="-1" autofocus>
<h2>There is a problem</h2>
<p>${link ? html`<a href="${link}">${message}</a>` : message}</p>
<p class="soft"><code>${code}</code></p>
</div>`;
}

function home({ base }: Site): Html {
  return html`<p class="home"><a href="${base || '/'}">Back to backups</a></p>`;
}

function token({ token }: Site): Html {
  return html`<input type="hidden" name="csrf" value="${token}">`;
}

function modes(inputs: Inputs, mode: Choices['mode']): Html {
  return html`<fieldset><legend>Rows that are there already</legend>
${inputs.choice('radio', 'mode', 'merge', mode === 'merge', 'Merge: add what is missing, update what differs, keep the rest')}
${inputs.choice('radio', 'mode', 'flush', mode === 'flush', 'Replace: empty the tables of the backup first')}
</fieldset>`;
}
