/**
 * Everything that an app says about its backups, in one typed object: the registry of its entities and files, where backups go, how many are kept, when
 * they are made, and who is told. It stands under the key `dbs` of the MikroORM configuration; environment variables go before it (settings-environment.ts).
 */
import type { Duration } from './catalog/duration.ts';
import type { RetentionRules } from './catalog/retention.ts';
import type { ScheduleSettings } from './catalog/schedule.ts';
import type { DestinationFactory } from './destinations.ts';
import { type OrmLike, setting } from './orm/orm-like.ts';
import { REGISTRY_OPTIONS, type RegistryConfig } from './orm/registry.ts';
import { checkSettings } from './settings-check.ts';
import type { S3Settings } from './sinks/s3/settings.ts';
import type { SshTarget } from './sinks/sftp/targets.ts';
import type { Destination } from './sinks/sink.ts';
import type { BackupRun } from './types.ts';

export interface BackupConfig extends RegistryConfig {
  /** Where backups go: URLs (`s3://bucket/prefix/`, `sftp://target/dir/`, a folder), or objects of your own. */
  destinations?: (string | Destination)[];
  /** Of the names: `PREFIX-YYYYMMDD-HHMMSSZ.dbs`. Default `backup`. Backups of another prefix are never touched. */
  prefix?: string;
  /** Which backups stay after a good one was made. Default: all. */
  retention?: RetentionSettings;
  /** Hosts of `sftp://NAME/...`, by name. */
  sshTargets?: Record<string, SshTarget>;
  /** What `s3://` needs beyond the SDK's own credentials. */
  s3?: S3Settings;
  /** Makes destinations of URLs whose scheme this package does not know: `{ gs: (url) => new MyDestination(url) }`. */
  schemes?: Record<string, DestinationFactory>;
  /** A file that holds the passphrase of unattended backups: its last line break does not count. */
  passphraseFile?: string;
  /** Public keys (`dbs1...`) that shall open every backup. With one, no passphrase is needed to make them. */
  recipients?: string[];
  /** When `scheduleBackups` and `dbs schedule` make a backup. */
  schedule?: ScheduleSettings;
  /** `false`: nothing keeps two instances from backing up at once. Default: a lease in the app's own database. */
  lock?: LockSettings | false;
  hooks?: BackupHooks;
  /** Told the result of every run, as JSON. A text is its URL. */
  webhook?: string | WebhookSettings;
  /** A dead-man switch, as healthchecks.io has it: URL/start, then URL or URL/fail. */
  ping?: string | PingSettings;
  /** Where the outcome of the last run is kept, for `dbs health`. Default: `.dbs-state.json` in the current folder; `false`: nowhere. */
  stateFile?: string | false;
}

/** Which backups stay; periods are those of UTC. */
export type RetentionSettings = Omit<RetentionRules, 'timeZone'>;

export interface LockSettings {
  /** Backups of one name never run at once. Default `backup`. */
  name?: string;
  /** How long a lock outlives an instance that died. Default 60 s; renewed every third of it. */
  lease?: Duration;
  /** How long to wait for another instance. Default: not at all. */
  wait?: Duration;
}

/** Functions of the app. They may be asynchronous. */
export interface BackupHooks {
  /** Before anything is read. What it throws stops the run. */
  before?: (run: { startedAt: string; destinations: string[] }) => unknown;
  /** After a good backup. What it throws is a warning. */
  after?: (run: BackupRun) => unknown;
  /** After a run that failed. What it throws is a warning. */
  failed?: (run: BackupRun) => unknown;
}

export interface WebhookSettings {
  /** Default: `$DBS_WEBHOOK`. */
  url?: string;
  /** Name of the environment variable that holds the secret for the signature. Default `DBS_WEBHOOK_SECRET`; unsigned without one. */
  secretEnv?: string;
  /** Of one attempt. Default 10 s. */
  timeout?: Duration;
  /** Attempts after the first. Default 3. */
  retries?: number;
  /** Default: both. */
  on?: ('success' | 'failure')[];
}

export interface PingSettings {
  url?: string;
  timeout?: Duration;
  retries?: number;
}

/**
 * Checks the settings as far as they can be without the database and the network, and returns them.
 *
 * @example
 * export default defineBackupConfig({
 *   entities: { User: { fields: { avatar: 'FILE', sessionToken: 'EXCLUDE' } } },
 *   storages: { default: './uploads' },
 *   destinations: ['s3://backups/shop/', '/mnt/backups'],
 *   retention: { keepDaily: 7, keepWeekly: 4, keepMonthly: 12 },
 *   schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
 * });
 * @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_UNKNOWN_FIELD_TYPE, ERR_CONFIG_SCHEDULE
 */
export function defineBackupConfig(config: BackupConfig): BackupConfig {
  checkSettings(config);
  return config;
}

/** What the ORM's own configuration carries under the key `dbs`; of several ORMs, the first that has it. */
export function ownConfig(orms: OrmLike | OrmLike[]): BackupConfig | undefined {
  for (const orm of [orms].flat()) {
    const own = setting(orm, 'dbs');
    if (own) return defineBackupConfig(own as BackupConfig);
  }
  return undefined;
}

/** The registry alone, as the database's room takes it. @throws as `defineBackupConfig` */
export function registryOf(config: BackupConfig): RegistryConfig {
  checkSettings(config);
  return Object.fromEntries(Object.entries(config).filter(([name]) => REGISTRY_OPTIONS.includes(name)));
}
