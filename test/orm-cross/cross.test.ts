/** A backup of one kind of database in each of the others: the same entities, the same counters, nothing lost in silence. */
import t from 'tap';
import { createBackup, MemorySink, restoreBackup } from '../../lib/index.ts';
import {
  type Any,
  Author,
  Book,
  classes,
  exec,
  items,
  type Name,
  names,
  open,
  query,
  restore,
  type TestOrm,
} from '../support/cross.ts';
import { isMaria, serverRuns } from '../support/mysql.ts';
import { core } from '../support/orm.ts';
import { failure } from '../support/orm-database.ts';
import { serverReady } from '../support/postgresql.ts';

const { EntitySchema, wrap } = core as Any;

if (!((await serverReady()) && (await serverRuns(t)))) process.exit(process.exitCode ?? 0);

const UUIDS = ['0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d', 'ffffffff-ffff-4fff-bfff-ffffffffffff'];

/** Rows with the ends of what each type holds on all three. */
async function fill(orm: TestOrm): Promise<void> {
  const em = orm.em.fork();
  const ann = em.create(Author, {
    id: 1,
    email: 'ann@x',
    note: '',
    code: 'abc',
    small: -32768,
    big: '9223372036854775807',
    price: '12345678.90',
    ratio: 0.1 + 0.2,
    active: true,
    born: '1999-12-31',
    wakes: '23:59:59',
    seen: new Date('2026-11-25T23:59:59.987Z'),
    token: UUIDS[0],
    photo: Buffer.from([0, 255, 10, 92, 39]),
    settings: { b: [1, 2.5, null, true, 'ü🙂'], a: { deep: '"' } },
    tags: ['one', 'zwei', 'ü'],
    mood: 'glad',
    level: 2,
    home: { street: 'Here 1', zip: 7 },
    work: { street: 'There 2', zip: null },
    others: [
      { street: 'X', zip: 1 },
      { street: "Y's", zip: 2 },
    ],
    labels: [],
  });
  const bob = em.create(Author, {
    id: 41,
    email: 'bob\\n@x\t\n🙂',
    note: `${'long ü🙂 '.repeat(500)}\\N`,
    active: false,
    big: '-9223372036854775808',
    price: '-0.01',
    ratio: -1e-300,
    born: '0001-01-01',
    wakes: '00:00:00',
    seen: new Date('1969-12-31T23:59:59.001Z'),
    photo: Buffer.alloc(0),
    settings: [],
    tags: [],
    mood: 'sad',
    level: 1,
    others: [],
    boss: ann,
    labels: [],
  });
  ann.boss = undefined;
  const rare = em.create(classes.Label as Any, { id: 3, name: 'rare' });
  bob.labels.add(rare);
  em.create(Book, { isbn: UUIDS[1], author: bob, title: 'Second' });
  em.create(Book, { isbn: UUIDS[0], author: ann, title: 'First' });
  await em.flush();
  const later = orm.em.fork();
  (await later.findOneOrFail(Author, 1)).boss = later.getReference(Author, 41);
  await later.flush();
}

/** What the app sees. */
async function seen(orm: TestOrm): Promise<unknown> {
  const em = orm.em.fork();
  const all: Record<string, unknown> = {};
  for (const [name, entity] of Object.entries(classes)) {
    const found = await em.find(
      entity as Any,
      {},
      { populate: ['*'], orderBy: name === 'Book' ? { title: 'asc' } : { id: 'asc' } },
    );
    // SQLite keeps a decimal's value, not its zeros; its module rounds a bigint, and gives a blob in another class:
    // `rawOf` has them exactly.
    const plain = (key: string, value: unknown) =>
      key === 'photo' ? undefined : value !== null && /^(price|big)$/.test(key) ? Number(value) : value;
    all[name] = found.map((one: Any) => JSON.parse(JSON.stringify(wrap(one).toObject(), plain)));
  }
  return all;
}

