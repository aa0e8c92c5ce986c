/** How the backup's schema and the target's differ, column by column, and whether a restore may go on all the same. */
import { RestoreError } from '../errors.ts';
import type { ColumnSchema, TableSchema } from '../format/items.ts';
import { type Conversion, conversionOf, type DialectName } from './convert/index.ts';
import type { CatalogTable } from './driver.ts';

/**
 * - `dropped`: the target has no such column, its values are left out.
 * - `defaulted`: the backup has no such column; new rows get the target's default or NULL. Never refused.
 * - `required`: the same, where the target has neither. Always refused.
 * - `converted`: the target's type holds less, or something else; between databases: something may get lost.
 * - `told`: every value arrives, in another form. Never refused.
 */
export type DriftKind = 'dropped' | 'defaulted' | 'required' | 'converted' | 'told';

/** One difference between the backup's schema and the target's. */
export interface Drift {
  table: string;
  entities: string[];
  column: string;
  kind: DriftKind;
  /** Types, as the two databases say them. */
  from?: string;
  to?: string;
  /** What changes, or gets lost. */
  note?: string;
  /** How many values were left out (`dropped`), or lost something (`converted`). Known when the rows have passed. */
  values?: number;
}

/** How one cell of a row gets into the target's column; null where it goes as it is. */
export type ColumnConversion = { conversion: Conversion; strict: boolean } | null;

export interface TableDrift {
  drift: Drift[];
  conversions: ColumnConversion[];
  /** Columns that have no way into the target's type. */
  impossible: { column: string; from: string; to: string }[];
}

export interface DriftContext {
  from: DialectName;
  to: DialectName;
}

/** @param columns the target's column for each of the source's, or null */
export function compareTable(
  source: TableSchema,
  target: CatalogTable,
  columns: (string | null)[],
  { from, to }: DriftContext,
): TableDrift {
  const { table, entities } = source;
  const at = (column: string, kind: DriftKind, more: Partial<Drift> = {}): Drift => ({
    table,
    entities,
    column,
    kind,
    ...more,
  });
  const found: TableDrift = { drift: [], conversions: [], impossible: [] };
  for (const [i, column] of source.columns.entries()) {
    const other = target.columns.find(({ name }) => name === columns[i]);
    found.conversions.push(null);
    if (!other) {
      if (!column.generated && !hasColumn(target, column.name)) found.drift.push(at(column.name, 'dropped'));
      continue;
    }
    const types = { from: column.type, to: other.type };
    if (from === to) {
      const changed = sameDatabase(column, other, from);
      if (!changed) continue;
      found.drift.push(at(column.name, 'converted', { ...types, ...(changed.note ? { note: changed.note } : {}) }));
      if (changed.conversion) found.conversions[i] = { conversion: changed.conversion, strict: false };
      continue;
    }
    const conversion = conversionOf({ dialect: from, type: column.type }, { dialect: to, type: other.type });
    if (!conversion) {
      found.impossible.push({ column: column.name, ...types });
      continue;
    }
    found.conversions[i] = { conversion, strict: true };
    const { grade, note } = conversion;
    if (grade === 'same') continue;
    found.drift.push(
      at(column.name, grade === 'lossy' ? 'converted' : 'told', { ...types, ...(note ? { note } : {}) }),
    );
  }
  const given = new Set(columns);
  for (const column of target.columns) {
    if (given.has(column.name) || column.generated) continue;
    found.drift.push(at(column.name, givesItself(column, target) ? 'defaulted' : 'required'));
  }
  return found;
}

function hasColumn(target: CatalogTable, name: string): boolean {
  return target.columns.some((column) => column.name.toLowerCase() === name.toLowerCase());
}

function givesItself(column: ColumnSchema, target: CatalogTable): boolean {
  if (column.nullable || column.default !== undefined || column.identity) return true;
  // A rowid that the table names gives itself a value.
  const { primaryKey } = target;
  return primaryKey.length === 1 && primaryKey[0] === column.name && column.type.toUpperCase() === 'INTEGER';
}

