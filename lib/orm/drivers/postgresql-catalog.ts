/** What PostgreSQL's catalog says of tables, of sequences and of MikroORM's migration table. */
import { RestoreError, SourceError } from '../../errors.ts';
import type { ColumnSchema, ForeignKeySchema, SequenceSchema, TableSchema } from '../../format/items.ts';
import type { CatalogTable, TableRef } from '../driver.ts';
import type { PgConnection } from './postgresql-connection.ts';
import { ident, qualified } from './postgresql-sql.ts';

/** A catalog entry with the facts that only PostgreSQL has. */
export interface PgTable extends CatalogTable {
  oid: string;
  /** The schema that it really is in; `schema` is as the entity says it. */
  namespace: string;
  partitioned: boolean;
  xmlColumns: string[];
}

/** The oldest version that is supported: its catalog has everything that is asked here. */
const OLDEST = 120000;

/** @throws SourceError, RestoreError ERR_SOURCE_SERVER_VERSION, ERR_RESTORE_SERVER_VERSION */
export function requireVersion(number: number, version: string, side: 'source' | 'restore'): string {
  const name = `PostgreSQL ${version.split(' ')[0]}`;
  if (number >= OLDEST) return name;
  const message = `The server is ${name}, and the oldest that is supported is PostgreSQL 12. Upgrade it, or use pg_dump.`;
  const facts = { facts: { server: name } };
  throw side === 'source'
    ? new SourceError('ERR_SOURCE_SERVER_VERSION', message, facts)
    : new RestoreError('ERR_RESTORE_SERVER_VERSION', message, facts);
}

/** `PostgreSQL 15.4`. */
export async function serverOf(db: PgConnection, side: 'source' | 'restore'): Promise<string> {
  const [row] = await db.all(
    "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('server_version')",
  );
  return requireVersion(Number(row![0]), row![1]!, side);
}

/** A relation by name, before its columns are known. */
interface Found {
  oid: string;
  namespace: string;
  table: string;
  kind: string;
  /** The root of the partitions that it belongs to. */
  root: string | null;
}

/**
 * Where each ref points to. Without a schema: the one of MikroORM's configuration, or the first in the search path.
 *
 * @param schema MikroORM's default schema, where it is configured
 */
export async function findRelations(db: PgConnection, refs: TableRef[], schema?: string): Promise<Found[][]> {
  const rows = await db.all(
    `SELECT c.oid, n.nspname, c.relname, c.relkind, pg_catalog.pg_table_is_visible(c.oid),
       CASE WHEN c.relispartition THEN (SELECT pg_catalog.max(a.relid::pg_catalog.oid)
         FROM pg_catalog.pg_partition_ancestors(c.oid) AS a
         JOIN pg_catalog.pg_class AS p ON p.oid = a.relid WHERE NOT p.relispartition) END
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
     ORDER BY n.nspname`,
    [[...new Set(refs.map(({ table }) => table))]],
  );
  return refs.map((ref) => {
    const wanted = ref.schema ?? schema;
    return rows
      .filter(
        ([, namespace, table, , visible]) =>
          table === ref.table && (wanted === undefined ? visible === 't' : wanted === '*' || wanted === namespace),
      )
      .map(([oid, namespace, table, kind, , root]) => ({
        oid: oid!,
        namespace: namespace!,
        table: table!,
        kind: kind!,
        root: root!,
      }));
  });
}

