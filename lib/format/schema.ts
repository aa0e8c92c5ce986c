/**
 * Schemas and other JSON of the encrypted stream, looked at before anybody believes them. Authenticity does not help here: whoever knows a recipient's public
 * key can write a backup for it.
 */
import { FormatError } from '../errors.ts';
import type { BackupSchema, FileMeta, TableSchema } from './items.ts';

export function malformed(what: string, cause?: unknown): FormatError {
  return new FormatError('ERR_STREAM_FRAME', `The decrypted stream is not one that this program writes: ${what}.`, {
    cause,
  });
}

/** The JSON object in a frame's body. @throws FormatError ERR_STREAM_FRAME */
export function parseObject<T extends object>(raw: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(raw.toString('utf8'));
  } catch (cause) {
    throw malformed('a frame holds no JSON where it should', cause);
  }
  if (!isObject(value)) throw malformed('a frame holds no JSON object');
  return value as T;
}

/** The body of a SCHEMA. @throws FormatError ERR_STREAM_FRAME */
export function parseSchema(raw: Buffer): BackupSchema {
  const schema = parseObject<BackupSchema>(raw);
  const { kind, tables, sequences = [], migrations } = schema;
  const known = kind === 'database' || kind === 'stream';
  if (!known || !isListOf(tables, isTable)) throw malformed('its schema is none');
  const names = (s: unknown) => isObject(s) && typeof s.name === 'string' && typeof s.value === 'string';
  if (!isListOf(sequences, names)) throw malformed('its sequences are none');
  if (migrations !== undefined && !(isText(migrations?.table) && isListOf(migrations.names, isText))) {
    throw malformed('its migrations are none');
  }
  if (schema.masked !== undefined && !isListOf(schema.masked, isText)) throw malformed('its masked fields are none');
  return schema;
}

/** The body of a FILE_BEGIN. @throws FormatError ERR_STREAM_FRAME */
export function parseFileMeta(raw: Buffer): FileMeta {
  const file = parseObject<FileMeta>(raw);
  if (!isFileMeta(file)) throw malformed('a file has no kind, root or path');
  return file;
}

export function isFileMeta(value: unknown): value is FileMeta {
  return isObject(value) && [value.kind, value.root, value.path].every(isText);
}

function isTable(value: unknown): value is TableSchema {
  if (!isObject(value)) return false;
  const { stream, table, schema = '', entities, columns, primaryKey, unique = [], foreignKeys } = value;
  return (
    isCount(stream) &&
    [table, schema].every(isText) &&
    isListOf(entities, isText) &&
    isListOf(columns, (c) => isObject(c) && [c.name, c.type].every(isText)) &&
    isListOf(primaryKey, isText) &&
    isListOf(unique, (set) => isListOf(set, isText)) &&
    isListOf(foreignKeys, isForeignKey)
  );
}

function isForeignKey(value: unknown): boolean {
  return isObject(value) && isText(value.table) && [value.columns, value.references].every((l) => isListOf(l, isText));
}

/** One line of ROWS. @throws FormatError ERR_STREAM_FRAME */
export function parseCells(line: string): unknown[] {
  let cells: unknown;
  try {
    cells = JSON.parse(line);
  } catch (cause) {
    throw malformed('a row is no JSON', cause);
  }
  if (!Array.isArray(cells)) throw malformed('a row is no list of cells');
  return cells;
}

/** A number that can be a count, a length or an offset. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isListOf(value: unknown, is: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(is);
}
