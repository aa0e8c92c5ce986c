/** Environment variables that go before what the configuration says: for images that are built once and run in many places. */
import { scheduleFromText } from './catalog/schedule.ts';
import { expect, isText } from './checks.ts';
import { nearestNames } from './nearest.ts';
import { type BackupConfig, defineBackupConfig } from './settings.ts';
import { checkUrl } from './settings-check.ts';

/** What each sets. docs/unattended.md lists them; a test compares. */
export const VARIABLES: Record<string, string> = {
  DBS_DESTINATIONS: '`destinations`: URLs and folders, with commas',
  DBS_PREFIX: '`prefix`',
  DBS_SCHEDULE: '`schedule`: a cron expression, or an interval such as `6h`',
  DBS_TIMEZONE: '`schedule.timezone`',
  DBS_PASSPHRASE_FILE: '`passphraseFile`',
  DBS_RECIPIENTS: '`recipients`, with commas',
  DBS_WEBHOOK: '`webhook.url`',
  DBS_WEBHOOK_SECRET: 'the secret that signs the webhook',
  DBS_PING: '`ping.url`',
  DBS_STATE_FILE: '`stateFile`',
  DBS_PASSPHRASE: 'the passphrase itself',
  DBS_NEW_PASSPHRASE: 'the new passphrase, of `dbs keys`',
  DBS_DEBUG: 'shows where an error happened',
};

/**
 * The settings as they hold: the environment's before the configuration's. An empty variable is as none. Nothing secret is copied.
 * @throws ConfigError ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_SCHEDULE; those of `defineBackupConfig`
 */
export function withEnvironment(config: BackupConfig, env: NodeJS.ProcessEnv): BackupConfig {
  const merged: BackupConfig = { ...config };
  const { DBS_DESTINATIONS, DBS_SCHEDULE, DBS_TIMEZONE, DBS_RECIPIENTS, DBS_WEBHOOK, DBS_PING } = env;
  if (DBS_DESTINATIONS) merged.destinations = listOf(DBS_DESTINATIONS, '$DBS_DESTINATIONS');
  if (DBS_RECIPIENTS) merged.recipients = listOf(DBS_RECIPIENTS, '$DBS_RECIPIENTS');
  if (env.DBS_PREFIX) merged.prefix = env.DBS_PREFIX;
  if (env.DBS_PASSPHRASE_FILE) merged.passphraseFile = env.DBS_PASSPHRASE_FILE;
  if (env.DBS_STATE_FILE) merged.stateFile = env.DBS_STATE_FILE;
  if (DBS_SCHEDULE) {
    const { cron: _cron, every: _every, ...others } = config.schedule ?? {};
    merged.schedule = { ...others, ...scheduleFromText(DBS_SCHEDULE) };
  }
  if (DBS_TIMEZONE && merged.schedule) merged.schedule = { ...merged.schedule, timezone: DBS_TIMEZONE };
  if (DBS_WEBHOOK) merged.webhook = { ...objectOf(config.webhook), url: urlOf(DBS_WEBHOOK, '$DBS_WEBHOOK') };
  if (DBS_PING) merged.ping = { ...objectOf(config.ping), url: urlOf(DBS_PING, '$DBS_PING') };
  return defineBackupConfig(merged);
}

/** DBS_ variables that nobody reads, with the nearest name that somebody does: mostly a slip of the pen. */
export function unknownVariables(env: NodeJS.ProcessEnv, alsoKnown: string[] = []): { name: string; near: string }[] {
  const names = [...Object.keys(VARIABLES), ...alsoKnown];
  return Object.keys(env)
    .filter((name) => name.startsWith('DBS_') && !names.includes(name))
    .sort()
    .map((name) => ({ name, near: nearestNames(name, names, 1)[0]! }));
}

function listOf(text: string, at: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  expect(items.every(isText), at, 'a list, with commas');
  return items;
}

function urlOf(text: string, at: string): string {
  checkUrl(text, at);
  return text;
}

function objectOf<T extends object>(value: string | T | undefined): T | object {
  return typeof value === 'object' ? value : {};
}
