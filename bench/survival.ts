/**
 * How many damaged files come back exactly: the survival table of docs/durability.md. Real files, made by `sealStream`; seeded damage
 * (lib/testkit); each trial opens the damaged bytes without a key and compares every block's recovered payload with the original's, byte by byte.
 * Beside them what PAR2 and the ancestor would survive, by rule (support/rivals.ts).
 *
 * Run: node --import=tsx bench/survival.ts [sizes, default 10KiB,4MiB,256MiB] [most trials a cell, 100] [seconds a cell, 20] [seed, 1] [regular expression of kinds' names] [columns]
 * Columns: interleaved,tandem,half,split,with,par2,ancestor (default: all).
 */
import { closeSync, openSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ContainerReader } from '../lib/container/reader.ts';
import { bufferSource } from '../lib/container/source.ts';
import { BackupError } from '../lib/errors.ts';
import { FULL_RECORD, PAGE, RecordType } from '../lib/format/limits.ts';
import { sealStream } from '../lib/index.ts';
import { Random } from '../lib/testkit/random.ts';
import { hurt, KINDS, type Kind } from './support/kinds.ts';
import { ancestor, noiseOf, par2, type Rival } from './support/rivals.ts';
import { MiB, machine, say, table, workFolder } from './support/run.ts';

const COLUMNS = {
  interleaved: 'interleaved',
  tandem: 'tandem',
  half: 'split, one half',
  split: 'split, both halves damaged',
  with: 'two tandem copies, both damaged',
  par2: 'PAR2',
  ancestor: 'model of django-dbs',
} as const;
type Column = keyof typeof COLUMNS;

interface Original {
  /** One file, or the two of a pair. */
  files: Buffer[];
  header: Buffer;
  payloads: Buffer[];
}

/** What one trial came to: nothing lost, or why, and the share of the blocks that is still to be had. */
type Trial = { lost?: undefined } | { lost: string; share: number };

/** `readFileSync` ends at 2 GiB. */
function readWhole(path: string): Buffer {
  const bytes = Buffer.allocUnsafe(statSync(path).size);
  const file = openSync(path, 'r');
  for (let at = 0; at < bytes.length; ) at += readSync(file, bytes, at, Math.min(MiB, bytes.length - at), at);
  closeSync(file);
  return bytes;
}

async function original(folder: string, size: number, layout: 'interleaved' | 'tandem' | 'split'): Promise<Original> {
  const [output, mirror] = [join(folder, 'original.dbs'), join(folder, 'mirror.dbs')];
  const random = new Random(`original ${size}`);
  const content = function* () {
    for (let left = size; left > 0; left -= MiB) yield random.bytes(Math.min(MiB, left));
  };
  const options = layout === 'split' ? { mirror } : { layout };
  await sealStream(Readable.from(content()), 'passphrase', { output, force: true, ...options });
  const files = (layout === 'split' ? [output, mirror] : [output]).map(readWhole);
  for (const path of [output, mirror]) rmSync(path, { force: true });
  const reader = await ContainerReader.open([bufferSource(files[0]!)]);
  const payloads: Buffer[] = [];
  const record = Buffer.allocUnsafe(FULL_RECORD);
  for (let i = 0; i < reader.extent.count; i++) {
    const { payload } = await reader.read(i, record);
    const at = reader.blocks.maps[0]!.planned(RecordType.DATA, 0, i) + PAGE;
    payloads.push(files[0]!.subarray(at, at + payload.length));
  }
  return { files, header: reader.headers[0]!.bytes, payloads };
}

/** @throws what is no BackupError, and wrong bytes: a defect of the reader */
async function open(damaged: Buffer[], { header, payloads }: Original): Promise<Trial> {
  let reader: ContainerReader;
  try {
    reader = await ContainerReader.open(damaged.map((bytes) => bufferSource(bytes)));
  } catch (error) {
    if (error instanceof BackupError) return { lost: error.code, share: 0 };
    throw error;
  }
  if (!reader.headers.some((h) => h.bytes.equals(header))) return { lost: 'the key slots', share: 0 };
  const record = Buffer.allocUnsafe(FULL_RECORD);
  let whole = 0;
  let lost: string | undefined = reader.extent.count === payloads.length && reader.complete ? undefined : 'the end';
  for (const [i, expected] of payloads.entries()) {
    if (i >= reader.extent.count) break;
    try {
      const { payload } = await reader.read(i, record);
      if (!payload.equals(expected)) throw new Error(`block ${i} came back with other bytes than it was written with`);
      whole++;
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      lost ??= error.code;
    }
  }
  return lost ? { lost, share: whole / payloads.length } : {};
}

