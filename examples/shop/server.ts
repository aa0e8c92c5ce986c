/**
 * The shop's backups in a browser. The login is a toy: one password, made at each start. Your app has a real one, and `authorize` asks it.
 *
 *   node --import=tsx create.ts
 *   node --import=tsx server.ts
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { MikroORM } from '@mikro-orm/libsql';
import { createBackupHandler, toNodeListener } from 'mikro-orm-dbs/web';
import config from './mikro-orm.config.ts';

const BASE = '/admin/backups';
const password = process.env.SHOP_PASSWORD ?? randomBytes(6).toString('hex');
const sessions = new Set<string>();

const orm = await MikroORM.init(config);
const backups = createBackupHandler<IncomingMessage>(orm, {
  basePath: BASE,
  authorize: (_request, incoming) => sessions.has(sessionOf(incoming)),
  onError: (error) => console.error(error),
});
const listener = toNodeListener(backups);

function sessionOf({ headers }: IncomingMessage): string {
  return /(?:^|; )shop=([\w-]+)/.exec(headers.cookie ?? '')?.[1] ?? '';
}

const LOGIN = `<!doctype html>
<html lang="en"><title>Shop: log in</title><h1>Shop: log in</h1>
<form method="post"><label>Password <input type="password" name="password" autofocus></label> <button>Log in</button></form></html>`;

async function login(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const given = incoming.method === 'POST' ? new URLSearchParams(await text(incoming)).get('password') : null;
  if (given !== password) {
    outgoing.writeHead(given === null ? 200 : 403, { 'Content-Type': 'text/html' }).end(LOGIN);
    return;
  }
  const session = randomUUID();
  sessions.add(session);
  const cookie = `shop=${session}; Path=/; HttpOnly; SameSite=Lax`;
  outgoing.writeHead(303, { Location: BASE, 'Set-Cookie': cookie }).end();
}

const server = createServer((incoming, outgoing) => {
  if (incoming.url === BASE || incoming.url?.startsWith(`${BASE}/`)) listener(incoming, outgoing);
  else login(incoming, outgoing).catch(() => outgoing.destroy());
});
// An upload may take longer than the five minutes that Node gives a request.
server.requestTimeout = 0;
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
await once(server, 'listening');
console.log(`http://localhost:${(server.address() as AddressInfo).port}/login, password ${password}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    server.close();
    server.closeAllConnections();
    await backups.close();
    await orm.close(true);
  });
}
