/**
 * Every way to define an entity (decorators, defineEntity, EntitySchema), and what belongs to a model without being a
 * row: lifecycle hooks, a version column, properties that are not stored, virtual entities, the Migrator's table. With
 * MikroORM 7 also polymorphic relations and a table per type. The same for every database.
 */
import type { Test } from 'tap';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import type { Database } from './orm-model-test.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
type Any = any;

export const major = process.env.DBS_TEST_ORM ?? '6';
/** 6's compiled drivers have a core of their own. */
const native = ['better-sqlite3', 'sqlite3'].includes(process.env.DBS_TEST_DRIVER ?? '');
const matrix = major === '7' ? 'mikro-orm-7' : native ? 'mikro-orm-6-native' : undefined;
const found = matrix
  ? await import(`../matrix/${matrix}/orm.js`)
  : { core: await import('@mikro-orm/core'), migrations: await import('@mikro-orm/migrations') };
const core: Any = found.core;
const { Migration, Migrator }: Any = found.migrations;
/** 6 has them in its core. They are called as TypeScript would call them: nothing here needs a compiler's option. */
const decorators: Any = found.decorators ?? core;

/** Called hooks. */
export const called: string[] = [];

class Customer {
  stamp() {
    called.push('customer');
  }
}
const on = Customer.prototype;
decorators.PrimaryKey({ type: 'integer' })(on, 'id');
decorators.Property({ type: 'string' })(on, 'name');
decorators.Property({ type: 'integer', version: true })(on, 'version');
decorators.Property({ type: 'string', persist: false })(on, 'greeting');
decorators.Property({ type: 'datetime', nullable: true })(on, 'deletedAt');
for (const hook of ['BeforeCreate', 'AfterCreate', 'BeforeUpdate', 'AfterUpdate', 'OnInit', 'OnLoad', 'BeforeDelete'])
  decorators[hook]()(on, 'stamp');
decorators.Filter({ name: 'alive', cond: { deletedAt: null }, default: true })(Customer);
decorators.Entity({ tableName: 'customer' })(Customer);

class Invoice {}
decorators.PrimaryKey({ type: 'integer' })(Invoice.prototype, 'id');
decorators.ManyToOne({ entity: () => Customer })(Invoice.prototype, 'customer');
decorators.Property({ type: 'bigint' })(Invoice.prototype, 'cents');
decorators.Property({ type: 'boolean', formula: (alias: unknown) => `${alias} is not null`, lazy: true })(
  Invoice.prototype,
  'odd',
);
decorators.Entity({ tableName: 'invoice' })(Invoice);

const { defineEntity, p } = core;
const Product = defineEntity({
  name: 'Product',
  tableName: 'product',
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    details: p.json().nullable(),
    parent: () => p.manyToOne(Product).nullable(),
  },
  hooks: { beforeCreate: [() => called.push('product')], onLoad: [() => called.push('product')] },
});
const Count = defineEntity({
  name: 'ProductCount',
  expression: 'select count(*) as n from product',
  properties: { n: p.integer() },
});
const Label = new core.EntitySchema({
  name: 'Label',
  tableName: 'label',
  properties: {
    code: { type: 'string', primary: true, length: 20 },
    product: { kind: '1:1', entity: () => Product, owner: true },
  },
});

class Post {}
class Comment {}
class Like {}
class Vehicle {}
class Car extends Vehicle {}
const id = { type: 'integer', primary: true };
const seven =
  major === '7'
    ? [
        new core.EntitySchema({ class: Post, tableName: 'post', properties: { id, text: { type: 'string' } } }),
        new core.EntitySchema({
          class: Comment,
          tableName: 'comment',
          properties: { id, post: { kind: 'm:1', entity: () => Post } },
        }),
        new core.EntitySchema({
          class: Like,
          tableName: 'liking',
          properties: { id, target: { kind: 'm:1', entity: () => [Post, Comment], discriminator: 'targetType' } },
        }),
        new core.EntitySchema({ class: Vehicle, inheritance: 'tpt', properties: { id, name: { type: 'string' } } }),
        new core.EntitySchema({ class: Car, extends: Vehicle, properties: { doors: { type: 'integer' } } }),
      ]
    : [];
export const entities: unknown[] = [Customer, Invoice, Product, Count, Label, ...seven];
export const tables = [
  'customer',
  'invoice',
  'label',
  'product',
  ...(major === '7' ? ['car', 'comment', 'liking', 'post', 'vehicle'] : []),
].sort();

export async function fill(orm: { em: Any }): Promise<void> {
  const em = orm.em.fork();
  const make = (type: Any, data: object) => em.create(type, data, { partial: true });
  const ann = make(Customer, { name: 'Ann', greeting: 'hello' });
  make(Customer, { name: 'gone', deletedAt: new Date(86_400_000) });
  make(Invoice, { customer: ann, cents: '9007199254740993' });
  const shelf = make(Product, { title: 'Shelf', details: { b: 1, a: null } });
  make(Label, { code: 'S-1', product: make(Product, { title: 'Board', parent: shelf }) });
  if (major === '7') {
    const post = make(Post, { text: 'first' });
    make(Like, { target: make(Comment, { post }) });
    make(Like, { target: post });
    make(Car, { name: 'Mini', doors: 3 });
    make(Vehicle, { name: 'Cart' });
  }
  await em.flush();
  ann.name = 'Anna';
  await em.flush();
}

class MigrationOne extends Migration {
  up() {
    (this as Any).addSql('create table made_by_migration (id int)');
  }
}

/** The test itself, for one database. */
export async function testDefinitions<O extends OrmLike & { em: Any }>(
  t: Test,
  { twins, dump, copy, query }: Database<O>,
): Promise<void> {
  const options = {
    extensions: [Migrator],
    migrations: { migrationsList: [{ name: 'MigrationOne', class: MigrationOne }], snapshot: false },
  };
  const [from, to] = await twins(entities, options);
  await fill(from);
  await (from as Any).migrator.up();
  const before = await dump(from);
  called.length = 0;
  const counts = await copy(from, to);
  t.same(called, [], 'no lifecycle hook fires, on either side');
  const after = await dump(to);
  for (const table of tables) t.same(after[table], before[table], `${table}, as the database has it`);
  t.same(
    counts.tables.map(({ table }) => table).sort(),
    tables,
    'each table once; no virtual entity, nothing that is not stored',
  );
  t.equal(counts.tables.find(({ table }) => table === 'customer')!.inserted, 2, 'a filter hides no row');
  t.same(
    (await query(to, "SELECT version FROM customer WHERE name = 'Anna'")).map(String),
    ['2'],
    'a version is kept, not counted up',
  );
  t.same(counts.migrations.onlyInBackup, ['MigrationOne'], "the Migrator's own table is recorded");
  t.notOk(Object.keys(after).includes('mikro_orm_migrations'), 'and never restored');
}
