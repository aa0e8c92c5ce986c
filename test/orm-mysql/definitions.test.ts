import t from 'tap';
import {
  type Any,
  cleanUp,
  copy,
  dump,
  exec,
  openDatabase,
  query,
  serverRuns,
  type TestOrm,
} from '../support/mysql.ts';
import { testDefinitions } from '../support/orm-definitions.ts';
import { mysqlModel } from '../support/orm-model.ts';
import { type Database, testModel } from '../support/orm-model-test.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const database: Database<TestOrm> = {
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
};

t.test('however entities are defined: MariaDB and MySQL', (t) => testDefinitions(t, database));
t.test('a whole model, filled by the ORM', (t) =>
  testModel(t, mysqlModel, {
    ...database,
    async twins(entities) {
      const pair = await database.twins(entities);
      const domain = "(substr(email, instr(email, '@') + 1)) STORED";
      for (const orm of pair) await exec(orm, `ALTER TABLE person ADD domain TEXT GENERATED ALWAYS AS ${domain}`);
      return pair;
    },
  }),
);
