/** The kernel against the reference: encoding, residuals, combinations; rows and pages healed through it. */
import fc from 'fast-check';
import t from 'tap';
import { mul } from '../../lib/erasure/gf256.ts';
import { ErasureKernel, sharedKernel } from '../../lib/erasure/kernel/index.ts';
import { decodePage } from '../../lib/erasure/page.ts';
import { decode, encode } from '../../lib/erasure/reed-solomon.ts';
import { decodeColumns, positionOf, recoverRows, rowOf } from '../../lib/erasure/rows.ts';
import { columnOf, holds, must, Random, randoms, referenceBlock, referencePage, same, seed } from './support.ts';

const SIZES = [1, 15, 16, 17, 32, 238, 239];
const random = new Random(seed);
const kernel = new ErasureKernel({ slots: 1 });

t.test('rows: parity and residual as the reference has them', (t) => {
  for (const [k, rowLength] of [...SIZES.map((k) => [k, 512]), [239, 1536], [239, 4096], [3, 4096]]) {
    const data = random.bytes(k * rowLength);
    const parity = new Uint8Array(16 * rowLength);
    kernel.encodeRows(data, k, rowLength, parity);
    const few = rowLength === 512 ? [...Array(512).keys()] : [0, 1, 127, 128, 511, 512, rowLength - 1];
    const right = few.every((c) => same(columnOf(parity, rowLength, c), encode(columnOf(data, rowLength, c), 16)));
    t.ok(right, `k = ${k}, rows of ${rowLength}`);

    const slot = kernel.slot(0);
    slot.set(data);
    const inSlot = slot.subarray(data.length, data.length + parity.length);
    kernel.encodeRows(slot.subarray(0, data.length), k, rowLength, inSlot);
    t.ok(same(inSlot, parity), 'the same in a slot');

    const residual = new Uint8Array(16 * rowLength);
    kernel.rowResidual(data, k, rowLength, parity, residual);
    t.ok(
      residual.every((v) => v === 0),
      'a clean block leaves no residual',
    );
    const flip = (rowLength >> 1) + 1;
    data[flip] ^= 9;
    kernel.rowResidual(data, k, rowLength, inSlot, residual);
    const dirty = [...Array(rowLength).keys()].filter((c) => columnOf(residual, rowLength, c).some((v) => v !== 0));
    t.same(dirty, [flip], 'and a wrong byte one in its column');
  }
  t.end();
});

t.test('rows: recovery', (t) => {
  for (const k of SIZES) {
    const block = referenceBlock(random.bytes(k * 512), k, 512);
    for (const count of [0, 1, 5, Math.min(16, k + 16)]) {
      const bad = random.sample(count, k + 16);
      if (count > 0 && !bad.includes(k)) bad[0] = k;
      const broken = block.slice();
      for (const r of bad) broken.set(random.bytes(512), r * 512);
      recoverRows(broken, k, 512, bad);
      if (!same(broken, block)) t.fail(`k = ${k}, bad rows ${bad}`);
    }
    t.pass(`k = ${k}`);
  }
  const k = 200;
  const slot = kernel.slot(0).subarray(0, 216 * 4096);
  slot.set(random.bytes(k * 4096));
  kernel.encodeRows(slot.subarray(0, k * 4096), k, 4096, slot.subarray(k * 4096));
  const whole = slot.slice();
  slot.fill(0, 0, 16 * 4096);
  recoverRows(slot, k, 4096, [...Array(16).keys()], kernel);
  t.ok(same(slot, whole), 'in a slot');
  t.equal(rowOf(positionOf(3, 20), 20), 3);
  t.equal(positionOf(20, 20), 0, 'the first parity row is position 0');
  t.end();
});

