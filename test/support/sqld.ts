/** Real libSQL servers for tests: one process and one folder each, on loopback. test/services.mjs says where the program is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

export const program = process.env.DBS_TEST_SQLD;

export interface Server {
  url: string;
  /** Kills it as a crash would; `again` starts it on the same data and port. */
  kill(): Promise<void>;
  again(): Promise<void>;
}

const running = new Set<ChildProcess>();
const folders: string[] = [];
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

/** @param options further ones of sqld */
export async function startServer(options: string[] = []): Promise<Server> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'dbs-sqld-'));
  folders.push(folder);
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    child = spawn(program!, ['--db-path', folder, '--http-listen-addr', `127.0.0.1:${port}`, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(`${folder}/log`, { flags: 'a' });
    child.stdout!.pipe(log, { end: false });
    child.stderr!.pipe(log, { end: false });
    running.add(child);
    for (let left = 100; ; left--) {
      const answer = await fetch(`${url}/health`).catch(() => undefined);
      if (answer?.ok) return;
      if (!left || child.exitCode !== null)
        throw new Error(`sqld did not start: ${readFileSync(`${folder}/log`, 'utf8').slice(-500)}`);
      await setTimeout(100);
    }
  };
  const kill = async () => {
    if (!running.delete(child)) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  };
  await start();
  return { url, kill, again: start };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
