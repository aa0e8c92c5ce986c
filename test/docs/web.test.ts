/** docs/web.md: the servers that it shows, and its tables of options and of statuses. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { makeApp, runTypeScript } from './app.ts';
import { codeBlocks, read, table } from './support.ts';

const PAGE = 'docs/web.md';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Runs a server of the page until it was asked. */
async function ask(t: Test, folder: string, script: string): Promise<number[]> {
  const port = await freePort();
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--import=tsx', '--no-warnings', script], {
    cwd: folder,
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  t.teardown(() => child.kill('SIGKILL'));
  try {
    for (;;) {
      const get = (headers: Record<string, string>) => fetch(`http://localhost:${port}/admin/backups`, { headers });
      const superuser = await get({ cookie: 'session=ada' }).catch(() => null);
      if (superuser) return [superuser.status, (await get({})).status];
      if (child.exitCode !== null) throw new Error(`${script} ended with ${child.exitCode}`);
      await pause(50);
    }
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

t.test('the servers', async (t) => {
  const app = await makeApp();
  t.teardown(() => rm(app.folder, { recursive: true, force: true }));
  const blocks = [PAGE, 'README.md', 'docs/library.md'].flatMap(codeBlocks);
  for (const { info, text, language } of blocks) if (language === 'ts' && info) await app.write(info, text);
  t.equal((await runTypeScript(app, 'seed.ts')).code, 0);
  const answers = await Promise.all(
    ['web-node.ts', 'web-fastify.ts', 'web-express.ts'].map((script) => ask(t, app.folder, script)),
  );
  // Nobody hangs a user onto Express's requests there.
  t.same(
    answers,
    [
      [200, 403],
      [200, 403],
      [403, 403],
    ],
    'let superusers in, and nobody else',
  );
});

t.test('the tables', async (t) => {
  const names = (text: string) => [...text.matchAll(/^ {2}'?(\w+)'?[,?:]/gm)].map(([, name]) => name);
  const source = read('lib/web/options.ts');
  const known = names(/const NAMES = \[([\s\S]*?)\];/.exec(source)![1]!);
  t.ok(known.length >= 10);
  t.same(
    table(PAGE, 'option', 'default')
      .flatMap(([name]) => name!.replaceAll('`', '').split(', '))
      .sort(),
    [...known].sort(),
    'every option',
  );
  const answers = read('lib/web/answers.ts');
  const statuses = new Set([...answers.matchAll(/\b([45]\d\d)\b[,;:? ]/g)].map(([, status]) => status));
  const told = new Set(table(PAGE, 'status', 'when').flatMap(([status]) => status!.split(', ')));
  t.same(
    [...statuses].filter((status) => !told.has(status!)),
    [],
    'every status',
  );
  const codes = [...read('docs/errors.md').matchAll(/`(ERR_WEB_\w+)` \|[^|]*\|[^|]*\| (\d{3}):/g)];
  t.ok(codes.length > 10);
  for (const [, code, status] of codes)
    t.equal(new RegExp(`${code}: (\\d+)`).exec(answers)?.[1] ?? '400', status, `${code} comes with ${status}`);
});
