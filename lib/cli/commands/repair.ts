import { basename, dirname, extname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { isUrl } from '../../destinations.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, settingsOptions, withOption } from '../options.ts';
import { type AppFlags, type Runner, readOptions, type Session } from '../session.ts';
import { repairSummary } from '../summary.ts';

interface Options extends AppFlags {
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
    .argument('<file>', 'a backup: a path or a URL')
    .option(
      '-o, --output <file>',
      'where the repaired file goes: a path or a URL (default: beside it, as NAME.repaired.dbs)',
    )
    .addOption(new Option('--in-place', 'replace FILE, once the repaired one was verified').conflicts('output'))
    .option('-f, --force', 'replace the output if it exists')
    .addHelpText(
      'after',
      example(
        'dbs repair app.dbs --in-place',
        'dbs repair app.dbs --with /mnt/second/app.dbs -o whole.dbs',
        'dbs repair s3://backups/shop/app.dbs --in-place',
      ),
    );
  settingsOptions(withOption(command)).action(run(repair));
}

async function repair(session: Session, file: string, options: Options): Promise<ExitCode> {
  const { output = beside(file), inPlace, force } = options;
  const library = await session.ctx.library();
  const report = await library.repairBackup(file, {
    ...(await readOptions(session, options, file, output)),
    ...(inPlace ? { inPlace } : { output }),
    ...(force ? { force } : {}),
  });
  session.out.result(report, repairSummary(report));
  return report.report.damaged ? ExitCode.HEALED : ExitCode.OK;
}

function beside(file: string): string {
  const end = extname(file);
  if (isUrl(file)) return `${file.slice(0, file.length - end.length)}.repaired${end}`;
  return join(dirname(file), `${basename(file, end)}.repaired${end}`);
}
