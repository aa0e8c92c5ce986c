/**
 * Everything that a command says. Results go to stdout, talk (progress, warnings, errors) to stderr; with `--json` all of
 * it is objects, one a line, on stdout. Where stdout carries a backup or a file (`dbs backup -`), nothing else is ever
 * written there: results and objects then go to stderr too.
 */
import type { Writable } from 'node:stream';
import { BackupError } from '../errors.ts';
import type { BackupEvent } from '../events.ts';
import { count, printable, printableLines, redacted } from '../texts.ts';
import { type ExitCode, exitCodeOf, Interrupted } from './exit-codes.ts';
import { barProgress, lineProgress, type ProgressView } from './progress.ts';

/** A stream that may be a terminal. */
export type Output = Writable & { isTTY?: boolean; columns?: number };

export interface TerminalOptions {
  stdout: Output;
  stderr: Output;
  env: NodeJS.ProcessEnv;
  now: () => number;
  json: boolean;
  quiet: boolean;
  progress: boolean;
}

/** Skipped sources that are named one by one; the others are only counted. */
const SKIPPED_SHOWN = 20;

export class Terminal {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #options: TerminalOptions;
  readonly #progress: ProgressView | null;
  /** `part`: it is fine to read some of it and go away, as `head` does. */
  #data: 'none' | 'part' | 'whole' = 'none';
  #skipped = 0;
  /** What was interrupted can be gone on with. */
  resumable = false;
  /** Blocks that were healed so far. */
  healed = 0;

  constructor(options: TerminalOptions) {
    const { stderr, env, now, json, quiet } = options;
    this.#options = options;
    this.json = json;
    this.quiet = quiet;
    const bar = stderr.isTTY === true && env.TERM !== 'dumb';
    this.#progress =
      json || quiet || !options.progress ? null : bar ? barProgress(stderr, now) : lineProgress(stderr, now);
  }

  /** From here on stdout belongs to the data. `whole`: half of it is worth nothing. */
  reserveStdout({ whole = false } = {}): void {
    this.#data = whole ? 'whole' : 'part';
  }

  /** For `onEvent` of the library. */
  readonly event = (event: BackupEvent): void => {
    if (event.type === 'healed') this.healed++;
    if (this.json) {
      if (this.quiet || (event.type === 'progress' && !this.#options.progress)) return;
      this.#object(event);
    } else if (event.type === 'progress') {
      this.#progress?.update(event);
    } else if (event.type === 'skipped') {
      if (++this.#skipped > SKIPPED_SHOWN) return;
      const { root, path, reason, from } = event.source;
      this.#talk(`skipped ${[root, path].filter(Boolean).join('/')}${from ? ` (of ${from})` : ''}: ${reason}`);
    } else if (event.type === 'output-failed') {
      this.#talk(`${event.output} will NOT have the backup: ${event.message} (${event.code})`);
    } else if (event.type === 'warning') {
      this.#talk(`warning: ${event.message} (${event.code})`);
    }
  };

  /** The outcome: the object with `--json`, else its text. `--quiet` drops the text. */
  result<T extends { type: string }>(value: T, text: string): void {
    this.#progress?.clear();
    if (this.#skipped > SKIPPED_SHOWN)
      this.#talk(`skipped ${count(this.#skipped - SKIPPED_SHOWN)} more (--json names all)`);
    if (this.json) this.#object(value);
    else if (!this.quiet) this.#results().write(`${printableLines(text)}\n`);
  }

  /** What a command is about, line by line: `--quiet` does not drop it. */
  print<T extends { type: string }>(value: T | null, text: string): boolean {
    this.#progress?.clear();
    if (!this.json) return this.#results().write(`${text}\n`);
    return value ? this.#object(value) : true;
  }

  /** The last word of a run that failed. No stack trace, unless DBS_DEBUG is set. */
  fail(error: unknown, exitCode: ExitCode = exitCodeOf(error)): void {
    this.#progress?.clear();
    if (error instanceof Interrupted && error.signal === 'SIGPIPE' && this.#data !== 'whole') return;
    const { code, message, facts } = this.#described(error);
    if (this.json) this.#object({ type: 'error', code, message, exitCode, facts });
    else this.#options.stderr.write(`dbs: ${printableLines(message)}\n  (${code})\n`);
    if (debugging(this.#options.env)) this.#options.stderr.write(`${stackOf(error)}\n`);
    else if (!this.json && code === UNEXPECTED) {
      this.#options.stderr.write('  This should not happen. DBS_DEBUG=1 shows where; please report it.\n');
    }
  }

  close(): void {
    this.#progress?.clear();
  }

  #described(error: unknown): { code: string; message: string; facts: object } {
    if (error instanceof BackupError) return { code: error.code, message: redacted(error.message), facts: error.facts };
    if (error instanceof Interrupted) {
      const how = error.signal === 'SIGPIPE' ? 'Whoever read stdout went away.' : 'Interrupted.';
      const kept = this.#data !== 'none' ? 'What came out on stdout is incomplete.' : this.#left();
      return { code: 'ERR_INTERRUPTED', message: `${how} ${kept}`, facts: { signal: error.signal } };
    }
    const text = error instanceof Error ? error.message : String(error);
    return { code: UNEXPECTED, message: redacted(`Unexpected error: ${text.split('\n', 1)[0]}`), facts: {} };
  }

  #left(): string {
    return this.resumable
      ? 'No file has its name yet; the same command goes on from here where it can.'
      : 'Nothing half-written was kept.';
  }

  #talk(text: string): void {
    this.#progress?.clear();
    this.#options.stderr.write(`dbs: ${printable(text)}\n`);
  }

  #results(): Output {
    return this.#data !== 'none' ? this.#options.stderr : this.#options.stdout;
  }

  #object(value: object): boolean {
    return this.#results().write(`${JSON.stringify(value)}\n`);
  }
}

export const UNEXPECTED = 'ERR_UNEXPECTED';

function debugging(env: NodeJS.ProcessEnv): boolean {
  return env.DBS_DEBUG !== undefined && env.DBS_DEBUG !== '' && env.DBS_DEBUG !== '0';
}

function stackOf(error: unknown): string {
  const lines: string[] = [];
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    lines.push(`${depth ? 'caused by ' : ''}${redacted(at.stack ?? at.message)}`);
  }
  return lines.join('\n');
}
