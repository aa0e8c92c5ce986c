/**
 * How each type of MariaDB and MySQL travels (docs/types-mysql.md): the SQL that gives a value's own text or bytes, and
 * the form of its cell. Every expression is binary, so that neither the server nor a module converts anything after it.
 */
import { ident } from './mysql-sql.ts';

/**
 * `plain`: ASCII text without anything to escape. `text`: UTF-8, `{"b": base64}` where it is not valid. `bytes`: always
 * `{"b": base64}`. `marked`: a first byte says which of the last two the rest is.
 */
export type Form = 'plain' | 'text' | 'bytes' | 'marked';

/** What the catalog says of a column beyond its ColumnSchema. */
export interface MysqlColumn {
  name: string;
  /** `bigint`, `varchar`: without lengths. */
  dataType: string;
  charset: string | null;
  /** DOUBLE(10,2): its own text has two decimals, whatever it holds. */
  scaled: boolean;
}

const NUMBERS = ['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'year'];
const TIMES = ['date', 'time', 'datetime', 'timestamp'];
const REALS = ['float', 'double'];
const TEXTS = ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'set'];
const BINARIES = ['tinyblob', 'blob', 'mediumblob', 'longblob', 'binary', 'varbinary', 'bit', 'vector'];
const GEOMETRIES = [
  'geometry',
  'point',
  'linestring',
  'polygon',
  'multipoint',
  'multilinestring',
  'multipolygon',
  'geometrycollection',
  'geomcollection',
];
/** Types with a text of their own: of MariaDB, and MySQL's json. */
const NAMED = ['uuid', 'inet4', 'inet6', 'json'];

/** Character sets whose bytes are valid UTF-8 already. */
const UTF8 = ['utf8mb4', 'utf8mb3', 'utf8', 'ascii'];
/** Character sets of which each text has exactly one form in Unicode, and the other way round. */
const EXACT = ['latin1', 'ucs2', 'utf16', 'utf16le', 'utf32'];

/** Whether two columns understand the same bytes: what is not valid text can only travel between those. */
export function sameBytes(a: string | null, b: string | null): boolean {
  return a === b || (UTF8.includes(a ?? '') && UTF8.includes(b ?? ''));
}

/** A column's type as a backup records it: with the character set, where that is not Unicode's. */
export function typeName(columnType: string, charset: string | null): string {
  return charset === null || UTF8.includes(charset) ? columnType : `${columnType} character set ${charset}`;
}

/** The character set in a recorded type. */
export function charsetOf(type: string): string {
  return / character set (\w+)$/.exec(type)?.[1] ?? 'utf8mb4';
}

/** The form of a column's cells; undefined for a type that this version does not know. */
export function formOf({ dataType, charset }: MysqlColumn): Form | undefined {
  if (NUMBERS.includes(dataType) || TIMES.includes(dataType) || REALS.includes(dataType)) return 'plain';
  if (BINARIES.includes(dataType) || GEOMETRIES.includes(dataType)) return 'bytes';
  if (NAMED.includes(dataType)) return 'text';
  if (dataType === 'enum') return 'marked';
  if (!TEXTS.includes(dataType)) return undefined;
  if (charset === null || charset === 'binary') return 'bytes';
  return UTF8.includes(charset) || EXACT.includes(charset) ? 'text' : 'marked';
}

/** @param prefix of the column, as `t.` */
export function cellSql(column: MysqlColumn, prefix = ''): string {
  const { dataType, charset } = column;
  const q = prefix + ident(column.name);
  const utf8 = `CAST(CONVERT(${q} USING utf8mb4) AS BINARY)`;
  if (REALS.includes(dataType)) return `CAST(${realSql(column, q)} AS BINARY)`;
  // CAST(uuid AS BINARY) would be its 16 bytes.
  if (NAMED.includes(dataType)) return `CAST(CAST(${q} AS CHAR CHARACTER SET utf8mb4) AS BINARY)`;
  // A value that is none of the members: it shows as an empty string, which may also be a member.
  if (dataType === 'enum') return `IF(${q} + 0 = 0, 'b', CONCAT('t', ${utf8}))`;
  switch (formOf(column)) {
    case 'bytes':
      return GEOMETRIES.includes(dataType) || dataType === 'bit' ? `CAST(${q} AS BINARY)` : q;
    case 'text':
      return UTF8.includes(charset as string) ? `CAST(${q} AS BINARY)` : utf8;
    case 'marked': {
      const back = `CAST(CONVERT(CONVERT(${q} USING utf8mb4) USING ${charset}) AS BINARY)`;
      return `IF(${back} = CAST(${q} AS BINARY), CONCAT('t', ${utf8}), CONCAT('b', CAST(${q} AS BINARY)))`;
    }
    default:
      return `CAST(${q} AS BINARY)`;
  }
}

/** A number whose text has all its digits. */
function realSql({ dataType, scaled }: MysqlColumn, q: string): string {
  // A FLOAT's own text has 6 digits: the product is a DOUBLE.
  if (dataType === 'float') return `${q} * 1e0`;
  // MySQL writes a product with 22 characters at most, which a DOUBLE may need more of. JSON has no such limit.
  return scaled ? `IF(${q} IS NULL, NULL, CAST(JSON_EXTRACT(JSON_ARRAY(${q} * 1e0), '$[0]') AS CHAR))` : q;
}
