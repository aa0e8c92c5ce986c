/** The world as a command sees it: tests replace any part of it and run the whole program in their own process. */
import type { Readable } from 'node:stream';
import type { BackupSource } from '../types.ts';
import type { App, AppOptions } from './app.ts';
import type { Library, Testkit } from './library.ts';
import { openPromptTerminal, type PromptTerminal } from './prompt.ts';
import { fileStdin } from './stdio.ts';
import type { Output } from './terminal.ts';

export interface CliContext {
  stdin: Readable & { isTTY?: boolean };
  stdout: Output;
  stderr: Output;
  env: NodeJS.ProcessEnv;
  /** Milliseconds, for rates. */
  now: () => number;
  /** Aborted by SIGINT and SIGTERM with an `Interrupted`. */
  signal: AbortSignal;
  cwd: () => string;
  chdir: (folder: string) => void;
  /** A terminal to ask on, if there is one. */
  promptTerminal: () => PromptTerminal | null;
  /** Stdin as random access, if it is a regular file. */
  stdinFile: () => BackupSource | null;
  /** Loaded when first needed: `dbs --help` is quick. */
  library: () => Promise<Library>;
  testkit: () => Promise<Testkit>;
  loadApp: (options: AppOptions) => Promise<App>;
  /** What the app says about its backups, without its database; `undefined` where there is no app. */
  loadSettings: (options: AppOptions) => Promise<unknown>;
}

/** The real world. `stdout` is the one that `guardStdout` made. */
export function processContext(stdout: Output, signal: AbortSignal): CliContext {
  return {
    stdin: process.stdin,
    stdout,
    stderr: process.stderr,
    env: process.env,
    now: () => performance.now(),
    signal,
    cwd: () => process.cwd(),
    chdir: (folder) => process.chdir(folder),
    promptTerminal: () => openPromptTerminal(process.stdin, process.stderr),
    stdinFile: () => fileStdin(),
    library: async () => import('../index.ts'),
    testkit: async () => import('../testkit/index.ts'),
    loadApp: async (options) => (await import('./app.ts')).loadApp(options),
    loadSettings: async (options) => (await import('./app.ts')).loadSettings(options),
  };
}
