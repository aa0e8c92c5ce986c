#!/usr/bin/env node
/** The `dbs` program. Everything worth reading is in program.ts and commands/. */
import { VERSION } from '../version.ts';
import { processContext } from './context.ts';
import { ExitCode, Interrupted } from './exit-codes.ts';
import { runCli } from './program.ts';
import { flushed, guardStdout } from './stdio.ts';

const abort = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The first one lets everything clean up behind itself; who asks twice does not want to wait for that.
    if (abort.signal.aborted) process.exit(ExitCode.INTERRUPTED);
    abort.abort(new Interrupted(signal));
  });
}

const stdout = guardStdout();
stdout.on('error', () => abort.abort(new Interrupted('SIGPIPE')));

const code = await runCli(process.argv.slice(2), processContext(stdout, abort.signal), VERSION);
await flushed(stdout);
await flushed(process.stderr);
// Not `exitCode`: the app's own timers and connections must not keep the process alive.
process.exit(code);
