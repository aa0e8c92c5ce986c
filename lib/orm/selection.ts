/** The registry laid over the model and the catalog: which columns of which tables, and which of them name files. */
import { ConfigError, SourceError } from '../errors.ts';
import type { ColumnSchema } from '../format/items.ts';
import { nearest } from '../nearest.ts';
import type { Model, ModelTable } from './discovery.ts';
import type { CatalogTable } from './driver.ts';
import type { MetaLike, PropertyLike } from './orm-like.ts';
import { checkField, type FieldOptions, type FieldRule, type FieldType, type RegistryConfig } from './registry.ts';

/** A column whose values name files. */
export interface FileColumn {
  column: string;
  kind: 'field' | 'path';
  /** Storage name; empty for paths. */
  storage: string;
  /** `Entity.property`, for the report. */
  from: string;
}

/** A rule of the registry or of a property, before columns are known. */
interface PropertyRule {
  entity: string;
  property: PropertyLike;
  rule: FieldOptions & { type: FieldType };
  /** The column may be in an ancestor's table, or in a descendant's. */
  elsewhere: boolean;
}

/** A table of the model that is not left out, with the rules on its properties. */
export interface SelectedTable extends ModelTable {
  rules: PropertyRule[];
}

/** The brand of a custom type whose values are file keys: `static [FILE_TYPE] = true` or `= { storage: 'name' }`. */
export const FILE_TYPE: unique symbol = Symbol.for('dbs.file') as never;

/**
 * @returns the tables that are not excluded, in the model's order
 * @throws ConfigError ERR_CONFIG_UNKNOWN_ENTITY, ERR_CONFIG_UNKNOWN_FIELD, ERR_CONFIG_UNKNOWN_STORAGE, ERR_CONFIG_EXCLUDE_PART
 */
export function selectTables(model: Model, config: RegistryConfig): SelectedTable[] {
  const names = new Set(model.tables.flatMap((table) => table.entities));
  const excluded = new Set(config.exclude ?? []);
  for (const [name, rule] of Object.entries(config.entities ?? {})) if (rule.exclude) excluded.add(name);
  for (const name of [...excluded, ...Object.keys(config.entities ?? {})]) {
    if (!names.has(name)) throw unknownEntity(name, names);
  }
  const metas = model.tables.flatMap((table) => table.metas);
  return model.tables
    .filter((table) => !isExcluded(table, excluded))
    .map((table) => {
      // With a table per type, an inherited property is a column of the ancestor's table.
      const mine = metas.filter((meta) => lineage(meta).some((each) => table.metas.includes(each)));
      return { ...table, rules: mine.flatMap((meta) => rulesOf(meta, config)) };
    });
}

function lineage(meta: MetaLike): MetaLike[] {
  return meta.tptParent ? [meta, ...lineage(meta.tptParent)] : [meta];
}

export function unknownEntity(name: string, known: Iterable<string>): ConfigError {
  const all = [...known];
  return new ConfigError('ERR_CONFIG_UNKNOWN_ENTITY', `There is no entity "${name}". ${nearest(name, all)}`, {
    facts: { entity: name },
  });
}

function isExcluded(table: ModelTable, excluded: Set<string>): boolean {
  const out = table.entities.filter((name) => excluded.has(name));
  // The first is the root of its hierarchy: naming it means all of them.
  if (out.length && out.length < table.entities.length && !excluded.has(table.entities[0]!)) {
    throw new ConfigError(
      'ERR_CONFIG_EXCLUDE_PART',
      `${out.join(', ')} cannot be excluded alone: the table "${table.table}" also holds ${table.entities.filter((name) => !excluded.has(name)).join(', ')}. Exclude all of them, or none.`,
      { facts: { table: table.table, entities: table.entities } },
    );
  }
  // A pivot table without one of its sides would only hold dangling references.
  return out.length > 0 || table.sides.some((side) => excluded.has(side));
}

function rulesOf(meta: MetaLike, config: RegistryConfig): PropertyRule[] {
  const rules = new Map<string, PropertyRule>();
  const add = (property: PropertyLike, rule: FieldRule) => {
    const full = typeof rule === 'string' ? { type: rule } : { ...rule, type: rule.type ?? ('VALUE' as const) };
    rules.set(property.name, { entity: meta.className, property, rule: full, elsewhere: meta.tptParent !== undefined });
  };
  for (const property of Object.values(meta.properties)) {
    const sugar = sugarOf(meta, property);
    if (sugar) add(property, sugar);
  }
  // After the sugar: the registry wins.
  for (const [name, rule] of Object.entries(config.entities?.[meta.className]?.fields ?? {})) {
    add(findProperty(meta, name), rule);
  }
  for (const { entity, property, rule } of rules.values()) {
    const storage = rule.storage ?? 'default';
    if (rule.type !== 'FILE' || config.storages?.[storage] !== undefined) continue;
    throw new ConfigError(
      'ERR_CONFIG_UNKNOWN_STORAGE',
      `${entity}.${property.name} is a FILE in the storage "${storage}", which "storages" does not name. Add it: storages: { ${storage}: './uploads' }.`,
      { facts: { entity, field: property.name, storage } },
    );
  }
  return [...rules.values()];
}

