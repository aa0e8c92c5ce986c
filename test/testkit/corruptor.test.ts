/** The corruptor: reproducible, the same on a Buffer and on a file, and it does what it says. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError } from '../../lib/errors.ts';
import { corrupt, corruptFile, DAMAGE_HELP, damageText, parseDamage, Random } from '../../lib/testkit/index.ts';

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const random = new Random(seed);
const original = random.bytes(1_500_000);
const foreign = random.bytes(10_000);

const ALL = [
  'flip:1e-3',
  'flip:1',
  'flip:0',
  'sectors:4096:0.1',
  'sectors:512:100%',
  'burst:100KiB:3',
  'burst:1MiB',
  'zero:64KiB@0',
  'zero:5%',
  'overwrite:0.7MiB@head',
  'overwrite:7@tail',
  'splice:30%',
  'splice:100KiB@1000',
  'cut-head:5%',
  'cut-tail:1034567',
  'cut-tail:100%',
  'insert:1:3',
  'insert:1.2MiB',
  'insert:99@tail',
  'delete:7:3',
  'delete:50%@head',
  'swap:4096:2',
  'swap:45%',
  'duplicate:1MiB:2',
  'duplicate:10',
  'insert:5,delete:5,flip:1e-4,cut-tail:1%',
];

t.before(() => t.comment(`SEED=${seed}`));

/** Differing bytes of two buffers of one length. */
function differences(a: Buffer, b: Buffer): number[] {
  const found: number[] = [];
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) found.push(i);
  return found;
}

t.test('random numbers: known values, and even ones', async (t) => {
  const r = new Random(42);
  t.same(
    Array.from({ length: 4 }, () => r.u32()),
    [1951423913, 2560351384, 1644053043, 3541558748],
    'sfc32 seeded by xmur3: the same for ever',
  );
  t.not(new Random('a').u32(), new Random('b').u32());
  t.equal(new Random(7).branch('x').u32(), new Random('7/x').u32());
  const counts = Array(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[r.below(10)]++;
  t.ok(
    counts.every((n) => n > 9500 && n < 10_500),
    'below',
  );
  const bits = r.bytes(100_000).reduce((sum, byte) => sum + byte, 0) / 100_000;
  t.ok(bits > 126 && bits < 129, 'bytes');
  const sample = r.sample(50, 60);
  t.same(
    [...new Set(sample)].sort((a, b) => a - b),
    sample,
    'a sample is distinct and ascending',
  );
  t.same(r.sample(9, 3), [0, 1, 2]);
  const inside = Array.from({ length: 1000 }, () => r.between(-2, 2));
  t.same(
    [...new Set(inside)].sort((a, b) => a - b),
    [-2, -1, 0, 1, 2],
  );
});

t.test('the same seed does the same, to a Buffer and to a file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-corruptor-'));
  const path = join(folder, 'file');
  t.teardown(() => rm(folder, { recursive: true }));
  for (const damage of ALL) {
    const before = Buffer.from(original);
    const first = corrupt(original, damage, { seed, foreign });
    t.ok(original.equals(before), `${damage}: the original is left alone`);
    const again = corrupt(original, damage, { seed, foreign });
    t.ok(first.bytes.equals(again.bytes), 'again');
    t.same(first.wounds, again.wounds);
    await writeFile(path, original);
    const file = await corruptFile(path, damage, { seed, foreign });
    t.ok(first.bytes.equals(await readFile(path)), 'in place');
    t.same(first.wounds, file.wounds);
    t.match(first.summary(), new RegExp(`seed ${seed}`));
    const moved = /^(flip:0|flip:1|cut|sectors:512|zero:64|splice:100)|@(head|tail)/.test(damage);
    if (!moved)
      t.notOk(first.bytes.equals(corrupt(original, damage, { seed: seed + 1, foreign }).bytes), 'another seed');
    for (const wound of first.wounds)
      t.ok(wound.description.length > 10 && wound.ranges.length <= 1000, wound.description);
  }
});

