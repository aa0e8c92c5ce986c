/** Before a row is written: which table of the backup goes where, column by column, and what stands against it. */
import { RestoreError } from '../errors.ts';
import type { BackupSchema, TableSchema } from '../format/items.ts';
import { nearest } from '../nearest.ts';
import type { Model, ModelTable } from './discovery.ts';
import type { CatalogTable, RestoreWriter, TablePlan } from './driver.ts';
import { unknownEntity } from './selection.ts';

export interface PlanOptions {
  /** Entity (or table) names; all where absent. */
  only?: string[] | undefined;
  except?: string[] | undefined;
  allowDrift?: boolean | undefined;
}

/** One difference between the backup's schema and the target's. */
export interface Drift {
  table: string;
  entities: string[];
  column: string;
  /** `dropped`: the target has no such column; `required`: the target wants one that the backup does not have. */
  kind: 'dropped' | 'required';
}

export interface RestorePlan {
  plans: TablePlan[];
  drift: Drift[];
}

/**
 * @throws ConfigError ERR_CONFIG_UNKNOWN_ENTITY for `only` and `except`
 * @throws RestoreError ERR_RESTORE_UNKNOWN_ENTITY, ERR_RESTORE_MISSING_TABLE, ERR_RESTORE_SCHEMA_DRIFT
 */
export async function planRestore(
  schema: BackupSchema,
  model: Model,
  writer: RestoreWriter,
  options: PlanOptions,
): Promise<RestorePlan> {
  const chosen = chooseTables(schema, options);
  const targets = chosen.map((table) => targetOf(table, model));
  const unknown = chosen.filter((_, i) => !targets[i]);
  if (unknown.length) throw unknownTables(unknown, model);
  const found = await writer.describe(targets as ModelTable[]);
  const plans: TablePlan[] = [];
  const drift: Drift[] = [];
  for (const [i, source] of chosen.entries()) {
    const target = found[i]!.find(({ kind, schema }) => kind === 'table' && (source.schema ?? schema) === schema);
    if (!target) throw missingTable(source, targets[i]!);
    const plan = { source, target, columns: matchColumns(source, target) };
    plans.push(plan);
    drift.push(...driftOf(plan));
  }
  const fatal = drift.filter(({ kind }) => kind === 'required' || !options.allowDrift);
  if (fatal.length) throw schemaDrift(fatal);
  return { plans, drift };
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

function driftOf({ source, target, columns }: TablePlan): Drift[] {
  const { table, entities } = source;
  const there = new Set(target.columns.map(({ name }) => name.toLowerCase()));
  const dropped = source.columns.filter(({ name, generated }) => !generated && !there.has(name.toLowerCase()));
  const given = new Set(columns);
  const required = target.columns.filter(
    (column) =>
      !given.has(column.name) &&
      !column.nullable &&
      column.default === undefined &&
      !column.generated &&
      !column.identity &&
      // A rowid that the table names gives itself a value.
      !(
        target.primaryKey.length === 1 &&
        target.primaryKey[0] === column.name &&
        column.type.toUpperCase() === 'INTEGER'
      ),
  );
  return [
    ...dropped.map(({ name }): Drift => ({ table, entities, column: name, kind: 'dropped' })),
    ...required.map(({ name }): Drift => ({ table, entities, column: name, kind: 'required' })),
  ];
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

function schemaDrift(drift: Drift[]): RestoreError {
  const dropped = drift.filter(({ kind }) => kind === 'dropped').map(({ table, column }) => `"${table}"."${column}"`);
  const required = drift.filter(({ kind }) => kind === 'required').map(({ table, column }) => `"${table}"."${column}"`);
  const parts = [
    ...(dropped.length ? [`the target has no column ${dropped.join(', ')} (allowDrift leaves it out)`] : []),
    ...(required.length
      ? [
          `the target requires a value in ${required.join(', ')}, which the backup does not have (give it a default, or make it nullable)`,
        ]
      : []),
  ];
  return new RestoreError('ERR_RESTORE_SCHEMA_DRIFT', `The schemas differ: ${parts.join('; ')}. Nothing was changed.`, {
    facts: { drift },
  });
}
