import t from 'tap';
import { testDefinitions } from '../support/orm-definitions.ts';
import { postgresqlModel } from '../support/orm-model.ts';
import { type Database, testModel } from '../support/orm-model-test.ts';
import { copy, createSchema, dump, type PgOrm, query, serverReady, twins } from '../support/postgresql.ts';

const database: Database<PgOrm> = {
  async twins(entities, options) {
    const pair = await twins(entities, [], { ...options });
    for (const orm of pair) await createSchema(orm);
    return pair;
  },
  async dump(orm) {
    const names = await query(
      orm,
      "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1",
    );
    return dump(orm, names.flat() as string[]);
  },
  copy,
  query,
};

if (await serverReady()) {
  t.test('however entities are defined: PostgreSQL', (t) => testDefinitions(t, database));
  t.test('a whole model, filled by the ORM', (t) => testModel(t, postgresqlModel, database));
}
