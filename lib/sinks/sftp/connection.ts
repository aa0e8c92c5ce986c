/** One SSH connection with its SFTP channel, as promises. Every request ends: by its answer, or because the connection does. */

import type { FileEntryWithStats, SFTPWrapper, Client as Ssh, Stats } from 'ssh2';
import type SftpClient from 'ssh2-sftp-client';
import { BackupError, ConfigError, type SinkError } from '../../errors.ts';
import { connectError, connectionLost, connectTimeout, Status, statusOf } from './errors.ts';
import { hostCheck, keyError, loginOptions } from './login.ts';
import type { SessionOptions } from './options.ts';
import type { SshTarget } from './targets.ts';

/** Of SSH_FXP_OPEN. */
export const Flags = { READ: 1, WRITE: 2, CREATE: 8, TRUNCATE: 16, EXCLUSIVE: 32 } as const;

/** What every server takes at once: ssh2 assumes packets of 34,000 bytes of one that says nothing. */
const SMALL = 30 * 1024;
/** What OpenSSH takes at once: 256 KiB less a little. Fewer requests are faster, and all are as fast as the largest. */
const LARGE = 255 * 1024;
/** So long may requests stay without any answer. A sync of a slow disk takes its time. */
const STALL = 300_000;
/** Answers to READDIR without one entry, in one listing, that are borne with. */
const EMPTY_LISTS = 10;

type Done<T> = (error?: Error | null, value?: T) => void;

export class SftpConnection {
  readonly name: string;
  /** Bytes of one read or write that the server takes. */
  readonly readSize: number;
  readonly writeSize: number;
  readonly #client: SftpClient;
  readonly #sftp: SFTPWrapper;
  readonly #requests = new Set<(error: Error) => void>();
  readonly #watch: NodeJS.Timeout;
  #answered = 0;
  #lost: SinkError | undefined;

