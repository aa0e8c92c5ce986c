/** A file that is being written: under a temporary name, opened again where the connection was lost, and given its final name at the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BackupError, SinkError } from '../../errors.ts';
import { existsAlready } from '../errors.ts';
import { Flags, type SftpConnection } from './connection.ts';
import { isAbsent, isLost, Status, sftpSinkError, statusOf } from './errors.ts';
import type { SftpSession } from './session.ts';

/** With less room than one request needs, a write that fails has failed for want of room: servers say no more than "Failure". */
const FULL = 512 * 1024;
/** What two files that may be one are compared by, at both ends. */
const SAMPLE = 64 * 1024;

export interface Opened {
  connection: SftpConnection;
  handle: Buffer;
}

export interface Place {
  session: SftpSession;
  /** For messages. */
  name: string;
  folder: string;
  /** The final path. */
  path: string;
  force: boolean;
}

export class SftpPart {
  readonly place: Place;
  /** Where it is now. */
  readonly path: string;
  #opened: Opened | undefined;
  #opening: Promise<Opened> | undefined;

  constructor(place: Place, path: string, opened: Opened) {
    this.place = place;
    this.path = path;
    this.#opened = opened;
  }

  /** The open file; after a lost connection, opened again on a new one. @throws what the server says, or SinkError of the connection */
  async use(): Promise<Opened> {
    if (this.#opened && !this.#opened.connection.isLost) return this.#opened;
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #reopen(): Promise<Opened> {
    const connection = await this.place.session.connection();
    // Not made anew: what was acknowledged is in this one.
    this.#opened = { connection, handle: await connection.open(this.path, Flags.WRITE) };
    return this.#opened;
  }

  /** Does what may be done twice with the open file. */
  async run<T>(work: (opened: Opened) => Promise<T>): Promise<T> {
    const { session } = this.place;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work(await this.use());
      } catch (error) {
        if (!session.mayTryAgain(error) || attempt >= session.delays.length) throw error;
        await sleep(session.delays[attempt]);
      }
    }
  }

  /** Makes what is there durable, as far as the server can. @param size bytes that must be there */
  async complete(size: number): Promise<void> {
    const have = await this.run(async ({ connection, handle }) => {
      await connection.sync(handle);
      return (await connection.fstat(handle)).size;
    });
    if (have !== size) {
      const { name } = this.place;
      throw new SinkError('ERR_SINK_WRITE', `${name} has ${have} bytes, of ${size} written. Nothing was kept.`, {
        facts: { path: name, size, have },
      });
    }
    // Servers that keep quotas may say no only now. A connection that is lost now has closed it.
    await this.closeHandle().catch((error) => {
      if (!isLost(error)) throw error;
    });
  }

  async closeHandle(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    if (opened && !opened.connection.isLost) await opened.connection.closeHandle(opened.handle);
  }

  /** Gives it its final name. Without `force` nothing is replaced. @throws what the server says; ConfigError ERR_SINK_EXISTS */
  async publish(size: number): Promise<void> {
    const { session, path, force } = this.place;
    await session.run(async (connection, attempt) => {
      // The answer may have been lost, and not the deed.
      const done = attempt > 0 && (await this.#isPublished(connection, size));
      if (!done) await (force ? this.#replace(connection, path) : this.#give(connection, path));
      if (force && attempt > 0) await connection.unlink(this.#aside).catch(absentIsNull);
    });
  }

  async #give(connection: SftpConnection, path: string): Promise<void> {
    // A link refuses an existing name, atomically, whatever the server makes of a rename.
    const linked = await connection.link(this.path, path).catch(async (error) => {
      if (statusOf(error) === undefined) throw error;
      await this.#refuseExisting(connection, path);
      // Some file systems have no links.
      return false;
    });
    if (linked) return connection.unlink(this.path).catch(onlyLost);
    await this.#refuseExisting(connection, path);
    await connection.rename(this.path, path).catch(async (error) => {
      if (statusOf(error) !== undefined) await this.#refuseExisting(connection, path);
      throw error;
    });
  }

  async #refuseExisting(connection: SftpConnection, path: string): Promise<void> {
    if (await exists(connection, path)) throw existsAlready(this.place.name);
  }

  /** The name of an old file for the moment in which a new one takes its place. It is not hidden: what fails then must be found. */
  get #aside(): string {
    return this.path.replace(/\.part$/, '.old');
  }

  async #replace(connection: SftpConnection, path: string): Promise<void> {
    if (await connection.replace(this.path, path)) return;
    // Without OpenSSH's extension a rename may refuse: then the old file steps aside until the new one has its name.
    const said = await connection.rename(this.path, path).then(
      () => undefined,
      (error) => error as Error,
    );
    if (!said) return;
    if (statusOf(said) === undefined || !(await exists(connection, path))) throw said;
    const aside = this.#aside;
    await connection.rename(path, aside);
    try {
      await connection.rename(this.path, path);
    } catch (error) {
      // When the line is cut, the next attempt has the name for itself.
      if (statusOf(error) !== undefined) await connection.rename(aside, path);
      throw error;
    }
    await connection.unlink(aside).catch(onlyLost);
  }

  /** After a lost connection: whether the final name is this file's already. */
  async #isPublished(connection: SftpConnection, size: number): Promise<boolean> {
    const { path } = this.place;
    const final = await connection.lstat(path).catch(absentIsNull);
    if (!final?.isFile() || final.size !== size) return false;
    if (!(await exists(connection, this.path))) return true;
    const same = (await sample(connection, path, size)).equals(await sample(connection, this.path, size));
    if (same) await connection.unlink(this.path);
    return same;
  }

  /** Never throws. */
  async discard(): Promise<void> {
    await this.closeHandle().catch(() => {});
    await this.place.session
      .run((connection) => connection.unlink(this.path))
      .catch(() => {
        // Gone already, or out of reach: then a hidden file stays.
      });
  }

  /** What is to be said of a write that failed. */
  async failure(error: unknown): Promise<BackupError> {
    return sinkFailure(this.place, error);
  }
}

/** What is to be said of a write that failed. Asks whether there is room, as servers do not say. */
export async function sinkFailure(place: Place, error: unknown): Promise<BackupError> {
  let full = false;
  if (statusOf(error) === Status.FAILURE) {
    const free = await place.session.run((connection) => connection.freeSpace(place.folder)).catch(() => null);
    full = free !== null && free < FULL;
  }
  return sftpSinkError(error, place.name, full);
}

export async function exists(connection: SftpConnection, path: string): Promise<boolean> {
  return (await connection.lstat(path).catch(absentIsNull)) !== null;
}

export function absentIsNull(error: unknown): null {
  if (isAbsent(error)) return null;
  throw error;
}

/** The file has its name: a server that refuses to tidy up changes nothing about that. */
function onlyLost(error: unknown): void {
  if (statusOf(error) === undefined) throw error;
}

/** Its first and last bytes. */
async function sample(connection: SftpConnection, path: string, size: number): Promise<Buffer> {
  const handle = await connection.open(path, Flags.READ);
  try {
    const bytes = Buffer.alloc(2 * SAMPLE);
    const half = Math.min(SAMPLE, size);
    for (const [start, at] of [
      [0, 0],
      [size - half, SAMPLE],
    ] as const) {
      for (let have = 0; have < half; ) {
        const more = await connection.read(handle, bytes.subarray(at + have, at + half), start + have);
        if (more === 0) break;
        have += more;
      }
    }
    return bytes;
  } finally {
    await connection.closeHandle(handle).catch(() => {});
  }
}