/** Each value in one and the same text, made by the database itself. */
function rawOf(name: Name): string {
  const by: Record<Name, (column: string) => Record<string, string>> = {
    sqlite: (c) => ({
      hex: `lower(hex(${c}))`,
      text: `CAST(${c} AS TEXT)`,
      real: `printf('%!.17g', ${c})`,
      seen: `CAST(${c} AS TEXT)`,
    }),
    postgresql: (c) => ({
      hex: `encode(${c}, 'hex')`,
      text: `${c}::text`,
      real: `${c}::text`,
      seen: `(round(extract(epoch from ${c}) * 1000))::bigint::text`,
    }),
    mysql: (c) => ({
      hex: `lower(hex(${c}))`,
      text: `CAST(${c} AS CHAR)`,
      real: `CAST(${c} AS CHAR)`,
      seen: `CAST(CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${c}) / 1000 AS SIGNED) AS CHAR)`,
    }),
  };
  const q = name === 'mysql' ? '`' : '"';
  const cell = (column: string, as = 'text') => `${by[name](`${q}${column}${q}`)[as]} AS c_${column}`;
  const texts = [
    'id',
    'email',
    'note',
    'code',
    'small',
    'big',
    'born',
    'wakes',
    'token',
    'mood',
    'level',
    'home_street',
    'boss_id',
  ];
  return `SELECT ${[...texts.map((one) => cell(one)), cell('photo', 'hex'), cell('seen', 'seen')].join(', ')} FROM author ORDER BY id`;
}

const orms = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await open(name)]))) as Record<
  Name,
  TestOrm
>;

t.test('the same entities, from each kind of database into each other', async (t) => {
  await fill(orms.postgresql);
  const wanted = await seen(orms.postgresql);
  const raw = await query('postgresql', orms.postgresql, rawOf('postgresql'));
  // A walk over all six pairs: what arrives is what goes on.
  const walk: Name[] = ['postgresql', 'sqlite', 'mysql', 'postgresql', 'mysql', 'sqlite', 'postgresql'];
  for (const [i, to] of walk.slice(1).entries()) {
    const from = walk[i]!;
    const list = await items(orms[from]);
    const done = await restore(orms[to], list, { mode: 'flush', allowLossy: true });
    t.same(await seen(orms[to]), wanted, `${from} into ${to}: as the app sees it`);
    t.same(await query(to, orms[to], rawOf(to)), raw, `${from} into ${to}: as the database says it`);
    t.same(
      done.drift.filter(({ kind, values }) => kind === 'converted' && values),
      [],
      'no value lost anything',
    );
    const again = await restore(orms[to], list, { allowLossy: true });
    t.ok(
      again.tables.every(({ inserted, updated }) => inserted + updated === 0),
      `${from} into ${to}: merged, nothing differs`,
    );
    const em = orms[to].em.fork();
    const next = em.create(Author, { email: `next ${i}`, labels: [] });
    await em.flush();
    t.equal(next.id, 42 + i, `${from} into ${to}: the counter goes on`);
    await em.nativeDelete(Author, { id: 42 + i });
  }
});

t.test('through a container, masked alike in each kind of database', async (t) => {
  const masks = { email: 'email', big: 'number', born: 'date', seen: 'date', wakes: 'date', price: 'number' } as const;
  const sensitive = [
    'note',
    'code',
    'small',
    'ratio',
    'active',
    'token',
    'photo',
    'settings',
    'tags',
    'mood',
    'level',
    'work',
    'others',
  ];
  const fields = {
    ...Object.fromEntries(Object.entries(masks).map(([name, mask]) => [name, { mask }])),
    ...Object.fromEntries(sensitive.map((name) => [name, { sensitive: true }])),
  };
  const config = { entities: { Author: { fields } } };
  const kdf = { iterations: 1, memoryKiB: 8192, parallelism: 1 };
  const emails: unknown[] = [];
  for (const name of names) {
    const output = new MemorySink();
    const made = await createBackup(orms[name], 'pw', { output, config, mask: 'one seed', kdf });
    t.equal(made.masked.length, 19);
    const into = name === 'sqlite' ? 'postgresql' : 'sqlite';
    const target = await open(into);
    const dry = await restoreBackup(target, output.bytes!, 'pw', { dryRun: true });
    t.match(dry.refused, name === 'sqlite' ? { code: 'ERR_RESTORE_LOSSY' } : null);
    t.equal(dry.ok, name !== 'sqlite');
    const done = await restoreBackup(target, output.bytes!, 'pw', { allowLossy: true });
    t.match(done, { ok: true, refused: null, drift: { discarded: { columns: 0, values: 0, lossy: 0 } } });
    t.same(done.drift, dry.drift, 'a dry run says it all');
    const all = (await seen(target)) as { Author: unknown };
    for (const secret of [
      'ann@x',
      'bob',
      'There',
      'zwei',
      'long ü',
      '12345678',
      '23:59:59',
      '9223372036854775',
      UUIDS[0]!.slice(19),
    ])
      t.notOk(JSON.stringify(all.Author).includes(secret), `${name}: no ${secret}`);
    emails.push(await query(into, target, 'SELECT email FROM author ORDER BY id'));
  }
  t.same(emails[0], emails[1]);
  t.same(emails[1], emails[2]);
});

