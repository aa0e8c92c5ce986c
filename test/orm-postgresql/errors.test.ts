/** What can go wrong with a PostgreSQL server: each failure has a name, says what to do, and leaves nothing behind. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { inspect } from 'node:util';
import t from 'tap';
import { createBackup } from '../../lib/backup.ts';
import { exitCodeOf } from '../../lib/cli/exit-codes.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { driverFor } from '../../lib/orm/drivers/index.ts';
import { requireVersion } from '../../lib/orm/drivers/postgresql-catalog.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { createRowTarget } from '../../lib/orm/row-target.ts';
import {
  also,
  blind,
  connect,
  copy,
  exec,
  major,
  type PgOrm,
  query,
  serverReady,
  summary,
  twins,
} from '../support/postgresql.ts';

interface Failure extends Error {
  code: string;
  facts: Record<string, unknown>;
}

async function failure(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    return error as Failure;
  }
  throw new Error('It did not fail.');
}

const read = (orm: PgOrm, options = {}): Promise<BackupItem[]> => createRowSource(orm, options).toArray();

/** A user who may log in and nothing else. */
async function role(orm: PgOrm): Promise<string> {
  const name = `dbs_test_${randomBytes(4).toString('hex')}`;
  await exec(orm, `CREATE ROLE ${name} LOGIN`);
  return name;
}

const DDL = [
  'CREATE TABLE item (id serial PRIMARY KEY, x text, n integer)',
  'CREATE TABLE pile (id integer PRIMARY KEY, x text)',
];
const entities = [blind('Item'), blind('Pile')];
const connections =
  "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^(COPY|LOCK|BEGIN)'";

const ready = await serverReady();

