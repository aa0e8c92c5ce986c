/**
 * Holds the rule of support/rivals.ts against par2cmdline itself: the places of all its packets, and for seeded damage whether `par2 verify` says that repair is
 * possible; some are repaired and compared.
 * Run: node --import=tsx bench/par2.ts [content in KiB, 1024] [trials, 40] [of which repaired, 4]
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { corrupt } from '../lib/testkit/index.ts';
import { noiseOf, par2, par2Survives } from './support/rivals.ts';
import { machine, say, workFolder } from './support/run.ts';

const [kib = '1024', trials = '40', repairs = '4'] = process.argv.slice(2);
const folder = workFolder();
const content = noiseOf(Number(kib) * 1024);
const { set } = par2(content.length, Math.floor(2.3 * content.length) + 40_000);
const run = (...args: string[]) => spawnSync('par2', args, { cwd: folder }).status;

say(`${machine()}; ${content.length} bytes, ${set.blocks} blocks of ${set.blockSize}, ${set.recovery} of recovery`);
writeFileSync(join(folder, 'c.bin'), content);
const start = performance.now();
run('create', '-q', '-q', `-b${set.blocks}`, `-c${set.recovery}`, '-n1', 'set.par2', 'c.bin');
say(`created in ${((performance.now() - start) / 1000).toFixed(1)} s`);
const volume = readdirSync(folder).find((name) => name.includes('.vol'))!;
const names = ['c.bin', volume, 'set.par2'];
const original = Buffer.concat(names.map((name) => readFileSync(join(folder, name))));

const TYPES: Record<string, number> = { Main: 0, FileDesc: 0, IFSC: 0, RecvSlic: 0 };
const expected = new Map<number, number>();
for (const { from, to } of [...set.recoveries, ...Object.values(set.critical).flat()]) expected.set(from, to - from);
let [found, wrong] = [0, 0];
for (let at = original.indexOf('PAR2\0PKT'); at >= 0; at = original.indexOf('PAR2\0PKT', at + 8)) {
  const type = original
    .toString('latin1', at + 52, at + 64)
    .replace(/^\.0\0|\0+$|^\0+/g, '')
    .replace(/^.*\0/, '');
  if (!Object.keys(TYPES).some((name) => type.endsWith(name))) continue;
  found++;
  if (expected.get(at) !== Number(original.readBigUInt64LE(at + 8))) wrong++;
}
say(
  `${found} packets, ${wrong} of them elsewhere than the rule says; the rule has ${expected.size}; ${original.length} bytes, by rule ${set.files[2]}`,
);

const damages = [
  'sectors:4096:0.1',
  'sectors:4096:0.3',
  'sectors:512:0.15',
  'sectors:512:0.3',
  'flip:1e-4',
  'flip:1e-3',
  'burst:40%',
  'burst:60%',
  'overwrite:10%@head',
  'cut-tail:30%',
];
let [agree, possible, repaired] = [0, 0, 0];
for (let i = 0; i < Number(trials); i++) {
  const { bytes: damaged } = corrupt(original, damages[i % damages.length]!, { seed: i });
  let from = 0;
  for (const [n, to] of set.files.entries()) {
    writeFileSync(join(folder, names[n]!), damaged.subarray(from, to));
    from = to;
  }
  const rule = par2Survives(set, { original, damaged });
  // 0: nothing to do; 1: repair is possible.
  const status = run('verify', '-q', '-q', 'set.par2') ?? 9;
  const program = status === 0 || status === 1;
  if (rule === program) agree++;
  else say(`${damages[i % damages.length]}, seed ${i}: rule ${rule}, par2 ${status}`);
  if (!program) continue;
  possible++;
  if (repaired >= Number(repairs)) continue;
  run('repair', '-q', '-q', 'set.par2');
  if (readFileSync(join(folder, 'c.bin')).equals(content)) repaired++;
  else say(`${damages[i % damages.length]}, seed ${i}: repair did not give the content`);
}
say(`${agree} of ${trials} agree; ${possible} possible; ${repaired} repaired and compared`);
