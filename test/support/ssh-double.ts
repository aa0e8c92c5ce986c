/**
 * An SFTP server that does what it is told, right or wrong: ssh2's own, with files in memory and none of OpenSSH's extensions. For what a real server does too
 * rarely to be waited for.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2, { type Connection, type SFTPWrapper } from 'ssh2';
import type { Test } from 'tap';
import type { SshTarget } from '../../lib/sinks/sftp/targets.ts';
import { keygen } from './sshd.ts';

/** What happens to a request instead of a right answer: nothing is done and the line is cut, it is done and the line is cut, no answer ever, a number, nonsense. */
export type Fault = 'cut' | 'done-and-cut' | 'silence' | 'nonsense' | 'garbage' | { status: number; message?: string };

export interface Request {
  /** OPEN, WRITE, ... */
  kind: string;
  path: string;
  /** Over all connections, from 1. */
  count: number;
}

export interface SshDouble {
  target: SshTarget;
  files: Map<string, Buffer>;
  folders: Set<string>;
  /** Requests so far. */
  readonly count: number;
  connections: number;
  /** Asked for each request. */
  fault: (request: Request) => Fault | undefined;
  /** Milliseconds before each answer. */
  delay: number;
  /** Whether a rename replaces what has the name. */
  renameReplaces: boolean;
  password: string;
  /** Offers keyboard-interactive only. */
  keyboard: boolean;
  /** Offers no SFTP. */
  noSftp: boolean;
}

const OK = 0;
const EOF = 1;
const NO_SUCH_FILE = 2;
const FAILURE = 4;
const FILE = 0o100600;
const FOLDER = 0o040700;

export async function startDouble(t: Pick<Test, 'teardown'>): Promise<SshDouble> {
  const dir = mkdtempSync(join(tmpdir(), 'dbs-ssh-double-'));
  keygen(join(dir, 'host'));
  const sockets = new Set<Socket>();
  let count = 0;
  const double: SshDouble = {
    target: { host: '127.0.0.1', username: 'me', passwordEnv: 'DBS_TEST_PASSWORD', remoteDir: '/backups' },
    files: new Map(),
    folders: new Set(['/', '/backups']),
    get count() {
      return count;
    },
    connections: 0,
    fault: () => undefined,
    delay: 0,
    renameReplaces: false,
    password: 'right',
    keyboard: false,
    noSftp: false,
  };
  process.env.DBS_TEST_PASSWORD = 'right';
  const server = new ssh2.Server({ hostKeys: [readFileSync(join(dir, 'host'))] }, (connection) => {
    double.connections++;
    connection.on('error', () => {});
    authenticate(connection, double);
    connection.on('session', (accept) => {
      const session = accept();
      if (double.noSftp) return;
      session.on('sftp', (accept) => serve(accept(), double, () => ++count, cut(connection)));
    });
  });
  // Sockets that never spoke are ended, too.
  (server as unknown as { _srv: { on(event: 'connection', heard: (socket: Socket) => void): void } })._srv.on(
    'connection',
    (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  double.target.port = (server.address() as { port: number }).port;
  double.target.hostKey = readFileSync(join(dir, 'host.pub'), 'utf8').trim();
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    rmSync(dir, { recursive: true });
  });
  return double;
}

function cut(connection: Connection): () => void {
  return () => (connection as unknown as { _sock: Socket })._sock.destroy();
}

function authenticate(connection: Connection, double: SshDouble): void {
  connection.on('authentication', (context) => {
    const method = double.keyboard ? 'keyboard-interactive' : 'password';
    if (context.method === 'password' && !double.keyboard && context.password === double.password)
      return context.accept();
    if (context.method !== 'keyboard-interactive' || !double.keyboard) return context.reject([method]);
    context.prompt([{ prompt: 'Password: ', echo: false }], (answers) =>
      answers[0] === double.password ? context.accept() : context.reject([method]),
    );
  });
}

interface Handle {
  path: string;
  /** Names that a folder's reader has not been given. */
  names?: string[] | undefined;
}

