import t from 'tap';
import { openOrm, type TestOrm } from '../support/orm.ts';
import { copy, dump, query } from '../support/orm-database.ts';
import { testDefinitions } from '../support/orm-definitions.ts';

t.test('however entities are defined: SQLite', (t) =>
  testDefinitions<TestOrm>(t, {
    async twins(entities, options) {
      const pair: [TestOrm, TestOrm] = [
        await openOrm(entities, { ...options }),
        await openOrm(entities, { ...options }),
      ];
      t.teardown(() => Promise.all(pair.map((orm) => orm.close(true))));
      return pair;
    },
    dump,
    copy,
    query,
  }),
);
