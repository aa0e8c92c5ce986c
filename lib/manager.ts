/** Backups as an extension of MikroORM, beside its Migrator and SeedManager: settings live in the ORM's configuration, and the ORM hands out the manager. */
import { type BackupOptions, createBackup } from './backup.ts';
import { DEFAULT_PREFIX } from './catalog/naming.ts';
import { openDestination } from './destinations.ts';
import { ConfigError, SourceError } from './errors.ts';
import { checkHealth, type HealthOptions, type HealthReport, newestOf } from './health.ts';
import type { OrmLike } from './orm/orm-like.ts';
import { type PruneResult, pruneBackups } from './prune.ts';
import { type RestoreOptions, restoreBackup } from './restore.ts';
import { type RunOptions, runBackup, settingsOf } from './run.ts';
import { type BackupSchedule, type ScheduleBackupsOptions, scheduleBackups } from './schedule.ts';
import type { BackupConfig } from './settings.ts';
import { unattendedOpening, unattendedSecret } from './settings-secret.ts';
import { type StoredBackup, storedBackups } from './stored.ts';
import type {
  BackupResult,
  BackupRun,
  BackupSource,
  OpeningSecret,
  ReadOptions,
  RestoreResult,
  SealingSecret,
  ValidationReport,
  WriteOptions,
} from './types.ts';
import { validateBackup } from './validate.ts';

/** What the extension needs of MikroORM's configuration. */
interface ExtensibleOrm extends OrmLike {
  config: OrmLike['config'] & {
    registerExtension(name: string, make: () => unknown): void;
    // biome-ignore lint/suspicious/noExplicitAny: generic in both majors
    getExtension(name: string): any;
  };
}

const NAME = 'dbs';

/**
 * The same functions as those of this package, with an ORM and its settings at hand. Every secret has a default: what the settings and the environment say.
 *
 * @example
 * export default { ...defineConfig({ extensions: [BackupManager] }), dbs: defineBackupConfig({ destinations: ['/mnt/backups'] }) };
 * const run = await backupManager(orm).backup();
 */
export class BackupManager {
  readonly #orm: OrmLike;

  constructor(orm: OrmLike) {
    this.#orm = orm;
  }

  /** Called by MikroORM for what `extensions` lists. */
  // biome-ignore lint/suspicious/noExplicitAny: the two majors type `register` differently
  static register(orm: any): void {
    (orm as ExtensibleOrm).config.registerExtension(NAME, () => new BackupManager(orm as OrmLike));
  }

  /** With the environment in them. @throws ConfigError */
  get settings(): BackupConfig {
    return settingsOf(this.#orm, {});
  }

  /**
   * With an `output` or `outputs`: as `createBackup`. Without: a whole unattended run to the settings' destinations, as `runBackup`.
   * @throws as those
   */
  backup(
    options: Omit<BackupOptions, 'config'> & { secret?: SealingSecret } & (
        | { output: NonNullable<WriteOptions['output']> }
        | { outputs: NonNullable<WriteOptions['outputs']> }
      ),
  ): Promise<BackupResult>;
  backup(options?: Omit<RunOptions, 'config'>): Promise<BackupRun>;
  async backup(
    options: Omit<BackupOptions, 'config'> & Omit<RunOptions, 'config'> = {},
  ): Promise<BackupResult | BackupRun> {
    if (!options.output && !options.outputs) return (await runBackup(this.#orm, options))!;
    const { secret, ...others } = options;
    const { settings } = this;
    const given = typeof secret === 'function' ? await secret() : secret;
    return createBackup(this.#orm, given ?? (await unattendedSecret(settings, process.env)), {
      ...others,
      config: settings,
      outputs: [...(options.output ? [options.output] : []), ...(options.outputs ?? [])],
    });
  }

  /** @param source default: the newest backup of the first destination that has one. @throws as `restoreBackup` */
  async restore(
    source?: BackupSource,
    { secret, ...options }: Omit<RestoreOptions, 'config'> & { secret?: OpeningSecret } = {},
  ): Promise<RestoreResult> {
    const config = this.settings;
    const opening = await this.#opening(config, secret);
    return this.#reading(source, config, (found) =>
      restoreBackup(this.#orm, found, opening, { ...options, config, settings: config }),
    );
  }

  /** With the key where one is known. @param source as for `restore`. @throws as `validateBackup` */
  async validate(
    source?: BackupSource,
    { secret, ...options }: ReadOptions & { secret?: OpeningSecret } = {},
  ): Promise<ValidationReport> {
    const config = this.settings;
    const opening = secret ?? (await unattendedOpening(config, process.env));
    return this.#reading(source, config, (found) => validateBackup(found, opening, { ...options, settings: config }));
  }

  /** The backups at every destination of the settings, oldest first at each. @throws as `storedBackups` */
  async list(): Promise<{ destination: string; backups: StoredBackup[] }[]> {
    const config = this.settings;
    const all: { destination: string; backups: StoredBackup[] }[] = [];
    for (const target of config.destinations ?? []) {
      const backups: StoredBackup[] = [];
      const { prefix = DEFAULT_PREFIX } = config;
      for await (const one of storedBackups(target, { prefix, settings: config })) backups.push(one);
      all.push({ destination: typeof target === 'string' ? target : target.name, backups });
    }
    return all;
  }

  /** By the settings' retention, at every destination. @throws as `pruneBackups` */
  async prune(options: { dryRun?: boolean; signal?: AbortSignal } = {}): Promise<PruneResult[]> {
    const { retention: rules = {}, prefix = DEFAULT_PREFIX, destinations = [], ...config } = this.settings;
    const all: PruneResult[] = [];
    for (const target of destinations)
      all.push(await pruneBackups(target, { ...options, rules, prefix, settings: config }));
    return all;
  }

  /** As `scheduleBackups`. */
  schedule(options: Omit<ScheduleBackupsOptions, 'config'> = {}): BackupSchedule {
    return scheduleBackups(this.#orm, options);
  }

  /** As `checkHealth`. */
  async health(options: HealthOptions = {}): Promise<HealthReport> {
    return checkHealth(this.settings, options);
  }

  async #opening(config: BackupConfig, secret: OpeningSecret | undefined): Promise<OpeningSecret> {
    const opening = secret ?? (await unattendedOpening(config, process.env));
    if (opening) return opening;
    throw new ConfigError(
      'ERR_KEY_NO_PASSPHRASE',
      'No key to open the backup is known here. Give secret: a passphrase, or { identities }.',
    );
  }

  async #reading<T>(
    source: BackupSource | undefined,
    config: BackupConfig,
    use: (source: BackupSource) => Promise<T>,
  ): Promise<T> {
    if (source !== undefined) return use(source);
    for (const target of config.destinations ?? []) {
      const destination = await openDestination(target, config);
      try {
        const { newest } = await newestOf(destination, config.prefix ?? DEFAULT_PREFIX);
        if (newest) return await use(await destination.open(newest.name));
      } finally {
        if (destination !== target) await destination.close();
      }
    }
    throw new SourceError(
      'ERR_SOURCE_NOT_FOUND',
      'There is no backup at any destination of the settings. Make one, or name a source.',
    );
  }
}

/** The manager of an ORM: the registered one, or a new one where `extensions` does not list it. */
export function backupManager(orm: OrmLike): BackupManager {
  const { config } = orm as ExtensibleOrm;
  const registered = config.getExtension?.(NAME) as BackupManager | undefined;
  return registered ?? new BackupManager(orm);
}
