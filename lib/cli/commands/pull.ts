import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, settingsOptions } from '../options.ts';
import { type AppFlags, type Runner, type Session, settingsFor } from '../session.ts';
import { transferSummary } from '../stored.ts';

interface Options extends AppFlags {
  force?: boolean;
}

/** `dbs pull URL [FILE]` */
export function pullCommand(program: Command, run: Runner): void {
  const command = program
    .command('pull')
    .description('Fetch a backup into a local file, verified and healed on the way. Needs no passphrase.')
    .argument('<url>', 'a backup: a URL or a path')
    .argument('[file]', 'where to: a file or a folder (default: its name, in this folder)')
    .option('-f, --force', 'replace FILE if it exists')
    .addHelpText(
      'after',
      example('dbs pull s3://backups/shop/shop-20261125-030000Z.dbs', 'dbs pull sftp://nas/app.dbs /mnt/'),
    );
  settingsOptions(command).action(run(pull));
}

async function pull(session: Session, url: string, file: string | undefined, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const settings = await settingsFor(session, options, url);
  const library = await ctx.library();
  out.resumable = true;
  const report = await library.pullBackup(url, file, {
    ...settings,
    ...(options.force ? { force: true } : {}),
    signal: ctx.signal,
    onEvent: out.event,
  });
  out.result(report, transferSummary(report));
  return report.healed ? ExitCode.HEALED : ExitCode.OK;
}
