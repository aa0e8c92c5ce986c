import t from 'tap';
import { type Any, cleanUp, copy, dump, openDatabase, query, serverRuns, type TestOrm } from '../support/mysql.ts';
import { testDefinitions } from '../support/orm-definitions.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

t.test('however entities are defined: MariaDB', (t) =>
  testDefinitions<TestOrm>(t, {
    async twins(entities, options) {
      const pair: [TestOrm, TestOrm] = [
        await openDatabase([], entities, options),
        await openDatabase([], entities, options),
      ];
      for (const { schema } of pair as Any[]) await (schema.createSchema?.() ?? schema.create());
      return pair;
    },
    dump,
    copy,
    query,
  }),
);