/** `dbs: 'FILE'` or `dbs: { type: 'FILE' }` among a property's options, or a branded custom type. */
function sugarOf(meta: MetaLike, property: PropertyLike): FieldRule | undefined {
  const option = (property as PropertyLike & { dbs?: FieldRule }).dbs;
  if (option !== undefined) {
    checkField(`${meta.className}.${property.name}.dbs`, option);
    return option;
  }
  const type = property.customType as Record<symbol, unknown> | undefined;
  const brand = type?.[FILE_TYPE] ?? (type?.constructor as unknown as Record<symbol, unknown> | undefined)?.[FILE_TYPE];
  if (!brand) return undefined;
  return { type: 'FILE', ...(typeof brand === 'object' ? (brand as { storage?: string }) : {}) };
}

function findProperty(meta: MetaLike, name: string): PropertyLike {
  const properties = Object.values(meta.properties);
  const flat = name.replaceAll('.', '_');
  const found =
    meta.properties[name] ??
    properties.find(({ embedded }) => embedded && `${embedded[0]}.${embedded[1]}` === name) ??
    (name.includes('.') ? meta.properties[flat] : undefined);
  if (found) return found;
  const known = properties.map((property) => property.embedded?.join('.') ?? property.name);
  throw new ConfigError(
    'ERR_CONFIG_UNKNOWN_FIELD',
    `The entity "${meta.className}" has no property "${name}". ${nearest(name, known)}`,
    { facts: { entity: meta.className, field: name } },
  );
}

/** What of a table goes into the backup. */
export interface TableSelection {
  /** Columns without the EXCLUDEd ones. */
  columns: ColumnSchema[];
  /** In the order of the columns. */
  files: FileColumn[];
}

/**
 * @throws ConfigError ERR_CONFIG_FIELD_NOT_A_COLUMN, ERR_CONFIG_EXCLUDE_REQUIRED
 */
export function selectColumns(table: SelectedTable, catalog: CatalogTable): TableSelection {
  const excluded = new Set<string>();
  const files = new Map<string, FileColumn>();
  for (const { entity, property, rule, elsewhere } of table.rules) {
    if (rule.type === 'VALUE') continue;
    const at = `${entity}.${property.name}`;
    const columns = columnsOf(property, catalog);
    if (!columns.length) {
      if (elsewhere) continue;
      throw new ConfigError(
        'ERR_CONFIG_FIELD_NOT_A_COLUMN',
        `${at} is not stored in a column of the table "${catalog.table}", so it cannot be ${rule.type}. Register the property that is.`,
        { facts: { entity, field: property.name, table: catalog.table } },
      );
    }
    for (const column of columns) {
      if (rule.type !== 'EXCLUDE') {
        const kind = rule.type === 'FILE' ? 'field' : 'path';
        files.set(column.name, {
          column: column.name,
          kind,
          storage: kind === 'path' ? '' : (rule.storage ?? 'default'),
          from: at,
        });
      } else {
        requireOptional(at, column, catalog);
        excluded.add(column.name);
      }
    }
  }
  const columns = catalog.columns.filter(({ name }) => !excluded.has(name));
  return { columns, files: columns.flatMap(({ name }) => files.get(name) ?? []) };
}

function columnsOf(property: PropertyLike, catalog: CatalogTable): ColumnSchema[] {
  const names = (property.fieldNames ?? []).map((name) => name.toLowerCase());
  return catalog.columns.filter((column) => names.includes(column.name.toLowerCase()));
}

function requireOptional(at: string, column: ColumnSchema, catalog: CatalogTable): void {
  const key = catalog.primaryKey.includes(column.name);
  if (!key && (column.nullable || column.default !== undefined || column.generated)) return;
  throw new ConfigError(
    'ERR_CONFIG_EXCLUDE_REQUIRED',
    `${at} cannot be EXCLUDEd: its column "${catalog.table}"."${column.name}" ${key ? 'is part of the primary key' : 'is NOT NULL without a default'}, so no row could be restored. Make it nullable, give it a default, or keep it.`,
    { facts: { field: at, table: catalog.table, column: column.name } },
  );
}

/** @throws SourceError ERR_SOURCE_MISSING_TABLE, ERR_SOURCE_VIRTUAL_TABLE */
export function requireTable(table: ModelTable, found: CatalogTable[]): CatalogTable[] {
  if (!found.length) {
    throw new SourceError(
      'ERR_SOURCE_MISSING_TABLE',
      `The table "${table.table}" of the entity ${table.entities.join(', ')} does not exist in the database. Run the migrations (or the schema generator), or exclude the entity.`,
      { facts: { table: table.table, entities: table.entities } },
    );
  }
  const virtual = found.find(({ kind }) => kind === 'virtual');
  if (virtual) {
    throw new SourceError(
      'ERR_SOURCE_VIRTUAL_TABLE',
      `The table "${table.table}" of the entity ${table.entities.join(', ')} is a virtual one, whose content belongs to an extension. Exclude the entity, and rebuild the table after a restore.`,
      { facts: { table: table.table, entities: table.entities } },
    );
  }
  return found.filter(({ kind }) => kind === 'table');
}
