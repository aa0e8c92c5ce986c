/**
 * Peak resident memory of backup, restore, seal and unseal, small and large: each in a process of its own, on compiled code.
 * Run: node --import=tsx bench/memory.ts [MiB of the large one, default 2048]
 * Needs 6 times that in the temporary folder (or DBS_BENCH_DIR) and some minutes.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Job, Outcome } from './support/job.ts';
import { emptyApp, MiB, machine, runJob, say, table, workFolder } from './support/run.ts';

const LIMIT = 160;
const SPREAD = 20;
const small = 20;
const large = Number(process.argv[2] ?? 2048);
const folder = workFolder();

/** The worst of some runs. */
function worst(job: Job, runs: number, before: () => void = () => {}): Outcome {
  const outcomes: Outcome[] = [];
  for (let i = 0; i < runs; i++) {
    before();
    outcomes.push(runJob(job));
  }
  return outcomes.sort((a, b) => b.peak - a.peak)[0]!;
}

interface Peaks {
  what: string;
  small: Outcome;
  large: Outcome;
}

function measure(mib: number, runs: number): [string, Outcome][] {
  const found: [string, Outcome][] = [];
  const note = (what: string, outcome: Outcome) => {
    found.push([what, outcome]);
    const { peak, wall, cpu } = outcome;
    say(`${mib} MiB: ${what}: ${(peak / MiB).toFixed(0)} MiB, ${wall.toFixed(1)} s, ${cpu.toFixed(1)} s of CPU`);
  };
  const at = (name: string) => join(folder, name);
  const half = (mib / 2) * MiB;
  const remove = (name: string) => rmSync(at(name), { recursive: true, force: true });
  runJob({ do: 'fill', folder: at('app'), rowBytes: half, fileBytes: half });
  note('backup of an app, verified', worst({ do: 'backup', folder: at('app'), output: at('app.dbs') }, runs));
  remove('app');
  const restore: Job = { do: 'restore', folder: at('restored'), input: at('app.dbs') };
  note(
    'restore of an app',
    worst(restore, runs, () => emptyApp(at('restored'))),
  );
  remove('restored');
  remove('app.dbs');
  runJob({ do: 'noise', path: at('noise'), length: mib * MiB });
  for (const layout of ['tandem', 'interleaved'] as const) {
    const sealed = at('noise.dbs');
    note(`seal, ${layout}, verified`, worst({ do: 'seal', input: at('noise'), output: sealed, layout }, runs));
    note(`unseal, ${layout}`, worst({ do: 'unseal', input: sealed, output: at('out') }, runs));
    note(`validate without key, ${layout}`, worst({ do: 'validate', input: sealed }, runs));
    remove('out');
    remove('noise.dbs');
  }
  remove('noise');
  return found;
}

say(`${machine()}; peak resident memory in MiB`);
const bare = worst({ do: 'nothing' }, 3).peak / MiB;
say(`The process with the library and MikroORM loaded, doing nothing: ${bare.toFixed(0)} MiB\n`);
const little = measure(small, 3);
const much = measure(large, 1);
const all: Peaks[] = little.map(([what, outcome], i) => ({ what, small: outcome, large: much[i]![1] }));
const rows = all.map(({ what, small: s, large: l }) => {
  const [a, b] = [s.peak / MiB, l.peak / MiB];
  const met = b <= LIMIT && b - a <= SPREAD;
  return [what, a.toFixed(0), b.toFixed(0), (b - a).toFixed(0), met ? 'met' : 'MISSED'];
});
say(`\n${table(['', `${small} MiB`, `${large} MiB`, 'difference', `<= ${LIMIT}, <= ${SPREAD} apart`], rows)}`);
