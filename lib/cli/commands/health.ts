import { type Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../exit-codes.ts';
import { appOptions, example } from '../options.ts';
import { type AppFlags, openApp, type Runner, type Session } from '../session.ts';
import { healthSummary, type TargetFlags, targetOptions, unattendedSettings } from '../unattended.ts';

type Options = AppFlags & TargetFlags & { maxAge?: string; minFree?: number; validate?: boolean };

/** `dbs health` */
export function healthCommand(program: Command, run: Runner): void {
  const command = program
    .command('health')
    .description('Say whether backups are as they should be: age, last run, free space, last validation.')
    .option(
      '--max-age <time>',
      "of the newest backup, such as 25h (default: twice the schedule's interval and 1h, or 25h)",
    )
    .option('--min-free <bytes>', 'that must be free (default: one and a half times the newest backup)', bytes)
    .option('--validate', 'read the newest backup at each destination from end to end')
    .addHelpText('after', example('dbs health --json --max-age 25h'));
  targetOptions(appOptions(command)).action(run(health));
}

async function health(session: Session, { maxAge, minFree, validate, ...options }: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const library = await ctx.library();
  const app = await openApp(session, options);
  try {
    const settings = await unattendedSettings(session, app, options);
    const report = await library.checkHealth(settings, { maxAge, minFree, validate, signal: ctx.signal });
    out.print(report, healthSummary(report));
    return report.ok ? ExitCode.OK : ExitCode.UNHEALTHY;
  } finally {
    await app.close();
  }
}

const UNITS = { '': 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3, tib: 1024 ** 4 };

function bytes(text: string): number {
  const [, number, unit = ''] = /^(\d{1,15})(|kib|mib|gib|tib)$/.exec(text.toLowerCase()) ?? [];
  if (number === undefined) throw new InvalidArgumentError('Give a number of bytes, or as 5GiB.');
  return Number(number) * UNITS[unit as keyof typeof UNITS];
}
