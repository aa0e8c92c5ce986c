import type { Command } from 'commander';
import type { BackupConfig } from '../../settings.ts';
import type { WriteResult } from '../../types.ts';
import { ExitCode } from '../exit-codes.ts';
import { type MaskFlags, maskOf, maskOptions } from '../mask.ts';
import { appOptions, example, sealingOptions, type WriteFlags, writeFlags, writeOptions } from '../options.ts';
import { type SealingFlags, sealing } from '../secrets.ts';
import { type AppFlags, openApp, type Runner, type Session, stdoutForData } from '../session.ts';
import { backupSummary } from '../summary.ts';
import { usage } from '../usage.ts';

type Options = AppFlags & WriteFlags & SealingFlags & MaskFlags;

/** `dbs backup FILE` */
export function backupCommand(program: Command, run: Runner): void {
  const command = program
    .command('backup')
    .description("Back up the app's database and files into FILE.")
    .argument('[file]', 'where to: a path, a folder or a URL, or - for stdout; not needed with --to')
    .addHelpText(
      'after',
      example(
        'dbs backup app.dbs',
        'dbs backup s3://backups/shop/ --to /mnt/backups/ --prefix shop',
        'dbs backup - --passphrase-file secret | ssh host "cat > app.dbs"',
      ),
    );
  writeOptions(sealingOptions(appOptions(maskOptions(command)))).action(run(backup));
}

async function backup(session: Session, file: string | undefined, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  if (file === undefined && !options.to) throw usage("Missing required argument 'file'. Say where to, or use --to.");
  const stdout = file === '-' ? stdoutForData(session, 'dbs backup - > app.dbs') : undefined;
  const keys = await sealing(ctx, options);
  const library = await ctx.library();
  const app = await openApp(session, options);
  try {
    const output = stdout ? library.streamSink(stdout, 'stdout') : file;
    const result = await library.createBackup(app.orms, await keys(), {
      ...(output === undefined ? {} : { output }),
      ...(options.to ? { outputs: options.to } : {}),
      ...(ctx.env.DBS_PREFIX ? { prefix: ctx.env.DBS_PREFIX } : {}),
      ...writeFlags(options),
      ...maskOf(ctx, options),
      ...(app.backupConfig === undefined ? {} : { config: app.backupConfig as BackupConfig }),
      signal: ctx.signal,
      onEvent: out.event,
    } as { outputs: string[] });
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
