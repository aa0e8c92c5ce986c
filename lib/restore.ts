/** `restoreBackup`: a container back into a MikroORM app. Composition only. */
import { Readable, type Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { createMasker } from './orm/mask/masker.ts';
import type { OrmLike } from './orm/orm-like.ts';
import { createRowTarget, type RestoreCounts } from './orm/row-target.ts';
import { Progress } from './progress.ts';
import { readItems, readingPool } from './reading.ts';
import { noLosses, salvageItems } from './salvage.ts';
import { type BackupConfig, ownConfig, registryOf } from './settings.ts';
import { openKeys, withReader } from './sources.ts';
import type { BackupSource, OpeningSecret, RestoreOptions as Options, RestoreResult, SchemaDrift } from './types.ts';
import { examine } from './validate.ts';

export interface RestoreOptions extends Options {
  /** Where files go: the registry that the backup was made with, with this machine's folders. Default: the key `dbs` of the ORM's configuration. */
  config?: BackupConfig;
}

/**
 * Restores a backup: all of it or nothing. First the whole container is verified and healed in memory, with authentication; only
 * then is the first row written, in one transaction, while files wait beside their places.
 *
 * @param source a path or URL, bytes, random access, or a stream (which is spooled to a temporary file, as ciphertext)
 * Memory: flat, see `ContainerReader` for what healing adds.
 * @throws WrongPassphraseError, NoKeyMatchError; DamageError, TamperError, TruncatedError, FormatError for what is beyond repair; RestoreError where
 *   the target refuses. In every case nothing was changed. With `salvage`, what is beyond repair is in `losses` instead.
 * @example
 * const { healed, entities } = await restoreBackup(orm, 'app.dbs', passphrase);
 */
export async function restoreBackup(
  orm: OrmLike | OrmLike[],
  source: BackupSource,
  secret: OpeningSecret,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const started = performance.now();
  const config = options.config ?? ownConfig(orm);
  return withReader(source, config ? { settings: config, ...options } : options, async (reader) => {
    const keys = await openKeys(reader, secret);
    const { report, error } = await examine(reader, keys, options);
    if (error && !options.salvage) throw error;
    const { mode, dryRun, only, except, allowDrift, allowLossy, allowDangling, allowTriggers, signal, mask } = options;
    const registry = config && registryOf(config);
    const losses = error ? noLosses() : null;
    // What is salvaged must not overwrite anything, and may refer to what is lost.
    const salvaging = losses ? { requireEmpty: true, allowDangling: true } : {};
    const target = createRowTarget(
      orm,
      given({
        registry,
        mode,
        dryRun,
        only,
        except,
        allowDrift,
        allowLossy,
        allowDangling,
        allowTriggers,
        signal,
        ...salvaging,
      }),
    );
    const masking =
      mask === undefined || mask === false
        ? []
        : [createMasker(orm, given({ registry, seed: mask === true ? undefined : mask }))];
    if (losses)
      await pipeline(
        [Readable.from(salvageItems(reader, keys, losses), { highWaterMark: 1 }), ...masking, target],
        given({ signal }),
      );
    else await restoreAll(reader, keys, target, options, masking);
    const counts = await target.result;
    return {
      type: 'restore',
      ok: losses === null && counts.refused === null,
      healed: report.damaged,
      dryRun: counts.dryRun,
      entities: counts.tables.map(({ table, entities, inserted, updated, untouched }) => ({
        name: entities.join(', ') || table,
        inserted,
        updated,
        untouched,
      })),
      files: counts.files,
      drift: schemaDrift(counts),
      refused: counts.refused,
      report,
      losses,
      milliseconds: Math.round(performance.now() - started),
    };
  });
}

async function restoreAll(
  reader: ContainerReader,
  keys: OpenedKeys,
  target: Writable,
  options: RestoreOptions,
  between: Transform[],
): Promise<void> {
  const pool = readingPool();
  const progress = new Progress('restore', options.onEvent, reader.size);
  const blocks = async function* () {
    for await (const block of reader.stream(() => pool.take())) {
      yield block;
      progress.add(reader.size / reader.extent.count);
    }
    progress.done();
  };
  await readItems(blocks(), reader, keys, target, options.signal, between);
}

/** Entity by entity. */
function schemaDrift({ drift, migrations }: RestoreCounts): SchemaDrift {
  const entities = new Map<string, SchemaDrift['entities'][number]>();
  const discarded = { columns: 0, values: 0, lossy: 0 };
  for (const { table, entities: names, kind, ...column } of drift) {
    // What is required and not there has stopped the restore.
    if (kind === 'required') continue;
    const name = names.join(', ') || table;
    const entity = entities.get(name) ?? { name, columns: [] };
    entities.set(name, entity);
    entity.columns.push({ ...column, kind });
    if (kind === 'dropped') {
      discarded.columns++;
      discarded.values += column.values ?? 0;
    } else if (kind === 'converted') discarded.lossy += column.values ?? 0;
  }
  return { entities: [...entities.values()], discarded, migrations };
}

/** The options that were given: an option that is `undefined` is not one that is absent. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
