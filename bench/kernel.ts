/**
 * The erasure kernel beside the plain reference, in MB/s of data (10^6 bytes): medians of short runs on one thread.
 * Run: node --import=tsx bench/kernel.ts
 */

import { mul } from '../lib/erasure/gf256.ts';
import { ErasureKernel, OUTER_CAPACITY, OuterParity, OuterSums } from '../lib/erasure/kernel/index.ts';
import { decodePage } from '../lib/erasure/page.ts';
import { decode, encode } from '../lib/erasure/reed-solomon.ts';
import { decodeColumns, recoverRows } from '../lib/erasure/rows.ts';

const K = 239;
const LENGTH = 4096;
let seed = 1;

function random(n: number): Uint8Array {
  return Uint8Array.from({ length: n }, () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 24);
}

/** Median MB/s of `bytes` a call; `prepare` is not timed. */
function speed(bytes: number, run: () => unknown, prepare: () => unknown = () => {}, rounds = 41): string {
  for (let i = 0; i < Math.min(10, rounds); i++) {
    prepare();
    run();
  }
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    prepare();
    const start = process.hrtime.bigint();
    run();
    times.push(Number(process.hrtime.bigint() - start));
  }
  times.sort((a, b) => a - b);
  const rate = (bytes * 1e3) / times[rounds >> 1];
  return rate < 10 ? rate.toFixed(2) : rate.toFixed(0);
}

function line(name: string, kernel: string, reference = ''): void {
  process.stdout.write(`${name.padEnd(52)}${kernel.padStart(9)}${reference.padStart(12)}\n`);
}

const kernel = new ErasureKernel({ slots: 1 });
const data = random(K * LENGTH);
const parity = new Uint8Array(16 * LENGTH);
const slot = kernel.slot(0).subarray(0, 255 * LENGTH);
slot.set(data);
kernel.encodeRows(data, K, LENGTH, parity);
const block = new Uint8Array(255 * LENGTH);
block.set(data);
block.set(parity, data.length);
const clean = block.slice();
const column = data.slice(0, K);
const codeword = new Uint8Array(255);
codeword.set(encode(column, 16));
codeword.set(column, 16);

line(`node ${process.version}`, 'kernel', 'reference');
const plainEncode = speed(K * 100, () => {
  for (let i = 0; i < 100; i++) encode(column, 16);
});
line(
  'rows: encode 239 x 4096, copied in and out',
  speed(data.length, () => kernel.encodeRows(data, K, LENGTH, parity)),
  plainEncode,
);
const rows = slot.subarray(0, data.length);
line(
  'rows: encode in a slot',
  speed(data.length, () => kernel.encodeRows(rows, K, LENGTH, slot.subarray(data.length))),
);
line(
  'rows: residual',
  speed(data.length, () => kernel.rowResidual(data, K, LENGTH, parity, new Uint8Array(parity.length))),
);
line(
  'columns: all clean',
  speed(block.length, () => decodeColumns(block, K, LENGTH)),
);
for (const count of [1, 4, 16]) {
  const bad = Array.from({ length: count }, (_, i) => i * 15 + 3);
  line(
    `rows: recover ${count} erased`,
    speed(block.length, () => recoverRows(block, K, LENGTH, bad)),
  );
}
for (const errors of [1, 2, 4, 8]) {
  const damage = (): void => {
    block.set(clean);
    for (let c = 0; c < LENGTH; c++)
      for (let e = 0; e < errors; e++) block[((c * 7 + e * 31) % 255) * LENGTH + c] ^= 1 + e;
  };
  const damaged = codeword.slice();
  const plain = speed(
    255,
    () => decode(damaged, 16),
    () => {
      damaged.set(codeword);
      for (let e = 0; e < errors; e++) damaged[(7 + e * 31) % 255] ^= 1 + e;
    },
  );
  line(
    `columns: ${errors} errors in each of 4096`,
    speed(block.length, () => decodeColumns(block, K, LENGTH), damage, 11),
    plain,
  );
}
{
  const perColumn = Array.from({ length: 12 }, (_, i) => 20 * i);
  const damage = (): void => {
    block.set(clean);
    for (const r of perColumn) block.fill(r, r * LENGTH, (r + 1) * LENGTH);
  };
  const options = { erasuresOf: () => perColumn };
  line(
    'columns: 12 erasures of each column',
    speed(block.length, () => decodeColumns(block, K, LENGTH, options), damage, 11),
  );
}

const content = random(2288);
const pageParity = new Uint8Array(1792);
kernel.encodePage(content, pageParity);
const symbols = content.slice(0, 143);
line(
  'page: encode',
  speed(2288, () => kernel.encodePage(content, pageParity), undefined, 999),
  speed(143, () => encode(symbols, 112)),
);
const page = Uint8Array.from([...content, ...pageParity]);
const damaged = page.slice();
for (const errors of [1, 56]) {
  const damage = (): void => {
    damaged.set(page);
    for (let i = 0; i < 16 * errors; i++) damaged[i * 3] ^= 1 + (i % 255);
  };
  line(
    `page: ${errors} errors in each codeword`,
    speed(4080, () => decodePage(damaged), damage, 99),
  );
}

const vector = random(1 << 20);
const target = random(1 << 20);
const plainMul = (): void => {
  for (let i = 0; i < target.length; i++) target[i] ^= mul(7, vector[i]);
};
line(
  'mulAdd, 1 MiB',
  speed(1 << 20, () => kernel.mulAdd(target, vector, 7)),
  speed(1 << 20, plainMul, undefined, 5),
);
const inputs = Array.from({ length: 255 }, (_, r) => clean.subarray(r * LENGTH, (r + 1) * LENGTH));
const outputs = Array.from({ length: 16 }, () => new Uint8Array(LENGTH));
const matrix = Array.from({ length: 16 }, () => random(255));
line(
  'combine, 16 of 255 rows',
  speed(block.length, () => kernel.combine(outputs, inputs, matrix)),
);
const payload = random(OUTER_CAPACITY);
const outer = new OuterParity();
let index = 0;
line(
  'outer: add (writer)',
  speed(4 * OUTER_CAPACITY, () => {
    for (let i = 0; i < 4; i++) outer.add(index++ % 128, payload);
  }),
);
const sums = new OuterSums();
line(
  'outer: add (healer)',
  speed(OUTER_CAPACITY, () => sums.add(index++ % 128, payload)),
);
