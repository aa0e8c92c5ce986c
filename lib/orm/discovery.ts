/**
 * Which tables belong to an app: MikroORM's metadata chooses, the database's catalog describes (driver.ts).
 * Every table once, whatever stands for it: single-table hierarchies, pivot tables, several ORMs on one database.
 */
import { ConfigError } from '../errors.ts';
import type { TableRef } from './driver.ts';
import type { MetaLike, OrmLike, PropertyLike } from './orm-like.ts';
import { setting } from './orm-like.ts';

/** A table that the metadata knows, with every entity in it. */
export interface ModelTable extends TableRef {
  /** Class names, the root of a hierarchy first; of a pivot table its own. */
  entities: string[];
  metas: MetaLike[];
  pivot: boolean;
  /** Of an automatic pivot table: the entities on its two sides. */
  sides: string[];
}

export interface Model {
  tables: ModelTable[];
  /** MikroORM's table of executed migrations: recorded, never backed up as rows. */
  migrations: TableRef;
}

/**
 * @param orms on one database; their metadata is merged
 * @throws ConfigError ERR_CONFIG_NO_ENTITIES
 */
export function discoverModel(orms: OrmLike[]): Model {
  const tables = new Map<string, ModelTable>();
  const sides = pivotSides(orms);
  const migrations = migrationTable(orms[0]);
  for (const orm of orms) {
    for (const meta of orm.getMetadata()) {
      if (!hasTable(meta)) continue;
      const ref = refOf(meta);
      if (ref.table === migrations.table) continue;
      const key = `${ref.schema ?? ''}\0${ref.table}`;
      const table = tables.get(key) ?? { ...ref, entities: [], metas: [], pivot: meta.pivotTable === true, sides: [] };
      if (!table.entities.includes(meta.className)) {
        const add = !meta.root || meta.root.className === meta.className ? 'unshift' : 'push';
        table.entities[add](meta.className);
        table.metas[add](meta);
        table.sides.push(...(sides.get(meta.className) ?? []));
      }
      tables.set(key, table);
    }
  }
  if (!tables.size) {
    throw new ConfigError(
      'ERR_CONFIG_NO_ENTITIES',
      'The MikroORM configuration discovers no entity that has a table. Check "entities" in it, and the folder this runs in.',
    );
  }
  return { tables: [...tables.values()], migrations };
}

/** Views, virtual entities and embeddables have no rows of their own; an abstract base has only with inheritance. */
function hasTable(meta: MetaLike): boolean {
  if (meta.embeddable || meta.virtual || meta.expression || meta.view) return false;
  if (meta.abstract && !meta.discriminatorColumn && !meta.inheritanceType) return false;
  return Boolean(meta.tableName ?? meta.collection);
}

function refOf(meta: MetaLike): TableRef {
  const table = (meta.tableName ?? meta.collection) as string;
  return meta.schema ? { schema: meta.schema, table } : { table };
}

/** By class name of a pivot table: the two entities that it joins. */
function pivotSides(orms: OrmLike[]): Map<string, string[]> {
  const sides = new Map<string, string[]>();
  for (const orm of orms) {
    for (const meta of orm.getMetadata()) {
      for (const property of Object.values(meta.properties ?? {})) {
        const pivot = pivotName(property);
        if (pivot && property.targetMeta) sides.set(pivot, [meta.className, property.targetMeta.className]);
      }
    }
  }
  return sides;
}

function pivotName({ pivotEntity }: PropertyLike): string | undefined {
  // MikroORM 6 says the name, 7 may say the class.
  if (typeof pivotEntity === 'string') return pivotEntity;
  return typeof pivotEntity === 'function' ? pivotEntity.name : undefined;
}

function migrationTable(orm: OrmLike | undefined): TableRef {
  const options = (orm && setting(orm, 'migrations')) as { tableName?: string } | undefined;
  const [table, schema] = (options?.tableName ?? 'mikro_orm_migrations').split('.').reverse();
  return schema ? { schema, table: table! } : { table: table! };
}
