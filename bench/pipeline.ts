/**
 * Speed and peak memory of everything whole, each in a process of its own on compiled code; other tools in the same run where they are installed.
 * Rounds go around all tasks, so that a busy minute of the machine meets all of them; figures are medians. MB are 10^6 bytes of payload.
 * Run: node --import=tsx bench/pipeline.ts [MiB, default 256] [rounds, default 3]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { corruptFile } from '../lib/testkit/index.ts';
import type { Job, Outcome } from './support/job.ts';
import { emptyApp, MiB, machine, median, runJob, say, table, workFolder } from './support/run.ts';

type Figures = Pick<Outcome, 'wall' | 'cpu' | 'peak'>;

interface Task {
  name: string;
  /** Bytes that its MB/s count. */
  bytes: number;
  run: () => Figures;
  figures: Figures[];
}

const mib = Number(process.argv[2] ?? 256);
const rounds = Number(process.argv[3] ?? 3);
const size = mib * MiB;
const folder = workFolder();
const at = (name: string) => join(folder, name);
const remove = (name: string) => rmSync(at(name), { recursive: true, force: true });
const tasks: Task[] = [];

function task(name: string, bytes: number, run: () => Figures): void {
  tasks.push({ name, bytes, run, figures: [] });
}

/** @param before what is not timed */
function job(name: string, bytes: number, given: Job, before: () => void = () => {}): void {
  const what: Job = given.do === 'seal' || given.do === 'backup' ? { ...given, lightKey: true } : given;
  task(name, bytes, () => {
    before();
    return runJob(what);
  });
}

/** A shell command by GNU time; nothing where its tool is not installed. */
function peer(tool: string, name: string, bytes: number, command: string, before: () => void = () => {}): void {
  if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) {
    say(`not run: ${tool} is not installed`);
    return;
  }
  task(name, bytes, () => {
    before();
    // The peak of the largest process under it, by the kernel's own count.
    const script = `
      import json, os, resource, subprocess, sys, time
      start = time.time()
      subprocess.run(['sh', '-c', sys.argv[1]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
      wall = time.time() - start
      u = resource.getrusage(resource.RUSAGE_CHILDREN)
      print(json.dumps({'wall': wall, 'cpu': u.ru_utime + u.ru_stime, 'peak': u.ru_maxrss * 1024}))`;
    const source = script.replace(/^ {6}/gm, '');
    const env = {
      ...process.env,
      RESTIC_PASSWORD: 'passphrase',
      RESTIC_REPOSITORY: at('restic'),
      RESTIC_CACHE_DIR: at('cache'),
    };
    return JSON.parse(execFileSync('python3', ['-c', source, command], { encoding: 'utf8', env })) as Figures;
  });
}

say(`${machine()}; ${mib} MiB, ${rounds} rounds`);
runJob({ do: 'noise', path: at('noise'), length: size });
runJob({ do: 'json', path: at('json'), length: size });
runJob({ do: 'fill', folder: at('rows'), rowBytes: size, fileBytes: 0 });
runJob({ do: 'fill', folder: at('blobs'), rowBytes: size, fileBytes: 0, noise: true });
runJob({ do: 'fill', folder: at('files'), rowBytes: 0, fileBytes: size });

for (const input of ['noise', 'json']) {
  const output = at(`${input}.dbs`);
  const label = input === 'noise' ? 'incompressible' : 'JSON lines';
  job(`seal ${label}`, size, { do: 'seal', input: at(input), output, verify: false });
  job(`seal ${label}, verified`, size, { do: 'seal', input: at(input), output });
  job(`unseal ${label}`, size, { do: 'unseal', input: output, output: at('out') });
}
job('seal incompressible, interleaved', size, {
  do: 'seal',
  input: at('noise'),
  output: at('interleaved.dbs'),
  layout: 'interleaved',
  verify: false,
});
const damaged = at('damaged.dbs');
job('unseal incompressible, 1 % of 4 KiB sectors lost', size, { do: 'unseal', input: damaged, output: at('out') });
job('validate without key, incompressible (MB of file)', 0, { do: 'validate', input: at('noise.dbs') });
for (const app of ['rows', 'blobs', 'files']) {
  const label = { rows: 'rows like JSON', blobs: 'rows of random bytes', files: 'files' }[app]!;
  const output = at(`${app}-app.dbs`);
  job(`backup, ${label}`, size, { do: 'backup', folder: at(app), output, verify: false });
  job(`backup, ${label}, verified`, size, { do: 'backup', folder: at(app), output });
  job(`restore, ${label}`, size, { do: 'restore', folder: at('restored'), input: output }, () =>
    emptyApp(at('restored')),
  );
}
const damagedRows = at('damaged-rows.dbs');
const restoreDamaged: Job = { do: 'restore', folder: at('restored'), input: damagedRows };
job('restore, rows like JSON, 1 % of 4 KiB sectors lost', size, restoreDamaged, () => emptyApp(at('restored')));
const restoreFiles: Job = { do: 'restore', folder: at('restored'), input: at('damaged-files.dbs') };
job('restore, files, 1 % of 4 KiB sectors lost', size, restoreFiles, () => emptyApp(at('restored')));

