/** What `defineBackupConfig` checks beyond the registry. */
import { DURATION_FORMS, parseDuration } from './catalog/duration.ts';
import { PREFIX } from './catalog/naming.ts';
import { parseSchedule } from './catalog/schedule.ts';
import { expect, isText, isTexts, known } from './checks.ts';
import { LOCK_NAME } from './orm/lock.ts';
import { checkRegistry, REGISTRY_OPTIONS } from './orm/registry.ts';
import type { BackupConfig, LockSettings, PingSettings, RetentionSettings, WebhookSettings } from './settings.ts';
import { checkS3Settings } from './sinks/s3/settings.ts';
import { checkSshTargets } from './sinks/sftp/targets.ts';

const OPTIONS = [
  ...REGISTRY_OPTIONS,
  'destinations',
  'prefix',
  'retention',
  'sshTargets',
  's3',
  'schemes',
  'passphraseFile',
  'recipients',
  'schedule',
  'lock',
  'hooks',
  'webhook',
  'ping',
  'stateFile',
];
const COUNTS = ['keepLast', 'keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const;
const SCHEDULE = ['cron', 'every', 'timezone', 'jitter', 'runAtStart'];
const LOCK = ['name', 'lease', 'wait'];
const HOOKS = ['before', 'after', 'failed'] as const;
const WEBHOOK = ['url', 'secretEnv', 'timeout', 'retries', 'on'];
const PING = ['url', 'timeout', 'retries'];
const LEAST_LEASE = 1000;

/** @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_UNKNOWN_FIELD_TYPE, ERR_CONFIG_SCHEDULE */
export function checkSettings(config: BackupConfig): void {
  known(config, OPTIONS, 'the backup configuration');
  checkRegistry(Object.fromEntries(Object.entries(config).filter(([name]) => REGISTRY_OPTIONS.includes(name))));
  const { destinations, prefix, retention, schedule, lock, hooks, webhook, ping, stateFile } = config;
  if (destinations !== undefined) checkDestinations(destinations);
  expect(
    prefix === undefined || (typeof prefix === 'string' && PREFIX.test(prefix)),
    'prefix',
    'letters, digits, ".", "_" and "-", at most 100',
  );
  if (retention !== undefined) checkRetention(retention);
  if (config.sshTargets !== undefined) checkSshTargets(config.sshTargets, 'sshTargets');
  if (config.s3 !== undefined) checkS3Settings(config.s3, 's3');
  if (config.schemes !== undefined) {
    expect(isObject(config.schemes), 'schemes', 'an object');
    for (const [scheme, make] of Object.entries(config.schemes)) {
      expect(/^[a-z][a-z0-9+.-]+$/.test(scheme), `schemes.${scheme}`, 'named in small letters, at least two');
      expect(typeof make === 'function', `schemes.${scheme}`, 'a function that makes a destination of a URL');
    }
  }
  expect(config.passphraseFile === undefined || isText(config.passphraseFile), 'passphraseFile', 'a path');
  expect(isTexts(config.recipients ?? []), 'recipients', 'a list of public keys');
  if (schedule !== undefined) {
    known(schedule, SCHEDULE, 'schedule');
    expect([undefined, true, false].includes(schedule.runAtStart), 'schedule.runAtStart', 'true or false');
    parseSchedule(schedule);
  }
  if (lock !== undefined && lock !== false) checkLock(lock);
  if (hooks !== undefined) {
    known(hooks, HOOKS, 'hooks');
    for (const name of HOOKS)
      expect(hooks[name] === undefined || typeof hooks[name] === 'function', `hooks.${name}`, 'a function');
  }
  if (webhook !== undefined) checkWebhook(webhook);
  if (ping !== undefined) checkPing(ping);
  expect(stateFile === undefined || stateFile === false || isText(stateFile), 'stateFile', 'a path, or false');
}

function checkDestinations(destinations: unknown): void {
  const isDestination = (value: unknown) =>
    isText(value) ||
    (isObject(value) && ['sink', 'open', 'stat', 'list', 'remove'].every((name) => typeof value[name] === 'function'));
  expect(
    Array.isArray(destinations) && destinations.every(isDestination),
    'destinations',
    'a list of URLs, folders, or objects with sink, open, stat, list and remove',
  );
}

function checkRetention(retention: RetentionSettings): void {
  known(retention, [...COUNTS, 'pins'], 'retention');
  for (const name of COUNTS) {
    const value = retention[name];
    expect(
      value === undefined || (Number.isInteger(value) && value >= 0),
      `retention.${name}`,
      'a whole number, 0 or more',
    );
  }
  expect(isTexts(retention.pins ?? []), 'retention.pins', 'a list of file names');
}

function checkLock(lock: LockSettings): void {
  known(lock, LOCK, 'lock');
  expect(
    lock.name === undefined || (isText(lock.name) && LOCK_NAME.test(lock.name)),
    'lock.name',
    'letters, digits, spaces, ".", "_", ":" and "-", at most 100',
  );
  checkDuration(lock.lease, 'lock.lease');
  expect(
    lock.lease === undefined || parseDuration(lock.lease)! >= LEAST_LEASE,
    'lock.lease',
    'at least one second: it is renewed every third of it',
  );
  checkDuration(lock.wait, 'lock.wait');
}

function checkWebhook(webhook: string | WebhookSettings): void {
  if (typeof webhook === 'string') {
    checkUrl(webhook, 'webhook');
    return;
  }
  known(webhook, WEBHOOK, 'webhook');
  checkCalls(webhook, 'webhook');
  expect(
    webhook.secretEnv === undefined || isText(webhook.secretEnv),
    'webhook.secretEnv',
    'the name of an environment variable',
  );
  expect(
    webhook.on === undefined ||
      (Array.isArray(webhook.on) && webhook.on.every((one) => one === 'success' || one === 'failure')),
    'webhook.on',
    'a list of "success" and "failure"',
  );
}

function checkPing(ping: string | PingSettings): void {
  if (typeof ping === 'string') {
    checkUrl(ping, 'ping');
    return;
  }
  known(ping, PING, 'ping');
  checkCalls(ping, 'ping');
}

function checkCalls({ url, timeout, retries }: PingSettings, at: string): void {
  if (url !== undefined) checkUrl(url, `${at}.url`);
  checkDuration(timeout, `${at}.timeout`);
  expect(
    retries === undefined || (Number.isInteger(retries) && retries >= 0 && retries <= 20),
    `${at}.retries`,
    'a whole number from 0 to 20',
  );
}

/** Also used for what the environment says. */
export function checkUrl(value: unknown, at: string): void {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
  expect(url !== null && /^https?:$/.test(url.protocol), at, 'a URL that begins with http:// or https://');
}

function checkDuration(value: unknown, at: string): void {
  expect(value === undefined || parseDuration(value) !== null, at, DURATION_FORMS);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
