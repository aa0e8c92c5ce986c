/** Counters across databases: what hands out the next key, told in the words of the target's kind of database. */
import type { SequenceSchema } from '../format/items.ts';
import type { DialectName } from './convert/index.ts';
import type { TablePlan } from './driver.ts';
import type { TableRows } from './target-rows.ts';

/** Cells that a counter of the target fills: their largest value says where it must stand at least. */
export function countedCells({ source, target, columns }: TablePlan): number[] {
  const cells: number[] = [];
  for (const [cell] of source.columns.entries()) {
    const column = target.columns.find(({ name }) => name === columns[cell]);
    if (column && (column.identity || /^nextval\(/i.test(column.default ?? '') || isOnlyKey(column.name, target)))
      cells.push(cell);
  }
  return cells;
}

function isOnlyKey(name: string, { primaryKey }: TablePlan['target']): boolean {
  return primaryKey.length === 1 && primaryKey[0] === name;
}

/** The last value that a recorded counter handed out. */
function lastOf({ value, called }: SequenceSchema, from: DialectName): bigint {
  if (!/^-?\d{1,20}$/.test(value)) return 0n;
  // SQLite keeps the last one; MariaDB the next one; PostgreSQL says which of the two it is.
  return from === 'sqlite' || called ? BigInt(value) : BigInt(value) - 1n;
}

/**
 * The counters that `RestoreWriter.finish` is to set: as the backup has them, but never behind the rows.
 *
 * @param rows by stream, with the largest values that passed
 */
export function convertCounters(
  recorded: SequenceSchema[],
  plans: TablePlan[],
  rows: Map<number, TableRows>,
  { from, to }: { from: DialectName; to: DialectName },
): SequenceSchema[] {
  const found: SequenceSchema[] = [];
  for (const { source, columns } of plans) {
    for (const [cell, largest] of rows.get(source.stream)?.largest ?? []) {
      const column = columns[cell] as string;
      const theirs = recorded.find(
        (one) =>
          one.table === source.table &&
          one.schema === source.schema &&
          // SQLite counts its only key, and does not say its name.
          (one.column === undefined || one.column === source.columns[cell]!.name),
      );
      const last = [largest, theirs ? lastOf(theirs, from) : 0n].reduce((a, b) => (a > b ? a : b));
      if (last < 1n) continue;
      const place = {
        name: source.table,
        table: source.table,
        ...(source.schema === undefined ? {} : { schema: source.schema }),
      };
      if (to === 'sqlite') found.push({ ...place, value: String(last) });
      else if (to === 'mysql') found.push({ ...place, column, value: String(last + 1n), called: false });
      else found.push({ ...place, column: source.columns[cell]!.name, value: String(last), called: true });
    }
  }
  return found;
}
