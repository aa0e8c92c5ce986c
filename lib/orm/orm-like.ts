/**
 * What this library needs of MikroORM, as structural types: MikroORM 6 and 7 both fit, and no module of either is
 * imported at run time (the app's own copy is the only one in the process).
 */

/** One property of an entity, as MikroORM's discovery left it. */
export interface PropertyLike {
  name: string;
  kind?: string;
  /** Column names; misleading for relations and formulas, so the catalog has the last word. */
  fieldNames?: string[];
  persist?: boolean;
  formula?: unknown;
  customType?: object | undefined;
  /** As MikroORM declares them: `json` where MariaDB's catalog says `longtext`. */
  columnTypes?: string[];
  /** `boolean`, `Date`: what the entity shows. */
  runtimeType?: string;
  /** Of an enum: its members. */
  items?: unknown[];
  /** For a flattened embeddable's property: owner and the name inside it. */
  embedded?: [string, string];
  pivotEntity?: unknown;
  targetMeta?: MetaLike | undefined;
}

/** One entry of the metadata storage: an entity, an embeddable, a pivot table, a view. */
export interface MetaLike {
  className: string;
  tableName?: string;
  collection?: string;
  schema?: string;
  pivotTable?: boolean;
  embeddable?: boolean;
  virtual?: boolean;
  abstract?: boolean;
  expression?: unknown;
  /** MikroORM 7. Version 6 shows a view as an ordinary entity: the catalog tells. */
  view?: unknown;
  /** Of a hierarchy; itself elsewhere. */
  root?: { className: string };
  discriminatorColumn?: unknown;
  /** MikroORM 7: `sti` or `tpt`, on root entities. */
  inheritanceType?: unknown;
  /** MikroORM 7, table per type: the parent's table holds the inherited columns. */
  tptParent?: MetaLike;
  properties: Record<string, PropertyLike>;
}

/** `orm.em.getConnection()`: only the members that lead to the native client. */
export interface ConnectionLike {
  /** MikroORM 6: the knex instance. */
  getKnex?: () => unknown;
  /** MikroORM 7.2 and later. */
  getNativeClient?: () => Promise<unknown>;
}

/** A connected `MikroORM` instance of major 6 or 7. */
export interface OrmLike {
  // `any` where the majors declare narrower keys: a method parameter of `string` would refuse both.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  config: { get(key: any, ...rest: any[]): any };
  getMetadata(): Iterable<MetaLike>;
  em: { getConnection(): object; getDriver(): object };
  isConnected(): Promise<boolean>;
  // biome-ignore lint/suspicious/noExplicitAny: version 6 returns its driver, version 7 nothing
  connect(): Promise<any>;
}

/** Reads a setting without failing on keys that this major does not know. */
export function setting(orm: OrmLike, key: string): unknown {
  try {
    return orm.config.get(key);
  } catch {
    return undefined;
  }
}

/** 6 or 7, from the connection's shape: 6 stands on knex. */
export function ormMajor(orm: OrmLike): 6 | 7 {
  return typeof (orm.em.getConnection() as ConnectionLike).getKnex === 'function' ? 6 : 7;
}

/** Class names of the ORM's driver and platform with their ancestors: they tell the dialect without an import. */
export function platformNames(orm: OrmLike): string[] {
  const driver = orm.em.getDriver() as { getPlatform?: () => object };
  const names: string[] = [];
  for (const start of [driver, driver.getPlatform?.()]) {
    for (let at = start; at; at = Object.getPrototypeOf(at)) names.push(at.constructor.name);
  }
  return names;
}
