/** What PostgreSQL 18 has and 15 does not: virtual generated columns, temporal keys, constraints that are not enforced. */
import t from 'tap';
import { blind, copy, dump, query, serverReady, summary, twins } from '../support/postgresql.ts';

if (!(await serverReady())) process.exit();

const TABLES = ['price', 'stay', 'room', 'loose'];

t.test('PostgreSQL 18', async (t) => {
  const entities = [
    blind('Price'),
    blind('Room', {}, { id: 'integer', during: 'string' }),
    blind('Stay'),
    blind('Loose'),
  ];
  const plain = ['CREATE TABLE nothing (id integer PRIMARY KEY)'];
  const [probe] = await twins(entities, plain);
  const [[version]] = (await query(probe, 'SHOW server_version_num')) as [[string]];
  if (Number(version) < 180_000) return t.pass('skipped', { skip: `PostgreSQL ${version} has none of it` });
  const [from, to] = await twins(entities, [
    'CREATE EXTENSION btree_gist',
    'CREATE TABLE price (id integer PRIMARY KEY, net numeric NOT NULL, gross numeric GENERATED ALWAYS AS (net * 1.2) VIRTUAL, key uuid DEFAULT uuidv7())',
    'CREATE TABLE room (id integer, during int4range, name text, PRIMARY KEY (id, during WITHOUT OVERLAPS))',
    'CREATE TABLE stay (id integer PRIMARY KEY, room integer, during int4range, FOREIGN KEY (room, PERIOD during) REFERENCES room (id, PERIOD during))',
    'CREATE TABLE loose (id integer PRIMARY KEY, price integer, CONSTRAINT l FOREIGN KEY (price) REFERENCES price (id) NOT ENFORCED, CONSTRAINT c CHECK (id > 5) NOT ENFORCED)',
  ]);
  for (const sql of [
    'INSERT INTO price (id, net) SELECT i, i * 1.01 FROM generate_series(1, 300) AS i',
    "INSERT INTO room SELECT i, int4range(10 * j, 10 * j + 10), 'r' || i FROM generate_series(1, 20) AS i, generate_series(0, 3) AS j",
    // One stay over two states of its room: no single row is what it refers to.
    'INSERT INTO stay VALUES (1, 1, int4range(5, 15)), (2, 2, int4range(0, 40)), (3, NULL, int4range(1, 2))',
    'INSERT INTO loose VALUES (1, 1), (2, 999999)',
  ])
    await query(from, sql);
  t.same(summary(await copy(from, to)), { price: '300/0/0', stay: '3/0/0', room: '80/0/0', loose: '2/0/0' });
  t.same(await dump(to, TABLES), await dump(from, TABLES));
  const constraints =
    'SELECT conname, pg_get_constraintdef(oid), conenforced, convalidated FROM pg_constraint ORDER BY 1';
  t.same(await query(to, constraints), await query(from, constraints));

  await query(from, 'UPDATE price SET net = 7 WHERE id = 1');
  await query(from, "UPDATE room SET name = 'new' WHERE id = 1 AND during = int4range(0, 10)");
  await query(to, 'DELETE FROM room WHERE id = 20');
  t.same(summary(await copy(from, to, { mode: 'merge' })), {
    price: '0/1/299',
    stay: '0/0/3',
    room: '4/1/75',
    loose: '0/0/2',
  });
  t.same(await dump(to, TABLES), await dump(from, TABLES));
  await copy(from, to, { mode: 'flush' });
  t.same(await dump(to, TABLES), await dump(from, TABLES));
});