/** Types of one kind of database: a widening is no drift. */
function sameDatabase(
  { type: source }: ColumnSchema,
  { type: target }: ColumnSchema,
  dialect: DialectName,
): { note?: string; conversion?: Conversion } | undefined {
  if (source.toLowerCase() === target.toLowerCase()) return undefined;
  if (dialect === 'sqlite') {
    const [a, b] = [affinity(source), affinity(target)];
    return a === b || b === 'BLOB' || (b === 'NUMERIC' && a === 'INTEGER') || (a === 'NUMERIC' && b === 'INTEGER')
      ? undefined
      : { note: `SQLite's affinity: ${a} becomes ${b}` };
  }
  const conversion = conversionOf({ dialect, type: source }, { dialect, type: target });
  if (!conversion) return { note: 'the database itself converts it, or refuses' };
  if (!conversion.narrows) return undefined;
  return { conversion, ...(conversion.note === undefined ? {} : { note: conversion.note }) };
}

/** sqlite.org/datatype3.html, 3.1 */
function affinity(type: string): 'INTEGER' | 'TEXT' | 'BLOB' | 'REAL' | 'NUMERIC' {
  if (/int/i.test(type)) return 'INTEGER';
  if (/char|clob|text/i.test(type)) return 'TEXT';
  if (/blob/i.test(type) || type === '') return 'BLOB';
  return /real|floa|doub/i.test(type) ? 'REAL' : 'NUMERIC';
}

export interface Permission {
  allowDrift?: boolean | undefined;
  allowLossy?: boolean | undefined;
}

/**
 * What stands against going on. `final`: no permission helps.
 *
 * @returns ERR_RESTORE_CONVERSION, ERR_RESTORE_SCHEMA_DRIFT, ERR_RESTORE_LOSSY; undefined where nothing does
 */
export function refusalOf(
  tables: { source: TableSchema; drift: TableDrift }[],
  { from, to }: DriftContext,
  { allowDrift, allowLossy }: Permission,
): { error: RestoreError; final: boolean } | undefined {
  const drift = tables.flatMap((table) => table.drift.drift);
  const impossible = tables.flatMap(({ source, drift }) =>
    drift.impossible.map((one) => ({ table: source.table, entities: source.entities, ...one })),
  );
  if (impossible.length) {
    const names = impossible.map((one) => `"${one.table}"."${one.column}" (${one.from} into ${one.to})`);
    return {
      final: true,
      error: new RestoreError(
        'ERR_RESTORE_CONVERSION',
        `There is no way for these values from ${from} into ${to}: ${names.join(', ')}. Change the target's column to a type that takes them, or leave the entity out with "except". Nothing was changed.`,
        { facts: { columns: impossible, drift } },
      ),
    };
  }
  const of = (kind: DriftKind) => drift.filter((one) => one.kind === kind);
  const required = of('required');
  const dropped = allowDrift ? [] : of('dropped');
  const converted = allowDrift || allowLossy ? [] : of('converted');
  if (!required.length && !dropped.length && !converted.length) return undefined;
  const facts = { facts: { drift: [...dropped, ...required, ...converted] } };
  const types = (one: Drift) =>
    `"${one.table}"."${one.column}" (${one.from} into ${one.to}${one.note ? `: ${one.note}` : ''})`;
  const name = (one: Drift) => `"${one.table}"."${one.column}"`;
  if (from !== to && !required.length && !dropped.length) {
    return {
      final: false,
      error: new RestoreError(
        'ERR_RESTORE_LOSSY',
        `From ${from} into ${to} these values may lose something: ${converted.map(types).join(', ')}. Accept that with allowLossy (--allow-lossy), or change the target's columns. Nothing was changed.`,
        facts,
      ),
    };
  }
  const parts = [
    ...(dropped.length ? [`the target has no column ${dropped.map(name).join(', ')} (allowDrift leaves it out)`] : []),
    ...(converted.length
      ? [`the target has another type for ${converted.map(types).join(', ')} (allowDrift or allowLossy converts)`]
      : []),
    ...(required.length
      ? [
          `the target requires a value in ${required.map(name).join(', ')}, which the backup does not have (give it a default, or make it nullable)`,
        ]
      : []),
  ];
  return {
    final: required.length > 0,
    error: new RestoreError(
      'ERR_RESTORE_SCHEMA_DRIFT',
      `The schemas differ: ${parts.join('; ')}. Nothing was changed.`,
      facts,
    ),
  };
}
