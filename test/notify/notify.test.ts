/** Webhook and ping against a real server that is slow, broken, hanging, or rude. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { ping } from '../../lib/notify/ping.ts';
import { signWebhook, verifyWebhook } from '../../lib/notify/signature.ts';
import { sendWebhook } from '../../lib/notify/webhook.ts';

interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

let answer: (response: ServerResponse, attempt: number) => void = (response) => response.end();
let seen: Seen[] = [];
const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  seen.push({ method: request.method!, url: request.url!, headers: request.headers, body });
  answer(response, seen.length);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
t.teardown(() => {
  server.closeAllConnections();
  server.close();
});
t.beforeEach(() => {
  seen = [];
  answer = (response) => response.end();
});

const status =
  (code: number, headers = {}) =>
  (response: ServerResponse) =>
    response.writeHead(code, headers).end('no');
const failing = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not fail.');
};

t.test('a webhook', async (t) => {
  const secret = 'of the receiver';
  await sendWebhook({ type: 'run', ok: true }, { url: `${url}/hook/s3cret`, secret });
  t.equal(seen.length, 1);
  const { method, headers, body } = seen[0]!;
  t.equal(method, 'POST');
  t.equal(headers['content-type'], 'application/json');
  t.same(JSON.parse(body), { type: 'run', ok: true });
  t.equal(verifyWebhook(body, headers['dbs-signature'] as string, secret), true, 'is signed');
  await sendWebhook({}, { url });
  t.equal(seen[1]!.headers['dbs-signature'], undefined, 'unsigned without a secret');
});

t.test('signatures', async (t) => {
  const now = Date.parse('2026-03-01T00:00:00Z');
  const header = signWebhook('{"a":1}', 'secret', now);
  t.equal(header.startsWith(`t=${now / 1000},v1=`), true);
  t.equal(verifyWebhook('{"a":1}', header, 'secret', now + 60_000), true);
  t.equal(verifyWebhook('{"a":2}', header, 'secret', now), false, 'another body');
  t.equal(verifyWebhook('{"a":1}', header, 'other', now), false, 'another secret');
  t.equal(verifyWebhook('{"a":1}', header, 'secret', now + 301_000), false, 'too old');
  t.equal(
    verifyWebhook('{"a":1}', header.replace(/t=\d+/, `t=${now / 1000 + 1}`), 'secret', now),
    false,
    'another time',
  );
  for (const bad of [undefined, '', 't=1,v1=00', `x${header}`])
    t.equal(verifyWebhook('{"a":1}', bad, 'secret', now), false);
  t.equal(verifyWebhook('', signWebhook('', '', now), '', now), false, 'an empty secret opens nothing');
});

t.test('what passes is tried again', async (t) => {
  answer = (response, attempt) => (attempt < 3 ? status(500)(response) : response.end());
  await sendWebhook({}, { url, pause: 5 });
  t.equal(seen.length, 3);
  t.equal(new Set(seen.map(({ headers }) => headers['dbs-delivery'])).size, 1, 'under one delivery number');
  seen = [];
  answer = (response, attempt) => status(attempt === 1 ? 429 : 200, { 'retry-after': '1' })(response);
  await sendWebhook({}, { url, pause: 60_000 });
  t.equal(seen.length, 2, 'after the time that the server asks for');
});

t.test('what does not pass', async (t) => {
  answer = status(500);
  t.match(await failing(sendWebhook({}, { url: `${url}/s3cret`, retries: 2, pause: 5 })), {
    message: /^127\.0\.0\.1:\d+ answers with status 500, 3 times$/,
  });
  t.equal(seen.length, 3);
  for (const [code, text] of [
    [404, /status 404$/],
    [302, /redirect \(302\)$/],
  ] as const) {
    seen = [];
    answer = status(code, { location: 'http://127.0.0.1:1/' });
    t.match(await failing(sendWebhook({}, { url, pause: 5 })), { message: text });
    t.equal(seen.length, 1, `${code} is final`);
  }
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  await new Promise((done) => closed.close(done));
  t.match(await failing(sendWebhook({}, { url: `http://127.0.0.1:${port}/s3cret`, retries: 1, pause: 5 })), {
    message: /^127\.0\.0\.1:\d+ cannot be reached \(ECONNREFUSED\), 2 times$/,
  });
});

t.test('a server that hangs', async (t) => {
  answer = () => {};
  t.match(await failing(sendWebhook({}, { url, timeout: 200, retries: 1, pause: 5 })), {
    message: /did not answer within 0\.2 s, 2 times$/,
  });
  const stop = new AbortController();
  const hanging = failing(sendWebhook({}, { url, timeout: 600_000, signal: stop.signal }));
  await setTimeout(50);
  stop.abort(new Error('SIGTERM'));
  t.match(await hanging, { message: 'SIGTERM' }, 'an abort ends it');
  seen = [];
  answer = status(500);
  const pausing = new AbortController();
  const paused = failing(sendWebhook({}, { url, pause: 600_000, signal: pausing.signal }));
  while (seen.length === 0) await setTimeout(10);
  pausing.abort(new Error('SIGTERM'));
  t.match(await paused, { message: 'SIGTERM' }, 'also between two attempts');
});

t.test('an answer without end is not read', async (t) => {
  let closed = false;
  answer = (response) => {
    response.on('close', () => (closed = true));
    response.writeHead(200);
    const more = () => {
      while (!closed && response.write(Buffer.alloc(65_536)));
      if (!closed) response.once('drain', more);
    };
    more();
  };
  await sendWebhook({}, { url });
  while (!closed) await setTimeout(10);
  t.pass('the connection was let go');
});

t.test('a ping', async (t) => {
  await ping('start', '', { url: `${url}/ab-cd/` });
  await ping('success', '12 rows', { url: `${url}/ab-cd` });
  await ping('fail', 'ERR_SINK_FULL', { url: `${url}/ab-cd?create=1` });
  t.same(
    seen.map(({ url, body }) => [url, body]),
    [
      ['/ab-cd/start', ''],
      ['/ab-cd', '12 rows'],
      ['/ab-cd/fail?create=1', 'ERR_SINK_FULL'],
    ],
  );
  seen = [];
  answer = status(503);
  await failing(ping('start', '', { url, pause: 5 }));
  t.equal(seen.length, 1, 'a start is tried once: the backup waits for it');
});