peer('cp', 'cp', size, `cp ${at('noise')} ${at('copy')} && sync ${at('copy')}`);
spawnSync('age-keygen', ['-o', at('age.key')]);
const encrypt = `age -r $(grep -o 'age1.*' ${at('age.key')})`;
for (const input of ['noise', 'json']) {
  const label = input === 'noise' ? 'incompressible' : 'JSON lines';
  peer('age', `age, ${label}`, size, `${encrypt} -o ${at('out.age')} ${at(input)} && sync ${at('out.age')}`);
  peer('restic', `restic, ${label}`, size, `restic backup ${at(input)}`, () => {
    remove('restic');
    spawnSync('restic', ['init'], {
      env: {
        ...process.env,
        RESTIC_PASSWORD: 'passphrase',
        RESTIC_REPOSITORY: at('restic'),
        RESTIC_CACHE_DIR: at('cache'),
      },
    });
  });
}
peer('age', 'age -d, incompressible', size, `age -d -i ${at('age.key')} -o ${at('out')} ${at('noise.age')}`, () => {
  spawnSync('sh', ['-c', `${encrypt} -o ${at('noise.age')} ${at('noise')}`]);
});
peer('sqlite3', 'sqlite3 .dump, rows like JSON', size, `sqlite3 ${at('rows/app.sqlite')} .dump > ${at('dump.sql')}`);

for (let round = 0; round < rounds; round++) {
  for (const t of tasks) {
    if (round === 0 && t.name.includes('lost')) await wreck();
    t.figures.push(t.run());
    const last = t.figures.at(-1)!;
    process.stderr.write(
      `${round + 1}: ${t.name}: ${last.wall.toFixed(2)} s, ${last.cpu.toFixed(2)} s of CPU, ${(last.peak / MiB).toFixed(0)} MiB\n`,
    );
  }
}

/** Copies with one sector of a hundred lost. */
async function wreck(): Promise<void> {
  for (const [from, to] of [
    ['noise.dbs', 'damaged.dbs'],
    ['rows-app.dbs', 'damaged-rows.dbs'],
    ['files-app.dbs', 'damaged-files.dbs'],
  ] as const) {
    if (!statSync(at(from), { throwIfNoEntry: false }) || statSync(at(to), { throwIfNoEntry: false })) continue;
    copyFileSync(at(from), at(to));
    await corruptFile(at(to), 'sectors:4096:1%', { seed: 1 });
  }
}

const fileSize = statSync(at('noise.dbs')).size;
const rows = tasks.map(({ name, bytes, figures }) => {
  const of = (key: keyof Figures) => median(figures.map((f) => f[key]));
  const mb = (bytes || fileSize) / 1e6;
  const walls = figures.map((f) => mb / f.wall).sort((a, b) => a - b);
  return [
    name,
    (mb / of('wall')).toFixed(0),
    `${walls[0]!.toFixed(0)}-${walls.at(-1)!.toFixed(0)}`,
    (mb / of('cpu')).toFixed(0),
    (of('peak') / MiB).toFixed(0),
  ];
});
say(`\n${table(['', 'MB/s', 'slowest-fastest', 'MB per CPU s', 'peak MiB'], rows)}`);
for (const [name, of] of [
  ['noise', 'noise.dbs'],
  ['json', 'json.dbs'],
] as const) {
  say(`${name}: ${readFileSizes(name, of)}`);
}
if (process.env.DBS_BENCH_JSON) writeFileSync(process.env.DBS_BENCH_JSON, JSON.stringify(tasks, null, 1));

function readFileSizes(from: string, to: string): string {
  return `${statSync(at(from)).size} bytes to ${statSync(at(to)).size}`;
}
