import type { Command } from 'commander';
import { size } from '../../texts.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, openingOptions, settingsOptions, withOption } from '../options.ts';
import { type OpeningFlags, opening } from '../secrets.ts';
import { type AppFlags, type Runner, readOptions, type Session, sourceOf } from '../session.ts';
import { healedAdvice } from '../summary.ts';

interface Options extends OpeningFlags, AppFlags {
  with?: string[];
}

/** `dbs unseal [FILE]` */
export function unsealCommand(program: Command, run: Runner): void {
  const command = program
    .command('unseal')
    .description('Write what `dbs seal` sealed to stdout again, once all of it is verified.')
    .argument('[file]', 'a sealed file: a path or a URL; stdin by default', '-')
    .addHelpText('after', example('dbs unseal shop.dbs | psql shop', 'dbs unseal < disk.dbs > disk.img'));
  openingOptions(settingsOptions(withOption(command))).action(run(unseal));
}

async function unseal(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const source = sourceOf(session, file);
  out.reserveStdout({ whole: true });
  const keys = await opening(ctx, options, { stdinTaken: file === '-' });
  const read = await readOptions(session, options, file);
  const library = await ctx.library();
  const report = await library.unsealStream(source, await keys(), ctx.stdout, read);
  out.result(
    report,
    report.damaged ? healedAdvice(file) : `Unsealed ${size(report.totals?.bytes ?? 0)}: verified, complete.`,
  );
  return report.damaged ? ExitCode.HEALED : ExitCode.OK;
}
