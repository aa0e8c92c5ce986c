/**
 * Values that stand for others: the same value gives the same stand-in wherever it is, for one seed (HMAC-SHA-256), so
 * that what was equal stays equal. Without the seed nobody can tell which value it was; with it, one can try guesses.
 */
import { createHmac } from 'node:crypto';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
const FIRST = [
  'Alex',
  'Bo',
  'Chris',
  'Dana',
  'Eli',
  'Finn',
  'Gale',
  'Hana',
  'Ira',
  'Jo',
  'Kim',
  'Lee',
  'Mika',
  'Noa',
  'Ola',
  'Pat',
];
const LAST = [
  'Ash',
  'Beck',
  'Cole',
  'Dale',
  'Ford',
  'Gray',
  'Hill',
  'Knox',
  'Lake',
  'Moss',
  'North',
  'Reed',
  'Stone',
  'Vale',
  'West',
  'Wood',
];
const WORDS = [
  'lorem',
  'ipsum',
  'dolor',
  'sit',
  'amet',
  'elit',
  'sed',
  'do',
  'magna',
  'ut',
  'enim',
  'quis',
  'nisi',
  'ex',
  'ea',
  'velit',
];
/** Characters of a hash that never meet another: 80 bits. */
const DISTINCT = 16;
/** The fewest that are taken for distinct: 60 bits. */
export const LEAST_DISTINCT = 12;
const DOMAINS = ['@example.com', '@x.test'];
/** Longer texts become this long. */
const MOST_TEXT = 4096;

export class Pseudonyms {
  readonly #key: Buffer;

  /** @param seed a secret, if guesses are to be kept from being tried */
  constructor(seed: string | Buffer) {
    this.#key = createHmac('sha256', 'mikro-orm-dbs mask').update(seed).digest();
  }

  /** 32 bytes that only this value has, for this use. */
  hash(use: string, value: string | Buffer): Buffer {
    return createHmac('sha256', this.#key).update(`${use}\0`).update(value).digest();
  }

  /** As many bytes as wanted. */
  #stream(use: string, value: string | Buffer, length: number): Buffer {
    const parts = [this.hash(use, value)];
    for (let held = 32; held < length; held += 32) parts.push(this.hash(use, parts.at(-1)!));
    return Buffer.concat(parts).subarray(0, length);
  }

  #letters(use: string, value: string, length: number): string {
    return [...this.#stream(use, value, length)].map((byte) => LETTERS[byte & 31]).join('');
  }

  email(value: string, length = 255): string {
    const domain = DOMAINS.find((one) => one.length + 1 + LEAST_DISTINCT <= length) ?? '@x.test';
    const room = Math.max(1, Math.min(DISTINCT, length - domain.length - 1));
    return `u${this.#letters('email', value, room)}${domain}`.slice(0, length);
  }

  name(value: string, length = 255, distinct = false): string {
    const hash = this.hash('name', value);
    const plain = `${FIRST[hash[0]! & 15]} ${LAST[hash[1]! & 15]}`;
    if (distinct) return this.#distinct(plain, this.#letters('name', value, DISTINCT), length);
    return plain.slice(0, length).trimEnd();
  }

  /** Words, about as long as the value. */
  text(value: string, length = MOST_TEXT, distinct = false): string {
    const most = Math.min(length, MOST_TEXT);
    const wanted = Math.min(most, [...value].length);
    if (wanted === 0 && !distinct) return '';
    const bytes = this.#stream('text', value, Math.ceil(wanted / 2) + 1);
    let words = '';
    for (let i = 0; words.length <= wanted; i++) words += `${WORDS[bytes[i % bytes.length]! & 15]} `;
    const plain = words.slice(0, wanted).trimEnd() || 'x';
    return distinct ? this.#distinct(plain, this.#letters('text', value, DISTINCT), length) : plain;
  }

  #distinct(plain: string, letters: string, length: number): string {
    if (length < letters.length + 2) return letters.slice(0, length);
    return `${letters} ${plain}`.slice(0, length).trimEnd();
  }

  /** Other digits in the same places: sign, point and exponent stay. */
  digits(value: string): string {
    const bytes = this.#stream('number', value, value.length);
    let first = true;
    let exponent = false;
    return value.replace(/[\de]/gi, (char, at: number) => {
      if (/e/i.test(char)) exponent = true;
      if (exponent) return char;
      const digit = first && char !== '0' ? 1 + (bytes[at]! % 9) : bytes[at]! % 10;
      if (first && char === '0' && value.length > 1) return char;
      first = false;
      return String(digit);
    });
  }

  /** A whole number below `2 ** bits`. */
  number(value: string, bits: number): bigint {
    return this.hash('number', value).readBigUInt64BE() >> BigInt(64 - bits);
  }

  uuid(value: string | Buffer): string {
    const bytes = Buffer.from(this.hash('uuid', value).subarray(0, 16));
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  bytes(value: Buffer): Buffer {
    return this.#stream('bytes', value, Math.min(value.length, MOST_TEXT));
  }

  /** One of a list. */
  pick<T>(value: string, list: T[]): T {
    return list[this.hash('pick', value).readUInt32BE() % list.length] as T;
  }

  /** Another day of the same year, another second of that day. */
  moment(value: string): string {
    const hash = this.hash('date', value);
    const two = (n: number) => String(n).padStart(2, '0');
    return value
      .replace(
        /^(\d{4})-\d\d-\d\d/,
        (_, year: string) => `${year}-${two(1 + (hash[0]! % 12))}-${two(1 + (hash[1]! % 28))}`,
      )
      .replace(/\d\d:\d\d:\d\d(\.\d+)?/, () => `${two(hash[2]! % 24)}:${two(hash[3]! % 60)}:${two(hash[4]! % 60)}`);
  }
}
