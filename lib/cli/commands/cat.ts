import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { ExitCode } from '../exit-codes.ts';
import { example, openingOptions, settingsOptions, withOption } from '../options.ts';
import { type OpeningFlags, opening } from '../secrets.ts';
import { type AppFlags, contentExit, type Runner, readOptions, type Session, sourceOf } from '../session.ts';

interface Options extends OpeningFlags, AppFlags {
  with?: string[];
}

/** `dbs cat FILE NAME` */
export function catCommand(program: Command, run: Runner): void {
  const command = program
    .command('cat')
    .description('Write one table (as lines of JSON) or one file out of FILE to stdout.')
    .argument('<file>', 'a backup: a path, a URL, or - for stdin')
    .argument('<name>', 'an entity, a table, or a path, as `dbs ls` shows it')
    .addHelpText('after', example('dbs cat app.dbs Product | head', 'dbs cat app.dbs uploads/logo.png > logo.png'));
  openingOptions(settingsOptions(withOption(command))).action(run(cat));
}

async function cat(session: Session, file: string, name: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const source = sourceOf(session, file);
  const keys = await opening(ctx, options, { stdinTaken: file === '-' });
  out.reserveStdout();
  const read = await readOptions(session, options, file);
  const library = await ctx.library();
  const entry = await library.readEntry(source, await keys(), name, read);
  await pipeline(entry, ctx.stdout, { signal: ctx.signal, end: false });
  return contentExit(session, file);
}
