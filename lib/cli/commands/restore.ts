import { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { BackupConfig } from '../../settings.ts';
import type { BackupSource, OpeningSecret, ReadOptions } from '../../types.ts';
import { ExitCode } from '../exit-codes.ts';
import { type MaskFlags, maskOf, maskOptions } from '../mask.ts';
import { appOptions, example, list, openingOptions, withOption } from '../options.ts';
import { askPassphrase } from '../passphrase.ts';
import { givenKeys, type OpeningFlags } from '../secrets.ts';
import { type AppFlags, isFar, openApp, type Runner, readOptions, type Session, sourceOf } from '../session.ts';
import { incompleteFiles, restoreSummary } from '../summary.ts';

interface Options extends AppFlags, OpeningFlags, MaskFlags {
  flush?: boolean;
  dryRun?: boolean;
  only?: string[];
  except?: string[];
  allowDrift?: boolean;
  allowLossy?: boolean;
  allowDangling?: boolean;
  allowTriggers?: boolean;
  salvage?: boolean;
  with?: string[];
}

/** `dbs restore FILE` */
export function restoreCommand(program: Command, run: Runner): void {
  const command = program
    .command('restore')
    .description("Bring the backup in FILE back into the app's database and files: all of it, or nothing.")
    .argument('<file>', 'a backup: a path, a URL, or - for stdin')
    .option('--flush', 'empty the tables of the backup first (default: merge by primary key)')
    .option('--dry-run', 'do everything, then undo it: says whether it would work')
    .option('--only <names>', 'only these entities or tables, separated by commas', list)
    .option('--except <names>', 'all but these', list)
    .option('--allow-drift', 'go on although the target lacks columns of the backup, or its types hold less')
    .option('--allow-lossy', 'of that, conversions only: into another kind of database, digits may get lost')
    .option('--allow-dangling', 'accept rows that refer to rows which are not there')
    .option('--allow-triggers', 'MariaDB, MySQL: let triggers fire for restored rows (they cannot be switched off)')
    .option('--salvage', 'beyond repair: restore what is intact, into an empty target, and say what is lost')
    .addHelpText('after', example('dbs restore app.dbs --dry-run', 'dbs restore app.dbs --flush'));
  openingOptions(appOptions(withOption(maskOptions(command)))).action(run(restore));
}

async function restore(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const { flush, dryRun, only, except, allowDrift, allowLossy, allowDangling, allowTriggers, salvage } = options;
  const source = sourceOf(session, file);
  const given = await givenKeys(ctx, options, { stdinTaken: file === '-' });
  const library = await ctx.library();
  const read = await readOptions(session, options);
  const near = ![file, ...(options.with ?? [])].some(isFar);
  const secret = given && near ? await tried(session, source, given, read) : given;
  const app = await openApp(session, options);
  try {
    const result = await library.restoreBackup(app.orms, source, secret ?? { passphrase: await askPassphrase(ctx) }, {
      ...read,
      ...(app.backupConfig === undefined ? {} : { config: app.backupConfig as BackupConfig }),
      ...(flush ? { mode: 'flush' as const } : {}),
      ...(dryRun ? { dryRun } : {}),
      ...(only ? { only } : {}),
      ...(except ? { except } : {}),
      ...(allowDrift ? { allowDrift } : {}),
      ...(allowLossy ? { allowLossy } : {}),
      ...maskOf(ctx, options),
      ...(allowDangling ? { allowDangling } : {}),
      ...(allowTriggers ? { allowTriggers } : {}),
      ...(salvage ? { salvage } : {}),
    });
    out.result(result, restoreSummary(result, file));
    if (result.refused) return ExitCode.SCHEMA_MISMATCH;
    if (result.losses) return ExitCode.SALVAGED;
    if (result.healed) return ExitCode.HEALED;
    return incompleteFiles(result) ? ExitCode.SKIPPED : ExitCode.OK;
  } finally {
    await app.close();
  }
}

/**
 * A key that was given is tried before the app is loaded: Argon2id's memory is then given back before the app's is taken, and a wrong passphrase is said before a database is
 * asked. A stream could not be read a second time.
 */
async function tried(
  { ctx }: Session,
  source: BackupSource,
  given: OpeningSecret,
  read: ReadOptions,
): Promise<OpeningSecret> {
  if (source instanceof Readable) return given;
  const { unlockBackup } = await ctx.library();
  return unlockBackup(source, given, read);
}
