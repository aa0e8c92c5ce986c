import type { Command } from 'commander';
import { isUrl } from '../../destinations.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, type RetentionFlags, retentionOptions, rulesOf, settingsOptions } from '../options.ts';
import { type AppFlags, loadedSettings, type Runner, type Session } from '../session.ts';
import { pruneSummary } from '../stored.ts';

interface Options extends AppFlags, RetentionFlags {
  prefix?: string;
  dryRun?: boolean;
}

/** `dbs prune URL` */
export function pruneCommand(program: Command, run: Runner): void {
  const command = program
    .command('prune')
    .description('Remove the backups that no rule keeps, from a folder or URL. The newest whole one always stays.')
    .argument('<url>', 'a folder, or a URL such as s3://bucket/prefix/ or sftp://target/folder/')
    .option('--prefix <name>', 'only backups of this prefix are touched (default: that of the settings, or backup)')
    .option('--dry-run', 'show what would stay and go, and why; remove nothing')
    .addHelpText(
      'after',
      example(
        'dbs prune s3://backups/shop/ --keep-daily 14 --keep-monthly 12 --dry-run',
        'dbs prune /mnt/backups --keep-last 7',
      ),
    );
  settingsOptions(retentionOptions(command)).action(run(prune));
}

async function prune(session: Session, url: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const given = rulesOf(options);
  // Where everything was said, a plain folder can be pruned by a machine that has no app.
  const enough = given !== undefined && options.prefix !== undefined && !isUrl(url);
  const settings = enough ? undefined : await loadedSettings(session, options);
  const prefix = options.prefix ?? settings?.prefix;
  const library = await ctx.library();
  const result = await library.pruneBackups(url, {
    rules: {
      ...(given ?? settings?.retention),
      ...(settings?.retention?.pins ? { pins: settings.retention.pins } : {}),
    },
    ...(prefix === undefined ? {} : { prefix }),
    ...(options.pin ? { pins: options.pin } : {}),
    ...(options.dryRun ? { dryRun: true } : {}),
    ...(settings ? { settings } : {}),
    signal: ctx.signal,
    onEvent: out.event,
  });
  if (options.dryRun) out.print(result, pruneSummary(result));
  else out.result(result, pruneSummary(result));
  return result.ok ? ExitCode.OK : ExitCode.PARTIAL;
}
