/** One run of one command: what it gets, and how it ends. */
import type { Command } from 'commander';
import { isUrl } from '../destinations.ts';
import { ConfigError } from '../errors.ts';
import type { BackupConfig } from '../settings.ts';
import type { BackupSource } from '../types.ts';
import type { App, AppOptions } from './app.ts';
import type { CliContext } from './context.ts';
import { ExitCode } from './exit-codes.ts';
import { healedAdvice } from './summary.ts';
import { Terminal } from './terminal.ts';
import { usage } from './usage.ts';

/** Options of `dbs` itself. */
export interface GlobalOptions {
  json?: boolean;
  quiet?: boolean;
  progress?: boolean;
  cwd?: string;
}

/** What every command works with. */
export interface Session {
  ctx: CliContext;
  out: Terminal;
}

/** A command's body: resolves to its exit code. Commander passes arguments, then options. */
export type Handler<Args extends unknown[]> = (session: Session, ...args: Args) => Promise<ExitCode>;

/** Makes a commander action of a body. */
export type Runner = <Args extends unknown[]>(body: Handler<Args>) => (...args: [...Args, Command]) => Promise<void>;

/** Applies the global options, and keeps what the command resolves to in `done`. */
export function runner(ctx: CliContext, done: (code: ExitCode) => void, open: (out: Terminal) => void): Runner {
  return (body) =>
    async (...args) => {
      const command = args.at(-1) as Command;
      const { json = false, quiet = false, progress = true, cwd } = command.optsWithGlobals<GlobalOptions>();
      const { stdout, stderr, env, now } = ctx;
      const out = new Terminal({ stdout, stderr, env, now, json, quiet, progress });
      open(out);
      if (cwd !== undefined) enter(ctx, cwd);
      ctx.signal.throwIfAborted();
      done(await body({ ctx, out }, ...(args.slice(0, -1) as never)));
    };
}

function enter(ctx: CliContext, folder: string): void {
  try {
    ctx.chdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usage(`--cwd ${folder} cannot be entered (${code}). Name a folder.`, { path: folder });
  }
}

/** A source argument: a path, a URL, or `-` for stdin, as random access if it is a file. */
export function sourceOf({ ctx }: Session, argument: string): BackupSource {
  if (argument !== '-') return argument;
  if (ctx.stdin.isTTY) throw usage('Stdin is a terminal. Send a backup to it: dbs validate - < app.dbs');
  return ctx.stdinFile() ?? ctx.stdin;
}

/** How a command ends that read part of a backup: it may have met damage on the way. */
export function contentExit({ out }: Session, file: string): ExitCode {
  if (!out.healed) return ExitCode.OK;
  out.event({ type: 'warning', code: 'WARN_HEALED', message: healedAdvice(file) });
  return ExitCode.HEALED;
}

/** The `--with` files, `--file-id`, and what URLs need. */
export async function readOptions(
  session: Session,
  options: AppFlags & { with?: string[]; fileId?: string },
  ...places: string[]
) {
  const { ctx, out } = session;
  return {
    ...(await settingsFor(session, options, ...places, ...(options.with ?? []))),
    signal: ctx.signal,
    onEvent: out.event,
    ...(options.with?.length ? { with: options.with as BackupSource[] } : {}),
    ...(options.fileId ? { fileId: options.fileId.toLowerCase() } : {}),
  };
}

/**
 * What the URLs among `places` need: the app's settings where there is an app, or those of `--config-dbs`, with the environment before them. For plain paths nothing is loaded.
 */
export async function settingsFor(
  session: Session,
  flags: AppFlags,
  ...places: (string | undefined)[]
): Promise<{ settings?: BackupConfig }> {
  return places.some(isFar) ? { settings: await loadedSettings(session, flags) } : {};
}

/** The same, whatever the places are. */
export async function loadedSettings({ ctx }: Session, flags: AppFlags): Promise<BackupConfig> {
  const config = await ctx.loadSettings(appOf(ctx, flags));
  const { withEnvironment } = await import('../settings-environment.ts');
  return withEnvironment((config ?? {}) as BackupConfig, ctx.env);
}

/** Whether it takes settings to open it. */
export function isFar(place: string | undefined): boolean {
  return place !== undefined && isUrl(place) && !/^file:/i.test(place);
}

/** Reserves stdout for a backup. @throws ConfigError ERR_CLI_STDOUT_TTY */
export function stdoutForData({ ctx, out }: Session, example: string) {
  if (ctx.stdout.isTTY) {
    throw new ConfigError('ERR_CLI_STDOUT_TTY', `A backup is not for a terminal. Send it somewhere: ${example}`);
  }
  out.reserveStdout({ whole: true });
  return ctx.stdout;
}

/** Which app, and which of its configurations. */
export interface AppFlags {
  config?: string;
  context?: string[];
  configDbs?: string;
}

/** The app in the current folder. What it holds open is the caller's to close. */
export async function openApp({ ctx }: Session, flags: AppFlags): Promise<App> {
  ctx.signal.throwIfAborted();
  const app = await ctx.loadApp(appOf(ctx, flags));
  if (!ctx.signal.aborted) return app;
  await app.close();
  throw ctx.signal.reason;
}

function appOf(ctx: CliContext, { config, context, configDbs }: AppFlags): AppOptions {
  return {
    cwd: ctx.cwd(),
    env: ctx.env,
    ...(config === undefined ? {} : { config }),
    ...(context ? { contexts: context } : {}),
    ...(configDbs === undefined ? {} : { configDbs }),
  };
}
