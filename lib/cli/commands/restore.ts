import type { Command } from 'commander';
import type { BackupConfig } from '../../orm/registry.ts';
import { ExitCode } from '../exit-codes.ts';
import { appOptions, example, list, passphraseOptions, withOption } from '../options.ts';
import { askPassphrase, givenPassphrase, type PassphraseOptions } from '../passphrase.ts';
import { type AppFlags, openApp, type Runner, readOptions, type Session, sourceOf } from '../session.ts';
import { restoreSummary } from '../summary.ts';

interface Options extends AppFlags, PassphraseOptions {
  flush?: boolean;
  dryRun?: boolean;
  only?: string[];
  except?: string[];
  allowDrift?: boolean;
  with?: string[];
}

/** `dbs restore FILE` */
export function restoreCommand(program: Command, run: Runner): void {
  const command = program
    .command('restore')
    .description("Bring the backup in FILE back into the app's database and files: all of it, or nothing.")
    .argument('<file>', 'a backup, or - for stdin')
    .option('--flush', 'empty the tables of the backup first (default: merge by primary key)')
    .option('--dry-run', 'do everything, then undo it: says whether it would work')
    .option('--only <names>', 'only these entities or tables, separated by commas', list)
    .option('--except <names>', 'all but these', list)
    .option('--allow-drift', 'go on although the target lacks columns of the backup')
    .addHelpText('after', example('dbs restore app.dbs --dry-run', 'dbs restore app.dbs --flush'));
  passphraseOptions(appOptions(withOption(command))).action(run(restore));
}

async function restore(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const { flush, dryRun, only, except, allowDrift } = options;
  const source = sourceOf(session, file);
  const given = await givenPassphrase(ctx, options, { stdinTaken: file === '-' });
  const library = await ctx.library();
  const app = await openApp(session, options);
  try {
    const keys = { passphrase: given ?? (await askPassphrase(ctx)) };
    const result = await library.restoreBackup(app.orms, source, keys, {
      ...readOptions(session, options),
      ...(app.backupConfig === undefined ? {} : { config: app.backupConfig as BackupConfig }),
      ...(flush ? { mode: 'flush' as const } : {}),
      ...(dryRun ? { dryRun } : {}),
      ...(only ? { only } : {}),
      ...(except ? { except } : {}),
      ...(allowDrift ? { allowDrift } : {}),
    });
    out.result(result, restoreSummary(result, file));
    return result.healed ? ExitCode.HEALED : ExitCode.OK;
  } finally {
    await app.close();
  }
}
