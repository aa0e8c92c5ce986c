/** From options to keys: who shall open a backup, and what opens one. A prompt comes last, when all else is ready. */
import { readFile } from 'node:fs/promises';
import type { OpeningKeys, SealingKeys } from '../container/keys.ts';
import { ConfigError } from '../errors.ts';
import type { BackupConfig } from '../settings.ts';
import type { CliContext } from './context.ts';
import { askPassphrase, givenPassphrase, type PassphraseOptions, type Wanted } from './passphrase.ts';

export interface SealingFlags extends PassphraseOptions {
  /** `dbs1…` texts. */
  recipient?: string[];
  recipientsFile?: string[];
  kdfIterations?: number;
  /** MiB. */
  kdfMemory?: number;
  kdfParallelism?: number;
}

export interface OpeningFlags extends PassphraseOptions {
  /** Paths of files with secret keys. */
  identity?: string[];
}

interface SealingWanted extends Wanted {
  /** Run Argon2id for a given passphrase at once, not when the backup begins: its memory is given back before the app's is taken. */
  derived?: boolean;
}

/**
 * Reads what the options name, and takes the passphrase out of the environment, at once; the function that comes back asks a person where nothing was
 * named.
 * @throws ConfigError ERR_KEY_BAD_RECIPIENT, ERR_KEY_FILE, and as `givenPassphrase`
 */
export async function sealing(
  ctx: CliContext,
  flags: SealingFlags,
  wanted: SealingWanted = {},
): Promise<() => Promise<SealingKeys>> {
  const { kdfIterations, kdfMemory, kdfParallelism } = flags;
  const given = await givenPassphrase(ctx, flags, wanted);
  const { derivePassphrase, parsePublicKey } = await ctx.library();
  const texts = [...(flags.recipient ?? [])];
  for (const path of flags.recipientsFile ?? []) texts.push(...keyLines(await keyFile(path)));
  const recipients = texts.map((text) => parsePublicKey(text));
  const kdf = {
    ...(kdfIterations === undefined ? {} : { iterations: kdfIterations }),
    ...(kdfMemory === undefined ? {} : { memoryKiB: kdfMemory * 1024 }),
    ...(kdfParallelism === undefined ? {} : { parallelism: kdfParallelism }),
  };
  const ready = given !== undefined && wanted.derived ? await derivePassphrase(given, kdf) : given;
  return async () => {
    if (ready === undefined && recipients.length > 0) return { recipients };
    const passphrase = ready ?? (await askPassphrase(ctx, { confirm: true }));
    return { passphrases: [passphrase], ...(recipients.length ? { recipients } : {}), kdf };
  };
}

/**
 * The same for commands that load the app, with keys that its settings say before the prompt: `undefined` stands for those, which the library reads when they are needed.
 * @throws as `sealing`
 */
export async function sealingOrSettings(
  ctx: CliContext,
  flags: SealingFlags,
): Promise<(settings: BackupConfig) => Promise<SealingKeys | undefined>> {
  const { passphrase, passphraseFile, passphraseStdin, recipient, recipientsFile } = flags;
  const ways = [passphrase, passphraseFile, passphraseStdin, recipient, recipientsFile, ctx.env.DBS_PASSPHRASE];
  const given = ways.some((way) => way !== undefined);
  const keys = await sealing(ctx, flags, { derived: true });
  return async (settings) => {
    const inSettings = settings.passphraseFile !== undefined || (settings.recipients?.length ?? 0) > 0;
    return inSettings && !given ? undefined : keys();
  };
}

/** The same for opening: a passphrase, secret keys, or both. @throws ConfigError ERR_KEY_BAD_IDENTITY, ERR_KEY_FILE, and as above */
export async function opening(
  ctx: CliContext,
  flags: OpeningFlags,
  wanted: Wanted = {},
): Promise<() => Promise<OpeningKeys>> {
  const given = await givenKeys(ctx, flags, wanted);
  return async () => given ?? { passphrase: await askPassphrase(ctx) };
}

/** What was given to open with; `undefined` where nothing was. Never asks. */
export async function givenKeys(
  ctx: CliContext,
  flags: OpeningFlags,
  wanted: Wanted = {},
): Promise<OpeningKeys | undefined> {
  const passphrase = await givenPassphrase(ctx, flags, wanted);
  const identities: Buffer[] = [];
  if (flags.identity?.length) {
    const { parseIdentities } = await ctx.library();
    for (const path of flags.identity) identities.push(...parseIdentities(await keyFile(path)));
  }
  if (passphrase === undefined && identities.length === 0) return undefined;
  return { ...(passphrase === undefined ? {} : { passphrase }), ...(identities.length ? { identities } : {}) };
}

async function keyFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      'ERR_KEY_FILE',
      `The key file ${path} cannot be read (${code}). Check its path and permissions.`,
      {
        cause: error,
        facts: { path },
      },
    );
  }
}

function keyLines(text: string): string[] {
  return text.split(/\r?\n/).filter((line) => line.trim() && !line.trim().startsWith('#'));
}
