import type { Command } from 'commander';
import type { BackupConfig } from '../../settings.ts';
import { ExitCode } from '../exit-codes.ts';
import { appOptions, example, sealingOptions, type WriteFlags, writeFlags, writeOptions } from '../options.ts';
import { type SealingFlags, sealing } from '../secrets.ts';
import { type AppFlags, openApp, type Runner, type Session, stdoutForData } from '../session.ts';
import { backupSummary } from '../summary.ts';

type Options = AppFlags & WriteFlags & SealingFlags;

/** `dbs backup FILE` */
export function backupCommand(program: Command, run: Runner): void {
  const command = program
    .command('backup')
    .description("Back up the app's database and files into FILE.")
    .argument('<file>', 'where to, or - for stdout')
    .addHelpText(
      'after',
      example('dbs backup app.dbs', 'dbs backup - --passphrase-file secret | ssh host "cat > app.dbs"'),
    );
  writeOptions(sealingOptions(appOptions(command))).action(run(backup));
}

async function backup(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const stdout = file === '-' ? stdoutForData(session, 'dbs backup - > app.dbs') : undefined;
  const keys = await sealing(ctx, options);
  const library = await ctx.library();
  const app = await openApp(session, options);
  try {
    const result = await library.createBackup(app.orms, await keys(), {
      output: stdout ? library.streamSink(stdout, 'stdout') : file,
      ...writeFlags(options),
      ...(app.backupConfig === undefined ? {} : { config: app.backupConfig as BackupConfig }),
      signal: ctx.signal,
      onEvent: out.event,
    });
    out.result(result, backupSummary(result));
    return result.skipped.length ? ExitCode.SKIPPED : ExitCode.OK;
  } finally {
    await app.close();
  }
}