/** Tables of its own: what MikroORM's model does not show. */
const entity = (name: string) =>
  new EntitySchema({ name, tableName: name.toLowerCase(), properties: { id: { type: 'integer', primary: true } } });
const Thing = [entity('Thing')];

t.test('what may be lost is named first, refused, and counted', async (t) => {
  const source = await open('postgresql', Thing, [
    'CREATE TABLE thing (id int PRIMARY KEY, at timestamptz, amount numeric, ratio float8, old text)',
    "INSERT INTO thing VALUES (1, '2026-01-02 03:04:05.123456+00', 1.5, 0.1, 'x'), (2, '2026-01-02 03:04:05+00', 12345678901234567890.5, 0.5, NULL), (3, NULL, NULL, NULL, 'y')",
  ]);
  const target = await open('sqlite', Thing, [
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, at datetime, amount numeric, ratio float, extra TEXT DEFAULT 'mine')",
  ]);
  const list = await items(source);
  const refused = await failure(restore(target, list, { allowDrift: false }));
  t.match(refused, {
    code: 'ERR_RESTORE_SCHEMA_DRIFT',
    message:
      /no column "thing"\."old".*"thing"\."at" \(timestamp with time zone into datetime: fractions of a second beyond 3 digits\)/,
  });
  const without = list.map((item) => (item.type === 'schema' ? item : item));
  t.match(
    await failure(restore(target, without, { allowLossy: true })),
    { code: 'ERR_RESTORE_SCHEMA_DRIFT' },
    'allowLossy drops nothing',
  );
  const dry = await restore(target, list, { dryRun: true });
  t.match(dry.refused, { code: 'ERR_RESTORE_SCHEMA_DRIFT' }, 'a dry run says everything, and that');
  t.same(await query('sqlite', target, 'SELECT count(*) AS n FROM thing'), [[0]]);
  const done = await restore(target, list, { allowDrift: true });
  t.equal(done.refused, null);
  t.same(
    done.drift.map(({ column, kind, values }) => [column, kind, values]),
    [
      ['at', 'converted', 1],
      ['amount', 'converted', 1],
      ['old', 'dropped', 2],
      ['extra', 'defaulted', undefined],
    ],
  );
  t.same(dry.drift, done.drift, 'as the dry run had counted');
  t.same(await query('sqlite', target, 'SELECT id, at, typeof(amount) AS a, extra FROM thing ORDER BY id'), [
    [1, 1767323045123, 'real', 'mine'],
    [2, 1767323045000, 'real', 'mine'],
    [3, null, 'null', 'mine'],
  ]);
  await exec('sqlite', target, 'ALTER TABLE thing ADD COLUMN old TEXT');
  t.match(await failure(restore(target, list, { mode: 'flush' })), {
    code: 'ERR_RESTORE_LOSSY',
    message: /From postgresql into sqlite/,
  });
  t.match(await restore(target, list, { mode: 'flush', allowLossy: true }), { refused: null });
});

