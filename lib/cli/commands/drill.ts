import { randomInt } from 'node:crypto';
import { constants, copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { isUrl } from '../../destinations.ts';
import { SourceError } from '../../errors.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, repeated, settingsOptions } from '../options.ts';
import { type AppFlags, type Runner, readOptions, type Session } from '../session.ts';

interface Options extends AppFlags {
  damage: string[];
  seed?: string;
  keep?: string;
}

const DAMAGES = `
Damage, each with sizes in bytes, KiB, MiB, GiB or % of the file:
  flip:RATE  sectors:SIZE:RATE  burst:SIZE[:COUNT]  zero:SIZE[@PLACE]  overwrite:SIZE[@PLACE]  splice:SIZE[@PLACE]
  cut-head:SIZE  cut-tail:SIZE  insert:SIZE[:COUNT][@PLACE]  delete:SIZE[:COUNT][@PLACE]  swap:SIZE[:COUNT]  duplicate:SIZE[:COUNT]
`;

/** `dbs drill FILE` */
export function drillCommand(program: Command, run: Runner): void {
  const command = program
    .command('drill')
    .description('Damage a copy of FILE on purpose, and see whether it heals. FILE itself is only read.')
    .argument('<file>', 'a backup: a path or a URL')
    .requiredOption('--damage <what>', 'what to do to it; several times, or joined by commas', repeated)
    .option('--seed <text>', 'the same seed does the same damage (default: a random one, which is shown)')
    .option('--keep <file>', 'keep the damaged copy there')
    .addHelpText('after', DAMAGES + example('dbs drill app.dbs --damage sectors:4096:0.01 --seed 7'));
  settingsOptions(command).action(run(drill));
}

async function drill(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const { damage, seed = String(randomInt(1_000_000)), keep } = options;
  const [library, testkit] = [await ctx.library(), await ctx.testkit()];
  const folder = keep === undefined ? await mkdtemp(join(tmpdir(), 'dbs-drill-')) : null;
  try {
    const copy = keep ?? join(folder as string, 'copy.dbs');
    if (isUrl(file)) await library.pullBackup(file, copy, await readOptions(session, options, file));
    else await copyBackup(file, copy);
    const corruption = await testkit.corruptFile(copy, damage.join(','), { seed });
    const report = await library.validateBackup(copy, undefined, await readOptions(session, {}));
    const verdict = report.ok ? 'SURVIVED: everything can be restored.' : 'NOT SURVIVED: part of it is lost.';
    out.result(
      { type: 'drill', survived: report.ok, seed, wounds: corruption.wounds, report },
      `${corruption.summary()}\n${report.summary()}\n${verdict}`,
    );
    return report.ok ? ExitCode.OK : ExitCode.UNRECOVERABLE;
  } finally {
    if (folder) await rm(folder, { recursive: true, force: true });
  }
}

async function copyBackup(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const options = { cause: error, facts: { path: from } };
    if (code === 'ENOENT')
      throw new SourceError('ERR_SOURCE_NOT_FOUND', `There is no file ${from}. Check the path.`, options);
    throw new SourceError('ERR_SOURCE_READ', `${from} cannot be copied to ${to} (${code}). Nothing was done.`, options);
  }
}
