/**
 * Bytes into one sink, in a process of its own, run by plain Node on compiled code. Argument: a SinkJob as JSON. Prints an Outcome as JSON.
 * A new kind of destination adds one line to `places`.
 */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Destination, FileDestination, type S3Settings, s3Destination } from '../../lib/index.ts';
import { measured } from './measured.ts';

export interface SinkJob {
  /** `plain-s3`: the same bytes, in parts of the same size, as many at once, by the AWS SDK alone. */
  do: 'nothing' | 'write' | 'plain-s3';
  /** Of the destination: a folder, `s3://bucket/prefix/`. */
  url: string;
  bytes: number;
  s3?: S3Settings;
}

const places: [RegExp, (job: SinkJob) => Promise<Destination>][] = [
  [/^s3:/, ({ url, s3 }) => s3Destination(url, s3)],
  [/^/, async ({ url }) => new FileDestination(url)],
];

function* bytesOf(length: number): Generator<Buffer> {
  const chunk = randomBytes(1 << 20);
  for (let at = 0; at < length; at += chunk.length) yield chunk.subarray(0, Math.min(chunk.length, length - at));
}

async function write(job: SinkJob): Promise<object> {
  const open = places.find(([scheme]) => scheme.test(job.url))![1];
  const at = await open(job);
  const writer = await at.sink('bench.dbs', { force: true }).create();
  await pipeline(Readable.from(bytesOf(job.bytes), { highWaterMark: 1 }), writer.stream);
  await writer.finish();
  const stored = (await at.stat('bench.dbs'))?.size;
  await at.close();
  if (stored !== job.bytes) throw new Error(`${stored} bytes are there, and ${job.bytes} were sent`);
  return { stored };
}

/** As a multipart upload is written by hand: parts from a reused buffer would be changed while they are sent, so each has its own. */
async function plain({ url, bytes, s3 = {} }: SinkJob): Promise<object> {
  const sdk = await import('@aws-sdk/client-s3');
  const [, Bucket, prefix] = /^s3:\/\/([^/]+)\/(.*)$/.exec(url)!;
  const target = { Bucket: Bucket!, Key: `${prefix}plain` };
  const { partSize = 5 << 20, parallelParts = 4 } = s3;
  const client = new sdk.S3Client({ endpoint: s3.endpoint!, region: s3.region!, forcePathStyle: true });
  const { UploadId } = await client.send(new sdk.CreateMultipartUploadCommand(target));
  const Parts: { PartNumber: number; ETag: string }[] = [];
  const underWay = new Set<Promise<void>>();
  const send = async (PartNumber: number, Body: Buffer) => {
    if (underWay.size >= parallelParts) await Promise.race(underWay);
    const sent: Promise<void> = client
      .send(new sdk.UploadPartCommand({ ...target, UploadId, PartNumber, Body }))
      .then(({ ETag }) => {
        Parts.push({ PartNumber, ETag: ETag! });
        underWay.delete(sent);
      });
    underWay.add(sent);
  };
  let [part, filled, number] = [Buffer.allocUnsafe(partSize), 0, 1];
  for (const chunk of bytesOf(bytes)) {
    for (let at = 0; at < chunk.length; ) {
      const copied = chunk.copy(part, filled, at);
      [at, filled] = [at + copied, filled + copied];
      if (filled < partSize) continue;
      await send(number++, part);
      [part, filled] = [Buffer.allocUnsafe(partSize), 0];
    }
  }
  if (filled > 0) await send(number, part.subarray(0, filled));
  await Promise.all(underWay);
  Parts.sort((a, b) => a.PartNumber - b.PartNumber);
  await client.send(new sdk.CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }));
  client.destroy();
  return { parts: Parts.length };
}

const job = JSON.parse(process.argv[2]!) as SinkJob;
const work = { nothing: async () => ({}), write: () => write(job), 'plain-s3': () => plain(job) }[job.do];
process.stdout.write(JSON.stringify(await measured(work)));
