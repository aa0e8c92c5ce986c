import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, passphraseOptions, withOption } from '../options.ts';
import { askPassphrase, givenPassphrase, type PassphraseOptions } from '../passphrase.ts';
import { type Runner, readOptions, type Session, sourceOf } from '../session.ts';

interface Options extends PassphraseOptions {
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
    .argument('<file>', 'a backup, or - for stdin')
    .option('--authentic', 'check authenticity: asks for the passphrase unless it is given')
    .addHelpText('after', example('dbs validate app.dbs', 'dbs validate app.dbs --passphrase-file secret'));
  passphraseOptions(withOption(command)).action(run(validate));
}

async function validate(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const source = sourceOf(session, file);
  const given = await givenPassphrase(ctx, options, { stdinTaken: file === '-' });
  const secret = options.authentic ? (given ?? (await askPassphrase(ctx))) : given;
  const library = await ctx.library();
  const report = await library.validateBackup(source, secret, readOptions(session, options));
  out.result(report, report.summary());
  if (!report.ok) return ExitCode.UNRECOVERABLE;
  return report.damaged ? ExitCode.HEALED : ExitCode.OK;
}
