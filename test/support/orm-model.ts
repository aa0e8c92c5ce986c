/**
 * One model for MikroORM 6 and 7 with everything that makes discovery hard: a single-table hierarchy, self references,
 * a circle of foreign keys, composite and foreign-key primary keys, pivot tables (automatic, and with columns of its
 * own), embeddables (inline, JSON, arrays), formulas, generated columns, filters, hidden properties, custom types.
 */
import { core } from './orm.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema, Type } = core as any;
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any;

/** Stores upside down what the entity shows: a backup must hold the column, not the property. */
export class Reversed extends Type {
  convertToDatabaseValue(value: string) {
    return [...value].reverse().join('');
  }
  convertToJSValue(value: string) {
    return [...value].reverse().join('');
  }
  getColumnType() {
    return 'text';
  }
}

/** The brand that lib/orm/selection.ts looks for. */
export class Upload extends Type {
  getColumnType() {
    return 'text';
  }
}

Object.defineProperty(Upload, Symbol.for('dbs.file'), { value: true });

class Animal {}
class Cat extends Animal {}
class Dog extends Animal {}
class Person {}
class Team {}
class Membership {}
class Tag {}
class Address {}
class Place {}
class Passport {}
class Setting {}

export const AddressSchema: Any = new EntitySchema({
  class: Address,
  embeddable: true,
  properties: { street: { type: 'string', nullable: true }, photo: { type: 'string', nullable: true } },
});

export const TagSchema: Any = new EntitySchema({
  class: Tag,
  properties: { id: { type: 'integer', primary: true }, label: { type: 'string', unique: true } },
});

/** @param domain the expression of a generated column, in the database's own words; none where the ORM cannot make one */
const personSchema = (domain?: string): Any =>
  new EntitySchema({
    class: Person,
    filters: { alive: { name: 'alive', cond: { deletedAt: null }, default: true } },
    properties: {
      id: { type: 'integer', primary: true },
      email: { type: 'string', unique: true },
      secret: { type: Reversed, hidden: true, nullable: true },
      avatar: { type: 'string', nullable: true },
      cv: { type: Upload, nullable: true },
      balance: { type: 'bigint', default: 0 },
      deletedAt: { type: 'datetime', nullable: true },
      version: { type: 'integer', version: true },
      boss: { kind: 'm:1', entity: () => Person, nullable: true },
      team: { kind: 'm:1', entity: () => Team, nullable: true },
      tags: { kind: 'm:n', entity: () => Tag, owner: true },
      home: { kind: 'embedded', entity: () => Address, nullable: true },
      work: { kind: 'embedded', entity: () => Address, object: true, nullable: true },
      others: { kind: 'embedded', entity: () => Address, array: true, nullable: true },
      shout: { type: 'string', formula: (alias: unknown) => `upper(${alias}.email)`, persist: false },
      ...(domain
        ? { domain: { type: 'string', columnType: 'text', generated: `(${domain}) stored`, nullable: true } }
        : {}),
    },
  });

export const PersonSchema: Any = personSchema("substr(email, instr(email, '@') + 1)");

export const TeamSchema: Any = new EntitySchema({
  class: Team,
  properties: {
    id: { type: 'integer', primary: true },
    name: { type: 'string' },
    lead: { kind: 'm:1', entity: () => Person, nullable: true },
    people: { kind: 'm:n', entity: () => Person, owner: true, pivotEntity: () => Membership },
  },
});

export const MembershipSchema: Any = new EntitySchema({
  class: Membership,
  properties: {
    team: { kind: 'm:1', entity: () => Team, primary: true },
    person: { kind: 'm:1', entity: () => Person, primary: true },
    role: { type: 'string', default: 'member' },
  },
});

/** Its primary key is a foreign key. */
export const PassportSchema: Any = new EntitySchema({
  class: Passport,
  properties: { person: { kind: '1:1', entity: () => Person, primary: true, owner: true }, number: { type: 'string' } },
});

export const PlaceSchema: Any = new EntitySchema({
  class: Place,
  properties: {
    country: { type: 'string', primary: true },
    code: { type: 'integer', primary: true },
    plan: { type: 'blob', nullable: true },
    within: { kind: 'm:1', entity: () => Place, nullable: true },
  },
});

export const SettingSchema: Any = new EntitySchema({
  class: Setting,
  properties: {
    key: { type: 'string', primary: true },
    value: { type: 'json', nullable: true },
    token: { type: 'string', nullable: true },
  },
});

export const AnimalSchema: Any = new EntitySchema({
  class: Animal,
  discriminatorColumn: 'kind',
  discriminatorValue: 'animal',
  properties: { id: { type: 'integer', primary: true }, name: { type: 'string' } },
});
export const CatSchema: Any = new EntitySchema({
  class: Cat,
  extends: Animal,
  discriminatorValue: 'cat',
  properties: { lives: { type: 'integer', nullable: true } },
});
export const DogSchema: Any = new EntitySchema({
  class: Dog,
  extends: Animal,
  discriminatorValue: 'dog',
  properties: {
    owner: { kind: 'm:1', entity: () => Person, nullable: true },
    chip: { type: 'string', nullable: true },
  },
});

export const model = [
  AddressSchema,
  TagSchema,
  PersonSchema,
  TeamSchema,
  MembershipSchema,
  PassportSchema,
  PlaceSchema,
  SettingSchema,
  AnimalSchema,
  CatSchema,
  DogSchema,
];
const modelWith = (person: unknown) => model.map((one) => (one === PersonSchema ? person : one));
export const postgresqlModel = modelWith(personSchema("split_part(email, '@', 2)"));
/** MikroORM writes NULL behind a generated column, which MariaDB does not take: `domain` is to be added by hand. */
export const mysqlModel = modelWith(personSchema());
export const classes = { Animal, Cat, Dog, Person, Team, Membership, Tag, Address, Place, Passport, Setting };