t.test('types that only one database has', async (t) => {
  const source = await open('postgresql', Thing, [
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    `CREATE TABLE thing (id int PRIMARY KEY, span interval, net inet, range int4range, flags bit(3), m mood, doc tsvector,
       list int[], matrix int[], c char(5), keys jsonb, yes boolean, single real)`,
    `INSERT INTO thing VALUES (1, '1 year 2 days 03:04:05.6', '10.0.0.1/8', '[1,5)', B'101', 'ok', 'a:1 b:2', '{1,NULL,3}', '{{1,2},{3,4}}', 'ab', '{"b":1,"a":[true]}', true, 0.1),
       (2, NULL, NULL, 'empty', B'000', 'sad', '', '{}', '{}', '', 'null', false, 'Infinity')`,
  ]);
  const list = await items(source);
  const into: Record<string, [Name, string, unknown[][]]> = {
    SQLite: [
      'sqlite',
      `CREATE TABLE thing (id INTEGER PRIMARY KEY, span TEXT, net TEXT, range TEXT, flags INTEGER, m TEXT, doc TEXT, list json, matrix json, c TEXT, keys json, yes INTEGER, single REAL)`,
      [
        [
          1,
          '1 year 2 days 03:04:05.6',
          '10.0.0.1/8',
          '[1,5)',
          5,
          'ok',
          "'a':1 'b':2",
          '[1,null,3]',
          '[[1,2],[3,4]]',
          'ab',
          '{"a": [true], "b": 1}',
          1,
        ],
        [2, null, null, 'empty', 0, 'sad', '', '[]', '[]', '', 'null', 0],
      ],
    ],
    MariaDB: [
      'mysql',
      "CREATE TABLE thing (id INT PRIMARY KEY, span TEXT, net VARCHAR(50), `range` TEXT, flags BIT(3), m ENUM('ok', 'sad'), doc TEXT, list JSON, matrix JSON, c CHAR(5), `keys` JSON, yes TINYINT(1))",
      [
        [
          '1',
          '1 year 2 days 03:04:05.6',
          '10.0.0.1/8',
          '[1,5)',
          '5',
          'ok',
          "'a':1 'b':2",
          ...((await isMaria()) ? ['[1,null,3]', '[[1,2],[3,4]]'] : ['[1, null, 3]', '[[1, 2], [3, 4]]']),
          'ab',
          '{"a": [true], "b": 1}',
          '1',
        ],
        ['2', null, null, 'empty', '0', 'sad', '', '[]', '[]', '', 'null', '0'],
      ],
    ],
  };
  for (const [title, [name, ddl, rows]] of Object.entries(into)) {
    const target = await open(name, Thing, [ddl]);
    await restore(target, list, { allowDrift: true });
    const q = name === 'mysql' ? '`' : '"';
    const flags = name === 'mysql' ? 'CAST(flags + 0 AS CHAR) AS flags' : 'flags';
    t.same(
      await query(
        name,
        target,
        `SELECT id, span, net, ${q}range${q}, ${flags}, m, doc, list, matrix, c, ${q}keys${q}, yes FROM thing ORDER BY id`,
      ),
      rows,
      `PostgreSQL into ${title}`,
    );
  }
  const none = await open('mysql', Thing, ['CREATE TABLE thing (id INT PRIMARY KEY, span TIME, net INT, yes BOOLEAN)']);
  t.match(await failure(restore(none, list, { allowDrift: true })), {
    code: 'ERR_RESTORE_CONVERSION',
    message: /"thing"\."span" \(interval into time\), "thing"\."net" \(inet into int/,
  });
  const infinite = await open('mysql', Thing, ['CREATE TABLE thing (id INT PRIMARY KEY, single FLOAT)']);
  t.match(await failure(restore(infinite, list, { allowDrift: true })), {
    code: 'ERR_RESTORE_VALUE',
    message: /row id=2 of the table "thing", column "single" \(real into float\): MariaDB and MySQL have no NaN/,
    facts: { table: 'thing', row: 'id=2', column: 'single' },
  });
  t.same(await query('mysql', infinite, 'SELECT id FROM thing'), [], 'nothing was changed');
});

t.test('from MariaDB into PostgreSQL', async (t) => {
  const source = await open('mysql', Thing, [
    "CREATE TABLE thing (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, big BIGINT UNSIGNED, pick ENUM('a','b'), picks SET('x','y'), flag BIT(1), day DATE, moment DATETIME(6), stamp TIMESTAMP NULL, uid BINARY(16), doc JSON, year YEAR, c CHAR(4)) AUTO_INCREMENT = 70",
    `INSERT INTO thing VALUES (5, 9223372036854775807, 'b', 'x,y', b'1', '2026-02-28', '2026-01-01 00:00:00.000001', '2026-01-01 00:00:00', UNHEX('0b1c2d3e4f504a6b8c7d9e0f1a2b3c4d'), '{"b": 1,  "a": 2}', 1999, 'ab'), (6, 0, NULL, '', b'0', NULL, NULL, NULL, NULL, NULL, NULL, '')`,
  ]);
  const ddl = [
    'CREATE TABLE thing (id serial PRIMARY KEY, big bigint, pick text, picks text[], flag boolean, day date, moment timestamptz, stamp timestamptz, uid uuid, doc jsonb, year int, c char(4))',
  ];
  const target = await open('postgresql', Thing, ddl);
  const done = await restore(target, await items(source), {});
  t.same(
    await query(
      'postgresql',
      target,
      "SELECT id, big, pick, picks, flag, day, moment AT TIME ZONE 'UTC', stamp AT TIME ZONE 'UTC', uid, doc, year, c FROM thing ORDER BY id",
    ),
    [
      [
        '5',
        '9223372036854775807',
        'b',
        '{x,y}',
        't',
        '2026-02-28',
        '2026-01-01 00:00:00.000001',
        '2026-01-01 00:00:00',
        UUIDS[0],
        '{"a": 2, "b": 1}',
        '1999',
        'ab  ',
      ],
      ['6', '0', null, '{}', 'f', null, null, null, null, null, null, '    '],
    ],
  );
  t.match(
    done.drift.find(({ column }) => column === 'moment'),
    { kind: 'told', note: /no time zone: taken for UTC/ },
  );
  t.same(
    await query('postgresql', target, "SELECT nextval('thing_id_seq')"),
    [['70']],
    'the recorded counter, not the largest key',
  );
  await exec('mysql', source, 'UPDATE thing SET big = 18446744073709551615 WHERE id = 6');
  const before = await query('postgresql', target, 'SELECT * FROM thing ORDER BY id');
  t.match(await failure(restore(target, await items(source), { mode: 'flush' })), {
    code: 'ERR_RESTORE_VALUE',
    message: /row id=6 .*column "big" \(bigint(\(20\))? unsigned into bigint\): it does not fit/,
  });
  await exec(
    'mysql',
    source,
    "SET sql_mode = ''",
    'UPDATE thing SET big = 1',
    "UPDATE thing SET day = '0000-00-00' WHERE id = 6",
  );
  t.match(await failure(restore(target, await items(source), { mode: 'flush' })), {
    code: 'ERR_RESTORE_VALUE',
    facts: { column: 'day' },
  });
  t.same(await query('postgresql', target, 'SELECT * FROM thing ORDER BY id'), before, 'nothing was changed');
});

t.test('from SQLite, where a column holds what it likes', async (t) => {
  const source = await open('sqlite', Thing, [
    'CREATE TABLE thing (id INTEGER PRIMARY KEY, n INTEGER, at datetime, any, span interval)',
    "INSERT INTO thing VALUES (3, 1, 1767323045123, 'text', '1 day'), (9, 0, '2026-01-02T03:04:05.5+01:00', NULL, NULL), (7, NULL, '2026-01-02 03:04:05', 12, '02:00')",
  ]);
  const list = await items(source);
  const target = await open('postgresql', Thing, [
    'CREATE TABLE thing (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, n boolean, at timestamptz, "any" text, span interval)',
  ]);
  const dry = await restore(target, list, { dryRun: true });
  t.same(
    await query('postgresql', target, 'SELECT last_value, is_called FROM thing_id_seq'),
    [['1', 'f']],
    'a dry run turns no counter',
  );
  t.same(await restore(target, list), { ...dry, dryRun: false });
  t.same(await query('postgresql', target, `SELECT id, n, at AT TIME ZONE 'UTC', "any", span FROM thing ORDER BY id`), [
    ['3', 't', '2026-01-02 03:04:05.123', 'text', '1 day'],
    ['7', null, '2026-01-02 03:04:05', '12', '02:00:00'],
    ['9', 'f', '2026-01-02 02:04:05.5', null, null],
  ]);
  t.same(
    await query('postgresql', target, "SELECT nextval('thing_id_seq')"),
    [['10']],
    'no counter was recorded: the largest key is',
  );
  for (const [sql, why] of [
    ['UPDATE thing SET n = 2 WHERE id = 9', /neither true nor false/],
    ["UPDATE thing SET n = 'many' WHERE id = 9", /it is text in a column that is declared INTEGER/],
    ["UPDATE thing SET n = 1, at = 'soon' WHERE id = 9", /it is no moment/],
    ['UPDATE thing SET at = NULL, "any" = char(0) WHERE id = 9', /NUL character/],
    ['UPDATE thing SET "any" = x\'00\' WHERE id = 9', /it is bytes, which text does not take/],
  ] as const) {
    await exec('sqlite', source, sql);
    t.match(await failure(restore(target, await items(source), { mode: 'flush' })), {
      code: 'ERR_RESTORE_VALUE',
      message: why,
      facts: { row: 'id=9' },
    });
  }
  t.same(await query('postgresql', target, 'SELECT count(*) FROM thing'), [['3']]);
});

t.test('drift in one kind of database: a widening is none', async (t) => {
  const source = await open('postgresql', Thing, [
    'CREATE TABLE thing (id int PRIMARY KEY, a smallint, b varchar(10), c numeric(5,2), d timestamptz(0), e text, f numeric(9,4))',
    "INSERT INTO thing VALUES (1, 5, 'x', 1.25, '2026-01-01 00:00:00+00', '7', 1.2345), (2, 6, 'y', 1.5, NULL, NULL, 1.5)",
  ]);
  const list = await items(source);
  const wide = await open('postgresql', Thing, [
    'CREATE TABLE thing (id bigint PRIMARY KEY, a int, b text, c numeric(7,3), d timestamptz, e text, f numeric)',
  ]);
  t.same((await restore(wide, list)).drift, []);
  await exec(
    'postgresql',
    wide,
    'DROP TABLE thing',
    'CREATE TABLE thing (id int PRIMARY KEY, a int, b varchar(5), c numeric(5,2), d timestamptz, e int, f numeric(9,2))',
  );
  const refused = await failure(restore(wide, list));
  t.match(refused, {
    code: 'ERR_RESTORE_SCHEMA_DRIFT',
    message:
      /another type for .*"b" \(character varying\(10\) into character varying\(5\)\).*"e" \(text into integer\).*"f"/,
  });
  const done = await restore(wide, list, { allowDrift: true });
  t.same(
    done.drift.map(({ column, kind, values }) => [column, kind, values]),
    [
      ['b', 'converted', 0],
      ['e', 'converted', 0],
      ['f', 'converted', 1],
    ],
  );
  t.same(await query('postgresql', wide, 'SELECT e, f FROM thing ORDER BY id'), [
    ['7', '1.23'],
    [null, '1.50'],
  ]);
  const maria = await open('mysql', Thing, [
    'CREATE TABLE thing (id INT PRIMARY KEY, a VARCHAR(10))',
    "INSERT INTO thing VALUES (1, 'abc')",
  ]);
  const narrow = await open('mysql', Thing, ['CREATE TABLE thing (id BIGINT PRIMARY KEY, a VARCHAR(2))']);
  t.match(await failure(restore(narrow, await items(maria))), { code: 'ERR_RESTORE_SCHEMA_DRIFT' });
  t.match(
    await failure(restore(narrow, await items(maria), { allowDrift: true })),
    { code: 'ERR_RESTORE_CONSTRAINT' },
    'a text is never cut',
  );
  const lite = await open('sqlite', Thing, [
    'CREATE TABLE thing (id INTEGER PRIMARY KEY, a TEXT, b INT)',
    "INSERT INTO thing VALUES (1, '1', 2)",
  ]);
  const other = await open('sqlite', Thing, ['CREATE TABLE thing (id INTEGER PRIMARY KEY, a INTEGER, b NUMERIC)']);
  t.match(await failure(restore(other, await items(lite))), {
    code: 'ERR_RESTORE_SCHEMA_DRIFT',
    message: /TEXT becomes INTEGER/,
    facts: { drift: [{ column: 'a' }] },
  });
});
