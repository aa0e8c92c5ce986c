/** A folder of an SFTP server as a destination. docs/sftp.md says how it is set up. */
import { randomBytes } from 'node:crypto';
import { BackupError, SourceError } from '../errors.ts';
import { checkName, existsAlready, notEnded } from './errors.ts';
import { partName } from './resume.ts';
import { Flags, type SftpConnection } from './sftp/connection.ts';
import { isAbsent, isLost, sftpSinkError, sftpSourceError, sourceReplaced } from './sftp/errors.ts';
import { SftpFolder, stored } from './sftp/folder.ts';
import type { SessionOptions } from './sftp/options.ts';
import { absentIsNull, exists, type Place, SftpPart, sinkFailure } from './sftp/part.ts';
import { SftpRanges } from './sftp/ranges.ts';
import { reopenPart } from './sftp/reopen.ts';
import { SftpSession } from './sftp/session.ts';
import type { SshTarget } from './sftp/targets.ts';
import { parseSftpUrl, type SftpPlace } from './sftp/url.ts';
import { SftpWriter } from './sftp/writer.ts';
import type { ByteSource, Destination, ResumedWriter, Sink, SinkWriter, StoredFile, UnfinishedFile } from './sink.ts';

export { checkSshTargets, type SshTarget } from './sftp/targets.ts';

/**
 * The destination of `sftp://TARGET/dir/`. Nothing is connected before it is used.
 * @param targets the setting `sshTargets`, checked by `checkSshTargets`
 * @throws ConfigError ERR_SSH_URL, ERR_SSH_UNKNOWN_TARGET
 */
export async function sftpDestination(url: string, targets: Record<string, SshTarget>): Promise<Destination> {
  return new SftpDestination(parseSftpUrl(url, targets));
}

/**
 * Errors beside those of `Destination`: what a connection fails by (SftpConnection.open) is a ConfigError or SinkError ERR_SSH_*, also where files are read. While
 * something is written or read, a connection that was lost is made again a few times, and the work goes on where it was.
 */
export class SftpDestination implements Destination {
  readonly name: string;
  readonly #session: SftpSession;
  readonly #folder: SftpFolder;

  constructor(place: SftpPlace, options: SessionOptions = {}) {
    this.name = `sftp://${[place.name, ...place.below].join('/')}/`;
    this.#session = new SftpSession(place.name, place.target, options);
    this.#folder = new SftpFolder(place);
  }

