import type { Command } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, sealingOptions, type WriteFlags, writeFlags, writeOptions } from '../options.ts';
import { type SealingFlags, sealing } from '../secrets.ts';
import { type Runner, type Session, stdoutForData } from '../session.ts';
import { sealSummary } from '../summary.ts';
import { usage } from '../usage.ts';

type Options = WriteFlags & SealingFlags;

/** `dbs seal [FILE]` */
export function sealCommand(program: Command, run: Runner): void {
  const command = program
    .command('seal')
    .description('Seal whatever comes on stdin, as it is, into FILE.')
    .argument('[file]', 'where to; stdout by default', '-')
    .addHelpText('after', example('pg_dump shop | dbs seal shop.dbs', 'dbs seal < disk.img > disk.dbs'));
  writeOptions(sealingOptions(command)).action(run(seal));
}

async function seal(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  if (ctx.stdin.isTTY) throw usage('Stdin is a terminal. Send what is to be sealed: pg_dump shop | dbs seal shop.dbs');
  const stdout = file === '-' ? stdoutForData(session, 'dbs seal < shop.sql > shop.dbs') : undefined;
  const keys = await sealing(ctx, options, { stdinTaken: true });
  const library = await ctx.library();
  const result = await library.sealStream(ctx.stdin, await keys(), {
    output: stdout ? library.streamSink(stdout, 'stdout') : file,
    ...writeFlags(options),
    signal: ctx.signal,
    onEvent: out.event,
  });
  out.result(result, sealSummary(result));
  return ExitCode.OK;
}
