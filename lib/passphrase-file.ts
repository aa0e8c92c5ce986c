/** A passphrase as the bytes of a file or of stdin hold it: for the command line and for the settings. */
import { readFile } from 'node:fs/promises';
import { ConfigError } from './errors.ts';

/** A passphrase is a sentence, not a file. */
export const LONGEST_PASSPHRASE = 64 * 1024;

/** The text of a passphrase file, which may be empty. @throws ConfigError ERR_KEY_PASSPHRASE_FILE */
export async function passphraseFromFile(path: string): Promise<string> {
  const what = `The passphrase file ${path}`;
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw fileError(`${what} cannot be read (${code}). Check its path and permissions.`, path, error);
  }
  return passphraseText(bytes, what, path);
}

/** UTF-8, without one line break at its end. @param what for messages @throws ConfigError ERR_KEY_PASSPHRASE_FILE */
export function passphraseText(bytes: Buffer, what: string, path: string): string {
  if (bytes.length > LONGEST_PASSPHRASE) throw fileError(`${what} is longer than 64 KiB: this is no passphrase.`, path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw fileError(`${what} is not UTF-8 text.`, path);
  }
}

function fileError(message: string, path: string, cause?: unknown): ConfigError {
  return new ConfigError('ERR_KEY_PASSPHRASE_FILE', message, { cause, facts: { path } });
}
