/** Lines of a backup become COPY's bytes without JSON between, and never other bytes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { jsonToCopy } from '../../lib/orm/drivers/postgresql-json-copy.ts';
import { leavesOddLines } from '../support/odd-lines.ts';

/** What COPY's documentation says of its text format, in one line. */
const copied = (rows: (string | null)[][]) =>
  rows
    .map(
      (row) =>
        `${row.map((cell) => (cell === null ? '\\N' : cell.replace(/[\\\n\r\t\b\f]/g, (c) => `\\${{ '\\': '\\', '\n': 'n', '\r': 'r', '\t': 't', '\b': 'b', '\f': 'f' }[c]}`))).join('\t')}\n`,
    )
    .join('');

t.test('lines as COPY text', async (t) => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('', '\\N', '\\.', '"', '\t\n\r\b\f\v\u0001\u007f', 'null', '😀'),
  );
  const cell = fc.option(text.map((value) => value.replaceAll('\0', '')));
  const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);
  t.comment(`DBS_TEST_SEED=${seed}`);
  fc.assert(
    fc.property(fc.array(fc.tuple(cell, cell, cell), { maxLength: 6 }), fc.boolean(), (rows, ended) => {
      const lines = rows.map((row) => JSON.stringify(row)).join('\n');
      const bytes = Buffer.from(ended && rows.length ? `${lines}\n` : lines);
      assert.equal(String(jsonToCopy(bytes, rows.length, [true, true, true])), copied(rows));
      assert.equal(String(jsonToCopy(bytes, rows.length, [false, true, false])), copied(rows.map((row) => [row[1]])));
    }),
    { seed, numRuns: 60 },
  );
  leavesOddLines(t, (lines, count) => jsonToCopy(lines, count, [true]), ['[{"b":""}]', '["\\u0000"]']);
});