  private constructor(name: string, client: SftpClient, sftp: SFTPWrapper, stallMs: number) {
    this.name = name;
    this.#client = client;
    this.#sftp = sftp;
    // What ssh2 learned by limits@openssh.com; it would cut larger ones into requests that wait for one another.
    const { _maxReadLen, _maxWriteLen } = sftp as unknown as { _maxReadLen?: unknown; _maxWriteLen?: unknown };
    this.readSize = sizeOf(_maxReadLen);
    this.writeSize = sizeOf(_maxWriteLen);
    const ended = (why: string) => (cause?: Error) => this.#lose(cause?.message ? oneLine(cause.message) : why, cause);
    const ssh = rawClient(client);
    ssh.on('error', ended('an error'));
    ssh.on('close', () => this.#lose('the server closed it'));
    sftp.on('error', ended('an error'));
    sftp.on('close', () => this.#lose('the server closed it'));
    sftp.on('end', () => this.#lose('the server ended it'));
    this.#watch = setInterval(() => {
      if (this.#requests.size && performance.now() - this.#answered > stallMs) this.#lose('the server does not answer');
    }, stallMs / 4);
    this.#watch.unref();
  }

  /**
   * Connects, checks the host's key, logs in, and starts SFTP.
   * @param name of the target
   * @param options.signal gives a connection up that is being made
   * @throws ConfigError ERR_CONFIG_PACKAGE_MISSING, ERR_SSH_KEY, ERR_SSH_KNOWN_HOSTS, ERR_SSH_NO_AGENT, ERR_SSH_SECRET_MISSING;
   * SinkError ERR_SSH_AGENT, ERR_SSH_AUTH, ERR_SSH_CONNECTION, ERR_SSH_HOST_CHANGED, ERR_SSH_HOST_REVOKED, ERR_SSH_HOST_UNKNOWN, ERR_SSH_PROTOCOL,
   * ERR_SSH_TIMEOUT, ERR_SSH_UNREACHABLE
   */
  static async open(
    name: string,
    target: SshTarget,
    options: SessionOptions & { signal?: AbortSignal } = {},
  ): Promise<SftpConnection> {
    const Client = await loadClient();
    const [login, host] = [await loginOptions(name, target), await hostCheck(name, target)];
    // No callbacks: the package would print events of the connection on the console.
    const client = new Client('dbs', {});
    const ssh = rawClient(client);
    let refused: SinkError | undefined;
    let first: Error | undefined;
    const where = `${name} (${target.host}:${target.port ?? 22})`;
    const limit = target.connectTimeoutMs ?? 20_000;
    // ssh2-sftp-client words errors anew; the first says most.
    ssh.on('error', (error) => {
      first ??= error;
    });
    ssh.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) =>
      answer(prompts.length === 1 ? [login.password!] : []),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(connectTimeout(where, name)), limit);
      const closed = () => reject(connectionLost(name, 'it was closed'));
      if (options.signal?.aborted) closed();
      options.signal?.addEventListener('abort', closed, { once: true });
    });
    late.catch(() => {});
    try {
      const connecting = client.connect({
        ...login,
        host: target.host,
        port: target.port ?? 22,
        algorithms: { serverHostKey: host.algorithms },
        hostVerifier: (key: Buffer) => {
          refused = host.refuse(key);
          return refused === undefined;
        },
        // The one timer is ours: ssh2's does not cover the start of SFTP.
        readyTimeout: 0,
        keepaliveInterval: target.keepaliveMs ?? 15_000,
        keepaliveCountMax: 3,
      });
      connecting.catch(() => {});
      const sftp = await Promise.race([connecting, late]);
      return new SftpConnection(name, client, sftp, options.stallMs ?? STALL);
    } catch (error) {
      ssh.on('error', () => {});
      ssh.end();
      ssh.destroy();
      if (refused) throw refused;
      if (error instanceof BackupError) throw error;
      const cause = first ?? (error as Error);
      if (/^Cannot parse privateKey|does not contain a \(valid\) private key/.test(cause.message))
        throw keyError(name, target, cause);
      throw connectError(cause, where, name);
    } finally {
      clearTimeout(timer);
    }
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Ends it; requests that wait fail. Idempotent. */
  close(): void {
    this.#lose('it was closed');
  }

  #lose(why: string, cause?: unknown): SinkError {
    if (this.#lost) return this.#lost;
    this.#lost = connectionLost(this.name, why, cause);
    clearInterval(this.#watch);
    const ssh = rawClient(this.#client);
    ssh.end();
    ssh.destroy();
    for (const fail of this.#requests) fail(this.#lost);
    this.#requests.clear();
    return this.#lost;
  }

  #call<T>(run: (sftp: SFTPWrapper, done: Done<T>) => void): Promise<T> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise<T>((resolve, reject) => {
      if (this.#requests.size === 0) this.#answered = performance.now();
      this.#requests.add(reject);
      const done: Done<T> = (error, value) => {
        this.#requests.delete(reject);
        this.#answered = performance.now();
        if (!error) resolve(value as T);
        // An answer that says no has a number. Others are of the connection, or make no sense: nothing that follows would, either.
        else if (statusOf(error) !== undefined) reject(error);
        else reject(this.#lose(oneLine(error.message), error));
      };
      try {
        run(this.#sftp, done);
      } catch (error) {
        this.#requests.delete(reject);
        reject(error);
      }
    });
  }

  /** An answer of another kind than was asked for. */
  #sense<T>(value: T | undefined, holds: (value: T) => boolean): T {
    if (value === undefined || value === null || !holds(value)) throw this.#lose('its answers make no sense');
    return value;
  }

  /** @returns false where the server does not know this extension of OpenSSH */
  async #extension(run: (sftp: SFTPWrapper, done: Done<void>) => void): Promise<boolean> {
    try {
      await this.#call<void>(run);
      return true;
    } catch (error) {
      if (/does not support this extended request/.test((error as Error).message)) return false;
      if (statusOf(error) === Status.UNSUPPORTED) return false;
      throw error;
    }
  }

  async open(path: string, flags: number): Promise<Buffer> {
    const handle = await this.#call<Buffer>((sftp, done) => sftp.open(path, flags, { mode: 0o600 }, done));
    return this.#sense(handle, Buffer.isBuffer);
  }

  async closeHandle(handle: Buffer): Promise<void> {
    await this.#call<void>((sftp, done) => sftp.close(handle, done));
  }

  /** @returns the bytes read: fewer than asked for at the end, and elsewhere as the server likes; 0 at the end only */
  async read(handle: Buffer, into: Buffer, position: number): Promise<number> {
    const have = await this.#call<number>((sftp, done) => sftp.read(handle, into, 0, into.length, position, done));
    return this.#sense(have, (n) => n >= 0 && n <= into.length);
  }

  /** The bytes are copied before this returns. At most `writeSize` of them. */
  write(handle: Buffer, bytes: Buffer, position: number): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.write(handle, bytes, 0, bytes.length, position, done));
  }

  /** @returns false where it is not known here */
  async sync(handle: Buffer): Promise<boolean> {
    return this.#extension((sftp, done) => sftp.ext_openssh_fsync(handle, done as never));
  }

  async stat(path: string): Promise<Stats> {
    return this.#sense(await this.#call<Stats>((sftp, done) => sftp.stat(path, done)), isStats);
  }

  /** Of the name itself, which may be a link. */
  async lstat(path: string): Promise<Stats> {
    return this.#sense(await this.#call<Stats>((sftp, done) => sftp.lstat(path, done)), isStats);
  }

  async fstat(handle: Buffer): Promise<Stats> {
    return this.#sense(await this.#call<Stats>((sftp, done) => sftp.fstat(handle, done)), isStats);
  }

  async makeFolder(path: string): Promise<void> {
    await this.#call<void>((sftp, done) => sftp.mkdir(path, { mode: 0o700 }, done as never));
  }

  async unlink(path: string): Promise<void> {
    await this.#call<void>((sftp, done) => sftp.unlink(path, done));
  }

  /** As the protocol has it: OpenSSH refuses a name that exists, others may replace it. */
  async rename(from: string, to: string): Promise<void> {
    await this.#call<void>((sftp, done) => sftp.rename(from, to, done));
  }

  /** Replaces what is there, atomically. @returns false where it is not known here */
  async replace(from: string, to: string): Promise<boolean> {
    return this.#extension((sftp, done) => sftp.ext_openssh_rename(from, to, done));
  }

  /** A second name, unless it exists. @returns false where it is not known here */
  async link(from: string, to: string): Promise<boolean> {
    return this.#extension((sftp, done) => sftp.ext_openssh_hardlink(from, to, done));
  }

  /** The entries of a folder, some at a time. */
  async *entries(path: string): AsyncGenerator<FileEntryWithStats[]> {
    const handle = this.#sense(await this.#call<Buffer>((sftp, done) => sftp.opendir(path, done)), Buffer.isBuffer);
    // An end is said by a status. Nobody may say nothing for ever.
    let empty = 0;
    const isList = (list: FileEntryWithStats[]) => Array.isArray(list) && (list.length > 0 || ++empty <= EMPTY_LISTS);
    try {
      for (;;) {
        const list = await this.#call<FileEntryWithStats[]>((sftp, done) => sftp.readdir(handle, done));
        yield this.#sense(list, isList);
      }
    } catch (error) {
      if (statusOf(error) !== Status.EOF) throw error;
    } finally {
      if (!this.#lost) await this.closeHandle(handle).catch(() => {});
    }
  }

  /** Bytes that a user may still write there. @returns null where it cannot be known */
  async freeSpace(path: string): Promise<number | null> {
    const facts = await this.#call<Record<string, unknown>>((sftp, done) => sftp.ext_openssh_statvfs(path, done)).catch(
      (error) => {
        if (error === this.#lost) throw error;
        return {} as Record<string, unknown>;
      },
    );
    const bytes = Number(facts.f_bavail) * Number(facts.f_frsize);
    return Number.isFinite(bytes) ? bytes : null;
  }
}

function isStats(value: Stats): boolean {
  return typeof value.isFile === 'function';
}

function sizeOf(limit: unknown): number {
  return typeof limit === 'number' && limit >= 1024 ? Math.min(limit, LARGE) : SMALL;
}

/** The ssh2 client within. */
function rawClient(client: SftpClient): Ssh {
  return (client as unknown as { client: Ssh }).client;
}

function oneLine(message: string): string {
  return message.replace(/\s+/g, ' ').slice(0, 200);
}

/** @internal @param load for tests: what imports the package */
export async function loadClient(
  load: () => Promise<{ default: unknown }> = () => import('ssh2-sftp-client'),
): Promise<new (name: string, callbacks: object) => SftpClient> {
  try {
    return (await load()).default as never;
  } catch (cause) {
    throw new ConfigError(
      'ERR_CONFIG_PACKAGE_MISSING',
      'SFTP needs the package ssh2-sftp-client. Install it in your app: npm install ssh2-sftp-client.',
      { cause, facts: { package: 'ssh2-sftp-client' } },
    );
  }
}
