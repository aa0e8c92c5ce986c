/**
 * The vocabulary between the ORM's side (RowSource, RowTarget) and the container's side (Serializer, Deserializer):
 * a flat, ordered sequence of small objects. Object-mode streams carry them, one chunk each.
 *
 *   schema  ( rows* entity-end )*  ( file-begin file-data* file-end )*  end
 *
 * Streams may interleave; each carries its `stream` number. Memory: an item holds at most 1 MiB of data.
 */

/** How the cells of a ROWS body are written. See SPEC.md, "Cell encodings". */
export type CellEncoding = 'sqlite-typed' | 'text';

export interface ColumnSchema {
  name: string;
  /** The database's own name of the type. */
  type: string;
  nullable: boolean;
  /** Computed by the database: recorded, never written. */
  generated?: boolean;
  identity?: 'always' | 'by-default';
  /** The database's default expression, as text. */
  default?: string;
}

export interface ForeignKeySchema {
  name?: string;
  columns: string[];
  table: string;
  schema?: string;
  references: string[];
}

export interface TableSchema {
  /** The stream number of this table's ROWS frames: unique in a backup, from 1. */
  stream: number;
  schema?: string;
  table: string;
  /** Entity names that this table holds (several with single-table inheritance); a pivot table's own name. */
  entities: string[];
  pivot?: boolean;
  encoding: CellEncoding;
  /** In the order of the cells. EXCLUDEd columns are absent. */
  columns: ColumnSchema[];
  primaryKey: string[];
  /** Column sets of unique constraints and indexes other than the primary key. */
  unique?: string[][];
  foreignKeys: ForeignKeySchema[];
}

export interface SequenceSchema {
  name: string;
  schema?: string;
  /** Decimal text: sequences exceed 2^53. */
  value: string;
  /** PostgreSQL: whether `value` was handed out already. */
  called?: boolean;
  table?: string;
  column?: string;
}

/** The body of the SCHEMA frame. */
export interface BackupSchema {
  kind: 'database' | 'stream';
  /** ISO 8601, UTC. */
  created: string;
  tool: string;
  /** `sqlite`, `postgresql`, `mysql`; absent for kind `stream`. */
  dialect?: string;
  server?: string;
  orm?: string;
  tables: TableSchema[];
  sequences?: SequenceSchema[];
  /** Names of executed migrations, and the table that records them. */
  migrations?: { table: string; names: string[] };
  /** `Entity.property` of what was replaced: this is a masked copy, no backup of the database as it was. */
  masked?: string[];
}

/** The body of a FILE_BEGIN frame. */
export interface FileMeta {
  /** `field`: a FILE field's storage key; `path`: a FILE_PATH column's value; `root`: below a file root; `stream`: a sealed stream. */
  kind: 'field' | 'path' | 'root' | 'stream';
  /** Storage name (`field`) or root name (`root`); empty otherwise. */
  root: string;
  /** The key or path, `/`-separated, as it is to be found again. */
  path: string;
  /** Bytes, where known beforehand; FILE_END states what was read. */
  size?: number;
  /** Permission bits, decimal. */
  mode?: number;
  /** Milliseconds since 1970. */
  mtime?: number;
}

export interface SchemaItem {
  type: 'schema';
  schema: BackupSchema;
}

export interface RowsItem {
  type: 'rows';
  stream: number;
  /** Lines that END in `data`. */
  count: number;
  /** NDJSON: one array of cells a line, each line ending in "\n". At most 1 MiB: a larger row spans several items. */
  data: Buffer;
}

export interface EntityEndItem {
  type: 'entity-end';
  stream: number;
  /** All rows of this stream. */
  rows: number;
}

export interface FileBeginItem {
  type: 'file-begin';
  /** Unique in a backup, continuing after the tables' numbers. */
  stream: number;
  file: FileMeta;
}

export interface FileDataItem {
  type: 'file-data';
  stream: number;
  data: Buffer;
}

export interface FileEndItem {
  type: 'file-end';
  stream: number;
  size: number;
  /** Set by the source when the file could not be read to its end: what is here is not the file. */
  incomplete?: string;
}

/** A source that could not be read: listed in the backup's END and in the report, exit code 3. */
export interface SkippedSource {
  kind: FileMeta['kind'];
  root: string;
  path: string;
  /** A sentence, without secrets. */
  reason: string;
  /** `entity.field` of the row that names it, where one does. */
  from?: string;
}

export interface SkippedItem {
  type: 'skipped';
  skipped: SkippedSource;
}

export interface EndItem {
  type: 'end';
  rows: number;
  files: number;
  /** Bytes of all files. */
  bytes: number;
  skipped: SkippedSource[];
}

export type BackupItem =
  | SchemaItem
  | RowsItem
  | EntityEndItem
  | FileBeginItem
  | FileDataItem
  | FileEndItem
  | SkippedItem
  | EndItem;
