/**
 * Peak resident memory of backup, restore, seal and unseal, small and large: each in a process of its own, on compiled code. `dbs` is the published program,
 * measured from its start to its exit; the other rows are the library in a program that has loaded MikroORM and the app before.
 * Run: node --import=tsx bench/memory.ts [MiB of the large one, default 2048]
 * Needs 6 times that in the temporary folder (or DBS_BENCH_DIR) and some minutes.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Job } from './support/job.ts';
import type { Usage } from './support/measured.ts';
import { asProject, emptyApp, MiB, machine, runJob, runProgram, say, table, workFolder } from './support/run.ts';

const LIMIT = 160;
const SPREAD = 20;
const small = 20;
const large = Number(process.argv[2] ?? 2048);
const folder = workFolder();

/** The worst of some runs. */
function worst(runs: number, run: () => Usage, before: () => void = () => {}): Usage {
  const all: Usage[] = [];
  for (let i = 0; i < runs; i++) {
    before();
    all.push(run());
  }
  return all.sort((a, b) => b.peak - a.peak)[0]!;
}

interface Peaks {
  what: string;
  small: Usage;
  large: Usage;
}

function measure(mib: number, runs: number): [string, Usage][] {
  const found: [string, Usage][] = [];
  const note = (what: string, run: () => Usage, before?: () => void) => {
    const usage = worst(runs, run, before);
    found.push([what, usage]);
    const { peak, wall, cpu } = usage;
    say(`${mib} MiB: ${what}: ${(peak / MiB).toFixed(0)} MiB, ${wall.toFixed(1)} s, ${cpu.toFixed(1)} s of CPU`);
  };
  const noteJob = (what: string, job: Job, before?: () => void) => note(what, () => runJob(job), before);
  const at = (name: string) => join(folder, name);
  const half = (mib / 2) * MiB;
  const remove = (name: string) => rmSync(at(name), { recursive: true, force: true });
  const emptyTarget = () => {
    emptyApp(at('restored'));
    asProject(at('restored'));
  };
  runJob({ do: 'fill', folder: at('app'), rowBytes: half, fileBytes: half });
  asProject(at('app'));
  const dbs = (verb: string, app: string) => () =>
    runProgram([verb, at('app.dbs'), ...(verb === 'backup' ? ['--force'] : [])], at(app));
  note('`dbs backup`, verified', dbs('backup', 'app'));
  note('`dbs restore`', dbs('restore', 'restored'), emptyTarget);
  noteJob('createBackup in an app, verified', { do: 'backup', folder: at('app'), output: at('app.dbs') });
  remove('app');
  noteJob('restoreBackup in an app', { do: 'restore', folder: at('restored'), input: at('app.dbs') }, emptyTarget);
  remove('restored');
  remove('app.dbs');
  runJob({ do: 'noise', path: at('noise'), length: mib * MiB });
  for (const layout of ['tandem', 'interleaved'] as const) {
    const sealed = at('noise.dbs');
    noteJob(`seal, ${layout}, verified`, { do: 'seal', input: at('noise'), output: sealed, layout });
    noteJob(`unseal, ${layout}`, { do: 'unseal', input: sealed, output: at('out') });
    noteJob(`validate without key, ${layout}`, { do: 'validate', input: sealed });
    remove('out');
    remove('noise.dbs');
  }
  remove('noise');
  return found;
}

say(`${machine()}; peak resident memory in MiB`);
const bare = worst(3, () => runJob({ do: 'nothing' })).peak / MiB;
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
