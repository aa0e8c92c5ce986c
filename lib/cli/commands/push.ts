import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, settingsOptions } from '../options.ts';
import { type AppFlags, type Runner, type Session, settingsFor } from '../session.ts';
import { transferSummary } from '../stored.ts';

interface Options extends AppFlags {
  force?: boolean;
}

/** `dbs push FILE URL` */
export function pushCommand(program: Command, run: Runner): void {
  const command = program
    .command('push')
    .description('Bring a backup to a folder or URL: verified before, and read back after. Needs no passphrase.')
    .argument('<file>', 'a backup: a path or a URL')
    .argument('<url>', 'where to: a folder or a URL that ends in /, where it keeps its name, or the file to be')
    .option('-f, --force', 'replace what has that name')
    .addHelpText('after', example('dbs push app.dbs s3://backups/shop/'));
  settingsOptions(command).action(run(push));
}

async function push(session: Session, file: string, url: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const settings = await settingsFor(session, options, file, url);
  const library = await ctx.library();
  out.resumable = true;
  const report = await library.pushBackup(file, url, {
    ...settings,
    ...(options.force ? { force: true } : {}),
    signal: ctx.signal,
    onEvent: out.event,
  });
  out.result(report, transferSummary(report));
  return report.healed ? ExitCode.HEALED : ExitCode.OK;
}
