/**
 * Rows per second and peak memory of backup and restore on each database, small rows (about 60 bytes), beside the database's own tools.
 * Each job is a process of its own on compiled code; wall times include the server's work, CPU seconds are the client's alone.
 *
 * Run: node --import=tsx bench/rows.ts speed [rows, default 1000000] [rounds, default 3] [databases]
 *      node --import=tsx bench/rows.ts memory [small, default 10000] [large, default 10000000] [databases]
 * Databases: sqlite,postgresql,mariadb. 10 million rows need about 10 GB in all, and an hour.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Dialect } from './support/rows-app.ts';
import { type Figures, missing, peers, RowsDatabase, sizeOf, timed } from './support/rows-server.ts';
import { MiB, machine, median, runJob, say, table, workFolder } from './support/run.ts';

const [mode = 'speed', first, second, names = 'sqlite,postgresql,mariadb'] = process.argv.slice(2);
const folder = workFolder();
const databases = (names.split(',') as Dialect[]).filter((dialect) => {
  const why = missing(dialect);
  if (why) say(`not run: ${dialect}: ${why}`);
  return !why;
});

interface Task {
  what: string;
  run: () => Figures;
  figures: Figures[];
}

function speed(rows: number, rounds: number): void {
  say(`${machine()}; ${rows} rows, medians of ${rounds}`);
  for (const dialect of databases) {
    const from = new RowsDatabase(dialect, folder, 'from');
    const to = new RowsDatabase(dialect, folder, 'to');
    from.create();
    from.fill(rows);
    const tasks: Task[] = [];
    const task = (what: string, run: () => Figures) => tasks.push({ what, run, figures: [] });
    const ours = join(folder, `${dialect}.dbs`);
    for (const verify of [false, true]) {
      task(`${dialect}: backup${verify ? ', verified' : ''}`, () =>
        runJob({ do: 'backup-rows', dialect, database: from.name, output: ours, lightKey: true, verify }),
      );
    }
    task(`${dialect}: restore`, () => {
      to.create();
      const outcome = runJob({ do: 'restore-rows', dialect, database: to.name, input: ours });
      if (to.count() !== rows) throw new Error('not all rows came back');
      return outcome;
    });
    for (const [i, peer] of peers[dialect].entries()) {
      const [save, load] = peer.name.split(' / ') as [string, string];
      const file = join(folder, `${dialect}-${i}.dump`);
      task(`${dialect}: ${save}`, () => timed(peer.backup(from.name, file)));
      task(`${dialect}: ${load}`, () => {
        to.create(!peer.makesTables);
        return timed(peer.restore(to.name, file));
      });
    }
    for (let round = 0; round < rounds; round++) {
      for (const one of tasks) {
        one.figures.push(one.run());
        const { wall, cpu, peak } = one.figures.at(-1)!;
        process.stderr.write(
          `${round + 1}: ${one.what}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} s CPU, ${mib(peak)} MiB\n`,
        );
      }
    }
    const lines = tasks.map(({ what, figures }) => {
      const of = (key: keyof Figures) => median(figures.map((f) => f[key]));
      const walls = figures.map(({ wall }) => (rows / wall / 1000).toFixed(0));
      return [
        what,
        (rows / of('wall') / 1000).toFixed(0),
        walls.join(' '),
        (rows / of('cpu') / 1000).toFixed(0),
        mib(of('peak')),
      ];
    });
    say(`\n${table(['', 'thousand rows/s', 'each round', 'per CPU s', 'peak MiB'], lines)}`);
    const sizes = peers[dialect].map((peer, i) => `${peer.name} ${sizeOf(join(folder, `${dialect}-${i}.dump`))}`);
    say(`bytes: backup ${sizeOf(ours)}, ${sizes.join(', ')}`);
    from.drop();
    to.drop();
  }
}

function memory(small: number, large: number): void {
  say(`${machine()}; peak resident memory in MiB, Argon2id at its defaults`);
  const lines: string[][] = [];
  for (const dialect of databases) {
    const peaks: Figures[][] = [];
    for (const rows of [small, large]) {
      const from = new RowsDatabase(dialect, folder, 'from');
      const to = new RowsDatabase(dialect, folder, 'to');
      const file = join(folder, 'rows.dbs');
      from.create();
      from.fill(rows);
      const backup = runJob({ do: 'backup-rows', dialect, database: from.name, output: file });
      from.drop();
      say(`${dialect}, ${rows} rows: backup ${show(backup, rows)}`);
      to.create();
      const restore = runJob({ do: 'restore-rows', dialect, database: to.name, input: file });
      if (to.count() !== rows) throw new Error('not all rows came back');
      to.drop();
      rmSync(file);
      say(`${dialect}, ${rows} rows: restore ${show(restore, rows)}`);
      peaks.push([backup, restore]);
    }
    for (const [i, what] of ['backup', 'restore'].entries()) {
      const [a, b] = [peaks[0]![i]!.peak, peaks[1]![i]!.peak];
      lines.push([`${dialect}: ${what}`, mib(a), mib(b), mib(b - a)]);
    }
  }
  say(`\n${table(['', `${small} rows`, `${large} rows`, 'difference'], lines)}`);
}

function mib(bytes: number): string {
  return (bytes / MiB).toFixed(0);
}

function show({ wall, cpu, peak }: Figures, rows: number): string {
  return `${mib(peak)} MiB, ${wall.toFixed(1)} s (${(rows / wall / 1000).toFixed(0)} thousand rows/s), ${cpu.toFixed(1)} s of CPU`;
}

if (mode === 'memory') memory(Number(first ?? 1e4), Number(second ?? 1e7));
else speed(Number(first ?? 1e6), Number(second ?? 3));
