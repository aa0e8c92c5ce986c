/** A masked copy: nothing of what is sensitive is in it, and it is still a backup that restores. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import type { BackupItem } from '../../lib/format/items.ts';
import { createMasker, type MaskerOptions } from '../../lib/orm/mask/masker.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';
import { createRowTarget } from '../../lib/orm/row-target.ts';
import { type BackupConfig, defineBackupConfig } from '../../lib/settings.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { core, openOrm, scratch, type TestOrm } from '../support/orm.ts';
import { exec, failure, ofType, query, restore } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;
const text = { type: 'string', nullable: true };
class User {}
const entities = [
  new EntitySchema({
    class: User,
    tableName: 'user',
    properties: {
      id: { type: 'integer', primary: true },
      email: { type: 'string', unique: true },
      fullName: { ...text, fieldName: 'full_name' },
      bio: text,
      born: { type: 'date', nullable: true },
      seen: { type: 'datetime', nullable: true },
      salary: { type: 'decimal', nullable: true },
      settings: { type: 'json', nullable: true },
      token: { type: 'uuid', nullable: true },
      photo: text,
      secret: { type: 'blob', nullable: true },
      plan: { enum: true, items: ['free', 'paid'], nullable: true },
      iban: text,
      boss: { kind: 'm:1', entity: () => User, nullable: true },
    },
  }),
  new EntitySchema({
    name: 'Invite',
    tableName: 'invite',
    properties: { id: { type: 'integer', primary: true }, email: { type: 'string' }, note: text },
  }),
];
const DDL = [
  "CREATE TABLE user (id INTEGER PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, full_name TEXT, bio TEXT, born date, seen datetime, salary numeric(10,2), settings json, token uuid, photo TEXT, secret BLOB, plan TEXT CHECK (plan IN ('free', 'paid')), iban TEXT, boss_id INTEGER REFERENCES user (id), domain TEXT GENERATED ALWAYS AS (substr(email, instr(email, '@'))) STORED)",
  'CREATE TABLE invite (id INTEGER PRIMARY KEY, email TEXT NOT NULL, note TEXT)',
];
const SECRETS = [
  'anna.nowak@firma.pl',
  '@firma.pl',
  'ben@private.example.org',
  'Anna Nowak',
  'likes long walks',
  '1971-03-04',
  '1767323045123',
  '98765.43',
  'Kowalski',
  '48123456789',
  '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d',
  'anna-face.png',
  'FACE OF ANNA',
  'PL61109010140000071219812874',
  'top secret bytes',
];

async function database(...rows: string[]): Promise<TestOrm> {
  const orm = await openOrm(entities, { schema: false });
  t.teardown(() => orm.close(true));
  await exec(orm, ...DDL, ...rows);
  return orm;
}

const uploads = join(scratch, 'uploads');
const templates = join(scratch, 'templates');
mkdirSync(uploads);
mkdirSync(templates);
writeFileSync(join(uploads, 'anna-face.png'), 'FACE OF ANNA');
writeFileSync(join(templates, 'a.txt'), 'a template');

const source = await database(
  `INSERT INTO user (id, email, full_name, bio, born, seen, salary, settings, token, photo, secret, plan, iban, boss_id) VALUES
    (1, 'anna.nowak@firma.pl', 'Anna Nowak', 'likes long walks', '1971-03-04', 1767323045123, 98765.43, '{"name":"Kowalski","phones":[48123456789],"on":true}', '0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d', 'anna-face.png', CAST('top secret bytes' AS BLOB), 'paid', 'PL61109010140000071219812874', NULL),
    (2, 'ben@private.example.org', NULL, '', NULL, NULL, 0, NULL, NULL, 'lost-anna-face.png', NULL, NULL, NULL, 1)`,
  "INSERT INTO invite VALUES (1, 'anna.nowak@firma.pl', 'kept as it is'), (2, 'ben@private.example.org', NULL)",
);
const storages = { default: uploads };
const registry = defineBackupConfig({
  storages,
  fileRoots: { templates },
  entities: {
    User: {
      fields: {
        email: { mask: 'email' },
        fullName: { mask: 'name' },
        bio: { sensitive: true },
        born: { mask: 'date' },
        seen: { sensitive: true },
        salary: { mask: 'number' },
        settings: { sensitive: true },
        token: { mask: 'uuid' },
        photo: { type: 'FILE', sensitive: true },
        secret: { mask: 'null' },
        plan: { sensitive: true },
        iban: { type: 'VALUE', mask: (_, { hash }) => `XX${hash('iban').slice(0, 10)}` },
      },
    },
    Invite: { fields: { email: { mask: 'email' } } },
  },
});

async function masked(options: MaskerOptions = {}): Promise<BackupItem[]> {
  const masker = createMasker(source, { registry, seed: 'a seed', ...options });
  const list: BackupItem[] = [];
  await pipeline(createRowSource(source, { registry: options.registry ?? registry }), masker, async (items) => {
    for await (const item of items) list.push(item as BackupItem);
  });
  return list;
}

t.test('nothing sensitive is in the stream', async (t) => {
  const list = await masked();
  const chunks: Buffer[] = [];
  await pipeline(list, new Serializer({ compression: 'none' }), async (parts) => {
    for await (const part of parts) chunks.push(Buffer.from(part as Buffer));
  });
  const stream = Buffer.concat(chunks);
  t.ok(stream.includes('kept as it is') && stream.includes('a template'), 'the rest is there');
  for (const secret of SECRETS) {
    for (const form of [
      secret,
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('hex'),
    ])
      t.notOk(stream.includes(form), `not ${form}`);
  }
  t.same(ofType(list, 'schema')[0]!.schema.masked?.length, 13);
  t.match(ofType(list, 'end')[0], { files: 1, bytes: 10, skipped: [] }, 'the sensitive file is out, and counted out');
  t.same(ofType(list, 'skipped'), [], 'and so is the name of one that is missing');
});

t.test('it restores, and what was equal is equal', async (t) => {
  const list = await masked();
  const target = await database();
  await restore(target, list, { registry: { ...registry, fileRoots: { templates: join(scratch, 'there') } } });
  const [[email, name, born, seen, salary, settings, token, photo, secret, plan, iban, domain]] = (await query(
    target,
    'SELECT email, full_name, born, seen, salary, settings, token, photo, secret, plan, iban, domain FROM user WHERE id = 1',
  )) as [string[]];
  t.match(email, /^u[a-z2-7]{16}@example\.com$/);
  t.match(name, /^[A-Z]\w+ [A-Z]\w+$/);
  t.match(born, /^1971-\d\d-\d\d$/, 'the year stays');
  t.match(String(seen), /^17[67]\d{10}$/, 'milliseconds, as before');
  t.match(String(salary), /^[1-9]\d{4}(\.\d{1,2})?$/);
  t.match(JSON.parse(settings!), { name: /^[a-z][a-z ]{0,7}$/, phones: [/^[1-9]\d{10}$/], on: true });
  t.match(token, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.same([photo, secret], [null, null]);
  t.ok(['free', 'paid'].includes(plan!));
  t.match(iban, /^XX[0-9a-f]{10}$/);
  t.equal(domain, '@example.com', 'generated again, from what is there now');
  t.same(await query(target, 'SELECT i.id FROM invite AS i JOIN user AS u ON u.email = i.email ORDER BY 1'), [
    [1],
    [2],
  ]);
  t.same(
    await query(target, 'SELECT full_name, bio, born, salary FROM user WHERE id = 2'),
    [[null, '', null, Number((await query(target, 'SELECT salary FROM user WHERE id = 2'))[0]![0])]],
    'NULL stays NULL',
  );
  t.same(await masked().then((again) => ofType(again, 'rows')), ofType(list, 'rows'), 'the same seed, the same copy');
  t.notSame(ofType(await masked({ seed: 'another' }), 'rows'), ofType(list, 'rows'));
  const [one, other] = [await masked({ seed: undefined }), await masked({ seed: undefined })];
  t.notSame(ofType(one, 'rows'), ofType(other, 'rows'), 'no seed, a new one each time');
});

t.test('on the way in', async (t) => {
  const target = await database();
  const there = {
    ...registry,
    fileRoots: { templates: join(scratch, 'in') },
    storages: { default: join(scratch, 'in-uploads') },
  };
  const sink = createRowTarget(target, { registry: there });
  await pipeline(
    createRowSource(source, { registry }),
    createMasker(target, { registry: there, seed: 'a seed' }),
    sink,
  );
  t.match(await sink.result, { files: { written: 1 } });
  t.match((await query(target, 'SELECT email FROM user ORDER BY id'))[0], [/@example\.com$/]);
});

t.test('what cannot be masked is an error, before a row is out', async (t) => {
  const user = (fields: object, more: object = {}): BackupConfig =>
    ({ storages, entities: { User: { fields } }, ...more }) as BackupConfig;
  const cases: [string, BackupConfig, RegExp][] = [
    ['ERR_CONFIG_NOTHING_TO_MASK', { entities: {} }, /no field sensitive/],
    ['ERR_CONFIG_MASK_KEY', user({ id: { mask: 'number' } }), /User\.id.*primary or foreign key/],
    ['ERR_CONFIG_MASK_KEY', user({ boss: { sensitive: true } }), /User\.boss/],
    ['ERR_CONFIG_MASK_TYPE', user({ born: { mask: 'email' } }), /User\.born.*'date'/],
    ['ERR_CONFIG_MASK_NULL', user({ email: { mask: 'null' } }), /NOT NULL/],
    [
      'ERR_CONFIG_MASK_FUNCTION',
      user({
        bio: {
          mask: (value: string) => {
            throw new Error(value);
          },
        },
      }),
      /User\.bio failed/,
    ],
    [
      'ERR_CONFIG_MASK_FILE_ROOT',
      user({ photo: { type: 'FILE', sensitive: true } }, { fileRoots: { all: scratch } }),
      /"all".*User\.photo/,
    ],
    ['ERR_CONFIG_UNKNOWN_FIELD', user({ emial: { mask: 'email' } }), /emial/],
  ];
  for (const [code, config, message] of cases) {
    const error = await failure(masked({ registry: config }));
    t.match(error, { code, message }, code);
    t.notOk(
      SECRETS.some((secret) => error.message.includes(secret)),
      'and says no value',
    );
  }
  t.throws(() => defineBackupConfig(user({ bio: { mask: 'phone' } })), { code: 'ERR_CONFIG_INVALID_OPTION' });
  t.throws(() => defineBackupConfig(user({ bio: {} })), { code: 'ERR_CONFIG_UNKNOWN_FIELD_TYPE' });
  const narrow = await openOrm(entities, { schema: false });
  t.teardown(() => narrow.close(true));
  await exec(narrow, DDL[0]!.replace('born date', 'born date UNIQUE'), DDL[1]!);
  const config = user({ born: { mask: 'date' } });
  const unique = pipeline(
    createRowSource(narrow, { registry: config }),
    createMasker(narrow, { registry: config }).resume(),
  );
  t.match(await failure(unique), { code: 'ERR_CONFIG_MASK_UNIQUE', message: /User\.born.*unique/ });
});
