/** What surrounds the rows of a restore: foreign keys, triggers, rules, sequences. All of it in the transaction. */
import { RestoreError } from '../../errors.ts';
import type { SequenceSchema } from '../../format/items.ts';
import type { DanglingReference, TablePlan } from '../driver.ts';
import { constraintColumns, findSequences, type PgTable } from './postgresql-catalog.ts';
import type { PgConnection } from './postgresql-connection.ts';
import { isDangling } from './postgresql-errors.ts';
import { ident, literal, only, qualified } from './postgresql-sql.ts';

/** Dangling references that are listed. */
const MAX_LISTED = 20;

interface Relation {
  namespace: string;
  table: string;
  partitioned: boolean;
}

/** A foreign key as the catalog has it, with all that is needed to make it again. */
export interface ForeignKey {
  name: string;
  definition: string;
  comment: string | null;
  child: Relation;
  parent: Relation;
  columns: string[];
  references: string[];
  /** `OPERATOR(schema.=)` for each column. */
  operators: string[];
  matchFull: boolean;
  primaryKey: string[];
  owned: boolean;
}

/** These tables and all their partitions. */
const TREE = `WITH tree AS (SELECT o AS oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS o
  UNION SELECT p.relid FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS o, pg_catalog.pg_partition_tree(o::pg_catalog.regclass) AS p)`;

/** @param side foreign keys that these tables have, or that refer to them, or both */
export async function findForeignKeys(
  db: PgConnection,
  oids: string[],
  side: 'children' | 'parents' | 'both',
): Promise<ForeignKey[]> {
  const which = {
    children: 'f.conrelid IN (SELECT oid FROM tree)',
    parents: 'f.confrelid IN (SELECT oid FROM tree)',
    both: 'f.conrelid IN (SELECT oid FROM tree) OR f.confrelid IN (SELECT oid FROM tree)',
  }[side];
  const rows = await db.all(
    `${TREE} SELECT f.conname, pg_catalog.pg_get_constraintdef(f.oid), pg_catalog.obj_description(f.oid, 'pg_constraint'),
       cn.nspname, c.relname, c.relkind, pn.nspname, p.relname, p.relkind,
       ${constraintColumns('f.conrelid', 'f.conkey')}, ${constraintColumns('f.confrelid', 'f.confkey')},
       pg_catalog.array_to_json(ARRAY(SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname)
         FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY AS k (op, at) JOIN pg_catalog.pg_operator AS o ON o.oid = k.op
         JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace ORDER BY k.at)),
       f.confmatchtype, pg_catalog.pg_has_role(c.relowner, 'USAGE'),
       (SELECT ${constraintColumns('f.conrelid', 'k.conkey')} FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = f.conrelid AND k.contype = 'p')
     FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
       JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace JOIN pg_catalog.pg_class AS p ON p.oid = f.confrelid
       JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
     WHERE f.contype = 'f' AND f.conparentid = 0 AND (${which}) ORDER BY cn.nspname, c.relname, f.conname`,
    [oids],
  );
  return rows.map((row) => {
    const text = row as string[];
    return {
      name: text[0]!,
      definition: text[1]!,
      comment: row[2]!,
      child: { namespace: text[3]!, table: text[4]!, partitioned: text[5] === 'p' },
      parent: { namespace: text[6]!, table: text[7]!, partitioned: text[8] === 'p' },
      columns: JSON.parse(text[9]!),
      references: JSON.parse(text[10]!),
      operators: JSON.parse(text[11]!),
      matchFull: text[12] === 'f',
      owned: text[13] === 't',
      primaryKey: JSON.parse(row[14] ?? '[]'),
    };
  });
}

/** @throws RestoreError ERR_RESTORE_PRIVILEGE where a table that refers to these belongs to somebody else */
export function requireOwned(keys: ForeignKey[]): void {
  const foreign = keys.filter(({ owned }) => !owned).map(({ child }) => qualified(child));
  if (foreign.length) throw notOwner([...new Set(foreign)]);
}

export async function dropForeignKeys(db: PgConnection, keys: ForeignKey[]): Promise<void> {
  for (const key of keys) await db.exec(`ALTER TABLE ${qualified(key.child)} DROP CONSTRAINT ${ident(key.name)}`);
}

/**
 * Adds them again, which validates every row. One that does not hold is added NOT VALID, for the case that dangling
 * references are accepted.
 *
 * @returns rows that refer to nothing, at most 20
 */
export async function addForeignKeys(db: PgConnection, keys: ForeignKey[]): Promise<DanglingReference[]> {
  const found: DanglingReference[] = [];
  for (const key of keys) {
    const { name, child, definition, comment } = key;
    const add = `ALTER TABLE ${qualified(child)} ADD CONSTRAINT ${ident(name)} ${definition}`;
    await db.exec('SAVEPOINT dbs_key');
    try {
      await db.exec(add);
    } catch (error) {
      if (!isDangling(error)) throw error;
      await db.exec('ROLLBACK TO SAVEPOINT dbs_key');
      if (found.length < MAX_LISTED) found.push(...(await findDangling(db, key, MAX_LISTED - found.length)));
      // Partitioned tables cannot have one that is not valid: it stays away, and the caller refuses or says so.
      if (!child.partitioned) await db.exec(`${add} NOT VALID`);
    }
    await db.exec('RELEASE SAVEPOINT dbs_key');
    if (comment !== null)
      await db.exec(`COMMENT ON CONSTRAINT ${ident(name)} ON ${qualified(child)} IS ${literal(comment)}`);
  }
  return found;
}

