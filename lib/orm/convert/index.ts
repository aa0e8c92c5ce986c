/** A column of a backup into a column of another database: the pieces of this folder, joined. */
import type { Cell } from '../driver.ts';
import { type Way, wayBetween } from './between.ts';
import { mysql } from './mysql.ts';
import type { Dialect, Lose, NeutralType } from './neutral.ts';
import { postgresql } from './postgresql.ts';
import { sqlite } from './sqlite.ts';

export { type Lose, type NeutralType, Unconvertible, type Value } from './neutral.ts';

export type DialectName = 'sqlite' | 'postgresql' | 'mysql';

export const dialects: Record<DialectName, Dialect> = { sqlite, postgresql, mysql };

export interface Conversion {
  from: NeutralType;
  to: NeutralType;
  grade: Way['grade'];
  /** What changes or gets lost. */
  note?: string;
  /** The target's type holds less than the source's, or something else. */
  narrows: boolean;
  /** @throws Unconvertible with the reason; FormatError never */
  convert(cell: Cell, lose: Lose): Cell;
}

/**
 * @param source the recorded type of the backup's column
 * @param target the type that the target's catalog says
 * @returns undefined where there is no way from one to the other
 */
export function conversionOf(
  source: { dialect: DialectName; type: string },
  target: { dialect: DialectName; type: string },
): Conversion | undefined {
  const [incoming, outgoing] = [dialects[source.dialect], dialects[target.dialect]];
  const from = incoming.typeOf(source.type);
  const to = outgoing.typeOf(target.type);
  const way = wayBetween(from, to);
  if (!way) return undefined;
  const read = incoming.decode(from);
  const write = outgoing.encode(to);
  const { grade, note, narrows } = way;
  return {
    from,
    to,
    grade,
    narrows,
    ...(note === undefined ? {} : { note }),
    convert: (cell, lose) => write(way.convert(read(cell), lose)),
  };
}
