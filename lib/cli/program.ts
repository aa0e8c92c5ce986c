/** The `dbs` command line: its verbs, its global options, and how a run ends. */
import { Command, CommanderError } from 'commander';
import { backupCommand } from './commands/backup.ts';
import { catCommand } from './commands/cat.ts';
import { doctorCommand } from './commands/doctor.ts';
import { drillCommand } from './commands/drill.ts';
import { healthCommand } from './commands/health.ts';
import { inspectCommand } from './commands/inspect.ts';
import { keysCommand } from './commands/keys.ts';
import { listCommand } from './commands/list.ts';
import { lsCommand } from './commands/ls.ts';
import { pruneCommand } from './commands/prune.ts';
import { pullCommand } from './commands/pull.ts';
import { pushCommand } from './commands/push.ts';
import { repairCommand } from './commands/repair.ts';
import { restoreCommand } from './commands/restore.ts';
import { scheduleCommand } from './commands/schedule.ts';
import { sealCommand } from './commands/seal.ts';
import { unsealCommand } from './commands/unseal.ts';
import { validateCommand } from './commands/validate.ts';
import type { CliContext } from './context.ts';
import { ExitCode, exitCodeOf } from './exit-codes.ts';
import { type Runner, runner } from './session.ts';
import { Terminal } from './terminal.ts';
import { usage } from './usage.ts';

const COMMANDS: ((program: Command, run: Runner) => void)[] = [
  backupCommand,
  validateCommand,
  restoreCommand,
  inspectCommand,
  lsCommand,
  catCommand,
  sealCommand,
  unsealCommand,
  repairCommand,
  listCommand,
  pullCommand,
  pushCommand,
  pruneCommand,
  keysCommand,
  drillCommand,
  scheduleCommand,
  healthCommand,
  doctorCommand,
];

/**
 * Runs one command line (without the name of the program) to its exit code. Never throws, never exits: results and errors
 * have been said when it resolves.
 */
export async function runCli(argv: string[], ctx: CliContext, version = 'unknown'): Promise<ExitCode> {
  let code: ExitCode = ExitCode.OK;
  let terminal: Terminal | undefined;
  const run = runner(
    ctx,
    (result) => (code = result),
    (out) => (terminal = out),
  );
  try {
    await program(ctx, run, version).parseAsync(argv, { from: 'user' });
  } catch (thrown) {
    // Help and version were shown: commander throws for want of another way to stop.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return ExitCode.OK;
    // Whatever an abort makes of the pipelines, the abort is the reason.
    const error = ctx.signal.aborted ? ctx.signal.reason : fromCommander(thrown);
    code = exitCodeOf(error);
    (terminal ?? plain(argv, ctx)).fail(error, code);
  }
  terminal?.close();
  return code;
}

function program(ctx: CliContext, run: Runner, version: string): Command {
  const dbs = new Command('dbs')
    .description('Backups that heal themselves: one encrypted, redundant, self-repairing .dbs file.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .option('--json', 'print one JSON object a line')
    .option('-q, --quiet', 'print errors and warnings only')
    .option('--no-progress', 'show no progress')
    .option('--cwd <folder>', 'as if started in this folder')
    .addHelpText(
      'after',
      `\nExample:\n  $ dbs backup app.dbs && dbs validate app.dbs\n\nExit codes: 0 ok, 3 some sources were skipped, 4 healed, 6 beyond repair, 7 in part; all of them: docs/cli.md.`,
    )
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({
      writeOut: (text) => void ctx.stdout.write(text),
      writeErr: (text) => void ctx.stderr.write(text),
      // `fail` says it, in its own form.
      outputError: () => {},
      getOutHelpWidth: () => ctx.stdout.columns ?? 100,
      getErrHelpWidth: () => ctx.stderr.columns ?? 100,
    })
    .exitOverride();
  for (const register of COMMANDS) register(dbs, run);
  return dbs;
}

function fromCommander(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.code === 'commander.help') return usage('Which command? They are listed above.');
  const sentence = error.message.replace(/^error: /, '').replace(/\.?(\n|$)/, '.$1');
  return usage(`${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}`.trimEnd());
}

/** For command lines that were refused before their options were known. */
function plain(argv: string[], { stdout, stderr, env, now }: CliContext): Terminal {
  return new Terminal({ stdout, stderr, env, now, json: argv.includes('--json'), quiet: false, progress: false });
}