interface Cell {
  size: string;
  column: Column;
  kind: string;
  good: number;
  trials: number;
  seconds: number;
  /** Why files did not come back, and how many. */
  lost: Record<string, number>;
  /** Of the blocks of the lost files: the share that is still to be had. Nothing by rule. */
  salvaged?: number;
}

type Attempt = (trial: number) => Promise<Trial>;

async function cell(attempt: Attempt, most: number, seconds: number): Promise<Omit<Cell, 'size' | 'column' | 'kind'>> {
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  let [good, trials, shares] = [0, 0, 0];
  const lost: Record<string, number> = {};
  for (; trials < most && (trials < 2 || spent() < seconds); trials++) {
    const found = await attempt(trials);
    if (!found.lost) good++;
    else {
      lost[found.lost] = (lost[found.lost] ?? 0) + 1;
      shares += found.share;
    }
  }
  const salvaged = trials > good ? { salvaged: shares / (trials - good) } : {};
  return { good, trials, seconds: spent(), lost, ...salvaged };
}

function byRule(rival: Rival, medium: Buffer, kind: Kind, seed: string): Attempt {
  return async (trial) => {
    const damaged = hurt(medium, kind, seed, trial);
    return rival.survives({ original: medium, damaged }) ? {} : { lost: 'by rule', share: Number.NaN };
  };
}

const [sizes = '10KiB,4MiB,256MiB', most = '100', seconds = '20', seed = '1', only = '', chosen] =
  process.argv.slice(2);
const columns = (chosen ? chosen.split(',') : Object.keys(COLUMNS)) as Column[];
const folder = workFolder();
const cells: Cell[] = [];
say(`${machine()}; seed ${seed}`);
for (const name of sizes.split(',')) {
  const size = Number.parseInt(name, 10) * (name.endsWith('KiB') ? 1024 : name.endsWith('GiB') ? 1024 * MiB : MiB);
  let ours = 0;
  for (const column of columns) {
    const attempts = await prepare(column);
    for (const kind of KINDS) {
      if ((kind.needs ?? 0) > ours || !new RegExp(only).test(kind.name)) continue;
      const found = await cell(attempts(kind, `${seed} ${name} ${kind.name}`), Number(most), Number(seconds));
      cells.push({ size: name, column, kind: kind.name, ...found });
      const why = Object.entries(found.lost).map(([what, n]) => `, ${n} x ${what}`);
      const left =
        found.salvaged === undefined || Number.isNaN(found.salvaged)
          ? ''
          : `; ${percent(found.salvaged)} of these to be had`;
      say(`  ${kind.name}: ${found.good} of ${found.trials} (${found.seconds.toFixed(1)} s)${why.join('')}${left}`);
      if (process.env.DBS_BENCH_JSON) writeFileSync(process.env.DBS_BENCH_JSON, JSON.stringify(cells, null, 1));
    }
  }
  say(`\n${name}\n\n${tableOf(name)}\n`);

  async function prepare(column: Column): Promise<(kind: Kind, seed: string) => Attempt> {
    if (column === 'par2' || column === 'ancestor') {
      ours ||= (await original(folder, size, 'tandem')).files[0]!.length;
      const rival = column === 'par2' ? par2(size, ours) : ancestor(size);
      say(`${name}, ${COLUMNS[column]}: ${rival.size} bytes`);
      const medium = noiseOf(rival.size);
      return (kind, seed) => byRule(rival, medium, kind, seed);
    }
    const layout = column === 'half' ? 'split' : column === 'with' ? 'tandem' : column;
    const file = await original(folder, size, layout);
    ours = file.files[0]!.length;
    const pair =
      column === 'split' ? file.files : column === 'with' ? [file.files[0]!, file.files[0]!] : [file.files[0]!];
    say(`${name}, ${COLUMNS[column]}: ${pair.map((f) => f.length).join(' + ')} bytes, ${file.payloads.length} blocks`);
    return (kind, seed) => (trial) =>
      open(
        pair.map((bytes, i) => hurt(bytes, kind, i === 0 ? seed : `${seed}, the other`, trial)),
        file,
      );
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0.99 ? 1 : 0)} %`;
}

function tableOf(size: string): string {
  const head = ['damage', 'design i', 'design t', ...columns.map((c) => COLUMNS[c])];
  const lines = KINDS.map((kind) => [
    kind.name,
    ...[0, 1].map((l) => kind.figures?.[l] ?? ''),
    ...columns.map((column) => {
      const found = cells.find((c) => c.size === size && c.column === column && c.kind === kind.name);
      if (!found) return '-';
      const left = found.salvaged === undefined || Number.isNaN(found.salvaged) ? '' : ` (${percent(found.salvaged)})`;
      return `${found.good}/${found.trials}${left}`;
    }),
  ]);
  return table(
    head,
    lines.filter((line) => line.slice(3).some((c) => c !== '-')),
  );
}