t.test('columns: errors and erasures', (t) => {
  const cases = fc.tuple(fc.constantFrom(...SIZES, 77), randoms);
  holds(
    t,
    'every column within the bound is corrected, whatever its share of errors and erasures',
    cases,
    ([k, random]) => {
      const block = referenceBlock(random.bytes(k * 512), k, 512);
      const broken = block.slice();
      const erased = random.sample(random.next(Math.min(17, k + 16)), k + 16);
      for (const r of erased) broken.set(random.bytes(512), r * 512);
      const most = Math.floor((16 - erased.length) / 2);
      for (let c = 0; c < 512; c++) {
        for (const r of random.sample(random.next(most + 1), k + 16)) broken[r * 512 + c] ^= 1 + random.next(255);
      }
      const changed = broken.reduce((n, v, i) => n + (v === block[i] ? 0 : 1), 0);
      const report = decodeColumns(broken, k, 512, { erasedRows: erased });
      must(same(broken, block), `k = ${k}, erased ${erased}`);
      must(report.failed.length === 0 && report.corrected === changed, 'the report');
    },
    20,
  );
  holds(
    t,
    'beyond the bound: as the reference, column by column',
    cases,
    ([k, random]) => {
      const block = referenceBlock(random.bytes(k * 512), k, 512);
      for (let c = 0; c < 512; c++) {
        const errors = Math.min(k + 16, 6 + random.next(6));
        for (const r of random.sample(errors, k + 16)) block[r * 512 + c] ^= 1 + random.next(255);
      }
      const before = block.slice();
      const report = decodeColumns(block, k, 512);
      for (let c = 0; c < 512; c++) {
        const codeword = Uint8Array.from({ length: k + 16 }, (_, x) => before[rowOf(x, k) * 512 + c]);
        const found = decode(codeword, 16);
        must((found === null) === report.failed.includes(c), `column ${c}`);
        must(
          codeword.every((v, x) => v === block[rowOf(x, k) * 512 + c]),
          `column ${c}`,
        );
      }
    },
    3,
  );
  const k = 40;
  const block = referenceBlock(random.bytes(k * 512), k, 512);
  const broken = block.slice();
  const lost = (c: number): number[] => Array.from({ length: 14 }, (_, i) => (c + 4 * i) % 56);
  for (let c = 0; c < 512; c++) for (const r of lost(c)) broken[r * 512 + c] ^= 0xa5;
  const kept = broken.slice();
  const few = decodeColumns(broken, k, 512, { columns: [5, 7, 7], erasuresOf: lost, erasedRows: [0, 1] });
  t.same(few, { dirty: 2, corrected: 28, failed: [] }, 'chosen columns with erasures of their own');
  t.ok(same(columnOf(broken, 512, 7), columnOf(block, 512, 7)) && broken[0] === kept[0], 'and no others');
  t.equal(decodeColumns(broken, k, 512, { erasedRows: [...Array(17).keys()] }).failed.length, 510, '17 erasures fail');
  t.same(decodeColumns(broken, k, 512, { erasuresOf: lost }).failed, [], 'all columns with erasures of their own');
  t.ok(same(broken, block));

  broken[3 * 512 + 9] ^= 1;
  const fixed = broken.slice();
  t.same(decodeColumns(broken, k, 512, { goodRows: [3] }), { dirty: 1, corrected: 0, failed: [9] }, 'a good row stays');
  t.ok(same(broken, fixed));
  t.same(decodeColumns(broken, k, 512, { goodRows: [2, 4] }), { dirty: 1, corrected: 1, failed: [] });
  t.ok(same(broken, block));
  t.same(decodeColumns(broken, k, 512), { dirty: 0, corrected: 0, failed: [] }, 'a clean block');
  t.end();
});

t.test('pages', (t) => {
  const content = random.bytes(2288);
  const page = referencePage(content);
  const parity = new Uint8Array(1792);
  kernel.encodePage(content, parity);
  t.ok(same(parity, page.subarray(2288)), 'the parity is that of the reference');
  t.ok(decodePage(page), 'a clean page');

  /** XORs non-zero values into `count` symbols of codeword j. */
  const damage = (bytes: Uint8Array, j: number, count: number): void => {
    for (const s of random.sample(count, 255)) bytes[s * 16 + j] ^= 1 + random.next(255);
  };
  for (const count of [1, 2, 17, 56]) {
    const broken = page.slice();
    for (let j = 0; j < 16; j++) damage(broken, j, count);
    t.ok(decodePage(broken) && same(broken, page), `${count} errors in every codeword`);
  }
  const broken = page.slice();
  for (let j = 0; j < 16; j++) damage(broken, j, 57);
  const before = broken.slice();
  t.notOk(decodePage(broken) && same(broken, page), '57 are too many');
  t.ok(same(broken, before), 'and the page is left alone');

  for (const start of [0, 5, 2200, 4080 - 112 * 16]) {
    const torn = page.slice();
    torn.fill(0xee, start, start + 112 * 16);
    t.ok(decodePage(torn, [[start, start + 112 * 16]]) && same(torn, page), `1792 bytes lost from ${start} on`);
  }
  const mixed = page.slice();
  mixed.fill(0, 100, 100 + 50 * 16);
  for (let j = 0; j < 16; j++)
    for (const s of random.sample(31, 150)) mixed[(s + 100) * 16 + j] ^= 1 + random.next(255);
  const ranges: [number, number][] = [
    [100, 500],
    [400, 900],
  ];
  t.ok(decodePage(mixed, ranges) && same(mixed, page), '50 erasures and 31 errors, overlapping ranges');
  t.notOk(decodePage(page.slice().fill(0, 0, 2000), [[0, 2000]]), '125 erasures are too many');
  t.end();
});

