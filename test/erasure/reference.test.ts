/** The plain code: its definition, vectors from an independent implementation, its bounds. */
import fc from 'fast-check';
import t from 'tap';
import { div, inverse, mul, pow } from '../../lib/erasure/gf256.ts';
import { erasureMatrix, invert, lagrange, multiply, puncturedMatrix } from '../../lib/erasure/linear.ts';
import { decode, decodeErasures, encode, generator, syndromes } from '../../lib/erasure/reed-solomon.ts';
import { holds, must, type Random, randoms, same } from './support.ts';

const shapes = fc
  .tuple(fc.constantFrom(1, 8, 16, 112), randoms, fc.nat())
  .map(([m, random, n]) => ({ m, k: 1 + (n % (255 - m)), random }));

function codewordOf(data: Uint8Array, m: number): Uint8Array {
  return Uint8Array.from([...encode(data, m), ...data]);
}

/** XORs a non-zero value into each of these symbols. */
function damage(codeword: Uint8Array, positions: readonly number[], random: Random): void {
  for (const x of positions) codeword[x] ^= 1 + random.next(255);
}

t.test('the field', (t) => {
  const byte = fc.integer({ min: 0, max: 255 });
  holds(t, 'is a field', fc.tuple(byte, byte, byte), ([a, b, c]) => {
    must(mul(a, b ^ c) === (mul(a, b) ^ mul(a, c)), 'distributive');
    must(mul(a, mul(b, c)) === mul(mul(a, b), c) && mul(a, b) === mul(b, a), 'associative, commutative');
    if (b !== 0) must(mul(div(a, b), b) === a && mul(b, inverse(b)) === 1, 'division');
    must(pow(a, 3) === mul(a, mul(a, a)), 'power');
  });
  t.equal(mul(0x80, 2), 0x1d, 'of the polynomial 0x11D');
  t.equal(pow(0, 0), 1, '0^0 is 1');
  t.throws(() => inverse(0), RangeError);
  t.end();
});

t.test('vectors computed by an independent program', (t) => {
  const pattern = (k: number): Uint8Array => Uint8Array.from({ length: k }, (_, i) => i * i * 7 + i * 3 + 1);
  const hex = (m: number, k: number): string => Buffer.from(encode(pattern(k), m)).toString('hex');
  t.equal(hex(16, 239), 'a6b4cc8bf8e468fab51e8d3be2df9739');
  t.equal(hex(8, 128), '60f0f75931a7fe56');
  t.equal(
    hex(112, 143),
    'e5d155daca582871d04ac0e43c8585acab40c7cb847166c339b68df2012a631dac87e6555125f632c2dab66d771699fbb1eab63209f50768' +
      '840242a9d5cb68939960c4b7c369a01fb9bd942384cefac468f0366bf6679e8ba8ecebb7be4964699e12e17d47321b65c210ae1b7826a32f',
  );
  t.end();
});

t.test('the code', (t) => {
  holds(t, 'every check of its definition holds', shapes, ({ m, k, random }) => {
    const codeword = codewordOf(random.bytes(k), m);
    for (let l = 0; l < m; l++) {
      let sum = 0;
      for (let x = 0; x < codeword.length; x++) sum ^= mul(codeword[x], pow(x, l));
      must(sum === 0, `check ${l}`);
    }
    must(
      syndromes(codeword, m).every((s) => s === 0),
      'shifted checks',
    );
  });
  holds(t, 'any m erasures are recovered', shapes, ({ m, k, random }) => {
    const codeword = codewordOf(random.bytes(k), m);
    const whole = codeword.slice();
    const lost = random.sample(Math.min(m, m + k), m + k);
    for (const x of lost) codeword[x] = random.next(256);
    must(decodeErasures(codeword, m, lost) && same(codeword, whole), `lost ${lost}`);
  });
  holds(t, 'e errors and f erasures are, while 2e + f <= m', shapes, ({ m, k, random }) => {
    const codeword = codewordOf(random.bytes(k), m);
    const whole = codeword.slice();
    const f = random.next(m + 1);
    const positions = random.sample(Math.min(m + k, f + Math.floor((m - f) / 2)), m + k);
    if (!positions.includes(0)) positions[random.next(positions.length)] = 0;
    damage(codeword, positions, random);
    const wrong = positions.filter((_, i) => codeword[positions[i]] !== whole[positions[i]]).sort((a, b) => a - b);
    const found = decode(codeword, m, positions.slice(0, f));
    must(found && same(codeword, whole), `f = ${f}, positions ${positions}`);
    must(`${found.corrected}` === `${wrong}`, 'the changed positions are reported');
  });
  let refused = 0;
  holds(t, 'beyond the bound: null and untouched, or another codeword', shapes, ({ m, k, random }) => {
    const codeword = codewordOf(random.bytes(k), m);
    const errors = Math.min(m + k, Math.floor(m / 2) + 1 + random.next(8));
    damage(codeword, random.sample(errors, m + k), random);
    const before = codeword.slice();
    const found = decode(codeword, m);
    if (found) {
      must(found.corrected.length <= m / 2, 'at most m / 2 errors are ever corrected');
      must(
        syndromes(codeword, m).every((s) => s === 0),
        'a codeword',
      );
    } else {
      refused++;
      must(same(codeword, before), 'left alone');
    }
  });
  t.ok(refused > 0, `${refused} of 30 were refused`);
  t.same(decode(codewordOf(Uint8Array.of(1, 2, 3), 8), 8), { corrected: [] }, 'a codeword needs nothing');
  t.equal(decode(new Uint8Array(20).fill(1), 8, [0, 1, 2, 3, 4, 5, 6, 7, 8]), null, 'more than m erasures');
  t.equal(decodeErasures(new Uint8Array(20).fill(1), 8, [0, 1, 2, 3, 4, 5, 6, 7, 8]), false);
  t.equal(decodeErasures(Uint8Array.from([...codewordOf(Uint8Array.of(1, 2, 3), 8)].reverse()), 8, [0]), false);
  t.end();
});

