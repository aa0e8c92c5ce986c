import type { Command } from 'commander';
import { asPlace } from '../../destinations.ts';
import type { BackupConfig } from '../../settings.ts';
import type { WriteResult } from '../../types.ts';
import { ExitCode } from '../exit-codes.ts';
import { type MaskFlags, maskOf, maskOptions } from '../mask.ts';
import { appOptions, example, sealingOptions, type WriteFlags, writeFlags, writeOptions } from '../options.ts';
import { type SealingFlags, sealingOrSettings } from '../secrets.ts';
import { type AppFlags, openApp, type Runner, type Session, stdoutForData } from '../session.ts';
import { backupSummary } from '../summary.ts';
import { usage } from '../usage.ts';

type Options = AppFlags & WriteFlags & SealingFlags & MaskFlags;

/** `dbs backup FILE` */
export function backupCommand(program: Command, run: Runner): void {
  const command = program
    .command('backup')
    .description("Back up the app's database and files into FILE.")
    .argument(
      '[file]',
      'where to: a path, a folder or a URL, or - for stdout (default: --to, $DBS_DESTINATIONS or the settings)',
    )
    .addHelpText(
      'after',
      example(
        'dbs backup app.dbs',
        'dbs backup s3://backups/shop/ --to /mnt/backups/ --prefix shop',
        'dbs backup',
        'dbs backup - --passphrase-file secret | ssh host "cat > app.dbs"',
      ),
    );
  writeOptions(sealingOptions(appOptions(maskOptions(command)))).action(run(backup));
}

async function backup(session: Session, file: string | undefined, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const stdout = file === '-' ? stdoutForData(session, 'dbs backup - > app.dbs') : undefined;
  const keys = await sealingOrSettings(ctx, options);
  const library = await ctx.library();
  const app = await openApp(session, options);
  try {
    const config = library.withEnvironment((app.backupConfig ?? {}) as BackupConfig, ctx.env);
    const output = stdout ? library.streamSink(stdout, 'stdout') : file;
    const outputs = options.to ?? (file === undefined ? config.destinations?.map(asPlace) : undefined);
    if (file === undefined && !outputs?.length)
      throw usage("Missing required argument 'file'. Say where to, use --to, or set destinations ($DBS_DESTINATIONS).");
    const secret = (await keys(config)) ?? (await library.unattendedSecret(config, ctx.env));
    const result = await library.createBackup(app.orms, secret, {
      ...(output === undefined ? {} : { output }),
      ...(outputs ? { outputs } : {}),
      ...writeFlags(options),
      ...maskOf(ctx, options),
      ...(Object.keys(config).length ? { config } : {}),
      signal: ctx.signal,
      onEvent: out.event,
    } as { outputs: NonNullable<BackupConfig['destinations']> });
    out.result(result, backupSummary(result));
    return writtenExit(result) ?? (result.skipped.length ? ExitCode.SKIPPED : ExitCode.OK);
  } finally {
    await app.close();
  }
}

/** Where one of several outputs does not have it. */
export function writtenExit({ outputs }: WriteResult): ExitCode | undefined {
  return outputs.every(({ ok }) => ok) ? undefined : ExitCode.PARTIAL;
}
