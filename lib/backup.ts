/** `createBackup`: a MikroORM app into a container. Composition only. */
import { pipeline, Readable } from 'node:stream';
import type { BackupItem, SkippedSource, TableSchema } from './format/items.ts';
import type { KdfParameters } from './format/key-slot.ts';
import { createMasker } from './orm/mask/masker.ts';
import type { OrmLike } from './orm/orm-like.ts';
import { createRowSource } from './orm/row-source.ts';
import { type BackupConfig, ownConfig, registryOf } from './settings.ts';
import { sealingKeys } from './sources.ts';
import type { BackupResult, SealingSecret, WriteOptions } from './types.ts';
import { TOOL } from './version.ts';
import { containerStream, writeContainer } from './write.ts';

export interface BackupOptions extends WriteOptions {
  /**
   * What the app says about its entities and files; entities that it does not name are backed up as they are. Default: the key `dbs` of the
   * ORM's configuration.
   */
  config?: BackupConfig;
  /**
   * Makes a masked copy, for a staging system: fields that the configuration declares sensitive hold other values. A seed masks a value alike
   * in every copy; whoever has it can try guesses. `true`: a new random one, that nobody keeps.
   */
  mask?: boolean | string;
  /** Argon2id parameters of new passphrase slots. */
  kdf?: Partial<KdfParameters>;
}

/** What passed on the way from the database. */
class Observer {
  readonly entities: { name: string; rows: number }[] = [];
  readonly skipped: SkippedSource[] = [];
  masked: string[] = [];
  rows = 0;
  files = { count: 0, bytes: 0 };
  #tables = new Map<number, TableSchema>();
  readonly #onEvent: WriteOptions['onEvent'];

  constructor(onEvent: WriteOptions['onEvent']) {
    this.#onEvent = onEvent;
  }

  /** @param notes complete when the first item comes */
  async *watch(items: AsyncIterable<BackupItem>, notes: string[]): AsyncGenerator<BackupItem> {
    for await (const item of items) {
      this.#see(item);
      if (item.type === 'schema') this.#warn(notes);
      yield item;
    }
  }

  #see(item: BackupItem): void {
    if (item.type === 'schema') {
      for (const table of item.schema.tables) this.#tables.set(table.stream, table);
      this.masked = item.schema.masked ?? [];
    } else if (item.type === 'entity-end') {
      const table = this.#tables.get(item.stream)!;
      const name = table.entities.join(', ') || table.table;
      this.entities.push({ name, rows: item.rows });
      this.#onEvent?.({ type: 'entity', name, rows: item.rows });
    } else if (item.type === 'skipped') {
      this.skipped.push(item.skipped);
      this.#onEvent?.({ type: 'skipped', source: item.skipped });
    } else if (item.type === 'end') {
      this.rows = item.rows;
      this.files = { count: item.files, bytes: item.bytes };
    }
  }

  #warn(notes: string[]): void {
    for (const message of notes) this.#onEvent?.({ type: 'warning', code: 'WARN_SOURCE', message });
  }
}

/**
 * Backs up every entity of one or several ORMs, and the files that their rows name, as one consistent snapshot.
 *
 * With `output` (a path, a URL, a sink or a destination) or several `outputs`: writes, re-reads both copies, gives the file its final name, and resolves to a
 * report. Without: returns the container as a Readable, to be piped anywhere.
 *
 * @param secret a passphrase, or `{ passphrases, recipients }`
 * Memory: flat, about 100 MiB resident in all. Sources that cannot be read are in `skipped`, and do not fail it.
 * @throws ConfigError before anything is read; SourceError for the database; SinkError for the output; the signal's reason
 * @example
 * const result = await createBackup(orm, passphrase, { output: 'app.dbs' });
 * await createBackup(orm, passphrase, { outputs: ['/mnt/backups/', 's3://backups/shop/'] });
 * createBackup(orm, passphrase).pipe(response);
 */
export function createBackup(
  orm: OrmLike | OrmLike[],
  secret: SealingSecret,
  options: BackupOptions &
    ({ output: NonNullable<WriteOptions['output']> } | { outputs: NonNullable<WriteOptions['outputs']> }),
): Promise<BackupResult>;
export function createBackup(
  orm: OrmLike | OrmLike[],
  secret: SealingSecret,
  options?: Omit<BackupOptions, 'output' | 'outputs' | 'mirror'>,
): Readable;
export function createBackup(
  orm: OrmLike | OrmLike[],
  secret: SealingSecret,
  options: BackupOptions = {},
): Promise<BackupResult> | Readable {
  const observer = new Observer(options.onEvent);
  const keys = { ...sealingKeys(secret), ...(options.kdf ? { kdf: options.kdf } : {}) };
  const config = options.config ?? ownConfig(orm);
  const registry = config ? { registry: registryOf(config) } : {};
  const items = (paths: string[] = []) => {
    const source = createRowSource(orm, {
      tool: TOOL,
      ...registry,
      ...(options.signal ? { signal: options.signal } : {}),
      // A backup that is written into one of its own file roots must not contain itself.
      ignorePaths: paths,
    });
    const read = (from: AsyncIterable<BackupItem>) =>
      Readable.from(observer.watch(from, source.notes), { highWaterMark: 1 });
    if (options.mask === undefined || options.mask === false) return read(source);
    const masker = createMasker(orm, {
      ...registry,
      ...(typeof options.mask === 'string' ? { seed: options.mask } : {}),
    });
    // Whoever reads the masker sees the failure: it is destroyed with it.
    pipeline(source, masker, () => {});
    return read(masker);
  };
  if (!options.output && !options.outputs) return containerStream(items, keys, options);
  const defaults = { ...(config ? { settings: config } : {}), ...(config?.prefix ? { prefix: config.prefix } : {}) };
  return writeContainer(items, keys, { ...defaults, ...options }).then((result) => ({
    type: 'backup',
    ...result,
    entities: observer.entities,
    rows: observer.rows,
    files: observer.files,
    skipped: observer.skipped,
    masked: observer.masked,
  }));
}
