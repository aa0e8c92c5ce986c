import type { Command } from 'commander';
import type { Check } from '../../doctor.ts';
import { BackupError } from '../../errors.ts';
import type { BackupConfig } from '../../settings.ts';
import { counted } from '../../texts.ts';
import type { App } from '../app.ts';
import { ExitCode } from '../exit-codes.ts';
import { appOptions, example, openingOptions } from '../options.ts';
import { givenKeys, type OpeningFlags } from '../secrets.ts';
import { type AppFlags, openApp, type Runner, type Session } from '../session.ts';
import { checkSummary, type TargetFlags, targetOptions, unattendedSettings } from '../unattended.ts';

/** `dbs doctor` */
export function doctorCommand(program: Command, run: Runner): void {
  const command = program
    .command('doctor')
    .description('Check everything that a backup and a restore will need: configuration, rights, destinations, keys.')
    .addHelpText('after', example('dbs doctor'));
  targetOptions(openingOptions(appOptions(command))).action(run(doctor));
}

async function doctor(session: Session, options: AppFlags & TargetFlags & OpeningFlags): Promise<ExitCode> {
  const { ctx, out } = session;
  const tally = { ok: 0, warning: 0, failed: 0 };
  const say = (check: Check) => {
    tally[check.status]++;
    out.print(check, checkSummary(check));
  };
  const library = await ctx.library();
  const env = { ...ctx.env };
  const opening = await givenKeys(ctx, options);
  const opened = await open(session, options).catch((error: unknown): Check => {
    if (!(error instanceof BackupError)) throw error;
    const { message, code } = error;
    const todo = 'Do what the message says. Nothing else could be checked.';
    return { type: 'check', name: 'configuration', status: 'failed', message: `${message} (${code})`, todo };
  });
  if ('type' in opened) say(opened);
  else {
    try {
      say({ type: 'check', name: 'configuration', status: 'ok', message: 'found, and it loads', todo: null });
      const { orms } = opened.app;
      for await (const check of library.diagnose(orms, opened.settings, { env, opening, signal: ctx.signal }))
        say(check);
    } finally {
      await opened.app.close();
    }
  }
  const ok = tally.failed === 0;
  const text = `${counted(tally.ok, 'check')} fine, ${counted(tally.warning, 'warning')}, ${tally.failed} failed`;
  out.result({ type: 'doctor', ok, fine: tally.ok, warnings: tally.warning, failed: tally.failed }, text);
  return ok ? ExitCode.OK : ExitCode.UNHEALTHY;
}

async function open(session: Session, options: AppFlags & TargetFlags): Promise<{ app: App; settings: BackupConfig }> {
  const app = await openApp(session, options);
  try {
    return { app, settings: await unattendedSettings(session, app, options) };
  } catch (error) {
    await app.close();
    throw error;
  }
}
