/** The S3 server that test/services.mjs started, and a proxy before it that misbehaves on purpose. */
import { randomBytes } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Test } from 'tap';
import { loadSdk, S3Connection, type S3Tuning } from '../../lib/sinks/s3/client.ts';
import type { S3Settings } from '../../lib/sinks/s3/settings.ts';

export const ENDPOINT = process.env.S3_ENDPOINT ?? '';
export const REGION = process.env.AWS_REGION ?? 'default';

/** Quick attempts, so that what never succeeds is soon over. */
export const QUICK: S3Tuning = { retry: { attempts: 4, firstDelay: 20, maxDelay: 100 }, socketTimeout: 10_000 };

/** Says loudly that there is no server, and fails in CI. */
export function serverIsThere(t: Test): boolean {
  if (ENDPOINT) return true;
  const why =
    'CANNOT RUN: there is no S3 server. `npm test` starts one (test/services.mjs); or set S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.';
  if (process.env.CI) t.fail(why);
  else t.pass(why, { skip: why });
  return false;
}

let own: S3Client | undefined;

/** A client past everything that is tested. It keeps no process alive. */
export async function plainClient(): Promise<S3Client> {
  if (!own) {
    const place = { bucket: 'any', prefix: '' };
    own = (await S3Connection.open(place, { endpoint: ENDPOINT, region: REGION }, {})).client;
  }
  return own;
}

/** A bucket for a test file. It goes, with all that is in it. */
export async function makeBucket(t: Test, options: { lock?: boolean } = {}): Promise<string> {
  const sdk = await loadSdk();
  const client = await plainClient();
  const Bucket = `dbs-${randomBytes(8).toString('hex')}`;
  await client.send(
    new sdk.CreateBucketCommand({ Bucket, ...(options.lock ? { ObjectLockEnabledForBucket: true } : {}) }),
  );
  t.teardown(async () => {
    const { Versions = [], DeleteMarkers = [] } = await client.send(new sdk.ListObjectVersionsCommand({ Bucket }));
    for (const { Key, VersionId } of [...Versions, ...DeleteMarkers]) {
      await client.send(new sdk.DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true }));
    }
    await client.send(new sdk.DeleteBucketCommand({ Bucket }));
  });
  return Bucket;
}

/** What lies in a bucket: objects, and uploads that nobody completed. */
export async function contents(bucket: string): Promise<{ objects: string[]; uploads: string[] }> {
  const sdk = await loadSdk();
  const client = await plainClient();
  const [{ Uploads = [] }, { Contents = [] }] = await Promise.all([
    client.send(new sdk.ListMultipartUploadsCommand({ Bucket: bucket })),
    client.send(new sdk.ListObjectsV2Command({ Bucket: bucket })),
  ]);
  return { objects: Contents.map(({ Key }) => Key!), uploads: Uploads.map(({ Key }) => Key!) };
}

export const settings = (more: S3Settings = {}): S3Settings => ({ endpoint: ENDPOINT, region: REGION, ...more });

export type Kind =
  | 'create'
  | 'part'
  | 'complete'
  | 'abort'
  | 'uploads'
  | 'put'
  | 'head'
  | 'get'
  | 'list'
  | 'delete'
  | 'bucket';

export interface Asked {
  kind: Kind;
  /** How many of this kind came before. */
  before: number;
  part: number;
  headers: IncomingMessage['headers'];
}

/** What the proxy does instead of passing a request on. */
export type Mischief =
  | 'cut'
  | 'cut-in-request'
  | 'cut-before-answer'
  | 'cut-in-answer'
  | 'flip'
  | { delay: number }
  | { status: number; code?: string; body?: string; headers?: Record<string, string> };

export interface Proxy {
  url: string;
  asked: Asked[];
  /** What to do from now on; undefined passes everything on. */
  mischief: ((asked: Asked) => Mischief | undefined) | undefined;
}

/** A proxy for one test. */
export async function makeProxy(t: Test): Promise<Proxy> {
  const proxy: Proxy = { url: '', asked: [], mischief: undefined };
  const server = createServer((request, response) => {
    const asked = describe(request, proxy.asked);
    proxy.asked.push(asked);
    void pass(request, response, proxy.mischief?.(asked)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return proxy;
}

function describe(request: IncomingMessage, earlier: Asked[]): Asked {
  const { pathname, searchParams: query } = new URL(request.url!, 'http://x');
  const kinds: [Kind, boolean][] = [
    ['create', query.has('uploads') && request.method === 'POST'],
    ['uploads', query.has('uploads')],
    ['part', query.has('partNumber')],
    ['complete', query.has('uploadId') && request.method === 'POST'],
    ['abort', query.has('uploadId')],
    ['list', query.has('list-type')],
    ['bucket', pathname.split('/').filter(Boolean).length < 2],
  ];
  const kind = kinds.find(([, holds]) => holds)?.[0] ?? (request.method!.toLowerCase() as Kind);
  return {
    kind,
    before: earlier.filter((one) => one.kind === kind).length,
    part: Number(query.get('partNumber') ?? 0),
    headers: request.headers,
  };
}

async function pass(request: IncomingMessage, response: ServerResponse, mischief: Mischief | undefined): Promise<void> {
  // The request forgets it once it is over.
  const { socket } = request;
  if (mischief === 'cut') return void socket.destroy();
  if (mischief === 'cut-in-request') {
    let seen = 0;
    for await (const chunk of request) if ((seen += chunk.length) > 100_000) break;
    return void socket.destroy();
  }
  if (typeof mischief === 'object' && 'status' in mischief) {
    const { status, code = '', headers = {} } = mischief;
    const body =
      mischief.body ??
      (code ? `<?xml version="1.0"?><Error><Code>${code}</Code><Message>as asked</Message></Error>` : '');
    request.resume();
    response.writeHead(status, { 'content-type': 'application/xml', ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
    return;
  }
  if (typeof mischief === 'object') await sleep(mischief.delay);
  const { hostname, port } = new URL(ENDPOINT);
  const { expect: _, ...headers } = request.headers;
  const upstream = httpRequest({ hostname, port, method: request.method, path: request.url, headers });
  const answered = new Promise<IncomingMessage>((resolve, reject) =>
    upstream.on('response', resolve).on('error', reject),
  );
  // Where the client cuts first, nobody waits for it any more.
  answered.catch(() => {});
  request.on('error', () => upstream.destroy());
  let flipped = mischief !== 'flip';
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (!flipped) chunk[chunk.length >> 1]! ^= 4;
    flipped = true;
    if (!upstream.write(chunk)) await new Promise((resolve) => upstream.once('drain', resolve));
  }
  upstream.end();
  const answer = await answered;
  if (mischief === 'cut-before-answer') {
    answer.resume();
    return void socket.destroy();
  }
  response.writeHead(answer.statusCode!, answer.headers);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    if (mischief === 'cut-in-answer') {
      response.write(chunk.subarray(0, chunk.length >> 1));
      await sleep(20);
      return void socket.destroy();
    }
    if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
  }
  response.end();
}
