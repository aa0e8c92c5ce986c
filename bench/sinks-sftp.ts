/**
 * SFTP against OpenSSH's `sftp` command, through the same sshd on this machine, and the peak memory of a large file.
 * Run: node --import=tsx bench/sinks-sftp.ts [MiB for the throughput, default 1024] [rounds, default 3] [GiB for the memory, default 5]
 *
 * Both sides read and write real files of random bytes. Ours makes them durable (fsync), as `sftp -f` does and plain `sftp` does not. DBS_BENCH_DIR needs four times the
 * throughput's bytes, and once the memory's.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { SshTarget } from '../lib/sinks/sftp/targets.ts';
import { sftpDestination } from '../lib/sinks/sftp.ts';
import { type Sshd, startSshd } from '../test/support/sshd.ts';
import { median } from './support/run.ts';

const MiB = 2 ** 20;

interface Job {
  do: 'put' | 'get' | 'fill';
  target: SshTarget;
  file: string;
  bytes: number;
}

interface Outcome {
  /** Without the start of Node. */
  seconds: number;
  /** Seconds of all cores, of the client. */
  cpu: number;
}

/** In a process of its own. */
async function work({ do: what, target, file, bytes }: Job): Promise<Outcome & { peak: number }> {
  const place = await sftpDestination('sftp://bench/', { bench: target });
  // Loading ssh2 and connecting are not measured; what `sftp` needs for the latter is, some hundredths of a second.
  await place.stat('none');
  const [begun, before] = [performance.now(), process.cpuUsage()];
  if (what === 'get') {
    const source = await place.open('bench');
    // The pipeline asks for one when the last is written.
    const buffers = [Buffer.alloc(MiB), Buffer.alloc(MiB)];
    const chunks = async function* () {
      for (let at = 0; at < source.size; at += MiB) {
        const into = buffers[(at / MiB) % 2]!.subarray(0, source.size - at);
        await source.read(at, into);
        yield into;
      }
    };
    await pipeline(chunks, createWriteStream(file));
  } else {
    const writer = await place.sink('bench', { force: true }).create();
    const piece = Buffer.alloc(MiB, 0x5a);
    const same = function* () {
      for (let at = 0; at < bytes; at += MiB) yield piece;
    };
    const from = what === 'put' ? createReadStream(file, { highWaterMark: MiB }) : Readable.from(same());
    await pipeline(from, writer.stream);
    await writer.finish();
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(before);
  await place.close();
  const status = readFileSync('/proc/self/status', 'utf8');
  return { seconds, cpu: (user + system) / 1e6, peak: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024 };
}

function run(job: Job): Outcome & { peak: number } {
  const args = ['--import=tsx', '--no-warnings', import.meta.filename, JSON.stringify(job)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
}

function openssh({ target }: Sshd, batch: string, ...flags: string[]): Outcome {
  const begun = performance.now();
  const options = [
    '-o',
    `UserKnownHostsFile=${target.knownHosts}`,
    '-o',
    'IdentitiesOnly=yes',
    '-i',
    target.privateKeyPath!,
  ];
  const args = ['-q', ...flags, '-b', '-', '-P', String(target.port), ...options, `${target.username}@${target.host}`];
  // The shell says what the command and its ssh took.
  const { status, stderr } = spawnSync('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; time sftp "$@"', 'bash', ...args], {
    input: `${batch}\n`,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  const [, user, system] = /cpu ([\d.]+) ([\d.]+)/.exec(stderr)!;
  return { seconds: (performance.now() - begun) / 1000, cpu: Number(user) + Number(system) };
}

async function main(): Promise<void> {
  const bytes = Number(process.argv[2] ?? 1024) * MiB;
  const rounds = Number(process.argv[3] ?? 3);
  const large = Number(process.argv[4] ?? 5) * 1024 * MiB;
  const ends: (() => unknown)[] = [];
  process.env.TMPDIR = mkdtempSync(join(process.env.DBS_BENCH_DIR ?? tmpdir(), 'dbs-bench-sftp-'));
  try {
    const sshd = await startSshd({ teardown: (end: () => unknown) => void ends.push(end) } as never);
    const { target, dir, remoteDir } = sshd;
    const [file, down, remote] = [join(dir, 'local'), join(dir, 'down'), join(remoteDir, 'theirs')];
    const random = await open('/dev/urandom');
    await pipeline(random.createReadStream({ end: bytes - 1 }), createWriteStream(file));
    const times: Record<string, Outcome[]> = {};
    const note = (name: string, outcome: Outcome) => (times[name] ??= []).push(outcome);
    for (let round = 0; round < rounds; round++) {
      note('put: ours', run({ do: 'put', target, file, bytes }));
      note('put: sftp -f', openssh(sshd, `put ${file} ${remote}`, '-f'));
      note('put: sftp', openssh(sshd, `put ${file} ${remote}`));
      note('get: ours', run({ do: 'get', target, file: down, bytes }));
      note('get: sftp', openssh(sshd, `get ${remote} ${down}`));
      for (const path of [down, remote]) rmSync(path);
    }
    console.log(`${bytes / MiB} MiB, ${rounds} rounds, medians: seconds (all), MB/s, CPU seconds of the client`);
    for (const [name, all] of Object.entries(times)) {
      const seconds = median(all.map((one) => one.seconds));
      const list = all.map((one) => one.seconds.toFixed(2)).join(' ');
      const cpu = median(all.map((one) => one.cpu)).toFixed(2);
      console.log(
        `${name.padEnd(14)} ${seconds.toFixed(2)} (${list}), ${(bytes / 1e6 / seconds).toFixed(0)} MB/s, ${cpu}`,
      );
    }
    rmSync(file);
    for (const size of [20 * MiB, large]) {
      const { seconds, peak } = run({ do: 'fill', target, file: '', bytes: size });
      console.log(
        `peak memory of ${size / MiB} MiB written: ${peak.toFixed(0)} MiB, ${(size / 1e6 / seconds).toFixed(0)} MB/s`,
      );
    }
  } finally {
    for (const end of ends) await end();
    rmSync(process.env.TMPDIR!, { recursive: true, force: true });
  }
}

if (process.argv[2]?.startsWith('{')) console.log(JSON.stringify(await work(JSON.parse(process.argv[2]))));
else await main();
