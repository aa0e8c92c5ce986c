/** Asking for a passphrase on a terminal, without an echo. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { ReadStream } from 'node:tty';
import { ConfigError } from '../errors.ts';
import { Interrupted } from './exit-codes.ts';

/** A terminal that a person sits at. */
export interface PromptTerminal {
  input: PromptInput;
  /** Shows the question. */
  write(text: string): void;
  close(): void;
}

/** What is needed of `tty.ReadStream`. */
export interface PromptInput {
  setRawMode(raw: boolean): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'end', listener: () => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/**
 * The terminal to ask on: stdin, or the controlling terminal where stdin carries data (`pg_dump | dbs seal`) and somebody is
 * watching stderr. `null` without one: a cron job must fail, not wait for ever.
 */
export function openPromptTerminal(stdin: NodeJS.ReadStream, stderr: NodeJS.WriteStream): PromptTerminal | null {
  if (stdin.isTTY && stderr.isTTY) return { input: stdin, write: (text) => void stderr.write(text), close: () => {} };
  if ((!stdin.isTTY && !stderr.isTTY) || process.platform === 'win32') return null;
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    return null;
  }
  if (stdin.isTTY) return { input: stdin, write: (text) => void writeSync(fd, text), close: () => closeSync(fd) };
  const input = new ReadStream(fd);
  return { input, write: (text) => void stderr.write(text), close: () => void input.destroy() };
}

/** Asks questions one after another; what was typed ahead of the second one is kept. */
export class Prompt {
  readonly #terminal: PromptTerminal;
  readonly #decoder = new StringDecoder('utf8');
  #pending = '';

  constructor(terminal: PromptTerminal) {
    this.#terminal = terminal;
  }

  /** One line, without its end. @throws Interrupted on Ctrl-C or abort; ConfigError ERR_KEY_NO_PASSPHRASE at the end of input */
  async ask(question: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const { input, write } = this.#terminal;
    write(question);
    input.setRawMode(true);
    const line = new Line();
    let stop = () => {};
    try {
      return await new Promise<string>((resolve, reject) => {
        const take = () => {
          const [done, rest] = line.take(this.#pending);
          this.#pending = rest;
          if (done === 'enter') resolve(line.text);
          else if (done === 'interrupt') reject(new Interrupted('SIGINT'));
          else if (done === 'end') ended();
        };
        const ended = () =>
          reject(new ConfigError('ERR_KEY_NO_PASSPHRASE', 'No passphrase was typed. Nothing was done.'));
        const onData = (chunk: Buffer) => {
          this.#pending += this.#decoder.write(chunk);
          take();
        };
        const onAbort = () => reject(signal?.reason);
        stop = () => {
          input.off('data', onData);
          input.off('end', ended);
          signal?.removeEventListener('abort', onAbort);
        };
        input.on('data', onData);
        input.on('end', ended);
        signal?.addEventListener('abort', onAbort, { once: true });
        input.resume();
        take();
      });
    } finally {
      stop();
      input.pause();
      input.setRawMode(false);
      write('\n');
    }
  }

  close(): void {
    this.#terminal.close();
  }
}

/** The line editor of a raw terminal: erase a character, erase all, and nothing else. */
class Line {
  #characters: string[] = [];

  get text(): string {
    return this.#characters.join('');
  }

  /** Consumes up to and including the key that ends the line; returns that key, and the rest. */
  take(typed: string): ['enter' | 'interrupt' | 'end' | null, string] {
    const keys = [...typed];
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      const rest = () => keys.slice(i + 1).join('');
      if (key === '\r' || key === '\n') return ['enter', rest()];
      if (key === '\x03') return ['interrupt', rest()];
      if (key === '\x04') return [this.#characters.length ? 'enter' : 'end', rest()];
      if (key === '\x7f' || key === '\b') this.#characters.pop();
      else if (key === '\x15') this.#characters = [];
      else this.#characters.push(key);
    }
    return [null, ''];
  }
}
