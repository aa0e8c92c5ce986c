import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, settingsOptions, withOption } from '../options.ts';
import { type AppFlags, type Runner, readOptions, type Session, sourceOf } from '../session.ts';
import { inspectSummary } from '../summary.ts';

/** `dbs inspect FILE` */
export function inspectCommand(program: Command, run: Runner): void {
  const command = program
    .command('inspect')
    .description('Show sizes, layout, key slots, health, and what FILE survives, in numbers. Needs no passphrase.')
    .argument('<file>', 'a backup: a path, a URL, or - for stdin')
    .addHelpText('after', example('dbs inspect app.dbs'));
  settingsOptions(withOption(command)).action(run(inspect));
}

async function inspect(session: Session, file: string, options: AppFlags & { with?: string[] }): Promise<ExitCode> {
  const source = sourceOf(session, file);
  const library = await session.ctx.library();
  const report = await library.inspectBackup(source, await readOptions(session, options, file));
  session.out.print(report, inspectSummary(report));
  return ExitCode.OK;
}