async function findDangling(db: PgConnection, key: ForeignKey, limit: number): Promise<DanglingReference[]> {
  const { child, parent, columns, references, operators } = key;
  const names = [...new Set([...key.primaryKey, ...columns])];
  const set = columns.map((name) => `c.${ident(name)} IS NOT NULL`);
  const same = columns.map((name, i) => `p.${ident(references[i]!)} ${operators[i]} c.${ident(name)}`);
  const orphan = `${set.join(' AND ')} AND NOT EXISTS (SELECT 1 FROM ${only(parent)} AS p WHERE ${same.join(' AND ')})`;
  const half = key.matchFull ? ` OR ((${set.join(' OR ')}) AND NOT (${set.join(' AND ')}))` : '';
  const rows = await db.all(
    `SELECT ${names.map((name) => `c.${ident(name)}::pg_catalog.text`).join(', ')} FROM ${only(child)} AS c WHERE (${orphan})${half} LIMIT ${limit}`,
  );
  const listed = rows.map((row) => ({
    table: child.table,
    parent: parent.table,
    row: names.map((name, i) => `${name}=${row[i] ?? 'NULL'}`).join(', '),
  }));
  // Never silent: the server has said that there is at least one.
  return listed.length ? listed : [{ table: child.table, parent: parent.table, row: `(${key.name})` }];
}

/**
 * Switches off what would act on rows: triggers, rules. Each by itself, because ENABLE TRIGGER USER would also wake
 * those that were off before.
 *
 * @returns the statements that bring them back
 */
export async function switchOff(db: PgConnection, oids: string[]): Promise<string[]> {
  const rows = await db.all(
    `${TREE} SELECT n.nspname, c.relname, x.kind, x.name, x.state FROM tree
       JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
       JOIN (SELECT tgrelid AS rel, 'TRIGGER' AS kind, tgname AS name, tgenabled AS state FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
         UNION ALL SELECT ev_class, 'RULE', rulename, ev_enabled FROM pg_catalog.pg_rewrite WHERE ev_type <> '1') AS x ON x.rel = c.oid
     WHERE x.state <> 'D' ORDER BY n.nspname, c.relname, x.kind, x.name`,
    [oids],
  );
  const again: string[] = [];
  const how: Record<string, string> = { O: 'ENABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };
  for (const [namespace, table, kind, name, state] of rows as string[][]) {
    // A partition has its own copy of the whole table's triggers, in the list by itself.
    const alter = `ALTER TABLE ONLY ${qualified({ namespace: namespace!, table: table! })}`;
    await db.exec(`${alter} DISABLE ${kind} ${ident(name!)}`);
    again.push(`${alter} ${how[state!]} ${kind} ${ident(name!)}`);
  }
  return again;
}

/** Sequences: as in the backup after a flush, never turned back by a merge. */
export async function restoreSequences(
  db: PgConnection,
  plans: TablePlan[],
  sequences: SequenceSchema[],
  mode: 'merge' | 'flush',
): Promise<void> {
  const mine = await findSequences(
    db,
    plans.map(({ target }) => (target as PgTable).oid),
  );
  for (const { source, target, columns } of plans) {
    for (const wanted of sequences.filter((one) => one.table === source.table && one.schema === source.schema)) {
      const at = source.columns.findIndex(({ name }) => name === wanted.column);
      const column = at === -1 ? wanted.column : columns[at];
      const found = mine.find((one) => one.tableOid === (target as PgTable).oid && one.column === column);
      if (!found) continue;
      const name = `${ident(found.namespace)}.${ident(found.name)}`;
      if (mode === 'merge') {
        const [now] = await db.all(`SELECT last_value, is_called FROM ${name}`);
        const step = BigInt(found.increment);
        const next = (value: string, called: boolean) => BigInt(value) + (called ? step : 0n);
        const ahead = next(now![0]!, now![1] === 't') - next(wanted.value, wanted.called === true);
        if (step > 0n ? ahead >= 0n : ahead <= 0n) continue;
      }
      // RESTART gives the sequence a new file, which a ROLLBACK takes away again, with all that setval did to it.
      await db.exec(`ALTER SEQUENCE ${name} RESTART`);
      await db.all('SELECT pg_catalog.setval($1::pg_catalog.regclass, $2, $3)', [
        name,
        wanted.value,
        wanted.called === true,
      ]);
    }
  }
}

export function notOwner(tables: string[]): RestoreError {
  return new RestoreError(
    'ERR_RESTORE_PRIVILEGE',
    `A restore takes foreign keys and triggers of ${tables.join(', ')} away for a moment, which only the owner may do. Restore as the tables' owner, or GRANT the owner's role to this user. Nothing was changed.`,
    { facts: { tables } },
  );
}
