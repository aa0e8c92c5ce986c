import { basename, dirname, extname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { example, withOption } from '../options.ts';
import { type Runner, readOptions, type Session } from '../session.ts';
import { repairSummary } from '../summary.ts';

interface Options {
  output?: string;
  inPlace?: boolean;
  force?: boolean;
  with?: string[];
}

/** `dbs repair FILE` */
export function repairCommand(program: Command, run: Runner): void {
  const command = program
    .command('repair')
    .description('Rewrite a damaged FILE to a perfect one, byte for byte as it was first written. Needs no passphrase.')
    .argument('<file>', 'a backup')
    .option('-o, --output <file>', 'where the repaired file goes (default: beside it, as NAME.repaired.dbs)')
    .addOption(new Option('--in-place', 'replace FILE, once the repaired one was verified').conflicts('output'))
    .option('-f, --force', 'replace the output if it exists')
    .addHelpText(
      'after',
      example('dbs repair app.dbs --in-place', 'dbs repair app.dbs --with /mnt/second/app.dbs -o whole.dbs'),
    );
  withOption(command).action(run(repair));
}

async function repair(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { output = beside(file), inPlace, force } = options;
  const library = await session.ctx.library();
  const report = await library.repairBackup(file, {
    ...readOptions(session, options),
    ...(inPlace ? { inPlace } : { output }),
    ...(force ? { force } : {}),
  });
  session.out.result(report, repairSummary(report));
  return report.report.damaged ? ExitCode.HEALED : ExitCode.OK;
}

function beside(file: string): string {
  const end = extname(file);
  return join(dirname(file), `${basename(file, end)}.repaired${end}`);
}