  sink(name: string, options: { force?: boolean } = {}): Sink {
    const place = this.#place(name, options.force ?? false);
    return {
      name: place.name,
      create: async () => {
        const path = this.#folder.join(`.${name}.${randomBytes(6).toString('hex')}.part`);
        const opened = await this.#begin(place, async (connection, attempt) => {
          // Where the answer was lost, the file may be there: it is ours.
          const how = attempt === 0 ? Flags.EXCLUSIVE : Flags.TRUNCATE;
          return { connection, handle: await connection.open(path, Flags.WRITE | Flags.CREATE | how) };
        });
        return writerOf(new SftpPart(place, path, opened), 0);
      },
    };
  }

  async resume(name: string, file: ByteSource, options: { force?: boolean } = {}): Promise<ResumedWriter> {
    const place = this.#place(name, options.force ?? false);
    const path = this.#folder.join(await partName(name, file));
    const { opened, from } = await this.#begin(place, (connection) => reopenPart(connection, path, file));
    const part = new SftpPart(place, path, opened);
    const writer = writerOf(part, from, true);
    const suspend = async () => {
      writer.stream.destroy();
      await part.closeHandle().catch(() => {});
    };
    return { ...writer, from, suspend };
  }

  #place(name: string, force: boolean): Place {
    const path = this.#folder.join(checkName(name));
    return { session: this.#session, name: `${this.name}${name}`, folder: this.#folder.path, path, force };
  }

  /** Opens a part, in a folder that is made where it is missing. */
  async #begin<T>(place: Place, open: (connection: SftpConnection, attempt: number) => Promise<T>): Promise<T> {
    try {
      return await this.#session.run(async (connection, attempt) => {
        if (!place.force && (await exists(connection, place.path))) throw existsAlready(place.name);
        try {
          return await open(connection, attempt);
        } catch (error) {
          if (!isAbsent(error)) throw error;
          await this.#folder.make(connection);
          return await open(connection, attempt);
        }
      });
    } catch (error) {
      throw await sinkFailure(place, error);
    }
  }

  async open(name: string): Promise<ByteSource> {
    const path = this.#folder.join(checkName(name));
    const full = `${this.name}${name}`;
    const failed = (error: unknown): never => {
      throw sftpSourceError(error, full);
    };
    const { opened, facts } = await this.#session
      .run(async (connection) => {
        const handle = await connection.open(path, Flags.READ);
        return { opened: { connection, handle }, facts: await connection.fstat(handle) };
      })
      .catch(failed);
    if (!facts.isFile()) {
      await opened.connection.closeHandle(opened.handle).catch(() => {});
      throw new SourceError('ERR_SOURCE_READ', `${full} is not a file. Name a .dbs file.`, { facts: { path: full } });
    }
    const ranges = new SftpRanges(this.#session, path, () => facts.size, facts, opened);
    return {
      name: full,
      size: facts.size,
      read: async (offset, into) => {
        const have = await ranges.read(offset, into).catch(failed);
        const wanted = offset < 0 ? 0 : Math.min(into.length, Math.max(0, facts.size - offset));
        if (have < wanted) throw sourceReplaced(full);
        return have;
      },
      close: () => ranges.close(),
    };
  }

  async stat(name: string): Promise<StoredFile | null> {
    const path = this.#folder.join(checkName(name));
    const facts = await this.#session
      .run((connection) => connection.stat(path).catch(absentIsNull))
      .catch((error) => {
        throw sftpSourceError(error, `${this.name}${name}`);
      });
    return facts?.isFile() ? stored(name, facts) : null;
  }

  async *list(): AsyncGenerator<StoredFile> {
    try {
      yield* this.#folder.list(await this.#session.connection());
    } catch (error) {
      if (!isAbsent(error)) throw sftpSourceError(error, this.name);
    }
  }

  async remove(name: string): Promise<void> {
    await this.#unlink(this.#folder.join(checkName(name)), name);
  }

  /** `started` is when the server last took something of it: it knows no other time. */
  async *unfinished(): AsyncGenerator<UnfinishedFile> {
    try {
      for await (const { path, name, modified } of this.#folder.parts(await this.#session.connection()))
        yield { name, started: modified, remove: () => this.#unlink(path, name) };
    } catch (error) {
      if (!isAbsent(error)) throw sftpSourceError(error, this.name);
    }
  }

  async #unlink(path: string, name: string): Promise<void> {
    await this.#session
      .run((connection) => connection.unlink(path))
      .catch((error) => {
        if (!isAbsent(error)) throw sftpSinkError(error, `${this.name}${name}`);
      });
  }

  async freeSpace(): Promise<number | null> {
    return this.#session.run((connection) => connection.freeSpace(this.#folder.path));
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}

/** @param keep what a lost connection leaves: a later run goes on with it */
function writerOf(part: SftpPart, from: number, keep = false): SinkWriter {
  const { session, name } = part.place;
  const stream = new SftpWriter(part, from);
  const back = new SftpRanges(session, part.path, () => stream.acknowledged);
  let ended = false;
  const discard = async () => {
    ended = true;
    stream.destroy();
    await back.close();
    await part.discard();
  };
  return {
    stream,
    remote: true,
    readBack: async (offset, into) => {
      await stream.there(offset + into.length);
      return back.read(offset, into).catch((error) => {
        throw sftpSourceError(error, name);
      });
    },
    finish: async () => {
      try {
        if (!stream.writableFinished || stream.errored) throw notEnded(name);
        await back.close();
        await part.complete(stream.acknowledged);
        await part.publish(stream.acknowledged);
        ended = true;
      } catch (error) {
        const failure = error instanceof BackupError ? error : await part.failure(error);
        if (!(keep && isLost(failure))) await discard();
        throw failure;
      }
    },
    abort: async () => {
      if (!ended) await discard();
    },
  };
}
