/** The keys of backups that nobody attends: from the settings and the environment. */
import type { OpeningKeys, SealingKeys } from './container/keys.ts';
import { parsePublicKey } from './crypto/text-keys.ts';
import { ConfigError } from './errors.ts';
import { passphraseFromFile } from './passphrase-file.ts';
import type { BackupConfig } from './settings.ts';

/**
 * $DBS_PASSPHRASE_FILE or $DBS_PASSPHRASE before `passphraseFile`, and `recipients` beside either. The file is read anew each time, so that a new passphrase needs
 * no restart. @param config with the environment in it (`withEnvironment`)
 * @throws ConfigError ERR_KEY_NO_PASSPHRASE where there is no key at all, ERR_KEY_PASSPHRASE_FILE, ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_BAD_RECIPIENT
 */
export async function unattendedSecret(config: BackupConfig, env: NodeJS.ProcessEnv): Promise<SealingKeys> {
  const passphrase = await unattendedPassphrase(config, env);
  if (passphrase === undefined && !config.recipients?.length)
    throw new ConfigError(
      'ERR_KEY_NO_PASSPHRASE',
      'An unattended backup needs a key. Set passphraseFile or recipients in the settings, or $DBS_PASSPHRASE_FILE, $DBS_PASSPHRASE or $DBS_RECIPIENTS.',
    );
  return besideRecipients(passphrase, config);
}

/** A passphrase and the settings' `recipients`, which open every backup. @throws ConfigError ERR_KEY_BAD_RECIPIENT */
export function besideRecipients(passphrase: string | undefined, config: BackupConfig): SealingKeys {
  const recipients = (config.recipients ?? []).map(parsePublicKey);
  return {
    ...(passphrase === undefined ? {} : { passphrases: [passphrase] }),
    ...(recipients.length ? { recipients } : {}),
  };
}

/** What opens them again, where that is known here: a server with recipients only cannot, and shall not. @throws as above */
export async function unattendedOpening(
  config: BackupConfig,
  env: NodeJS.ProcessEnv,
): Promise<OpeningKeys | undefined> {
  const passphrase = await unattendedPassphrase(config, env);
  return passphrase === undefined ? undefined : { passphrase };
}

async function unattendedPassphrase(config: BackupConfig, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const fromEnvironment = env.DBS_PASSPHRASE_FILE ? undefined : env.DBS_PASSPHRASE;
  const passphrase = fromEnvironment ?? (config.passphraseFile && (await passphraseFromFile(config.passphraseFile)));
  if (passphrase !== '') return passphrase;
  throw new ConfigError(
    'ERR_KEY_EMPTY_PASSPHRASE',
    `The passphrase from ${fromEnvironment === undefined ? config.passphraseFile : '$DBS_PASSPHRASE'} is empty. Give one of at least one character.`,
  );
}