t.test('combinations', (t) => {
  const shapes = fc.tuple(fc.nat(9), fc.nat(20), fc.constantFrom(0, 1, 15, 31, 33, 512, 5000, 70000), randoms);
  holds(t, 'combine', shapes, ([outs, ins, length, random]) => {
    const inputs = Array.from({ length: ins }, () => random.bytes(length));
    const outputs = Array.from({ length: outs }, () => random.bytes(length));
    const matrix = Array.from({ length: outs }, () => random.bytes(ins));
    kernel.combine(outputs, inputs, matrix);
    for (const at of [0, length >> 1, length - 1]) {
      if (at < 0 || at >= length) continue;
      outputs.forEach((v, o) => {
        must(v[at] === inputs.reduce((sum, input, i) => sum ^ mul(input[at], matrix[o][i]), 0), `byte ${at} of ${o}`);
      });
    }
  });
  const inputs = Array.from({ length: 255 }, () => random.bytes(4096));
  const outputs = Array.from({ length: 16 }, () => new Uint8Array(4096));
  const matrix = Array.from({ length: 16 }, () => random.bytes(255));
  sharedKernel().combine(outputs, inputs, matrix);
  const expected = inputs.reduce((sum, input, i) => sum ^ mul(input[4095], matrix[15][i]), 0);
  t.equal(outputs[15][4095], expected, '16 outputs of 255 rows');

  for (const length of [0, 1, 17, 4096, 1 << 20]) {
    const dst = random.bytes(length);
    const src = random.bytes(length);
    const c = random.next(256);
    const sum = dst.map((v, i) => v ^ mul(c, src[i]));
    kernel.mulAdd(dst, src, c);
    t.ok(same(dst, sum), `mulAdd of ${length} bytes`);
  }
  t.end();
});

t.test('arguments out of range', (t) => {
  const bytes = (n: number): Uint8Array => new Uint8Array(n);
  t.throws(() => new ErasureKernel({ slots: -1 }), RangeError);
  t.throws(() => kernel.slot(1), RangeError);
  for (const [k, rowLength] of [
    [0, 512],
    [240, 512],
    [1, 0],
    [1, 513],
    [1, 4608],
    [1.5, 512],
  ]) {
    t.throws(() => kernel.encodeRows(bytes(512), k, rowLength, bytes(8192)), RangeError, `${k} rows of ${rowLength}`);
    t.throws(() => decodeColumns(bytes(512), k, rowLength), RangeError);
    t.throws(() => recoverRows(bytes(512), k, rowLength, [0]), RangeError);
  }
  t.throws(() => kernel.encodeRows(bytes(511), 1, 512, bytes(8192)), RangeError);
  t.throws(() => kernel.encodeRows(bytes(512), 1, 512, bytes(8191)), RangeError);
  t.throws(() => kernel.rowResidual(bytes(512), 1, 512, bytes(8192), bytes(1)), RangeError);
  t.throws(() => kernel.rowResidual(bytes(512), 1, 512, bytes(1), bytes(8192)), RangeError);
  t.throws(() => kernel.encodePage(bytes(2287), bytes(1792)), RangeError);
  t.throws(() => kernel.encodePage(bytes(2288), bytes(1793)), RangeError);
  t.throws(() => kernel.mulAdd(bytes(1), bytes(2), 1), RangeError);
  t.throws(() => kernel.mulAdd(bytes(1), bytes(1), 256), RangeError);
  t.throws(() => kernel.combine([bytes(1)], [bytes(1)], []), RangeError);
  t.throws(() => kernel.combine([bytes(1)], [bytes(1)], [bytes(2)]), RangeError);
  t.throws(() => kernel.combine([bytes(1)], Array(256).fill(bytes(1)), [bytes(256)]), RangeError);
  const block = bytes(17 * 512);
  t.throws(() => recoverRows(block, 1, 512, [...Array(17).keys()]), RangeError, '17 rows');
  t.throws(() => recoverRows(block, 1, 512, [17]), RangeError);
  t.throws(() => recoverRows(block, 1, 512, [1, 1]), RangeError);
  t.throws(() => recoverRows(bytes(512), 1, 512, [1]), RangeError);
  t.throws(() => decodeColumns(block, 1, 512, { columns: [512] }), RangeError);
  t.throws(() => decodeColumns(block, 1, 512, { goodRows: [-1] }), RangeError);
  t.throws(() => decodeColumns(block.slice().fill(1, 0, 1), 1, 512, { erasuresOf: () => [99] }), RangeError);
  t.throws(() => decodePage(bytes(4096)), RangeError);
  t.throws(() => decodePage(bytes(4080), [[4000, 4081]]), RangeError);
  t.end();
});
