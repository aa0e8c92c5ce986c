/**
 * How many damaged files come back exactly: the survival table of docs/durability.md. Real files, made by `sealStream`; seeded damage
 * (lib/testkit); each trial opens the damaged bytes without a key and compares every block's recovered payload with the original's, byte by byte.
 *
 * Run: node --import=tsx bench/survival.ts [sizes, default 10KiB,4MiB,256MiB] [most trials a cell, 100] [seconds a cell, 20] [seed, 1] [part of the kinds' names]
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ContainerReader } from '../lib/container/reader.ts';
import { bufferSource } from '../lib/container/source.ts';
import { BackupError } from '../lib/errors.ts';
import { FULL_RECORD, type LayoutName, PAGE, RecordType } from '../lib/format/limits.ts';
import { sealStream } from '../lib/index.ts';
import { corrupt } from '../lib/testkit/index.ts';
import { Random } from '../lib/testkit/random.ts';
import { MiB, machine, say, table, workFolder } from './support/run.ts';

/** `figures`: container.md's, of 1 GiB, for interleaved and tandem; none where it has no such row. */
interface Kind {
  name: string;
  damage: string[];
  figures?: [string, string];
  /** Bytes that the file must have for this to be what it says. */
  needs?: number;
}

const KINDS: Kind[] = [
  { name: 'random byte errors 1e-6', damage: ['flip:1e-6'], figures: ['1', '1'] },
  { name: 'random byte errors 1e-2', damage: ['flip:1e-2'], figures: ['1', '1'] },
  { name: 'lost 512 B sectors 1e-4', damage: ['sectors:512:1e-4'], figures: ['1', '1'] },
  { name: 'lost 512 B sectors 5e-2', damage: ['sectors:512:5e-2'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 1e-3', damage: ['sectors:4096:1e-3'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 0.15', damage: ['sectors:4096:0.15'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 0.20', damage: ['sectors:4096:0.20'], figures: ['.98', '1'] },
  { name: 'one burst of 16 MiB', damage: ['burst:16MiB'], figures: ['1', '1'], needs: 64 * MiB },
  { name: 'one burst of 64 MiB', damage: ['burst:64MiB'], figures: ['0', '1'], needs: 256 * MiB },
  { name: '20 bursts of 1 MiB', damage: ['burst:1MiB:20'], figures: ['1', '1'], needs: 256 * MiB },
  { name: '100 bursts of 1 MiB', damage: ['burst:1MiB:100'], figures: ['1', '1'], needs: 512 * MiB },
  { name: 'one burst of 10 % of the file', damage: ['burst:10%'] },
  { name: 'one burst of 40 % of the file', damage: ['burst:40%'] },
  { name: 'tail cut by 0.5 %', damage: ['cut-tail:0.5%'], figures: ['1', '1'] },
  { name: 'tail cut by 1..45 %', damage: ['cut-tail'], figures: ['salvage', '1'] },
  { name: 'first 16 MiB overwritten', damage: ['overwrite:16MiB@head'], figures: ['1', '1'], needs: 64 * MiB },
  { name: 'first 256 MiB overwritten', damage: ['overwrite:256MiB@head'], figures: ['salvage', '1'], needs: 520 * MiB },
  { name: 'first 10 % overwritten', damage: ['overwrite:10%@head'] },
  { name: 'a byte inserted or deleted', damage: ['insert:1', 'delete:1'], figures: ['1', '1'] },
];

const LAYOUTS = ['interleaved', 'tandem'] as const;

interface Original {
  bytes: Buffer;
  header: Buffer;
  payloads: Buffer[];
}

async function original(folder: string, size: number, layout: LayoutName): Promise<Original> {
  const path = join(folder, 'original.dbs');
  const random = new Random(`original ${size}`);
  const content = function* () {
    for (let left = size; left > 0; left -= MiB) yield random.bytes(Math.min(MiB, left));
  };
  await sealStream(Readable.from(content()), 'passphrase', { output: path, layout, force: true });
  const bytes = readFileSync(path);
  rmSync(path);
  const reader = await ContainerReader.open([bufferSource(bytes)]);
  const record = Buffer.allocUnsafe(FULL_RECORD);
  const payloads: Buffer[] = [];
  for (let i = 0; i < reader.extent.count; i++) {
    const { payload } = await reader.read(i, record);
    const at = reader.blocks.maps[0]!.planned(RecordType.DATA, 0, i) + PAGE;
    payloads.push(bytes.subarray(at, at + payload.length));
  }
  return { bytes, header: reader.headers[0]!.bytes, payloads };
}

/** Nothing where everything comes back as it was, else what was lost. @throws what is no BackupError: a defect of the reader */
async function loss(damaged: Buffer, { header, payloads }: Original): Promise<string | null> {
  try {
    const reader = await ContainerReader.open([bufferSource(damaged)]);
    if (!reader.headers.some((h) => h.bytes.equals(header))) return 'the key slots';
    if (reader.extent.count !== payloads.length) return 'the end';
    const record = Buffer.allocUnsafe(FULL_RECORD);
    for (const [i, expected] of payloads.entries()) {
      const { payload } = await reader.read(i, record);
      if (!payload.equals(expected)) throw new Error(`block ${i} came back with other bytes than it was written with`);
    }
    return reader.complete ? null : 'the end';
  } catch (error) {
    if (error instanceof BackupError) return error.code;
    throw error;
  }
}

interface Cell {
  size: string;
  layout: string;
  kind: string;
  good: number;
  trials: number;
  seconds: number;
  /** Why files did not come back, and how many. */
  lost: Record<string, number>;
}

async function cell(
  file: Original,
  kind: Kind,
  seed: string,
  most: number,
  seconds: number,
): Promise<Pick<Cell, 'good' | 'trials' | 'seconds' | 'lost'>> {
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  let good = 0;
  const lost: Record<string, number> = {};
  let trials = 0;
  for (; trials < most && (trials < 2 || spent() < seconds); trials++) {
    let damage = kind.damage[trials % kind.damage.length]!;
    if (damage === 'cut-tail') damage = `cut-tail:${1 + 44 * new Random(`${seed} ${trials} cut`).unit()}%`;
    const { bytes } = corrupt(file.bytes, damage, { seed: `${seed} ${trials}` });
    const what = await loss(bytes, file);
    if (what === null) good++;
    else lost[what] = (lost[what] ?? 0) + 1;
  }
  return { good, trials, seconds: spent(), lost };
}

const [sizes = '10KiB,4MiB,256MiB', most = '100', seconds = '20', seed = '1', only = ''] = process.argv.slice(2);
const folder = workFolder();
const cells: Cell[] = [];
say(`${machine()}; seed ${seed}`);
for (const name of sizes.split(',')) {
  const size = Number.parseInt(name, 10) * (name.endsWith('KiB') ? 1024 : name.endsWith('GiB') ? 1024 * MiB : MiB);
  for (const layout of LAYOUTS) {
    const file = await original(folder, size, layout);
    say(`${name}, ${layout}: ${file.bytes.length} bytes, ${file.payloads.length} blocks`);
    for (const kind of KINDS) {
      if ((kind.needs ?? 0) > file.bytes.length || !kind.name.includes(only)) continue;
      const found = await cell(file, kind, `${seed} ${name} ${kind.name}`, Number(most), Number(seconds));
      cells.push({ size: name, layout, kind: kind.name, ...found });
      const why = Object.entries(found.lost).map(([what, n]) => `, ${n} x ${what}`);
      say(`  ${kind.name}: ${found.good} of ${found.trials} (${found.seconds.toFixed(1)} s)${why.join('')}`);
    }
  }
}

const head = ['damage', ...LAYOUTS.flatMap((l) => [`${l}, design`, ...sizes.split(',').map((s) => `${l} ${s}`)])];
const lines = KINDS.map((kind) => [
  kind.name,
  ...LAYOUTS.flatMap((layout, l) => [
    kind.figures?.[l] ?? '',
    ...sizes.split(',').map((size) => {
      const found = cells.find((c) => c.size === size && c.layout === layout && c.kind === kind.name);
      return found ? `${found.good}/${found.trials}` : '-';
    }),
  ]),
]);
say(`\n${table(head, lines)}`);
if (process.env.DBS_BENCH_JSON) writeFileSync(process.env.DBS_BENCH_JSON, JSON.stringify(cells, null, 1));
