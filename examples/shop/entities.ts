/** The shop's model: a little of everything that makes a database hard to copy. */
import { defineEntity, p } from '@mikro-orm/libsql';

/** Embedded in Customer: its columns are `address_street`, `address_city`, ... */
export const Address = defineEntity({
  name: 'Address',
  embeddable: true,
  properties: { street: p.string(), city: p.string(), zip: p.string(), country: p.string().length(2) },
});

export const Customer = defineEntity({
  name: 'Customer',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    email: p.string().unique(),
    address: p.embedded(Address),
    notes: p.json<{ newsletter: boolean; languages: string[] }>().nullable(),
    /** Of no use after a restore, and a risk in a backup: the registry EXCLUDEs it. */
    sessionToken: p.string().nullable(),
    joinedAt: p.datetime(),
  },
});

/** A tree: each category may have a parent. */
export const Category = defineEntity({
  name: 'Category',
  properties: {
    id: p.integer().primary(),
    name: p.string(),
    parent: () => p.manyToOne(Category).nullable(),
  },
});

export const Tag = defineEntity({
  name: 'Tag',
  properties: { id: p.integer().primary(), label: p.string().unique() },
});

export const Product = defineEntity({
  name: 'Product',
  properties: {
    id: p.integer().primary(),
    sku: p.string().unique(),
    name: p.string(),
    /** In cents; a bigint, since money must not be rounded. */
    price: p.bigint(),
    weight: p.double().nullable(),
    category: () => p.manyToOne(Category),
    /** Through the pivot table `product_tags`. */
    tags: () => p.manyToMany(Tag),
    /** A key in the storage `uploads`: the registry calls it a FILE. */
    picture: p.string().nullable(),
  },
});

export const Order = defineEntity({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: p.integer().primary(),
    customer: () => p.manyToOne(Customer),
    status: p.enum(['open', 'paid', 'shipped', 'returned']),
    placedAt: p.datetime(),
  },
});

/** Its primary key is composite, and both parts are foreign keys. */
export const OrderLine = defineEntity({
  name: 'OrderLine',
  properties: {
    order: () => p.manyToOne(Order).primary(),
    product: () => p.manyToOne(Product).primary(),
    quantity: p.integer(),
    price: p.bigint(),
  },
});

export const Invoice = defineEntity({
  name: 'Invoice',
  properties: {
    number: p.string().primary(),
    order: () => p.oneToOne(Order).owner(),
    /** Where the PDF lies, relative to the shop's folder: the registry calls it a FILE_PATH. */
    pdf: p.string(),
  },
});

/** Three kinds of payment in one table, told apart by `kind`. */
export const Payment = defineEntity({
  name: 'Payment',
  abstract: true,
  discriminatorColumn: 'kind',
  properties: {
    id: p.integer().primary(),
    kind: p.enum(['card', 'transfer', 'voucher']),
    order: () => p.manyToOne(Order),
    amount: p.bigint(),
  },
});

export const CardPayment = defineEntity({
  name: 'CardPayment',
  extends: Payment,
  discriminatorValue: 'card',
  properties: { lastDigits: p.string().length(4).nullable() },
});

export const TransferPayment = defineEntity({
  name: 'TransferPayment',
  extends: Payment,
  discriminatorValue: 'transfer',
  properties: { iban: p.string().nullable() },
});

export const VoucherPayment = defineEntity({
  name: 'VoucherPayment',
  extends: Payment,
  discriminatorValue: 'voucher',
  properties: { code: p.blob().nullable() },
});

export const entities = [
  Address,
  Customer,
  Category,
  Tag,
  Product,
  Order,
  OrderLine,
  Invoice,
  Payment,
  CardPayment,
  TransferPayment,
  VoucherPayment,
];
