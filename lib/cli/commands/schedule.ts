import type { Command } from 'commander';
import type { BackupEvent } from '../../events.ts';
import type { BackupConfig } from '../../settings.ts';
import type { SealingSecret } from '../../types.ts';
import type { App } from '../app.ts';
import { ExitCode, exitCodeOf, Interrupted } from '../exit-codes.ts';
import { appOptions, example, sealingOptions } from '../options.ts';
import { type SealingFlags, sealingOrSettings } from '../secrets.ts';
import { type AppFlags, openApp, type Runner, type Session } from '../session.ts';
import { runSummary, type TargetFlags, targetOptions, unattendedSettings } from '../unattended.ts';
import { usage } from '../usage.ts';

type Options = AppFlags & SealingFlags & TargetFlags & { at?: string; timezone?: string; once?: boolean };

/** `dbs schedule` */
export function scheduleCommand(program: Command, run: Runner): void {
  const command = program
    .command('schedule')
    .description("Back up the app by the clock, to its settings' destinations, until SIGTERM.")
    .option('--at <schedule>', 'a cron expression, or an interval such as 6h (default: $DBS_SCHEDULE, or the settings)')
    .option('--timezone <zone>', 'of the cron expression, such as Europe/Berlin')
    .option('--once', 'one run now, and its exit code')
    .addHelpText(
      'after',
      example('dbs schedule --at "0 3 * * *" --to s3://backups/shop/ --to /mnt/backups/', 'dbs schedule --once'),
    );
  targetOptions(sealingOptions(appOptions(command))).action(run(schedule));
}

async function schedule(session: Session, options: Options): Promise<ExitCode> {
  const { ctx } = session;
  if (options.once && (options.at !== undefined || options.timezone !== undefined))
    throw usage('--once makes a backup now: it goes with no --at and no --timezone.');
  const keys = await sealingOrSettings(ctx, options);
  const app = await openApp(session, options);
  try {
    const settings = { ...(await unattendedSettings(session, app, options)), ...(await when(session, options)) };
    const secret = await keys(settings);
    const common = { config: settings, secret, env: environment(ctx.env, options), onEvent: listener(session) };
    return options.once ? await once(session, app, common) : await byTheClock(session, app, common);
  } finally {
    await app.close();
  }
}

interface Common {
  config: BackupConfig;
  secret: SealingSecret | undefined;
  env: NodeJS.ProcessEnv;
  onEvent: (event: BackupEvent) => void;
}

async function once({ ctx }: Session, app: App, common: Common): Promise<ExitCode> {
  const { runBackup } = await ctx.library();
  const run = (await runBackup(app.orms, { ...common, signal: ctx.signal }))!;
  if (!run.ok) return ExitCode.PARTIAL;
  return run.skipped ? ExitCode.SKIPPED : ExitCode.OK;
}

async function byTheClock({ ctx, out }: Session, app: App, common: Common): Promise<ExitCode> {
  const { scheduleBackups } = await ctx.library();
  const running = scheduleBackups(app.orms, {
    ...common,
    signal: ctx.signal,
    ref: true,
    onError: (error) => out.fail(error, exitCodeOf(error)),
  });
  await running.done;
  await running.stop();
  const { reason } = ctx.signal;
  // SIGTERM is how a service is stopped: nothing is wrong. Ctrl-C is as everywhere.
  if (ctx.signal.aborted && !(reason instanceof Interrupted && reason.signal === 'SIGTERM')) throw reason;
  return ExitCode.OK;
}

async function when({ ctx }: Session, { at, timezone }: Options): Promise<Partial<BackupConfig>> {
  if (at === undefined) {
    if (timezone !== undefined) throw usage('--timezone belongs to --at. Give both.');
    return {};
  }
  const { scheduleFromText } = await ctx.library();
  return { schedule: { ...scheduleFromText(at), ...(timezone === undefined ? {} : { timezone }) } };
}

/** What options say must not be said otherwise by the environment a second time. */
function environment(env: NodeJS.ProcessEnv, { at, to, prefix }: Options): NodeJS.ProcessEnv {
  const rest = { ...env };
  if (at !== undefined) for (const name of ['DBS_SCHEDULE', 'DBS_TIMEZONE']) delete rest[name];
  if (to) delete rest.DBS_DESTINATIONS;
  if (prefix !== undefined) delete rest.DBS_PREFIX;
  return rest;
}

function listener({ out }: Session): (event: BackupEvent) => void {
  return (event) => {
    if (event.type === 'run') out.result(event, runSummary(event));
    else out.event(event);
  };
}
