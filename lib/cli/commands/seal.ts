import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, sealingOptions, settingsOptions, type WriteFlags, writeFlags, writeOptions } from '../options.ts';
import { type SealingFlags, sealing } from '../secrets.ts';
import { type AppFlags, type Runner, type Session, settingsFor, stdoutForData } from '../session.ts';
import { sealSummary } from '../summary.ts';
import { usage } from '../usage.ts';
import { writtenExit } from './backup.ts';

type Options = AppFlags & WriteFlags & SealingFlags;

/** `dbs seal [FILE]` */
export function sealCommand(program: Command, run: Runner): void {
  const command = program
    .command('seal')
    .description('Seal whatever comes on stdin, as it is, into FILE.')
    .argument('[file]', 'where to: a path, a folder or a URL; stdout by default, or nothing more than --to')
    .addHelpText('after', example('pg_dump shop | dbs seal shop.dbs', 'dbs seal < disk.img > disk.dbs'));
  settingsOptions(writeOptions(sealingOptions(command))).action(run(seal));
}

async function seal(session: Session, file: string | undefined, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const { to, mirror } = options;
  if (ctx.stdin.isTTY) throw usage('Stdin is a terminal. Send what is to be sealed: pg_dump shop | dbs seal shop.dbs');
  const toStdout = file === '-' || (file === undefined && !to);
  const stdout = toStdout ? stdoutForData(session, 'dbs seal < shop.sql > shop.dbs') : undefined;
  const keys = await sealing(ctx, options, { stdinTaken: true });
  const settings = await settingsFor(session, options, file, mirror, ...(to ?? []));
  const library = await ctx.library();
  const output = stdout ? library.streamSink(stdout, 'stdout') : file;
  const result = await library.sealStream(ctx.stdin, await keys(), {
    ...settings,
    ...(output === undefined ? {} : { output }),
    ...(to ? { outputs: to } : {}),
    ...(settings.settings?.prefix ? { prefix: settings.settings.prefix } : {}),
    ...writeFlags(options),
    signal: ctx.signal,
    onEvent: out.event,
  });
  out.result(result, sealSummary(result));
  return writtenExit(result) ?? ExitCode.OK;
}
