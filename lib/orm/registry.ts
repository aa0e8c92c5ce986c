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

/**
 * What stands for a sensitive value in a masked copy (docs/masking.md). `text` also serves JSON and lists: their shape
 * stays. `number` keeps the number of digits, `date` the year.
 */
export type MaskKind = 'email' | 'name' | 'text' | 'number' | 'date' | 'uuid' | 'null';

export interface MaskContext {
  entity: string;
  property: string;
  column: string;
  /** Hexadecimal digits that only this text has, for the backup's seed. */
  hash(text: string): string;
}

/**
 * A mask of your own. It gets the database's text of the value (bytes and booleans as such, lists as JSON), never NULL, and
 * must give the same answer for the same value.
 */
export type MaskFunction = (
  value: string | boolean | Uint8Array,
  context: MaskContext,
) => string | number | bigint | boolean | Uint8Array | null;

/** A field's type and more about it. */
export interface FieldOptions {
  /** Default `VALUE`. */
  type?: FieldType;
  /** `FILE` only: the name of its storage. Default `default`. */
  storage?: string;
  /** In a masked copy, its values are replaced so, and the files that they name left out. */
  mask?: MaskKind | MaskFunction;
  /** The same, with the mask that fits the column's type. */
  sensitive?: boolean;
}

/** A field's type, alone or with more. */
export type FieldRule = FieldType | FieldOptions;

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
const FIELD_OPTIONS = ['type', 'storage', 'mask', 'sensitive'];
const MASKS: MaskKind[] = ['email', 'name', 'text', 'number', 'date', 'uuid', 'null'];
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
  if (typeof rule === 'object') known(rule, FIELD_OPTIONS, at);
  const type = typeof rule === 'string' || !rule ? rule : (rule.type ?? (isMasked(rule) ? 'VALUE' : undefined));
  if (FIELD_TYPES.includes(type as FieldType)) {
    if (typeof rule === 'object') checkMask(at, rule);
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

function isMasked({ mask, sensitive }: FieldOptions): boolean {
  return mask !== undefined || sensitive !== undefined;
}

function checkMask(at: string, { mask, sensitive }: FieldOptions): void {
  const kinds = MASKS.map((one) => `'${one}'`).join(', ');
  const holds = mask === undefined || typeof mask === 'function' || MASKS.includes(mask);
  expect(holds, `${at}.mask`, `one of ${kinds}, or a function`);
  expect(sensitive === undefined || typeof sensitive === 'boolean', `${at}.sensitive`, 'true or false');
}
