/** What the app says about its backups beyond what the database says by itself. */
import { expect, isText, isTexts, known } from '../checks.ts';
import { ConfigError } from '../errors.ts';
import { isStorageAdapter, type StorageAdapter } from '../files/storage.ts';

/**
 * What a property holds.
 *
 * - `VALUE`: what the database holds, to the bit. The default for every property.
 * - `FILE`: a key in a storage; the file is in the backup too. A JSON array of keys is several files.
 * - `FILE_PATH`: a path in the file system, relative ones to `baseDir`; the file is in the backup too.
 * - `EXCLUDE`: the column is not in the backup. On restore it gets the target's default, or NULL; a row that is
 *   merged keeps what it has.
 */
export type FieldType = 'VALUE' | 'FILE' | 'FILE_PATH' | 'EXCLUDE';

/** A field's type, alone or with the name of its storage (`FILE` only; default `default`). */
export type FieldRule = FieldType | { type: FieldType; storage?: string };

export interface EntityRule {
  /** By property name, as the entity declares it; `address.street` for an embedded one. Others stay `VALUE`. */
  fields?: Record<string, FieldRule>;
  /** Leave the entity's table out. */
  exclude?: boolean;
}

/** The part of a `BackupConfig` that is about the database and its files. */
export interface RegistryConfig {
  /** By entity name. Entities that are not named are backed up as they are. */
  entities?: Record<string, EntityRule>;
  /** Entities whose tables are left out, with the pivot tables that refer to them. */
  exclude?: string[];
  /** Whole folders, by a name that the restore finds them under. */
  fileRoots?: Record<string, string>;
  /** Where FILE fields keep their content; a string is a directory. */
  storages?: Record<string, StorageAdapter | string>;
  /** What relative FILE_PATH values are relative to. Default: the current directory. */
  baseDir?: string;
  /** Folders within which FILE_PATH files may be read and restored. Default: `baseDir`. */
  pathRoots?: string[];
}

/** Their names. */
export const REGISTRY_OPTIONS = ['entities', 'exclude', 'fileRoots', 'storages', 'baseDir', 'pathRoots'];
const ENTITY_OPTIONS = ['fields', 'exclude'];
const FIELD_OPTIONS = ['type', 'storage'];
const FIELD_TYPES: FieldType[] = ['VALUE', 'FILE', 'FILE_PATH', 'EXCLUDE'];

/**
 * Checks a registry as far as it can be without a database, and returns it.
 * @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_UNKNOWN_FIELD_TYPE
 * @see ../settings.ts, defineBackupConfig: the whole of the settings
 */
export function checkRegistry(config: RegistryConfig): RegistryConfig {
  known(config, REGISTRY_OPTIONS, 'the backup configuration');
  for (const [name, rule] of Object.entries(config.entities ?? {})) {
    known(rule, ENTITY_OPTIONS, `entities.${name}`);
    expect(
      rule.exclude === undefined || typeof rule.exclude === 'boolean',
      `entities.${name}.exclude`,
      'true or false',
    );
    for (const [field, of] of Object.entries(rule.fields ?? {})) checkField(`entities.${name}.fields.${field}`, of);
  }
  expect(isTexts(config.exclude ?? []), 'exclude', 'a list of entity names');
  expect(isTexts(config.pathRoots ?? []), 'pathRoots', 'a list of folders');
  expect(config.baseDir === undefined || isText(config.baseDir), 'baseDir', 'a folder');
  expect(isTexts(Object.values(config.fileRoots ?? {})), 'fileRoots', 'an object of folders by name');
  for (const [name, storage] of Object.entries(config.storages ?? {})) {
    expect(
      isText(storage) || isStorageAdapter(storage),
      `storages.${name}`,
      'a folder, or an adapter with open, stat, put and exists',
    );
  }
  return config;
}

/** @internal also used for the sugar on properties */
export function checkField(at: string, rule: FieldRule): void {
  const type = typeof rule === 'string' ? rule : rule?.type;
  if (typeof rule === 'object') known(rule, FIELD_OPTIONS, at);
  if (FIELD_TYPES.includes(type)) {
    const storage = typeof rule === 'string' ? undefined : rule.storage;
    expect(
      storage === undefined || (isText(storage) && type === 'FILE'),
      `${at}.storage`,
      'the name of a storage, on a FILE field',
    );
    return;
  }
  throw new ConfigError(
    'ERR_CONFIG_UNKNOWN_FIELD_TYPE',
    `${at} is ${JSON.stringify(type)}. A field is one of ${FIELD_TYPES.join(', ')}.`,
    { facts: { at, known: FIELD_TYPES } },
  );
}
