/** The longest row that a restore can read: it parses each as one JavaScript string. */
import { SourceError } from '../errors.ts';

/** Bytes of a line. */
export const MAX_LINE = (512 << 20) - 64;

/** @throws SourceError ERR_SOURCE_ROW_TOO_LARGE where a batch, which is larger than usual for one row only, is too large */
export function requireRestorable(table: string, bytes: number): void {
  if (bytes > MAX_LINE) throw rowTooLarge(table);
}

export function rowTooLarge(table: string): SourceError {
  return new SourceError(
    'ERR_SOURCE_ROW_TOO_LARGE',
    `A row of the table "${table}" is larger than 512 MiB as text, and could not be restored. Store such values as files, or exclude the field.`,
    { facts: { table } },
  );
}
