/** Which columns of a backup hold what the registry declares sensitive. Whatever is not found is an error: nothing may slip through. */
import { resolve, sep } from 'node:path';
import { ConfigError } from '../../errors.ts';
import { isStorageAdapter } from '../../files/storage.ts';
import type { BackupSchema, TableSchema } from '../../format/items.ts';
import type { Model } from '../discovery.ts';
import type { PropertyLike } from '../orm-like.ts';
import type { RegistryConfig } from '../registry.ts';
import { selectTables } from '../selection.ts';
import type { MaskedColumn } from './rules.ts';

export interface SensitiveColumn extends MaskedColumn {
  /** Position of the cell. */
  cell: number;
  /** Where it names files that must not be in the backup. */
  files?: { kind: 'field' | 'path'; storage: string };
}

/**
 * @returns by stream
 * @throws ConfigError ERR_CONFIG_NOTHING_TO_MASK, ERR_CONFIG_FIELD_NOT_A_COLUMN, ERR_CONFIG_MASK_KEY, ERR_CONFIG_MASK_FILE_ROOT
 */
export function sensitiveColumns(
  schema: BackupSchema,
  model: Model,
  registry: RegistryConfig,
): Map<number, SensitiveColumn[]> {
  const found = new Map<number, SensitiveColumn[]>();
  const declared = new Set<string>();
  const seen = new Set<string>();
  for (const selected of selectTables(model, registry)) {
    const tables = schema.tables.filter(
      ({ table, entities }) =>
        table.toLowerCase() === selected.table.toLowerCase() ||
        entities.some((name) => selected.entities.includes(name)),
    );
    for (const { entity, property, rule } of selected.rules) {
      const mask = rule.mask ?? (rule.sensitive ? ('default' as const) : undefined);
      if (!mask || rule.type === 'EXCLUDE' || !tables.length) continue;
      const at = `${entity}.${property.name}`;
      declared.add(at);
      const names = (property.fieldNames ?? []).map((name) => name.toLowerCase());
      for (const table of tables) {
        for (const [cell, column] of table.columns.entries()) {
          if (!names.includes(column.name.toLowerCase())) continue;
          seen.add(at);
          requireNoKey(at, column.name, table, schema);
          const list = found.get(table.stream) ?? [];
          found.set(table.stream, list);
          if (list.some((one) => one.cell === cell)) continue;
          const { storage = 'default' } = rule;
          const files =
            rule.type === 'FILE'
              ? { files: { kind: 'field' as const, storage } }
              : rule.type === 'FILE_PATH'
                ? { files: { kind: 'path' as const, storage: '' } }
                : {};
          // A file's name says nothing once its file is gone.
          const plain = 'files' in files && mask === 'default' && column.nullable ? ('null' as const) : mask;
          list.push({
            cell,
            entity,
            property: property.name,
            column: column.name,
            type: column.type,
            nullable: column.nullable,
            unique: table.unique?.some((set) => set.includes(column.name)) === true,
            ...itemsOf(property),
            ...(property.columnTypes?.some((type) => /^json/i.test(type)) ? { json: true } : {}),
            mask: plain,
            ...files,
          });
        }
      }
    }
  }
  const lost = [...declared].filter((at) => !seen.has(at));
  if (lost.length) {
    throw new ConfigError(
      'ERR_CONFIG_FIELD_NOT_A_COLUMN',
      `${lost.join(', ')} cannot be masked: not stored in a column of its own. Declare the property that is (the whole embedded object, say).`,
      { facts: { fields: lost } },
    );
  }
  if (!declared.size) {
    throw new ConfigError(
      'ERR_CONFIG_NOTHING_TO_MASK',
      "A masked copy was asked for, and the backup configuration declares no field sensitive. Declare them: entities: { User: { fields: { email: { mask: 'email' } } } }.",
    );
  }
  refuseRoots([...found.values()].flat(), registry);
  return found;
}

/** What a property may be. A boolean is a plain number in SQLite. */
function itemsOf({ items, runtimeType }: PropertyLike): { items?: unknown[] } {
  if (runtimeType === 'boolean') return { items: [0, 1] };
  return items?.length ? { items } : {};
}

function requireNoKey(at: string, column: string, table: TableSchema, schema: BackupSchema): void {
  const refers = table.foreignKeys.some(({ columns }) => columns.includes(column));
  const referred = schema.tables.some(({ foreignKeys }) =>
    foreignKeys.some((key) => key.table.toLowerCase() === table.table.toLowerCase() && key.references.includes(column)),
  );
  if (!table.primaryKey.includes(column) && !refers && !referred) return;
  throw new ConfigError(
    'ERR_CONFIG_MASK_KEY',
    `${at} cannot be masked: its column "${table.table}"."${column}" is part of a primary or foreign key, by which rows find one another. Mask what it stands for instead.`,
    { facts: { field: at, table: table.table, column } },
  );
}

/** A file root that holds the files of a sensitive field would bring them back in. */
function refuseRoots(columns: SensitiveColumn[], registry: RegistryConfig): void {
  const base = resolve(registry.baseDir ?? '.');
  for (const { files, entity, property } of columns) {
    if (!files) continue;
    const storage = registry.storages?.[files.storage];
    const places =
      files.kind === 'path'
        ? (registry.pathRoots ?? [base])
        : storage === undefined || isStorageAdapter(storage)
          ? []
          : [storage];
    for (const [name, dir] of Object.entries(registry.fileRoots ?? {})) {
      const root = resolve(base, dir);
      const clash = places
        .map((place) => resolve(base, place))
        .some((place) => within(root, place) || within(place, root));
      if (!clash) continue;
      throw new ConfigError(
        'ERR_CONFIG_MASK_FILE_ROOT',
        `The file root "${name}" and the files of ${entity}.${property}, which are sensitive, share a folder: a masked copy would hold them. Leave that root out of the configuration for masked copies, or keep the files apart.`,
        { facts: { root: name, field: `${entity}.${property}` } },
      );
    }
  }
}

function within(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir.endsWith(sep) ? dir : dir + sep);
}