t.test('matrices', (t) => {
  holds(t, 'a matrix times its inverse', fc.tuple(randoms, fc.integer({ min: 1, max: 12 })), ([random, n]) => {
    const matrix = Array.from({ length: n }, () => random.bytes(n));
    const inverted = invert(matrix);
    if (!inverted) return;
    multiply(matrix, inverted).forEach((row, r) => {
      for (let c = 0; c < n; c++) must(row[c] === (r === c ? 1 : 0), 'is one');
    });
  });
  t.equal(invert([Uint8Array.of(1, 2), Uint8Array.of(1, 2)]), null, 'a singular matrix has none');
  t.same(
    generator(16)[5],
    Uint8Array.from({ length: 16 }, (_, j) => lagrange([...Array(16).keys()], j, 21)),
  );
  holds(t, 'the erasure matrix recovers', shapes, ({ m, k, random }) => {
    const codeword = codewordOf(random.bytes(k), m);
    const lost = random.sample(random.next(m + 1), m + k);
    const broken = codeword.slice();
    for (const x of lost) broken[x] = random.next(256);
    const residual = encode(broken.slice(m), m).map((p, j) => p ^ broken[j]);
    erasureMatrix(lost, m).forEach((row, i) => {
      let value = broken[lost[i]];
      for (let j = 0; j < m; j++) value ^= mul(row[j], residual[j]);
      must(value === codeword[lost[i]], `position ${lost[i]}`);
    });
  });
  t.end();
});

t.test('arguments out of range', (t) => {
  t.throws(() => encode(new Uint8Array(240), 16), RangeError);
  t.throws(() => encode(new Uint8Array(1), 0), RangeError);
  t.throws(() => generator(1.5), RangeError);
  t.throws(() => syndromes(new Uint8Array(256), 16), RangeError);
  t.throws(() => decode(new Uint8Array(15), 16), RangeError);
  t.throws(() => decode(new Uint8Array(32), 16, [3, 3]), RangeError);
  t.throws(() => decode(new Uint8Array(32), 16, [32]), RangeError);
  t.throws(() => decodeErasures(new Uint8Array(32), 16, [-1]), RangeError);
  t.throws(() => invert([Uint8Array.of(1, 2)]), RangeError);
  t.throws(() => multiply([Uint8Array.of(1, 2)], [Uint8Array.of(1)]), RangeError);
  t.throws(() => erasureMatrix(new Uint8Array(17), 16), RangeError);
  t.throws(() => lagrange([1, 1], 0, 5), RangeError, 'equal nodes');
  t.throws(() => puncturedMatrix([8, 9], [0], 8), RangeError, 'more unknowns than parities');
  t.throws(() => puncturedMatrix([8, 8], [0, 1], 8), RangeError, 'a repeated unknown');
  t.throws(() => puncturedMatrix([8], [8], 8), RangeError);
  t.throws(() => puncturedMatrix([7], [0], 8), RangeError);
  t.end();
});
