import { once } from 'node:events';
import type { Command } from 'commander';
import { count, printable, size } from '../../texts.ts';
import type { ListEntry } from '../../types.ts';
import type { ExitCode } from '../exit-codes.ts';
import { example, openingOptions, settingsOptions, withOption } from '../options.ts';
import { type OpeningFlags, opening } from '../secrets.ts';
import { type AppFlags, contentExit, type Runner, readOptions, type Session, sourceOf } from '../session.ts';

interface Options extends OpeningFlags, AppFlags {
  with?: string[];
}

/** `dbs ls FILE` */
export function lsCommand(program: Command, run: Runner): void {
  const command = program
    .command('ls')
    .description('List the tables and files in FILE.')
    .argument('<file>', 'a backup: a path, a URL, or - for stdin')
    .addHelpText('after', example('dbs ls app.dbs', 'dbs ls app.dbs --json'));
  openingOptions(settingsOptions(withOption(command))).action(run(ls));
}

async function ls(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const source = sourceOf(session, file);
  const keys = await opening(ctx, options, { stdinTaken: file === '-' });
  const read = await readOptions(session, options, file);
  const library = await ctx.library();
  const print = async (value: ListEntry | null, text: string) => {
    // A backup may hold a million files: the reader of stdout sets the pace.
    if (!out.print(value, text)) await once(ctx.stdout, 'drain', { signal: ctx.signal });
  };
  let titled = false;
  for await (const entry of library.listBackup(source, await keys(), read)) {
    if (!titled) await print(null, row('KIND', 'ROWS', 'SIZE', 'NAME'));
    titled = true;
    await print(entry, line(entry));
  }
  return contentExit(session, file);
}

function line(entry: ListEntry): string {
  if (entry.type === 'file' && entry.kind === 'stream')
    return row('stream', '', size(entry.size), '(for `dbs unseal`)');
  if (entry.type === 'file')
    return row(entry.kind, '', size(entry.size), [entry.root, entry.path].filter(Boolean).join('/'));
  const entities = entry.entities.filter((name) => name !== entry.name);
  const name = entities.length ? `${entry.name} (${entities.join(', ')})` : entry.name;
  return row('table', count(entry.rows), size(entry.bytes), name);
}

/** Fixed widths: entries are shown as they come. */
function row(kind: string, rows: string, bytes: string, name: string): string {
  return `${kind.padEnd(6)} ${rows.padStart(13)} ${bytes.padStart(10)}  ${printable(name)}`;
}
