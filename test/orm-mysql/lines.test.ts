/** Lines of a backup become the rows of an INSERT without JSON between, and never other rows. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { jsonToValues } from '../../lib/orm/drivers/mysql-json-values.ts';
import { LineBuilder } from '../../lib/orm/drivers/mysql-lines.ts';
import { cleanUp, openDatabase, query, serverRuns } from '../support/mysql.ts';
import { leavesOddLines } from '../support/odd-lines.ts';

if (!(await serverRuns(t))) process.exit();
t.teardown(cleanUp);

const quoted = (text: string | null) => (text === null ? 'null' : `'${text.replace(/['"\\]/g, '\\$&')}'`);
const decoded = (bytes: Uint8Array) => {
  const base64 = Buffer.from(bytes).toString('base64');
  return base64 ? `FROM_BASE64('${base64}')` : "''";
};

t.test('lines as rows of an INSERT', async (t) => {
  const text = fc.option(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', "'", '\\', '"', "\\'", '\t\n\r\b\f\v\0\u0001\u001a\u007f', 'null', '😀', '%_`'),
    ),
  );
  const bytes = fc.uint8Array({ maxLength: 40 });
  const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);
  t.comment(`DBS_TEST_SEED=${seed}`);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(text, bytes, fc.option(fc.nat().map(String))), { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      (rows, ended) => {
        const builder = new LineBuilder(['text', 'bytes', 'plain'], 1 << 20);
        for (const [a, b, c] of rows)
          builder.add([a === null ? null : Buffer.from(a), Buffer.from(b), c === null ? null : Buffer.from(c)]);
        const { data } = builder.take();
        const lines = ended ? data : data.subarray(0, -1);
        assert.equal(
          jsonToValues(lines, rows.length, ['any', 'any', 'text']),
          rows.map(([a, b, c]) => `(${quoted(a)},${decoded(b)},${quoted(c)})`).join(','),
        );
        assert.equal(
          jsonToValues(lines, rows.length, ['no', 'any', 'no']),
          rows.map(([, b]) => `(${decoded(b)})`).join(','),
        );
        assert.equal(jsonToValues(lines, rows.length, ['any', 'text', 'any']), null, 'bytes for text');
      },
    ),
    { seed, numRuns: 100 },
  );
});

t.test('what is odd is left to the plain way', async (t) => {
  leavesOddLines(t, (lines, count) => jsonToValues(lines, count, ['any']), [
    '[{"b":"A"}]',
    '[{"b":"A==="}]',
    '[{"b":"===="}]',
    '[{"b":"AA=A"}]',
    '[{"b":"AA\'A"}]',
    '[{"b":"AAAA"]',
    '[{"b":"AAAA","c":1}]',
    '[{"b":null}]',
    '[{"i":"1"}]',
    '["\\f"]',
    '["\\u0027"]',
    '["\\u005c"]',
    '["\\u001g"]',
    '["\\u1"]',
    '["a\\',
  ]);
});

t.test('and the server reads what was meant', async (t) => {
  const orm = await openDatabase([], []);
  const builder = new LineBuilder(['text', 'bytes'], 1 << 20);
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const text = `${all.toString('latin1')}\\'"😀`;
  builder.add([Buffer.from(text), all]);
  const values = jsonToValues(builder.take().data, 1, ['any', 'any'])!;
  t.same(
    await query(
      orm,
      `SELECT HEX(CAST(a AS BINARY)), HEX(b) FROM (SELECT ${values.slice(1, -1).replace(',FROM', ' AS a, FROM')} AS b) AS x`,
    ),
    [[Buffer.from(text).toString('hex').toUpperCase(), all.toString('hex').toUpperCase()]],
  );
});

t.test('cells that the server joined stand as they came', async (t) => {
  const builder = new LineBuilder(['text', 'json', 'plain'], 1 << 20);
  builder.add([Buffer.from('a"'), Buffer.from('"1",null,"2020-01-01"'), null]);
  t.same(JSON.parse(builder.take().data.toString()), ['a"', '1', null, '2020-01-01', null]);
  t.throws(() => builder.add([null, null, null]), RangeError, 'a CONCAT that failed is no NULL of the table');
});
