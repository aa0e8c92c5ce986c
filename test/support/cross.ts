/** One model on SQLite, PostgreSQL and MariaDB at once, with every usual type of property. */
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import type { BackupItem } from '../../lib/format/items.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { createRowSource, type RowSourceOptions } from '../../lib/orm/row-source.ts';
import { createRowTarget, type RestoreCounts, type RowTargetOptions } from '../../lib/orm/row-target.ts';
import * as mysql from './mysql.ts';
import { core, openOrm } from './orm.ts';
import * as sqlite from './orm-database.ts';
import * as postgresql from './postgresql.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
export type Any = any;
const { EntitySchema } = core as Any;

export type Name = 'sqlite' | 'postgresql' | 'mysql';
export const names: Name[] = ['sqlite', 'postgresql', 'mysql'];

class Address {}
export class Author {}
export class Book {}
class Label {}

export const classes = { Author, Book, Label };

export const model = [
  new EntitySchema({
    class: Address,
    embeddable: true,
    properties: { street: { type: 'string' }, zip: { type: 'integer', nullable: true } },
  }),
  new EntitySchema({
    class: Author,
    properties: {
      id: { type: 'integer', primary: true },
      email: { type: 'string', unique: true },
      note: { type: 'text', nullable: true },
      code: { type: 'string', length: 3, columnType: 'char(3)', nullable: true },
      small: { type: 'smallint', nullable: true },
      big: { type: 'bigint', nullable: true },
      price: { type: 'decimal', precision: 10, scale: 2, nullable: true },
      ratio: { type: 'double', nullable: true },
      active: { type: 'boolean', nullable: true },
      born: { type: 'date', nullable: true },
      wakes: { type: 'time', nullable: true },
      seen: { type: 'datetime', length: 3, nullable: true },
      token: { type: 'uuid', nullable: true },
      photo: { type: 'blob', nullable: true },
      settings: { type: 'json', nullable: true },
      tags: { type: 'array', nullable: true },
      mood: { enum: true, items: ['sad', 'glad'], nullable: true },
      level: { enum: true, items: [1, 2], nullable: true },
      home: { kind: 'embedded', entity: () => Address, nullable: true },
      work: { kind: 'embedded', entity: () => Address, object: true, nullable: true },
      others: { kind: 'embedded', entity: () => Address, array: true, nullable: true },
      boss: { kind: 'm:1', entity: () => Author, nullable: true },
      labels: { kind: 'm:n', entity: () => Label, owner: true },
    },
  }),
  new EntitySchema({
    class: Book,
    properties: {
      isbn: { type: 'uuid', primary: true },
      author: { kind: 'm:1', entity: () => Author },
      title: { type: 'string' },
    },
  }),
  new EntitySchema({ class: Label, properties: { id: { type: 'integer', primary: true }, name: { type: 'string' } } }),
];

export type TestOrm = OrmLike & { em: Any; close(force?: boolean): Promise<void> };

const files: TestOrm[] = [];

t.teardown(async () => {
  for (const orm of files) await orm.close(true);
  await mysql.cleanUp();
});

const more = { forceUtcTimezone: true };

/** A new database with these entities' tables (or what `ddl` makes). */
export async function open(name: Name, entities: unknown[] = model, ddl?: string[]): Promise<TestOrm> {
  let orm: TestOrm;
  if (name === 'sqlite') files.push((orm = (await openOrm(entities, { schema: false, ...more })) as TestOrm));
  else if (name === 'postgresql') orm = (await postgresql.database(entities, [], more)) as TestOrm;
  else orm = (await mysql.openDatabase([], entities, more)) as TestOrm;
  if (ddl) await exec(name, orm, ...ddl);
  else await postgresql.createSchema(orm as Any);
  return orm;
}

export function exec(name: Name, orm: TestOrm, ...sql: string[]): Promise<void> {
  return { sqlite, postgresql, mysql }[name].exec(orm as Any, ...sql);
}

export function query(name: Name, orm: TestOrm, sql: string): Promise<unknown[][]> {
  return { sqlite, postgresql, mysql }[name].query(orm as Any, sql);
}

export async function items(orm: TestOrm, options: RowSourceOptions = {}): Promise<BackupItem[]> {
  const all: BackupItem[] = [];
  for await (const item of createRowSource(orm, options)) all.push(item);
  return all;
}

export async function restore(to: TestOrm, list: BackupItem[], options: RowTargetOptions = {}): Promise<RestoreCounts> {
  const target = createRowTarget(to, options);
  await pipeline(list, target);
  return target.result;
}
