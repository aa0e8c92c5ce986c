/** Fills an empty shop: the same rows and files from the same seed. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MikroORM } from '@mikro-orm/libsql';
import * as model from './entities.ts';
import { pdf, picture, template } from './files.ts';
import { Random } from './random.ts';

const CUSTOMERS = 1200;
const PRODUCTS = 320;
const ORDERS = 2400;
const TAGS = ['new', 'sale', 'organic', 'handmade', 'vegan', 'fragile', 'gift', 'refurbished', 'limited', 'heavy'];
const CATEGORIES = ['Kitchen', 'Garden', 'Books', 'Toys', 'Tools', 'Music'];
const PARTS = ['Small', 'Large', 'For children', 'Spare parts'];
const FIRST = [
  'Ana',
  'Björn',
  'Chloé',
  'Dmitri',
  'Elif',
  'Fatima',
  'Giulia',
  'Hiroshi',
  'Ines',
  'Jürgen',
  '小明',
  'Zoë',
];
const LAST = [
  'Kowalska',
  'Lindqvist',
  "O'Brien",
  'Müller',
  'Novák',
  'Okafor',
  'Papadopoulos',
  'Sørensen',
  'Tanaka',
  '王',
];
const CITIES: [string, string][] = [
  ['Wrocław', 'PL'],
  ['Malmö', 'SE'],
  ['Genève', 'CH'],
  ['Sevilla', 'ES'],
  ['大阪', 'JP'],
  ['Köln', 'DE'],
];
const TEMPLATES = ['welcome', 'order-placed', 'order-shipped', 'invoice', 'returns/received', 'returns/refused'];
const DAY = 24 * 60 * 60 * 1000;
const OPENED = Date.UTC(2023, 2, 1);

type Insert = (entity: (typeof model.entities)[number], rows: object[]) => Promise<void>;

export async function fillShop(orm: MikroORM, folder: string, seed = 1): Promise<void> {
  const random = new Random(seed);
  const em = orm.em.fork();
  const insert: Insert = async (entity, rows) => {
    for (let at = 0; at < rows.length; at += 500) await em.insertMany(entity as never, rows.slice(at, at + 500));
  };
  const save = async (path: string, content: Buffer | string) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  };

  for (let id = 1; id <= CUSTOMERS; id++) em.create(model.Customer, customer(id, random));
  const categories = CATEGORIES.flatMap((name, i) => [
    { id: i * 5 + 1, name, parent: null },
    ...PARTS.map((part, j) => ({ id: i * 5 + 2 + j, name: part, parent: i * 5 + 1 })),
  ]);
  await insert(model.Category, categories);

  const tags = TAGS.map((label, i) => em.create(model.Tag, { id: i + 1, label }));
  for (let id = 1; id <= PRODUCTS; id++) {
    const { name } = categories[random.next(categories.length)]!;
    // One in eight has no picture, and one in eight shares its picture with the product before it.
    const key = id % 8 === 7 ? null : `products/${id % 8 === 3 ? id - 1 : id}.png`;
    if (key?.endsWith(`/${id}.png`)) await save(join('uploads', key), picture(random));
    const product = em.create(model.Product, {
      id,
      sku: `SKU-${String(id * 7919).padStart(7, '0')}`,
      name: `${name} no. ${id}`,
      price: BigInt(199 + random.next(50_000)),
      weight: random.next(4) ? random.next(100_000) / 1000 : null,
      category: em.getReference(model.Category, categories[random.next(categories.length)]!.id),
      picture: key,
    });
    product.tags.add(random.sample(tags, random.next(4)));
  }
  await em.flush();

  const orders = Array.from({ length: ORDERS }, (_, i) => ({
    id: i + 1,
    customer: 1 + random.next(CUSTOMERS),
    status: random.pick(['open', 'paid', 'shipped', 'returned']),
    placedAt: new Date(OPENED + i * (DAY / 4) + random.next(DAY / 4)),
  }));
  await insert(model.Order, orders);
  const productIds = Array.from({ length: PRODUCTS }, (_, i) => i + 1);
  const lines = orders.flatMap(({ id }) =>
    random.sample(productIds, 1 + random.next(4)).map((product) => ({
      order: id,
      product,
      quantity: 1 + random.next(5),
      price: BigInt(199 + random.next(50_000)),
    })),
  );
  await insert(model.OrderLine, lines);

  const paid = orders.filter(({ status }) => status !== 'open');
  await payments(paid, random, insert);
  const invoices = paid.slice(0, 400).map(({ id, placedAt }) => {
    const number = `${placedAt.getUTCFullYear()}-${String(id).padStart(5, '0')}`;
    return { number, order: id, pdf: `invoices/${placedAt.getUTCFullYear()}/${number}.pdf` };
  });
  for (const { number, order, pdf: path } of invoices) {
    const items = lines.filter((line) => line.order === order);
    const text = items.map(({ product, quantity, price }) => `${quantity} x product ${product}: ${price} cents`);
    await save(path, pdf([`Invoice ${number}`, `Order ${order}`, '', ...text]));
  }
  await insert(model.Invoice, invoices);
  for (const name of TEMPLATES) await save(`templates/${name}.txt`, template(name));
}

function customer(id: number, random: Random) {
  const [city, country] = random.pick(CITIES);
  const name = `${random.pick(FIRST)} ${random.pick(LAST)}`;
  return {
    id,
    name,
    email: `customer${id}@shop.example`,
    address: {
      street: `${1 + random.next(90)} Main Street`,
      city,
      zip: String(10_000 + random.next(89_999)),
      country,
    },
    notes: random.next(3)
      ? { newsletter: random.next(2) === 1, languages: random.sample(['pl', 'sv', 'ja'], 2) }
      : null,
    sessionToken: random.next(2) ? random.bytes(16).toString('hex') : null,
    joinedAt: new Date(OPENED + random.next(700) * DAY),
  };
}

async function payments(paid: { id: number }[], random: Random, insert: Insert): Promise<void> {
  const base = paid.map(({ id: order }, i) => ({ id: i + 1, order, amount: BigInt(random.next(90_000)) }));
  const kinds = base.map(() => random.next(3));
  const of = (kind: number) => base.filter((_, i) => kinds[i] === kind);
  await insert(
    model.CardPayment,
    of(0).map((row) => ({ ...row, kind: 'card', lastDigits: String(1000 + random.next(9000)) })),
  );
  await insert(
    model.TransferPayment,
    of(1).map((row) => ({ ...row, kind: 'transfer', iban: `PL${random.bytes(12).toString('hex').toUpperCase()}` })),
  );
  await insert(
    model.VoucherPayment,
    of(2).map((row) => ({ ...row, kind: 'voucher', code: random.bytes(8) })),
  );
}
