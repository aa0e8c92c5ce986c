/** Before a row is written: which table of the backup goes where, column by column, and what stands against it. */
import { RestoreError } from '../errors.ts';
import type { BackupSchema, TableSchema } from '../format/items.ts';
import { nearest } from '../nearest.ts';
import type { Model, ModelTable } from './discovery.ts';
import type { CatalogTable, RestoreWriter, TablePlan } from './driver.ts';
import { unknownEntity } from './selection.ts';
import {
  type ColumnConversion,
  compareTable,
  type Drift,
  type DriftContext,
  type Permission,
  refusalOf,
} from './target-drift.ts';

export type { Drift } from './target-drift.ts';

export interface PlanOptions extends Permission {
  /** Entity (or table) names; all where absent. */
  only?: string[] | undefined;
  except?: string[] | undefined;
  /** Goes on where a permission is missing, and says so in `refusal`. */
  dryRun?: boolean | undefined;
}

export interface RestorePlan {
  plans: TablePlan[];
  drift: Drift[];
  /** By stream: how the cells of a row get into the target. */
  conversions: Map<number, ColumnConversion[]>;
  /** With `dryRun`: what the restore itself would be refused with, for want of a permission. */
  refusal: RestoreError | undefined;
}

/**
 * @param dialects of the backup and of the target
 * @throws ConfigError ERR_CONFIG_UNKNOWN_ENTITY for `only` and `except`
 * @throws RestoreError ERR_RESTORE_UNKNOWN_ENTITY, ERR_RESTORE_MISSING_TABLE, ERR_RESTORE_SCHEMA_DRIFT,
 *   ERR_RESTORE_CONVERSION, ERR_RESTORE_LOSSY
 */
export async function planRestore(
  schema: BackupSchema,
  model: Model,
  writer: RestoreWriter,
  dialects: DriftContext,
  options: PlanOptions,
): Promise<RestorePlan> {
  const chosen = chooseTables(schema, options);
  const targets = chosen.map((table) => targetOf(table, model));
  const unknown = chosen.filter((_, i) => !targets[i]);
  if (unknown.length) throw unknownTables(unknown, model);
  const found = await writer.describe(targets as ModelTable[]);
  const plans: TablePlan[] = [];
  const tables = chosen.map((source, i) => {
    const target = placeOf(source, found[i]!, dialects);
    if (!target) throw missingTable(source, targets[i]!);
    const plan = { source, target, columns: matchColumns(source, target) };
    plans.push(plan);
    return { source, drift: compareTable(source, target, plan.columns, dialects) };
  });
  const refusal = refusalOf(tables, dialects, options);
  if (refusal && (refusal.final || !options.dryRun)) throw refusal.error;
  return {
    plans,
    drift: tables.flatMap((table) => table.drift.drift),
    conversions: new Map(tables.map(({ source, drift }) => [source.stream, drift.conversions])),
    refusal: refusal?.error,
  };
}

/** The table of the same schema; in another kind of database, which may know no schemas, the only one. */
function placeOf(source: TableSchema, found: CatalogTable[], { from, to }: DriftContext): CatalogTable | undefined {
  const tables = found.filter(({ kind }) => kind === 'table');
  const exact = tables.find(({ schema }) => (source.schema ?? schema) === schema);
  return exact ?? (from !== to && tables.length === 1 ? tables[0] : undefined);
}

function chooseTables(schema: BackupSchema, { only, except }: PlanOptions): TableSchema[] {
  const names = (table: TableSchema) => [...table.entities, table.table];
  const known = new Set(schema.tables.flatMap(names));
  for (const name of [...(only ?? []), ...(except ?? [])]) if (!known.has(name)) throw unknownEntity(name, known);
  return schema.tables.filter((table) => {
    if (only && !names(table).some((name) => only.includes(name))) return false;
    return !names(table).some((name) => except?.includes(name));
  });
}

/** By table name first; then by entity, so that a renamed table is still found. */
function targetOf(source: TableSchema, model: Model): ModelTable | undefined {
  const lower = source.table.toLowerCase();
  return (
    model.tables.find(({ table, schema }) => table === source.table && (schema ?? '') === (source.schema ?? '')) ??
    model.tables.find(
      ({ table, schema }) => table.toLowerCase() === lower && (schema ?? '') === (source.schema ?? ''),
    ) ??
    model.tables.find(
      ({ table, schema }) => table.toLowerCase() === lower && (schema === '*' || !schema || !source.schema),
    ) ??
    model.tables.find(({ entities }) => entities.some((name) => source.entities.includes(name)))
  );
}

function matchColumns(source: TableSchema, target: CatalogTable): (string | null)[] {
  const exact = new Map(target.columns.map((column) => [column.name, column]));
  const byName = new Map(target.columns.map((column) => [column.name.toLowerCase(), column]));
  return source.columns.map(({ name }) => {
    // PostgreSQL tells "Name" from "name"; SQLite does not.
    const column = exact.get(name) ?? byName.get(name.toLowerCase());
    return column && !column.generated ? column.name : null;
  });
}

function unknownTables(tables: TableSchema[], model: Model): RestoreError {
  const known = model.tables.flatMap(({ entities }) => entities);
  const names = tables.map(({ entities, table }) => `${entities.join(', ') || table} (table "${table}")`);
  const first = tables[0]!;
  return new RestoreError(
    'ERR_RESTORE_UNKNOWN_ENTITY',
    `The backup holds what the target's MikroORM configuration does not know: ${names.join('; ')}. ${nearest(first.entities[0] ?? first.table, known)} Restore with the configuration that the backup was made with, or leave it out with "except". Nothing was changed.`,
    { facts: { entities: tables.flatMap(({ entities }) => entities), tables: tables.map(({ table }) => table) } },
  );
}

function missingTable(source: TableSchema, target: ModelTable): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_MISSING_TABLE',
    `The table "${target.table}" of the entity ${source.entities.join(', ')} does not exist in the target database. Run the migrations (or the schema generator) first. Nothing was changed.`,
    { facts: { table: target.table, entities: source.entities } },
  );
}