t.test('each kind does what it says', async (t) => {
  const size = original.length;
  const done = (damage: string) => corrupt(original, damage, { seed, foreign });
  const changed = (damage: string) => differences(original, done(damage).bytes);

  const flips = done('flip:1e-3');
  t.equal(differences(original, flips.bytes).length, flips.wounds[0]!.bytes, 'flip: each is another byte');
  t.ok(
    Math.abs(flips.wounds[0]!.bytes - size / 1000) < 6 * Math.sqrt(size / 1000),
    'flip: about as many as the rate says',
  );
  t.equal(changed('flip:1').length, size);
  t.equal(changed('flip:0').length, 0);

  const sectors = done('sectors:4096:0.1').wounds[0]!;
  t.ok(
    sectors.ranges.every(([from, to]) => from % 4096 === 0 && (to - from === 4096 || to === size)),
    'sectors are aligned',
  );
  t.ok(Math.abs(sectors.ranges.length - 37) < 33, `${sectors.ranges.length} of 367 sectors`);
  t.ok(done('sectors:512:100%').bytes.every((byte) => byte === 0));

  t.same(done('zero:64KiB@0').bytes.subarray(0, 65_536), Buffer.alloc(65_536));
  t.ok(done('zero:64KiB@0').bytes.subarray(65_536).equals(original.subarray(65_536)));
  t.ok(changed('overwrite:0.7MiB@head').every((at) => at < 0.7 * 2 ** 20));
  t.ok(
    changed('overwrite:7@tail').every((at) => at >= size - 7),
    'a place beyond the end is moved before it',
  );
  t.ok(done('splice:100@5').bytes.subarray(5, 105).equals(foreign.subarray(5, 105)), 'splice');
  t.equal(changed('burst:100:1').at(-1)! - changed('burst:100:1')[0]! < 100, true);

  t.ok(done('cut-head:5%').bytes.equals(original.subarray(Math.round(size / 20))));
  t.ok(done('cut-tail:1034567').bytes.equals(original.subarray(0, size - 1_034_567)));
  t.equal(done('cut-tail:100%').bytes.length, 0);
  t.equal(done('insert:1:3').bytes.length, size + 3);
  t.ok(done('insert:99@tail').bytes.subarray(0, size).equals(original));
  t.ok(done('insert:99@head').bytes.subarray(99).equals(original));
  t.equal(done('delete:7:3').bytes.length, size - 21);
  t.ok(done('delete:50%@head').bytes.equals(original.subarray(size / 2)));
  t.equal(done('duplicate:1MiB:2').bytes.length, size + 2 ** 21);

  const twice = done('duplicate:5000');
  const at = twice.wounds[0]!.ranges[0]![0];
  t.ok(original.includes(twice.bytes.subarray(at, at + 5000)), 'duplicate: the bytes are from the file');
  const without = Buffer.concat([twice.bytes.subarray(0, at), twice.bytes.subarray(at + 5000)]);
  t.ok(without.equals(original), 'and nothing else changed');
  const [a, b] = done('swap:4096').wounds[0]!.ranges as [[number, number], [number, number]];
  const swapped = done('swap:4096').bytes;
  t.ok(swapped.subarray(a[0], a[1]).equals(original.subarray(b[0], b[1])), 'swap');
  t.ok(swapped.subarray(b[0], b[1]).equals(original.subarray(a[0], a[1])));
  t.ok(a[1] <= b[0], 'ranges do not overlap');

  const inTurn = done('cut-tail:50%,cut-tail:50%');
  t.equal(inTurn.bytes.length, size / 4, 'one after the other');
  t.equal(inTurn.wounds.length, 2);
  for (const damage of ALL)
    t.doesNotThrow(() => corrupt(Buffer.alloc(0), damage, { seed }), `an empty file: ${damage}`);
  for (const damage of ALL) t.doesNotThrow(() => corrupt(Buffer.alloc(3), damage, { seed }), `three bytes: ${damage}`);
});

t.test('text', async (t) => {
  for (const damage of ALL) {
    const parsed = parseDamage(damage);
    t.same(parseDamage(parsed.map(damageText).join(',')), parsed, damage);
  }
  t.equal(parseDamage('burst:1048576:1').map(damageText).join(), 'burst:1MiB');
  t.same(parseDamage(' sectors:4kib:1% '), [{ kind: 'sectors', size: { bytes: 4096 }, rate: 0.01 }]);
  t.same(parseDamage('flip:1e-6'), [{ kind: 'flip', rate: 1e-6 }]);
  const examples = DAMAGE_HELP.split('\n')
    .flatMap((line) => line.match(/\S+$/) ?? [])
    .slice(0, -1);
  t.equal(examples.length, 11);
  for (const example of examples) t.doesNotThrow(() => parseDamage(example), `the help's ${example}`);
  const wrong = [
    '',
    'flop:1',
    'flip',
    'flip:',
    'flip:2',
    'flip:-1',
    'flip:x',
    'flip:0.1:3',
    'flip:0.1@5',
    'sectors:4096',
    'sectors::0.1',
  ];
  wrong.push(
    'zero',
    'zero:-5',
    'zero:5@',
    'zero:5@x',
    'zero:5@1@2',
    'cut-tail:101%',
    'cut-tail:5:5',
    'insert:1:-1',
    'insert:1:x',
    'burst:1QB',
    'flip:0.1,,',
  );
  for (const text of wrong) {
    try {
      parseDamage(text);
      t.fail(`"${text}" is no damage`);
    } catch (error) {
      t.ok(
        error instanceof ConfigError && error.code === 'ERR_CONFIG_DAMAGE',
        `"${text}": ${(error as Error).message}`,
      );
    }
  }
});
