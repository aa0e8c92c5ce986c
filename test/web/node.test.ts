/** The listener for Node's http, with real connections: pace, breaks, refusals, and the frameworks that it is mounted in. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import express, { type Request as ExpressRequest } from 'express';
import fastify from 'fastify';
import t, { type Test } from 'tap';
import { validateBackup } from '../../lib/index.ts';
import { type BackupHandler, createBackupHandler, toNodeListener } from '../../lib/web/index.ts';
import {
  BASE,
  backupOf,
  handlerOf,
  openApp,
  PASSPHRASE,
  rowsOf,
  spooled,
  until,
  untilFree,
  uploadIn,
  withLocks,
} from './support.ts';

async function listen(t: Test, listener: RequestListener | Server): Promise<string> {
  const server = listener instanceof Server ? listener : createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a form needs. */
async function visit(origin: string, base = BASE): Promise<{ cookie: string; csrf: string }> {
  const response = await fetch(`${origin}${base}`);
  const cookie = response.headers.getSetCookie()[0]!.split(';', 1)[0]!;
  return { cookie, csrf: /name="csrf" value="([^"]+)"/.exec(await response.text())![1]! };
}

/** A download, as it comes in: paused until it is read. */
async function download(origin: string): Promise<IncomingMessage> {
  const { cookie, csrf } = await visit(origin);
  const form = new URLSearchParams({ csrf, passphrase: PASSPHRASE, repeat: PASSPHRASE });
  const sent = httpRequest(`${origin}${BASE}/download`, {
    method: 'POST',
    headers: { cookie, 'content-type': 'application/x-www-form-urlencoded' },
  });
  sent.end(form.toString());
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

async function upload(origin: string, bytes: Buffer, base = BASE): Promise<Response> {
  const { cookie, csrf } = await visit(origin, base);
  const form = new FormData();
  form.set('csrf', csrf);
  form.set('passphrase', PASSPHRASE);
  form.set('backup', new Blob([bytes]), 'a.dbs');
  return fetch(`${origin}${base}/upload`, { method: 'POST', body: form, headers: { cookie } });
}

t.test('down and up', async (t) => {
  const orm = await openApp(t);
  const origin = await listen(t, toNodeListener(handlerOf(t, orm)));
  const response = await download(origin);
  t.equal(response.statusCode, 200);
  t.match(response.headers, { 'transfer-encoding': 'chunked', 'cache-control': /no-store/ });
  t.notOk(response.headers['content-length']);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  t.match(await validateBackup(bytes, PASSPHRASE), { ok: true, damaged: false });
  const page = await upload(origin, bytes);
  t.match([page.status, await page.text()], [200, /The backup is whole/]);
});

/** More than what lies between the two copies of a block, and in the buffers of sockets. */
const large = await openApp(t, { bytes: 32 << 20, rows: 64, dbs: { lock: { lease: '1s' } } });

/** Counts what is asked of the handler, and asks for no more than the listener does. */
function counting(handler: BackupHandler, count: (bytes: number) => void): BackupHandler {
  const counted = async (request: Request, context: unknown) => {
    const response = await handler(request, context);
    const reader = response.body!.getReader();
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          count(value.length);
          controller.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(body, response);
  };
  return Object.assign(counted, { close: handler.close });
}

t.test('a slow reader', async (t) => {
  let [asked, read] = [0, 0];
  const handler = handlerOf(t, large, { onEvent: (event) => event.type === 'entity' && (read += event.rows) });
  const response = await download(await listen(t, toNodeListener(counting(handler, (bytes) => (asked += bytes)))));
  for (let before = -1; before < asked; await pause(1000)) before = asked;
  t.ok(asked > 0 && asked < 32 << 20, `after ${asked} bytes it waits for the client`);
  t.equal(read, 0, 'and the table is not read to its end');
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  t.equal(read, 64);
  t.ok(response.complete && bytes > 64 << 20, `all of ${bytes} bytes came`);
});

t.test('a transfer that breaks', async (t) => {
  const broken: unknown[] = [];
  const origin = await listen(t, toNodeListener(handlerOf(t, large, { onError: (error) => broken.push(error) })));

  const response = await download(origin);
  await withLocks(large, "UPDATE dbs_lock SET owner = 'thief', fence = fence + 1, expires_at = 0");
  await until(() => broken.length > 0);
  t.match(broken, [{ code: 'ERR_LOCK_LOST' }]);
  await t.rejects(async () => {
    for await (const _ of response);
  }, 'the client sees a broken connection');
  t.equal(response.complete, false, 'and no end');

  const left = await download(origin);
  left.destroy();
  await untilFree(large);
  t.equal(broken.length, 1, 'who goes away is no error');
});

t.test('uploads that end early', async (t) => {
  const orm = await openApp(t);
  const origin = await listen(t, toNodeListener(handlerOf(t, orm, { maxUploadBytes: 1000 })));
  const bytes = Buffer.alloc(5 << 20);
  const refused = await upload(origin, bytes);
  t.match([refused.status, await refused.text()], [413, /ERR_WEB_TOO_LARGE/], 'a refusal reaches who is still sending');

  const field = (name: string, value: string) =>
    `--B\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const file = '--B\r\nContent-Disposition: form-data; name="backup"; filename="a"\r\n\r\n';
  const head = (cookie: string, length: number) =>
    `POST ${BASE}/upload HTTP/1.1\r\nHost: x\r\nCookie: ${cookie}\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: ${length}\r\n\r\n`;

  // As browsers do: the answer is read when all is sent. Refused it is after the first field.
  const patient = await listen(t, toNodeListener(handlerOf(t, orm)));
  const browser = connect(Number(new URL(patient).port), '127.0.0.1');
  browser.pause();
  const start = field('csrf', 'x') + file;
  browser.write(head('', start.length + bytes.length) + start);
  for (let at = 0; at < bytes.length; at += 1 << 20) {
    await new Promise<void>((sent) => browser.write(bytes.subarray(at, at + (1 << 20)), () => sent()));
    await pause(50);
  }
  browser.end();
  t.match(await text(browser), /^HTTP\/1\.1 403 /, 'or has sent everything');

  const { cookie, csrf } = await visit(origin);
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  socket.write(`${head(cookie, 900)}${field('csrf', csrf)}${field('passphrase', 'x')}${file}DBS`);
  await until(() => spooled() > 0);
  socket.destroy();
  await until(() => spooled() === 0);
  t.pass('nothing of an upload is kept whose sender went away');
});

t.test('requests that are odd', async (t) => {
  const orm = await openApp(t);
  const origin = await listen(t, toNodeListener(handlerOf(t, orm)));
  const raw = async (lines: string) => {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1');
    socket.end(lines);
    return text(socket);
  };
  t.match(await raw(`GET ${BASE} HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 (200|400)/);
  t.match(await raw(`GET //evil.test${BASE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 404/);
  t.match(await raw(`GET http://evil.test${BASE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 \d/);
  t.match(
    await raw(`HEAD ${BASE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n$/,
  );
  const failing = await listen(
    t,
    toNodeListener(async () => {
      throw new Error('a bug');
    }),
  );
  await t.rejects(fetch(failing), 'a handler that throws: the connection ends, and not the process');
});

t.test('Express', async (t) => {
  const orm = await openApp(t);
  const users: unknown[] = [];
  const handler = createBackupHandler<ExpressRequest & { user?: string }>(orm, {
    basePath: BASE,
    authorize: (_, request) => {
      users.push(request.user);
      return request.user === 'ada';
    },
  });
  t.teardown(() => handler.close());
  const app = express();
  app.set('trust proxy', 'loopback');
  app.use((request: ExpressRequest & { user?: string }, _, next) => {
    request.user = 'ada';
    next();
  });
  app.use(BASE, toNodeListener(handler));
  app.use(express.urlencoded(), (_, response) => void response.send('the app'));
  const origin = await listen(t, app);
  const before = await rowsOf(orm);
  const page = await upload(origin, await backupOf(orm));
  t.match([page.status, users], [200, ['ada', 'ada']], 'authorize sees what the app knows');
  const body = await page.text();
  t.match(body, /The backup is whole/);
  t.ok(uploadIn(body));
  t.same(await rowsOf(orm), before);
  const proxied = await fetch(`${origin}${BASE}`, { headers: { 'x-forwarded-proto': 'https' } });
  t.match(proxied.headers.getSetCookie(), [/^__Host-dbs=.*Secure/], 'a proxy that the app trusts is believed');
  t.equal(await (await fetch(`${origin}/other`)).text(), 'the app', 'other addresses are the app’s');

  const late = express();
  late.use(express.urlencoded(), toNodeListener(handlerOf(t, orm)));
  const wrong = await download(await listen(t, late));
  t.match(
    [wrong.statusCode, await text(wrong)],
    [500, /ERR_WEB_BODY_CONSUMED/],
    'behind a parser of bodies it says so',
  );
});

t.test('Fastify', async (t) => {
  const orm = await openApp(t);
  const listener = toNodeListener(handlerOf(t, orm));
  const app = fastify();
  t.teardown(() => app.close());
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const hand = (request: { raw: IncomingMessage }, reply: { hijack(): void; raw: never }) => {
      reply.hijack();
      listener(request.raw, reply.raw);
    };
    scope.all(BASE, hand as never);
    scope.all(`${BASE}/*`, hand as never);
  });
  const origin = await app.listen({ port: 0, host: '127.0.0.1' });
  const page = await upload(origin, await backupOf(orm));
  t.match([page.status, await page.text()], [200, /The backup is whole/]);
});
