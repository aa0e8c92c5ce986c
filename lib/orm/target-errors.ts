/** Why a restore stops, whatever the database. Nothing was changed in any of these cases. */
import { FormatError, RestoreError } from '../errors.ts';
import type { DanglingReference, TablePlan } from './driver.ts';

export function notEmpty(table: string): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_NOT_EMPTY',
    `The table "${table}" holds rows. A damaged backup is salvaged into an empty database only: make a new one. Nothing was changed.`,
    { facts: { table } },
  );
}

export function stopped(): RestoreError {
  return new RestoreError('ERR_RESTORE_INCOMPLETE', 'The restore was stopped before its end. Nothing was changed.');
}

export function outOfOrder(what: string): FormatError {
  return new FormatError(
    'ERR_FORMAT_ORDER',
    `The backup's items are out of order (${what}). Validate the backup; if it is intact, a newer version wrote it: update mikro-orm-dbs.`,
  );
}

export function wrongCount(stream: number): FormatError {
  return new FormatError(
    'ERR_FORMAT_ROW',
    `The rows of stream ${stream} are not as many as the backup says. Validate the backup.`,
  );
}

/** Rows cannot be told apart, and the table is not empty. */
export function noKey(plan: TablePlan): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_NO_PRIMARY_KEY',
    `The table "${plan.target.table}" has no primary key in common with the backup and already holds rows, so they cannot be merged. Restore with mode "flush", or leave it out with "except".`,
    { facts: { table: plan.target.table, entities: plan.source.entities } },
  );
}

export function wrongLength(plan: TablePlan, length: number): FormatError {
  return new FormatError(
    'ERR_FORMAT_ROW',
    `A row of the table "${plan.source.table}" has ${length} cells where the backup's schema says ${plan.columns.length}. Validate the backup.`,
  );
}

export function danglingError(dangling: DanglingReference[]): RestoreError {
  const shown = dangling.slice(0, 5).map(({ table, row, parent }) => `"${table}" ${row} (no such row in "${parent}")`);
  return new RestoreError(
    'ERR_RESTORE_DANGLING',
    `Rows would refer to rows that are not there: ${shown.join('; ')}${dangling.length > 5 ? ' and more' : ''}. Restore the tables that they refer to as well, or accept them with allowDangling. Nothing was changed.`,
    { facts: { dangling } },
  );
}
