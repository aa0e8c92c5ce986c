/** The outer code: parity of a group as the reference has it, and lost payloads rebuilt whole and range by range. */
import fc from 'fast-check';
import t from 'tap';
import { OUTER_CAPACITY, OuterParity } from '../../lib/erasure/kernel/index.ts';
import { OuterRecovery, solve } from '../../lib/erasure/outer.ts';
import { encode } from '../../lib/erasure/reed-solomon.ts';
import { holds, must, Random, randoms, same, seed } from './support.ts';

const CAPACITY = 1000;
const outer = new OuterParity({ capacity: CAPACITY });
const recovery = new OuterRecovery({ capacity: CAPACITY });
const groups = fc.tuple(fc.constantFrom(1, 2, 3, 7, 8, 9, 64, 127, 128), randoms);

function payloadsOf(n: number, random: Random): Uint8Array[] {
  const length = 1 + random.next(CAPACITY);
  return Array.from({ length: n }, (_, i) => random.bytes(i === n - 1 ? 1 + random.next(length) : length));
}

function parityOf(payloads: readonly Uint8Array[], order = payloads.map((_, i) => i)): Uint8Array[] {
  outer.reset();
  for (const i of order) outer.add(i, payloads[i]);
  return Array.from({ length: 8 }, (_, j) => outer.parity(j).slice());
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes);
  return out;
}

t.test('parity', (t) => {
  holds(t, 'is the reference of each byte position, in any order of payloads', groups, ([n, random]) => {
    const payloads = payloadsOf(n, random);
    const longest = Math.max(...payloads.map((p) => p.length));
    const parity = parityOf(payloads);
    must(
      parity.every((p) => p.length === longest),
      'as long as the longest',
    );
    for (const at of [0, longest >> 1, longest - 1]) {
      const column = Uint8Array.from(payloads, (p) => p[at] ?? 0);
      must(
        encode(column, 8).every((v, j) => v === parity[j][at]),
        `byte ${at}`,
      );
    }
    const shuffled = parityOf(payloads, random.sample(n, n));
    must(
      shuffled.every((p, j) => same(p, parity[j])),
      'in another order',
    );
    outer.add(0, payloads[0]);
    outer.add(0, payloads[0]);
    outer.add(n - 1, payloads[n - 1]);
    outer.parity(0);
    outer.add(n - 1, payloads[n - 1]);
    must(
      parity.every((p, j) => same(outer.parity(j), p)),
      'more added after the parity was read',
    );
  });
  const big = new OuterParity();
  const payload = new Random(seed).bytes(OUTER_CAPACITY);
  for (let i = 0; i < 3; i++) big.add(120 + i, payload);
  const column = new Uint8Array(128).fill(payload[OUTER_CAPACITY - 1], 120, 123);
  const last = Uint8Array.from({ length: 8 }, (_, j) => big.parity(j)[OUTER_CAPACITY - 1]);
  t.ok(same(last, encode(column, 8)), 'payloads of the full size');
  big.reset();
  t.equal(big.parity(7).length, 0, 'nothing after a reset');
  big.add(5, payload.subarray(0, 100));
  t.ok(same(big.parity(2), parityOf(Array(6).fill(new Uint8Array(100)).with(5, payload.subarray(0, 100)))[2]), 'clean');
  t.end();
});

t.test('recovery of whole payloads', (t) => {
  holds(t, 'as many as there are parities, also of a punctured code', groups, ([n, random]) => {
    const payloads = payloadsOf(n, random);
    const parity = parityOf(payloads);
    const longest = parity[0].length;
    const exist = Math.max(1, Math.ceil((n * 8) / 128));
    const parities = random.sample(1 + random.next(n === 128 ? 8 : exist), n === 128 ? 8 : exist);
    const lost = random.sample(Math.min(n, parities.length), n);
    recovery.reset();
    const steps = [
      ...payloads.map((p, i) => () => lost.includes(i) || recovery.add(i, p)),
      ...parities.map((j) => () => recovery.addParity(j, parity[j])),
    ];
    for (const s of random.sample(steps.length, steps.length)) steps[s]();
    const outputs = lost.map(() => new Uint8Array(longest));
    recovery.recover(lost, parities, 0, outputs);
    outputs.forEach((out, i) => {
      must(same(out, padded(payloads[lost[i]], longest)), `payload ${lost[i]} of ${n}`);
      recovery.add(lost[i], out);
    });
    for (const j of parities) {
      must(
        recovery.sum(j).every((v) => v === 0),
        `sum ${j} is zero once all is known`,
      );
    }
  });
  t.end();
});

t.test('recovery by ranges', (t) => {
  holds(
    t,
    'the unknowns may differ from range to range, and more payloads than parities be hurt',
    groups,
    ([n, random]) => {
      const payloads = payloadsOf(n, random);
      const parity = parityOf(payloads);
      const longest = parity[0].length;
      const cuts = [0, ...random.sample(3, longest + 1), longest].sort((a, b) => a - b);
      recovery.reset();
      const ranges = cuts.slice(1).map((end, r) => {
        const start = cuts[r];
        const parities = random.sample(1 + random.next(8), 8);
        const lost = random.sample(random.next(Math.min(n, parities.length) + 1), n);
        payloads.forEach((p, i) => {
          if (!lost.includes(i) && start < p.length) recovery.add(i, p.subarray(start, end), start);
        });
        for (const j of parities) recovery.addParity(j, parity[j].subarray(start, end), start);
        return { start, end, parities, lost };
      });
      for (const { start, end, parities, lost } of ranges) {
        const outputs = lost.map(() => new Uint8Array(end - start));
        if (end > start) recovery.recover(lost, parities, start, outputs);
        outputs.forEach((out, i) => {
          must(
            same(out, padded(payloads[lost[i]], longest).subarray(start, end)),
            `payload ${lost[i]}, ${start}..${end}`,
          );
        });
      }
    },
  );
  t.equal(solve([0, 1, 2], [7, 5, 3, 1]).length, 3);
  t.same(solve([], []), [], 'nothing unknown');
  t.end();
});

t.test('arguments out of range', (t) => {
  const bytes = new Uint8Array(10);
  t.throws(() => new OuterParity({ capacity: 0 }), RangeError);
  t.throws(() => new OuterRecovery({ capacity: OUTER_CAPACITY + 1 }), RangeError);
  t.throws(() => outer.add(128, bytes), RangeError);
  t.throws(() => outer.add(0, new Uint8Array(CAPACITY + 1)), RangeError);
  t.throws(() => outer.parity(8), RangeError);
  t.throws(() => recovery.add(-1, bytes), RangeError);
  t.throws(() => recovery.add(0, bytes, CAPACITY - 9), RangeError);
  t.throws(() => recovery.add(0, bytes, -1), RangeError);
  t.throws(() => recovery.addParity(8, bytes), RangeError);
  t.throws(() => recovery.sum(-1), RangeError);
  t.throws(() => solve([0, 1], [3]), RangeError, 'two unknowns, one parity');
  t.throws(() => solve([128], [0]), RangeError);
  t.throws(() => solve([0, 1], [3, 3]), RangeError, 'a repeated parity');
  recovery.reset();
  recovery.addParity(0, bytes);
  t.throws(() => recovery.recover([0], [0], 5, [bytes]), RangeError, 'beyond what was added');
  t.throws(() => recovery.recover([0], [0], 0, []), RangeError, 'no output');
  t.end();
});
