/** Where a passphrase comes from. It never reaches another process, a log, an event or an error message. */
import type { Readable } from 'node:stream';
import { ConfigError } from '../errors.ts';
import { LONGEST_PASSPHRASE, passphraseFromFile, passphraseText } from '../passphrase-file.ts';
import { Prompt, type PromptTerminal } from './prompt.ts';
import { usage } from './usage.ts';

/** As commander fills them in. */
export interface PassphraseOptions {
  passphrase?: string;
  passphraseFile?: string;
  passphraseStdin?: boolean;
}

/** What this file needs of the context. */
export interface PassphraseWorld {
  stdin: Readable;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  promptTerminal: () => PromptTerminal | null;
}

export interface Wanted {
  /** Stdin carries the data, so it cannot carry the passphrase as well. */
  stdinTaken?: boolean;
}

const WAYS = 'Give --passphrase-file FILE, --passphrase-stdin, or $DBS_PASSPHRASE';

/**
 * The passphrase from the options, the environment, or nowhere. $DBS_PASSPHRASE is taken out of `env`, so that no process that
 * the app starts inherits it.
 * @throws ConfigError ERR_CLI_USAGE, ERR_KEY_PASSPHRASE_FILE, ERR_KEY_EMPTY_PASSPHRASE
 */
export async function givenPassphrase(
  world: PassphraseWorld,
  options: PassphraseOptions,
  wanted: Wanted = {},
): Promise<string | undefined> {
  const fromEnvironment = world.env.DBS_PASSPHRASE;
  delete world.env.DBS_PASSPHRASE;
  const { passphrase, passphraseFile, passphraseStdin } = options;
  if ([passphrase, passphraseFile, passphraseStdin].filter((given) => given !== undefined).length > 1) {
    throw usage('Give one of --passphrase-file, --passphrase-stdin and --passphrase, not several.');
  }
  if (passphraseFile !== undefined) return checked(await passphraseFromFile(passphraseFile), passphraseFile);
  if (passphraseStdin) {
    if (wanted.stdinTaken) {
      throw usage(
        'Stdin carries the data, so the passphrase cannot come from it too. Use --passphrase-file FILE or $DBS_PASSPHRASE.',
      );
    }
    return checked(await fromStdin(world.stdin), 'stdin');
  }
  if (passphrase !== undefined) return checked(passphrase, '--passphrase');
  if (fromEnvironment !== undefined) return checked(fromEnvironment, '$DBS_PASSPHRASE');
  return undefined;
}

/** Asks a person. @throws ConfigError ERR_KEY_NO_PASSPHRASE without a terminal, ERR_KEY_PASSPHRASES_DIFFER; Interrupted */
export async function askPassphrase(world: PassphraseWorld, { confirm = false } = {}): Promise<string> {
  const terminal = world.promptTerminal();
  if (!terminal) {
    throw new ConfigError(
      'ERR_KEY_NO_PASSPHRASE',
      `A passphrase is needed, and there is no terminal to ask on. ${WAYS}.`,
    );
  }
  const prompt = new Prompt(terminal);
  try {
    const first = checked(
      await prompt.ask(confirm ? 'New passphrase: ' : 'Passphrase: ', world.signal),
      'the terminal',
    );
    // What is sealed with a slip of the finger stays sealed.
    if (confirm && (await prompt.ask('The same again: ', world.signal)) !== first) {
      throw new ConfigError(
        'ERR_KEY_PASSPHRASES_DIFFER',
        'The two passphrases differ. Nothing was written; try again.',
      );
    }
    return first;
  } finally {
    prompt.close();
  }
}

function checked(text: string, from: string): string {
  if (text.length > 0) return text;
  throw new ConfigError(
    'ERR_KEY_EMPTY_PASSPHRASE',
    `The passphrase from ${from} is empty. Give one of at least one character.`,
  );
}

async function fromStdin(stdin: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    chunks.push(chunk as Buffer);
    if ((length += (chunk as Buffer).length) > LONGEST_PASSPHRASE) break;
  }
  return passphraseText(Buffer.concat(chunks), 'The passphrase on stdin', '-');
}
