/**
 * Sinks: throughput to S3 against the AWS SDK's plain upload of the same bytes, and peak memory of a large container through each sink.
 * Run: node --import=tsx bench/sinks.ts [MiB for the throughput, default 256] [rounds, default 3] [GiB for the memory, default 5]
 *
 * S3 is Ceph, as the tests start it (its packages must be there), or what S3_ENDPOINT names; Ceph keeps 4 GiB in memory, so that the large one goes to a server that counts bytes
 * and forgets them (support/fake-s3.ts). The folder needs as many GiB (DBS_BENCH_DIR). A sink that is added has its lines in `throughput` and `places`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { prepare } from '../test/services.mjs';
import type { Outcome } from './support/measured.ts';
import { MiB, machine, median, runSinkJob, say, table, workFolder } from './support/run.ts';
import type { SinkJob } from './support/sink-job.ts';

const bytes = Number(process.argv[2] ?? 256) * MiB;
const rounds = Number(process.argv[3] ?? 3);
const large = Number(process.argv[4] ?? 5) * 1024 * MiB;
const small = 20 * MiB;
const folder = workFolder();
const keys = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench-secret' };

async function throughput(): Promise<void> {
  const services = await prepare(['test/sinks/s3.test.ts']);
  for (const { name, why } of services.missing) return say(`not run: ${name}: ${why}`);
  Object.assign(process.env, services.env);
  const s3 = { endpoint: process.env.S3_ENDPOINT!, region: process.env.AWS_REGION ?? 'us-east-1' };
  const client = new S3Client({ ...s3, forcePathStyle: true });
  const Bucket = `dbs-bench-${process.pid}`;
  await client.send(new CreateBucketCommand({ Bucket }));
  const tasks = (['write', 'plain-s3'] as const).map((what) => ({ what, outcomes: [] as Outcome[] }));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { what, outcomes } of tasks) {
        outcomes.push(runSinkJob({ do: what, url: `s3://${Bucket}/`, bytes, s3 }));
        for (const Key of ['bench.dbs', 'plain']) await client.send(new DeleteObjectCommand({ Bucket, Key }));
      }
    }
  } finally {
    await client.send(new DeleteBucketCommand({ Bucket }));
    client.destroy();
    services.stop();
  }
  const rows = tasks.map(({ what, outcomes }) => {
    const [wall, cpu] = [median(outcomes.map((o) => o.wall)), median(outcomes.map((o) => o.cpu))];
    const peak = Math.max(...outcomes.map((o) => o.peak));
    const name = what === 'write' ? 's3Destination' : "the SDK's own, in parts";
    return [name, wall.toFixed(2), (bytes / 1e6 / wall).toFixed(0), cpu.toFixed(2), (peak / MiB).toFixed(0)];
  });
  say(`\nS3 (Ceph on this machine), ${bytes / MiB} MiB, median of ${rounds}\n`);
  say(table(['', 'seconds', 'MB/s', 'CPU seconds', 'peak MiB'], rows));
  const [ours, theirs] = tasks.map(({ outcomes }) => median(outcomes.map((o) => o.wall)));
  say(`\n${(ours! / theirs!).toFixed(2)} times the time of the SDK's own; at most 1.3 is the goal.`);
}

async function memory(): Promise<void> {
  const fake = spawn(process.execPath, ['--import=tsx', join(import.meta.dirname, 'support/fake-s3.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  process.on('exit', () => fake.kill());
  const [address] = await once(fake.stdout, 'data');
  Object.assign(process.env, keys);
  const local = join(folder, 'place');
  mkdirSync(local);
  const s3 = { endpoint: String(address).trim(), region: 'us-east-1' };
  const places: [string, Omit<SinkJob, 'do' | 'bytes'>][] = [
    ['a folder', { url: local }],
    ['S3 (a server that counts and forgets)', { url: 's3://bench/', s3 }],
  ];
  say(`\nPeak resident memory in MiB\n`);
  const bare = runSinkJob({ do: 'nothing', url: local, bytes: 0 }).peak / MiB;
  const rows = places.map(([name, job]) => {
    const [a, b] = [small, large].map((bytes) => runSinkJob({ do: 'write', ...job, bytes }));
    rmSync(join(local, 'bench.dbs'), { force: true });
    const [low, high] = [a!.peak / MiB, b!.peak / MiB];
    const speed = (large / 1e6 / b!.wall).toFixed(0);
    return [name, low.toFixed(0), high.toFixed(0), (high - low).toFixed(0), speed];
  });
  say(table(['', `${small / MiB} MiB`, `${large / MiB} MiB`, 'difference', 'MB/s'], rows));
  say(`\nThe process with the library loaded, doing nothing: ${bare.toFixed(0)} MiB`);
  fake.stdin.end();
}

// The SDK's advice about the version of Node.js, in its own upload.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
say(machine());
await throughput();
await memory();