/** @param found as findRelations gave it for the same refs */
export async function describeTables(db: PgConnection, refs: TableRef[], found: Found[][]): Promise<PgTable[][]> {
  const oids = [...new Set(found.flat().map(({ oid }) => oid))];
  const [columns, keys, foreign] = [
    await readColumns(db, oids),
    await readKeys(db, oids),
    await readForeignKeys(db, oids),
  ];
  return found.map((list, i) =>
    list.map((one): PgTable => {
      const mine = columns.get(one.oid) ?? [];
      // The rows of a partition are read and written with the whole table, where that is an entity too.
      const part = one.root !== null && oids.includes(one.root);
      return {
        ...(refs[i]!.schema === undefined ? {} : { schema: one.namespace }),
        table: one.table,
        kind: part || one.kind === 'v' || one.kind === 'm' ? 'view' : one.kind === 'f' ? 'virtual' : 'table',
        columns: mine.map(({ column }) => column),
        primaryKey: keys.get(one.oid)?.primaryKey ?? [],
        unique: keys.get(one.oid)?.unique ?? [],
        foreignKeys: foreign.get(one.oid) ?? [],
        oid: one.oid,
        namespace: one.namespace,
        partitioned: one.kind === 'p',
        xmlColumns: mine.filter(({ xml }) => xml).map(({ column }) => column.name),
      };
    }),
  );
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

async function readColumns(db: PgConnection, oids: string[]) {
  const rows = await db.all(
    `SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
       a.attidentity, pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'pg_catalog.xml'::pg_catalog.regtype IN (t.oid, t.typbasetype)
     FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
       LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`,
    [oids],
  );
  const byTable = new Map<string, { column: ColumnSchema; xml: boolean }[]>();
  for (const [oid, name, type, notNull, generated, identity, fallback, xml] of rows) {
    const column: ColumnSchema = { name: name!, type: type!, nullable: notNull === 'f' };
    if (generated) column.generated = true;
    else if (fallback !== null && fallback !== undefined) column.default = fallback;
    if (identity) column.identity = identity === 'a' ? 'always' : 'by-default';
    push(byTable, oid!, { column, xml: xml === 't' });
  }
  return byTable;
}

/** Columns of an index by their place in it. */
const INDEX_COLUMNS = `ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (n, at)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.at <= i.indnkeyatts ORDER BY k.at)`;

async function readKeys(db: PgConnection, oids: string[]) {
  // Indexes on expressions, or on some rows only, are no set of columns.
  const rows = await db.all(
    `SELECT i.indrelid, i.indisprimary, pg_catalog.array_to_json(${INDEX_COLUMNS})
     FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
     WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
     ORDER BY c.relname`,
    [oids],
  );
  const byTable = new Map<string, { primaryKey: string[]; unique: string[][] }>();
  for (const [oid, primary, names] of rows) {
    const keys = byTable.get(oid!) ?? { primaryKey: [], unique: [] };
    if (primary === 't') keys.primaryKey = JSON.parse(names!);
    else keys.unique.push(JSON.parse(names!));
    byTable.set(oid!, keys);
  }
  return byTable;
}

/** Columns of a constraint, by their place in it. */
export function constraintColumns(table: string, numbers: string): string {
  return `pg_catalog.array_to_json(ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.unnest(${numbers}) WITH ORDINALITY AS k (n, at)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = ${table} AND a.attnum = k.n ORDER BY k.at))`;
}

async function readForeignKeys(db: PgConnection, oids: string[]): Promise<Map<string, ForeignKeySchema[]>> {
  const rows = await db.all(
    `SELECT f.conrelid, f.conname, ${constraintColumns('f.conrelid', 'f.conkey')}, p.relname, n.nspname,
       ${constraintColumns('f.confrelid', 'f.confkey')}, pg_catalog.pg_table_is_visible(p.oid)
     FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_class AS p ON p.oid = f.confrelid
       JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
     WHERE f.contype = 'f' AND f.conrelid = ANY ($1) AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS u
       WHERE u.oid = f.conparentid AND u.conrelid = f.conrelid) ORDER BY f.conname`,
    [oids],
  );
  const byTable = new Map<string, ForeignKeySchema[]>();
  for (const [oid, name, columns, table, schema, references, visible] of rows) {
    push(byTable, oid!, {
      name: name!,
      columns: JSON.parse(columns!),
      table: table!,
      ...(visible === 't' ? {} : { schema: schema! }),
      references: JSON.parse(references!),
    });
  }
  return byTable;
}

/** A sequence that gives a column its values. */
export interface PgSequence {
  namespace: string;
  name: string;
  tableOid: string;
  column: string;
  increment: string;
}

/** Those that belong to a column (serial, identity), and those that a default only calls. */
export async function findSequences(db: PgConnection, oids: string[]): Promise<PgSequence[]> {
  const rows = await db.all(
    `SELECT DISTINCT ON (s.oid, a.attrelid, a.attnum) n.nspname, s.relname, a.attrelid, a.attname, q.seqincrement
     FROM pg_catalog.pg_class AS s JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
       JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
       JOIN (SELECT objid AS seq, refobjid AS rel, refobjsubid AS num FROM pg_catalog.pg_depend
         WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype IN ('a', 'i')
         UNION ALL SELECT d.refobjid, f.adrelid, f.adnum FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid
         WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) AS u ON u.seq = s.oid
       JOIN pg_catalog.pg_attribute AS a ON a.attrelid = u.rel AND a.attnum = u.num
     WHERE s.relkind = 'S' AND a.attrelid = ANY ($1) ORDER BY s.oid, a.attrelid, a.attnum`,
    [oids],
  );
  return rows.map(([namespace, name, tableOid, column, increment]) => ({
    namespace: namespace!,
    name: name!,
    tableOid: tableOid!,
    column: column!,
    increment: increment!,
  }));
}

/** Where the sequences of these tables stand. They run ahead of the snapshot, never behind. */
export async function readSequences(
  db: PgConnection,
  tables: TableSchema[],
  catalog: (table: TableSchema) => PgTable,
): Promise<SequenceSchema[]> {
  const byOid = new Map(tables.map((table) => [catalog(table).oid, table]));
  const found: SequenceSchema[] = [];
  for (const { namespace, name, tableOid, column } of await findSequences(db, [...byOid.keys()])) {
    const [row] = await db.all(`SELECT last_value, is_called FROM ${ident(namespace)}.${ident(name)}`);
    const { schema, table } = byOid.get(tableOid)!;
    found.push({
      name,
      ...(schema === undefined ? {} : { schema }),
      value: row![0]!,
      called: row![1] === 't',
      table,
      column,
    });
  }
  return found;
}

/** Names of executed migrations, oldest first; null where the table does not exist. Never creates it. */
export async function readMigrations(db: PgConnection, ref: TableRef, schema?: string): Promise<string[] | null> {
  const [[found]] = (await findRelations(db, [ref], schema)) as [Found[]];
  if (!found || !'rpvm'.includes(found.kind)) return null;
  const columns = await readColumns(db, [found.oid]);
  const names = (columns.get(found.oid) ?? []).map(({ column }) => column.name);
  if (!names.includes('name')) return null;
  const order = names.includes('id') ? 'ORDER BY id' : '';
  const rows = await db.all(`SELECT name FROM ${qualified(found)} ${order}`);
  return rows.map(([name]) => String(name));
}
