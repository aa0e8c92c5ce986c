/** Lines that no writer of this library writes, for what turns lines into a database's own words without parsing them as JSON. */
import type { Test } from 'tap';

const ODD = [
  '',
  '[]',
  '["a"',
  '["a"]]',
  '["a","b"]',
  '[1]',
  '["a"] ',
  '[ "a"]',
  '{"b":""}',
  '["\u0001"]',
  '["\\ud800"]',
  '["\\u00e9"]',
  '["a\\"]',
  '[nul]',
  '[nullx]',
  '["a"],["b"]',
  '["a"]\n\n',
];

/**
 * All of them are left to the plain way.
 *
 * @param convert takes lines of one cell, and how many there should be; null for what it leaves
 * @param more lines that are odd to it alone
 */
export function leavesOddLines(t: Test, convert: (lines: Buffer, count: number) => unknown, more: string[]): void {
  for (const line of [...ODD, ...more])
    t.equal(convert(Buffer.from(line), 1), null, `left to the plain way: ${JSON.stringify(line)}`);
  t.equal(convert(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]), 1), null, 'bytes that are no UTF-8');
  t.equal(convert(Buffer.from('["a"]'), 2), null, 'a count that does not fit');
}
