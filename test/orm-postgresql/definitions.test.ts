import t from 'tap';
import { tables, testDefinitions } from '../support/orm-definitions.ts';
import { copy, createSchema, dump, type PgOrm, query, serverReady, twins } from '../support/postgresql.ts';

if (await serverReady()) {
  t.test('however entities are defined: PostgreSQL', (t) =>
    testDefinitions<PgOrm>(t, {
      async twins(entities, options) {
        const pair = await twins(entities, [], { ...options });
        for (const orm of pair) await createSchema(orm);
        return pair;
      },
      async dump(orm) {
        const made = (await query(orm, "SELECT relname FROM pg_class WHERE relname = 'mikro_orm_migrations'")).flat();
        return dump(orm, [...tables, ...(made as string[])]);
      },
      copy,
      query,
    }),
  );
}
