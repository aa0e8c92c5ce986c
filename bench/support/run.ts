/** Compiles the library, the program and `job.ts`, and runs jobs and the program. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundle, bundlePackage } from '../../scripts/bundle.ts';
import type { Job } from './job.ts';
import type { Outcome, Usage } from './measured.ts';
import { PASSPHRASE } from './passphrase.ts';
import type { SinkJob } from './sink-job.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
let compiled: string | undefined;

/** Bundles, as `npm run build` does, into a folder of this run's own. @returns where the jobs are */
function compile(): string {
  if (compiled) return compiled;
  // Below node_modules, so that the packages are found from there.
  const out = join(root, 'node_modules/.cache', `dbs-bench-${process.pid}`);
  process.on('exit', () => rmSync(out, { recursive: true, force: true }));
  const entries = ['job', 'sink-job', 'app-config', 'at-exit'];
  bundle(
    entries.map((name) => `bench/support/${name}.ts`),
    out,
    'bench/support',
  );
  // The library reads its version from it.
  copyFileSync(join(root, 'package.json'), join(out, 'package.json'));
  bundlePackage(join(out, 'dist'));
  compiled = out;
  return compiled;
}

/** Runs a job in a process of its own. @param flags for Node */
export function runJob(job: Job, flags: string[] = []): Outcome {
  return run('job.js', job, flags);
}

/** The same for a sink alone, without MikroORM. */
export function runSinkJob(job: SinkJob): Outcome {
  return run('sink-job.js', job, []);
}

function run(program: string, job: object, flags: string[]): Outcome {
  const args = [...flags, '--no-warnings', join(compile(), program), JSON.stringify(job)];
  const out = execFileSync(process.execPath, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(out) as Outcome;
}

/** Runs the published program in an app's folder, in a process of its own, from its start to its exit. */
export function runProgram(argv: string[], folder: string): Usage {
  const out = compile();
  const args = ['--import', join(out, 'at-exit.js'), join(out, 'dist/cli/main.js'), '--quiet', ...argv];
  const { status, output } = spawnSync(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', DBS_PASSPHRASE: PASSPHRASE },
    encoding: 'utf8',
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  });
  if (status !== 0) throw new Error(`dbs ${argv.join(' ')} ended with ${status}`);
  return JSON.parse(output[3]!) as Usage;
}

/** Makes a project of an app's folder, for `dbs` to find: a manifest, the configuration, and where the packages are. */
export function asProject(folder: string): void {
  const config = pathToFileURL(join(compile(), 'app-config.js'));
  writeFileSync(join(folder, 'mikro-orm.config.js'), `export { default } from '${config}';\n`);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'measured', type: 'module' }));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
}

/** An app without rows or files, to restore into. */
export function emptyApp(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  runJob({ do: 'fill', folder, rowBytes: 0, fileBytes: 0 });
}

/** A folder for the whole run, which goes when the process does. */
export function workFolder(): string {
  const folder = mkdtempSync(join(process.env.DBS_BENCH_DIR ?? tmpdir(), 'dbs-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  return folder;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function machine(): string {
  const [first] = cpus();
  return `${first!.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${process.arch}, Node.js ${process.version}`;
}

export const MiB = 2 ** 20;

/** A table as Markdown has it: first column to the left, others to the right. */
export function table(head: string[], rows: string[][]): string {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]!.length)));
  const line = (cells: string[]) =>
    `| ${cells.map((c, i) => (i === 0 ? c.padEnd(widths[i]!) : c.padStart(widths[i]!))).join(' | ')} |`;
  const rule = `|${widths.map((w, i) => (i === 0 ? '-'.repeat(w + 2) : `${'-'.repeat(w + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

export function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}
