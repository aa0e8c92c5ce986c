import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, openingOptions, settingsOptions, withOption } from '../options.ts';
import { givenKeys, type OpeningFlags, opening } from '../secrets.ts';
import { type AppFlags, type Runner, readOptions, type Session, sourceOf } from '../session.ts';

interface Options extends OpeningFlags, AppFlags {
  authentic?: boolean;
  with?: string[];
}

/** `dbs validate FILE` */
export function validateCommand(program: Command, run: Runner): void {
  const command = program
    .command('validate')
    .description(
      'Read all of FILE and say what state it is in. Needs no passphrase; with one, authenticity is checked too.',
    )
    .argument('<file>', 'a backup: a path, a URL, or - for stdin')
    .option('--authentic', 'check authenticity: asks for the passphrase unless it is given')
    .addHelpText('after', example('dbs validate app.dbs', 'dbs validate app.dbs --passphrase-file secret'));
  openingOptions(settingsOptions(withOption(command))).action(run(validate));
}

async function validate(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const source = sourceOf(session, file);
  const wanted = { stdinTaken: file === '-' };
  const secret = options.authentic
    ? await (await opening(ctx, options, wanted))()
    : await givenKeys(ctx, options, wanted);
  const library = await ctx.library();
  const report = await library.validateBackup(source, secret, await readOptions(session, options, file));
  out.result(report, report.summary());
  if (!report.ok) return ExitCode.UNRECOVERABLE;
  return report.damaged ? ExitCode.HEALED : ExitCode.OK;
}
