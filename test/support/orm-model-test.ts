/** The model of orm-model.ts, filled by MikroORM itself, from one database into another of the same kind. */
import type { Test } from 'tap';
import type { BackupItem } from '../../lib/format/items.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { createRowSource, type RowSourceOptions } from '../../lib/orm/row-source.ts';
import type { RestoreCounts, RowTargetOptions } from '../../lib/orm/row-target.ts';
import { scratch } from './orm.ts';
import { classes } from './orm-model.ts';

/** What a kind of database must offer to the tests that are the same for all of them. */
export interface Database<O extends OrmLike> {
  /** Two empty databases with the tables of these entities. */
  twins(entities: unknown[], options?: object): Promise<[O, O]>;
  /** What the database says of each table. */
  dump(orm: O): Promise<Record<string, string[]>>;
  copy(from: O, to: O, options?: RowTargetOptions, source?: RowSourceOptions): Promise<RestoreCounts>;
  query(orm: O, sql: string): Promise<unknown[][]>;
}

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their entity managers differently
type Any = any;

/** @param model of orm-model.ts, in this database's words */
export async function testModel<O extends OrmLike>(
  t: Test,
  model: unknown[],
  { twins, dump, copy, query }: Database<O>,
): Promise<void> {
  const [from, to] = await twins(model);
  await fill(from);
  // The model says by itself that a person's cv is a file.
  const registry = { storages: { default: scratch } };
  const counts = await copy(from, to, {}, { registry });
  t.same(await dump(to), await dump(from));
  t.same(
    counts.tables.find(({ table }) => table === 'animal'),
    { table: 'animal', entities: ['Animal', 'Cat', 'Dog'], inserted: 3, updated: 0, untouched: 0 },
    'a hierarchy in one table',
  );
  t.equal(counts.tables.length, 9, 'each table once');
  t.same((await query(to, 'SELECT count(*) AS n FROM person')).map(String), ['2'], 'a filter of the app hides no row');

  const items: BackupItem[] = [];
  for await (const item of createRowSource(from, { registry })) items.push(item);
  const [{ schema }] = items.filter((item) => item.type === 'schema') as [Extract<BackupItem, { type: 'schema' }>];
  const person = schema.tables.find(({ table }) => table === 'person')!;
  t.match(
    person.columns.find(({ name }) => name === 'domain'),
    { generated: true },
  );
  t.notOk(
    person.columns.some(({ name }) => name === 'shout'),
    'a formula is no column',
  );
  t.same(person.unique, [['email']]);
  t.same(person.foreignKeys.map(({ columns, table, references }) => [columns, table, references]).sort(), [
    [['boss_id'], 'person', ['id']],
    [['team_id'], 'team', ['id']],
  ]);
  t.match(
    schema.tables.find(({ table }) => table === 'person_tags'),
    { pivot: true, entities: ['person_tags'], primaryKey: ['person_id', 'tag_id'] },
  );
  t.same(
    schema.tables.map(({ stream }) => stream),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  t.match(schema, { kind: 'database', orm: /^MikroORM [67]$/ });
  const [counter] = schema.sequences!.filter(({ table }) => table === 'person');
  const next = BigInt(counter!.value) + (counter!.called === false ? 0n : 1n);
  t.equal(next, 3n, 'the next person is the third');
  const again = await copy(from, to, {}, { registry });
  t.ok(
    again.tables.every(({ inserted, updated }) => inserted + updated === 0),
    'a second restore changes nothing',
  );
  await readBack(t, to);
}

async function fill(orm: { em: Any }): Promise<void> {
  const em = orm.em.fork();
  const make = (type: keyof typeof classes, data: object) => em.create(classes[type], data, { partial: true });
  const team = make('Team', { name: 'Rockets 🚀' });
  const boss = make('Person', {
    email: 'ann@a.example',
    secret: 'abc',
    balance: '9007199254740993',
    team,
    home: { street: 'Main' },
  });
  await em.flush();
  const gone = make('Person', {
    email: 'bob@b.example',
    boss,
    team,
    deletedAt: new Date(86_400_000),
    work: { street: 'Büro' },
    others: [{ street: 'x' }, { photo: null }],
  });
  await em.flush();
  team.lead = boss;
  boss.boss = gone; // a circle within the table, and one across two
  for (const label of ['a', 'b']) boss.tags.add(make('Tag', { label }));
  make('Membership', { team, person: boss, role: 'lead' });
  make('Passport', { person: gone, number: '' });
  const outer = make('Place', { country: 'de', code: 1, plan: Buffer.from([0, 255, 10]) });
  make('Place', { country: 'de', code: 2, within: outer });
  make('Setting', { key: 'json', value: { b: 1, a: [null, 'é', 1e21] } });
  make('Setting', { key: 'sql null', value: null });
  make('Cat', { name: 'Tom', lives: 9 });
  make('Dog', { name: 'Rex', owner: boss, chip: 'c-1' });
  make('Animal', { name: 'Nemo' });
  await em.flush();
}

/** What the app sees after a restore, and that it can go on. */
async function readBack(t: Test, orm: { em: Any }): Promise<void> {
  const em = orm.em.fork();
  // Her balance is more than MikroORM can read by node:sqlite; the databases' own texts of it were compared.
  const ann = await em.findOneOrFail(classes.Person, { email: 'ann@a.example' }, { exclude: ['balance'] });
  t.match(ann, { secret: 'abc', home: { street: 'Main' } }, 'a custom type and an embeddable, as the app reads them');
  t.equal(await ann.tags.loadCount(), 2);
  t.equal(await em.count(classes.Person), 1, 'the filter hides the deleted one from the app');
  const bob = await em.findOneOrFail(classes.Person, { email: 'bob@b.example' }, { filters: false });
  t.match(
    { work: bob.work, others: bob.others },
    { work: { street: 'Büro' }, others: [{ street: 'x' }, { photo: null }] },
    'embeddables in JSON',
  );
  t.same([await em.count(classes.Cat), await em.count(classes.Dog)], [1, 1]);
  await orm.em.fork().insert(classes.Person, { email: 'new@c.example', secret: 'x' });
  t.pass('a new row gets a key of its own');
}