if (ready) {
  t.test('missing rights are named, all at once', async (t) => {
    const [from, to] = await twins(entities, DDL);
    const user = await role(from);
    t.teardown(async () => {
      for (const orm of [from, to])
        await exec(orm, `REASSIGN OWNED BY ${user} TO CURRENT_USER`, `DROP OWNED BY ${user}`);
      await exec(from, `DROP ROLE ${user}`);
    });
    await exec(from, `REVOKE ALL ON SCHEMA public FROM PUBLIC`);
    const guest = await also(from, entities, { user });
    const none = await failure(read(guest));
    // Without USAGE on the schema nothing in it is visible by its plain name.
    t.equal(none.code, 'ERR_SOURCE_MISSING_TABLE');
    await exec(from, `GRANT USAGE ON SCHEMA public TO ${user}`);
    const tables = await failure(read(guest));
    t.match(tables, {
      name: 'SourceError',
      code: 'ERR_SOURCE_PRIVILEGE',
      facts: { user, tables: ['"public"."item"', '"public"."pile"'] },
    });
    t.match(tables.message, `GRANT SELECT ON "public"."item", "public"."pile" TO "${user}"`);
    await exec(from, `GRANT SELECT ON item, pile TO ${user}`);
    t.match(await failure(read(guest)), { code: 'ERR_SOURCE_PRIVILEGE', message: /item_id_seq/ });
    await exec(from, `GRANT SELECT ON SEQUENCE item_id_seq TO ${user}`);
    t.equal((await read(guest)).at(-1)!.type, 'end');

    await exec(
      from,
      'ALTER TABLE item ENABLE ROW LEVEL SECURITY',
      'CREATE POLICY few ON item USING (id < 0)',
      "INSERT INTO item (x) VALUES ('hidden')",
    );
    t.match(await failure(read(guest)), {
      name: 'SourceError',
      code: 'ERR_SOURCE_ROW_SECURITY',
      message: /"item".*BYPASSRLS/,
      facts: { tables: ['"public"."item"'] },
    });

    await exec(to, `GRANT ALL ON SCHEMA public TO ${user}`, `GRANT ALL ON item, pile TO ${user}`);
    const writer = await also(to, entities, { user });
    t.match(await failure(copy(from, writer)), {
      name: 'RestoreError',
      code: 'ERR_RESTORE_PRIVILEGE',
      facts: { tables: ['"public"."item"', '"public"."pile"'] },
    });
    await exec(to, `ALTER TABLE item OWNER TO ${user}`, `ALTER TABLE pile OWNER TO ${user}`);
    t.same(summary(await copy(from, writer)), { item: '1/0/0', pile: '0/0/0' }, 'the owner suffices');
    await exec(to, 'ALTER TABLE item ENABLE ROW LEVEL SECURITY', 'ALTER TABLE item FORCE ROW LEVEL SECURITY');
    t.match(await failure(copy(from, writer)), { code: 'ERR_RESTORE_ROW_SECURITY' });
    await exec(
      to,
      'ALTER TABLE item DISABLE ROW LEVEL SECURITY',
      `REVOKE TEMPORARY ON DATABASE ${to.database} FROM PUBLIC`,
    );
    t.match(await failure(copy(from, writer)), { code: 'ERR_RESTORE_PRIVILEGE', message: /temporary/ });
    await exec(
      to,
      `GRANT TEMPORARY ON DATABASE ${to.database} TO PUBLIC`,
      'CREATE TABLE other (id integer REFERENCES pile)',
    );
    t.match(await failure(copy(from, writer, { mode: 'flush' })), {
      code: 'ERR_RESTORE_PRIVILEGE',
      facts: { tables: ['"public"."other"'] },
    });
  });

  t.test('locks, and the end of patience', async (t) => {
    const [from, to] = await twins(entities, DDL);
    const hold = async (orm: PgOrm) => {
      const held = await driverFor(orm).then((driver) => driver.openWriter());
      const [[target]] = (await held.describe([{ table: 'item' }])) as [[never]];
      await held.begin({ mode: 'merge', plans: [{ source: {} as never, target, columns: [] }] });
      return held;
    };
    const schema = await readSchema(from);
    const held = [await hold(from), await hold(to)];
    t.teardown(() => Promise.all(held.map((one) => one.close())));
    const stop = new AbortController();
    const reason = new Error('enough');
    const aborted = failure(read(from, { signal: stop.signal }));
    const [source, target] = await Promise.all([
      failure(read(from)),
      failure(pipeline([schema], createRowTarget(to))),
      setTimeout(500).then(() => stop.abort(reason)),
    ]);
    t.equal(await aborted, reason, 'an abort ends the waiting');
    t.match(source, { name: 'SourceError', code: 'ERR_SOURCE_LOCKED', message: /pg_stat_activity/ });
    t.match(target, { name: 'RestoreError', code: 'ERR_RESTORE_LOCKED', message: /Nothing was changed/ });
    for (const one of held) await one.close();
    t.equal((await read(from)).at(-1)!.type, 'end');
  });

  t.test('a connection that drops, a query that is cancelled', async (t) => {
    const [from, to] = await twins(entities, DDL);
    await exec(
      from,
      'INSERT INTO item (x) SELECT repeat(md5(i::text), 300) FROM generate_series(1, 3000) AS i',
      "INSERT INTO pile VALUES (1, 'x')",
    );
    const act = (orm: PgOrm, what: string) =>
      query(
        orm,
        `SELECT pg_${what}_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^COPY'`,
      );
    for (const [what, code] of [
      ['terminate', 'CONNECTION'],
      ['cancel', 'TIMEOUT'],
    ]) {
      const midway = async () => {
        let n = 0;
        for await (const item of createRowSource(from)) if (item.type === 'rows' && ++n === 2) await act(from, what!);
      };
      t.match(await failure(midway()), { name: 'SourceError', code: `ERR_SOURCE_${code}`, message: /"item"/ });
      const target = createRowTarget(to);
      let n = 0;
      const items = async function* () {
        for await (const item of createRowSource(from)) {
          if (item.type === 'rows' && ++n === 3) {
            await act(to, what!);
            await setTimeout(100);
          }
          yield item;
        }
      };
      t.match(await failure(pipeline(items, target)), {
        name: 'RestoreError',
        code: `ERR_RESTORE_${code}`,
        message: /Nothing was changed/,
      });
      t.same(await query(to, 'SELECT count(*) FROM item'), [['0']]);
    }
    const reader = await (await driverFor(from)).openReader();
    const found = await reader.describe([{ table: 'item' }, { table: 'pile' }]);
    const schema = (i: number) => ({ ...found[i]![0]!, stream: 1, entities: [], encoding: 'text' as const });
    for await (const batch of reader.rows(schema(0))) {
      t.ok(batch.count > 0);
      break;
    }
    const rest = [];
    for await (const batch of reader.rows(schema(1), { keyColumns: ['x'] })) rest.push(String(batch.data), batch.keys);
    t.same(rest, ['["1","x"]\n', [['x']]], 'a loop may be left early, and the next one begun');
    for await (const _ of reader.rows(schema(0))) break;
    await reader.close();
    await reader.close();
    for (let i = 0; i < 50 && (await query(from, connections))[0]![0] !== '0'; i++) await setTimeout(100);
    t.same(await query(from, connections), [['0']], 'no connection is left behind');
  });

  t.test('a backup that dies midway leaves no file', async (t) => {
    const [from] = await twins(entities, DDL);
    await exec(from, 'INSERT INTO item (x) SELECT repeat(md5(i::text), 300) FROM generate_series(1, 6000) AS i');
    const folder = mkdtempSync(join(tmpdir(), 'dbs-pg-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
    for (const [what, code] of [
      ['terminate', 'ERR_SOURCE_CONNECTION'],
      ['cancel', 'ERR_SOURCE_TIMEOUT'],
    ] as const) {
      let over = false;
      const backup = failure(createBackup(from, 'x', { output: join(folder, 'app.dbs'), kdf })).finally(() => {
        over = true;
      });
      while (!over)
        await query(
          from,
          `SELECT pg_${what}_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^COPY' AND state = 'active'`,
        );
      const error = await backup;
      t.match(error, { name: 'SourceError', code });
      t.equal(exitCodeOf(error), 1);
      t.same(readdirSync(folder), [], 'neither under its name nor under another');
    }
    await exec(from, `ALTER DATABASE ${from.database} SET statement_timeout = 20`);
    t.equal(
      (await createBackup(from, 'x', { output: join(folder, 'app.dbs'), kdf })).rows,
      6000,
      "the app's own statement_timeout does not end it",
    );
    await exec(from, `ALTER DATABASE ${from.database} RESET ALL`);
  });

  t.test('no server, no entry, no such database: and no password in any of it', async (t) => {
    const [one] = await twins(entities, []);
    const dead: [Record<string, unknown>, string][] = [
      [{ clientUrl: 'postgresql://bob:s3cret@127.0.0.1:1/nothing', dbName: 'nothing' }, 'UNREACHABLE'],
      [{ host: 'no-such-host.invalid', password: 's3cret' }, 'UNREACHABLE'],
      [{ user: 'dbs_no_such_user', password: 's3cret' }, 'UNREACHABLE'],
      [{ dbName: 'dbs_no_such_database' }, 'UNREACHABLE'],
    ];
    for (const [options, code] of dead) {
      const orm = await connect('postgres', entities, { ...options, connect: false, logger: () => {} });
      const source = await failure(read(orm));
      t.match(source, { name: 'SourceError', code: `ERR_SOURCE_${code}` });
      const target = await failure((await driverFor(orm)).openWriter());
      t.match(target, { name: 'RestoreError', code: `ERR_RESTORE_${code}` });
      t.notMatch(inspect([source, target], { depth: 10, showHidden: true }), /s3cret/);
      t.notMatch((await driverFor(orm)).identity, /s3cret|bob/);
      await orm.close(true);
    }
    t.same(
      await query(one, "SELECT 1 FROM pg_database WHERE datname IN ('nothing', 'dbs_no_such_database')"),
      [],
      'and none is made',
    );
  });

  t.test('tables that are not what the backup needs', async (t) => {
    const [from, to] = await twins(entities, DDL);
    await exec(
      from,
      "INSERT INTO item (x, n) VALUES ('private', 1), ('private', 2), ('private', 3)",
      "INSERT INTO pile VALUES (1, 'x')",
    );
    await exec(to, 'ALTER TABLE item ADD CHECK (n < 3)');
    const check = await failure(copy(from, to));
    t.match(check, {
      code: 'ERR_RESTORE_CONSTRAINT',
      message: /row 3 of the table "item".*item_n_check/,
      facts: { table: 'item', row: 3 },
    });
    t.notMatch(check.message, /private/);
    await exec(to, 'ALTER TABLE item DROP CONSTRAINT item_n_check, ADD UNIQUE (x)');
    t.match(await failure(copy(from, to)), {
      code: 'ERR_RESTORE_UNIQUE_CLASH',
      facts: { clashes: [{ columns: ['x'] }] },
    });
    await exec(to, 'ALTER TABLE item DROP CONSTRAINT item_x_key, ADD UNIQUE (x) DEFERRABLE INITIALLY DEFERRED');
    t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_UNIQUE_CLASH' });
    await exec(to, 'ALTER TABLE item DROP CONSTRAINT item_x_key, ALTER x TYPE integer USING NULL');
    t.match(await failure(copy(from, to)), {
      code: 'ERR_RESTORE_SCHEMA_DRIFT',
      message: /another type for "item"\."x"/,
    });
    // What may go on all the same is then up to the values.
    t.match(await failure(copy(from, to, { allowDrift: true })), {
      code: 'ERR_RESTORE_CONSTRAINT',
      message: /integer/,
    });
    await exec(
      to,
      'ALTER TABLE item ALTER x TYPE text, DROP CONSTRAINT item_pkey',
      "INSERT INTO item (x) VALUES ('y')",
    );
    t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_NO_PRIMARY_KEY' });
    await exec(to, 'TRUNCATE item', 'ALTER TABLE item ADD PRIMARY KEY (x)', "INSERT INTO item (x) VALUES ('y')");
    t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_UNIQUE_CLASH', message: /x=private/ });
    await exec(to, 'DROP TABLE item');
    t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_MISSING_TABLE' });
    t.match(await failure(read(to)), { code: 'ERR_SOURCE_MISSING_TABLE' });
    await exec(
      to,
      'CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA public',
      'CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw',
      'CREATE FOREIGN TABLE item (id integer) SERVER s',
    );
    t.match(await failure(read(to)), { code: 'ERR_SOURCE_VIRTUAL_TABLE' });
    await exec(
      to,
      'DROP EXTENSION postgres_fdw CASCADE',
      ...DDL.slice(0, 1),
      `ALTER DATABASE ${to.database} SET default_transaction_read_only = on`,
    );
    t.match(await failure(copy(from, to)), { code: 'ERR_RESTORE_READ_ONLY' });
  });

  t.test('items by hand: interleaved, malformed, large', async (t) => {
    const [from, to] = await twins(entities, DDL);
    const schema = await readSchema(from);
    // In the order of the metadata.
    t.same(schema.type === 'schema' && schema.schema.tables.map(({ table }) => table), ['pile', 'item']);
    const rows = (stream: number, ...list: unknown[][]): BackupItem => ({
      type: 'rows',
      stream,
      count: list.length,
      data: Buffer.from(list.map((row) => `${JSON.stringify(row)}\n`).join('')),
    });
    const end = (stream: number, n: number): BackupItem => ({ type: 'entity-end', stream, rows: n });
    const total = (n: number): BackupItem => ({ type: 'end', rows: n, files: 0, bytes: 0, skipped: [] });
    const restore = (...items: BackupItem[]) => pipeline([schema, ...items], createRowTarget(to));
    const long = `x${'😀\\\t'.repeat(700_000)}`;
    await restore(
      rows(2, ['1', 'a', null]),
      rows(1, ['1', long]),
      rows(2, ['2', null, '5']),
      rows(1, ['2', '']),
      end(2, 2),
      end(1, 2),
      total(4),
    );
    t.same(await query(to, 'SELECT id, x, n FROM item ORDER BY id'), [
      ['1', 'a', null],
      ['2', null, '5'],
    ]);
    t.equal((await query(to, 'SELECT x FROM pile WHERE id = 1'))[0]![0], long);
    t.match(await failure(restore(rows(2, ['1', 'a']), end(2, 1), end(1, 0), total(1))), { code: 'ERR_FORMAT_ROW' });
    t.match(await failure(restore(rows(2, ['1', 5, null]), end(2, 1), end(1, 0), total(1))), {
      code: 'ERR_FORMAT_CELL',
    });
    t.match(await failure(restore(rows(2, ['1', 'a\0b', null]), end(2, 1), end(1, 0), total(1))), {
      name: 'RestoreError',
    });
    t.same(await query(to, 'SELECT id, x, n FROM item ORDER BY id'), [
      ['1', 'a', null],
      ['2', null, '5'],
    ]);
  });
}

async function readSchema(orm: PgOrm): Promise<BackupItem> {
  for await (const item of createRowSource(orm)) return item;
  throw new Error('no items');
}

t.test('a server that is too old', async (t) => {
  t.equal(requireVersion(120000, '12.0 (Debian 12.0-1)', 'source'), 'PostgreSQL 12.0');
  t.throws(() => requireVersion(110022, '11.22', 'source'), { code: 'ERR_SOURCE_SERVER_VERSION', message: /11\.22/ });
  t.throws(() => requireVersion(90624, '9.6.24', 'restore'), { code: 'ERR_RESTORE_SERVER_VERSION' });
});

if (ready && major === '7') {
  t.test('MikroORM 7.0 and 7.1, which hide their pool', async (t) => {
    const orm = await connect('postgres', entities);
    t.teardown(() => orm.close(true));
    Object.assign(orm.em.getConnection(), { getNativeClient: undefined });
    const reader = await (await driverFor(orm)).openReader();
    t.match(reader.server, /^PostgreSQL/);
    await reader.close();
    const refuse = async () => {
      throw new Error('owned by the Kysely instance');
    };
    Object.assign(orm.em.getConnection(), { getNativeClient: refuse });
    t.match(await failure((await driverFor(orm)).openWriter()), {
      name: 'ConfigError',
      code: 'ERR_CONFIG_POSTGRESQL_CLIENT',
    });
  });
}
