/** A real OpenSSH server for one suite: its own host keys, its own authorized keys, a free port. Nothing of the machine's own is touched. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { SshTarget } from '../../lib/sinks/sftp/targets.ts';

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd'].find(existsSync);

export interface Sshd {
  port: number;
  /** Where keys, known_hosts and the log are. */
  dir: string;
  /** An empty folder to write to. */
  remoteDir: string;
  /** How a client that may log in names it. */
  target: SshTarget;
  /** Connections that are open are cut, too. */
  stop(): Promise<void>;
  start(): Promise<void>;
  pid(): number;
}

/** A new key pair; `path` and `path.pub`. */
export function keygen(path: string, type = 'ed25519', passphrase = ''): void {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'dbs-test', '-f', path]);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The reason why there can be no server here, or nothing. */
export function cannotRun(): string | undefined {
  return SSHD ? undefined : 'CANNOT RUN: there is no sshd here (apt-get install openssh-server)';
}

/**
 * Starts a server; it ends with the test.
 * @param config more lines for sshd_config
 */
export async function startSshd(t: Pick<Test, 'teardown'>, config: string[] = []): Promise<Sshd> {
  const dir = mkdtempSync(join(tmpdir(), 'dbs-sshd-'));
  const remoteDir = join(dir, 'remote');
  mkdirSync(remoteDir);
  keygen(join(dir, 'host_ed25519'));
  keygen(join(dir, 'host_rsa'), 'rsa');
  keygen(join(dir, 'user'));
  writeFileSync(join(dir, 'authorized_keys'), readFileSync(join(dir, 'user.pub')));
  const port = await freePort();
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${dir}/host_ed25519`,
    `HostKey ${dir}/host_rsa`,
    'PidFile none',
    `AuthorizedKeysFile ${dir}/authorized_keys`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 100',
    'MaxAuthTries 10',
    'Subsystem sftp internal-sftp',
    'LogLevel ERROR',
    ...config,
  ];
  writeFileSync(join(dir, 'sshd_config'), `${lines.join('\n')}\n`);
  const keys = ['ed25519', 'rsa'].map((type) => readFileSync(join(dir, `host_${type}.pub`), 'utf8'));
  writeFileSync(join(dir, 'known_hosts'), keys.map((key) => `[127.0.0.1]:${port} ${key}`).join(''));
  let server: ChildProcess | undefined;
  const start = async () => {
    // The folder that privilege separation wants; systemd would make it.
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
    // A group of its own, so that its connections end with it.
    server = spawn(SSHD!, ['-D', '-E', join(dir, 'log'), '-f', join(dir, 'sshd_config')], {
      stdio: 'ignore',
      detached: true,
    });
    await answering(port, server, join(dir, 'log'));
  };
  const stop = async () => {
    const { pid } = server ?? {};
    if (!pid || server!.exitCode !== null) return;
    const ended = new Promise((resolve) => server!.once('exit', resolve));
    for (const child of descendants(pid)) kill(child);
    kill(pid);
    await ended;
  };
  t.teardown(async () => {
    await stop();
    rmSync(dir, { recursive: true, force: true });
  });
  await start();
  const target: SshTarget = {
    host: '127.0.0.1',
    port,
    username: userInfo().username,
    privateKeyPath: join(dir, 'user'),
    knownHosts: join(dir, 'known_hosts'),
    remoteDir,
  };
  return { port, dir, remoteDir, target, stop, start, pid: () => server!.pid! };
}

async function answering(port: number, server: ChildProcess, log: string): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (server.exitCode !== null) throw new Error(`sshd ended: ${existsSync(log) ? readFileSync(log, 'utf8') : ''}`);
    const answers = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('data', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => resolve(false)).setTimeout(5000, () => resolve(false));
      socket.once('data', () => socket.destroy());
    });
    if (answers) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('sshd does not answer');
}

/** sshd makes a session of its own for every connection, so that a process group does not reach them. */
export function descendants(pid: number): number[] {
  const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return children.stdout
    .split('\n')
    .filter((line) => line.trim())
    .flatMap((line) => [...descendants(Number(line)), Number(line)]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