function serve(sftp: SFTPWrapper, double: SshDouble, next: () => number, cut: () => void): void {
  const { files, folders } = double;
  const handles = new Map<string, Handle>();
  const rooms = new WeakMap<Buffer, Buffer>();
  const open = (handle: Handle): Buffer => {
    const id = Buffer.from(`h${handles.size}`);
    handles.set(String(id), handle);
    return id;
  };
  const pathOf = (handle: Buffer) => handles.get(String(handle))?.path ?? '?';
  const facts = (path: string) => {
    const size = files.get(path)?.length;
    if (size === undefined && !folders.has(path)) return undefined;
    return { mode: size === undefined ? FOLDER : FILE, uid: 0, gid: 0, size: size ?? 0, atime: 1e9, mtime: 1e9 };
  };
  const parent = (path: string) => path.slice(0, path.lastIndexOf('/')) || '/';

  /** Requests are done in their order; answers wait for their delay. */
  const on = (kind: string, path: (...args: never[]) => string, work: (id: number, ...args: never[]) => () => void) => {
    sftp.on(kind as 'OPEN', (id: number, ...args: unknown[]) => {
      const fault = double.fault({ kind, path: path(...(args as never[])), count: next() });
      if (fault === 'cut') return cut();
      if (fault === 'silence') return;
      const answer =
        fault === 'nonsense'
          ? // A right answer to another question.
            () => (kind === 'OPEN' || kind.endsWith('STAT') ? sftp.status(id, OK) : sftp.name(id, []))
          : fault === 'garbage'
            ? () => garbage(sftp)
            : typeof fault === 'object'
              ? () => sftp.status(id, fault.status, fault.message ?? 'Failure')
              : work(id, ...(args as never[]));
      if (fault === 'done-and-cut') return cut();
      if (double.delay) void sleep(double.delay).then(answer);
      else answer();
    });
  };
  const status = (id: number, code: number) => () => sftp.status(id, code);

  on(
    'OPEN',
    (path: string) => path,
    (id, path: string, flags: number) => {
      const [write, create, truncate, exclusive] = [2, 8, 16, 32].map((flag) => (flags & flag) !== 0);
      const there = files.has(path);
      if (!folders.has(parent(path)) || (!there && !create)) return status(id, NO_SUCH_FILE);
      if (there && exclusive) return status(id, FAILURE);
      if (write && (!there || truncate)) files.set(path, Buffer.alloc(0));
      const handle = open({ path });
      return () => sftp.handle(id, handle);
    },
  );
  on('WRITE', pathOf, (id, handle: Buffer, offset: number, data: Buffer) => {
    const path = pathOf(handle);
    const old = files.get(path);
    if (!old) return status(id, FAILURE);
    const length = Math.max(old.length, offset + data.length);
    // What was made here has room to grow in.
    let room = rooms.get(old);
    if (!room || room.length < length) {
      room = Buffer.alloc(2 * length);
      old.copy(room);
    }
    room.fill(0, old.length, offset);
    data.copy(room, offset);
    const bytes = room.subarray(0, length);
    rooms.set(bytes, room);
    files.set(path, bytes);
    return status(id, OK);
  });
  on('READ', pathOf, (id, handle: Buffer, offset: number, length: number) => {
    const data = files.get(pathOf(handle))?.subarray(offset, offset + length);
    if (!data?.length) return status(id, EOF);
    return () => sftp.data(id, data);
  });
  on('FSTAT', pathOf, (id, handle: Buffer) => {
    const found = facts(pathOf(handle));
    return found ? () => sftp.attrs(id, found) : status(id, FAILURE);
  });
  for (const kind of ['STAT', 'LSTAT']) {
    on(
      kind,
      (path: string) => path,
      (id, path: string) => {
        const found = facts(path);
        return found ? () => sftp.attrs(id, found) : status(id, NO_SUCH_FILE);
      },
    );
  }
  on('CLOSE', pathOf, (id) => status(id, OK));
  on(
    'REMOVE',
    (path: string) => path,
    (id, path: string) => status(id, files.delete(path) ? OK : NO_SUCH_FILE),
  );
  on(
    'RENAME',
    (path: string) => path,
    (id, from: string, to: string) => {
      const bytes = files.get(from);
      if (!bytes) return status(id, NO_SUCH_FILE);
      if (files.has(to) && !double.renameReplaces) return status(id, FAILURE);
      files.delete(from);
      files.set(to, bytes);
      return status(id, OK);
    },
  );
  on(
    'MKDIR',
    (path: string) => path,
    (id, path: string) => {
      if (folders.has(path)) return status(id, FAILURE);
      if (!folders.has(parent(path))) return status(id, NO_SUCH_FILE);
      folders.add(path);
      return status(id, OK);
    },
  );
  on(
    'OPENDIR',
    (path: string) => path,
    (id, path: string) => {
      if (!folders.has(path)) return status(id, NO_SUCH_FILE);
      const names = [...files.keys()]
        .filter((file) => parent(file) === path)
        .map((file) => file.slice(path.length + 1));
      const handle = open({ path, names });
      return () => sftp.handle(id, handle);
    },
  );
  on('READDIR', pathOf, (id, handle: Buffer) => {
    const reader = handles.get(String(handle))!;
    const names = reader.names?.splice(0, 2) ?? [];
    if (names.length === 0) return status(id, EOF);
    return () =>
      sftp.name(
        id,
        names.map((filename) => ({ filename, longname: filename, attrs: facts(`${reader.path}/${filename}`)! })),
      );
  });
}

/** A packet of a type that does not exist. */
function garbage(sftp: SFTPWrapper): void {
  const { _protocol, outgoing } = sftp as unknown as {
    _protocol: { channelData(id: number, data: Buffer): void };
    outgoing: { id: number };
  };
  _protocol.channelData(outgoing.id, Buffer.from([0, 0, 0, 5, 77, 1, 2, 3, 4]));
}
