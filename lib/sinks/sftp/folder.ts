/** The folder of an SFTP destination: made when it is first written to, listed, measured. */
import type { Attributes } from 'ssh2';
import { SinkError } from '../../errors.ts';
import type { StoredFile } from '../sink.ts';
import type { SftpConnection } from './connection.ts';
import { isAbsent, statusOf } from './errors.ts';
import { absentIsNull } from './part.ts';
import { remotePath, type SftpPlace } from './url.ts';

/** A part of a sink; the longer ones are of uploads that may go on. */
const PART = /^\.(.+)\.(?:[0-9a-f]{12}){1,2}\.part$/;

export class SftpFolder {
  /** On the server. */
  readonly path: string;
  readonly #steps: string[];

  constructor({ target, below }: SftpPlace) {
    const depths = Array.from({ length: below.length + 1 }, (_, depth) => depth);
    this.#steps = depths.map((depth) => remotePath(target.remoteDir, below.slice(0, depth)));
    this.path = this.#steps.at(-1)!;
  }

  /** The path of a file in it. */
  join(name: string): string {
    return this.path === '/' ? `/${name}` : `${this.path}/${name}`;
  }

  /**
   * Makes what is missing: all that a URL names below `remoteDir`, and of `remoteDir` its last segment. More would hide a disk that is not mounted.
   * @throws SinkError ERR_SINK_NOT_FOUND; what the server says
   */
  async make(connection: SftpConnection): Promise<void> {
    for (const step of this.#steps) {
      try {
        await connection.makeFolder(step);
      } catch (error) {
        if (statusOf(error) === undefined) throw error;
        const facts = await connection.stat(step).catch(absentIsNull);
        if (facts?.isDirectory()) continue;
        if (!isAbsent(error)) throw error;
        throw new SinkError(
          'ERR_SINK_NOT_FOUND',
          `There is no folder ${step} on ${connection.name}, nor the one above it. Create that first, or check remoteDir.`,
          { cause: error, facts: { path: step } },
        );
      }
    }
  }

  /** Its finished files. Links, folders and special files are not among them. */
  async *list(connection: SftpConnection): AsyncGenerator<StoredFile> {
    for await (const { name, facts } of this.#files(connection, (name) => !name.endsWith('.part')))
      yield stored(name, facts);
  }

  /** Parts, by the path of each. */
  async *parts(connection: SftpConnection): AsyncGenerator<{ path: string; name: string; modified: Date }> {
    for await (const { name, facts } of this.#files(connection, (name) => PART.test(name)))
      yield { path: this.join(name), name: PART.exec(name)![1]!, modified: stored(name, facts).modified };
  }

  async *#files(
    connection: SftpConnection,
    wanted: (name: string) => boolean,
  ): AsyncGenerator<{ name: string; facts: Attributes }> {
    for await (const entries of connection.entries(this.path)) {
      for (const { filename: name, attrs } of entries) {
        if (!wanted(name) || name === '.' || name === '..') continue;
        // Some servers say nothing of what an entry is.
        const known = attrs.mode !== undefined && attrs.size !== undefined && attrs.mtime !== undefined;
        const facts = known ? attrs : await connection.lstat(this.join(name)).catch(absentIsNull);
        if (facts && (facts.mode & 0o170000) === 0o100000) yield { name, facts };
      }
    }
  }
}

export function stored(name: string, { size, mtime }: { size: number; mtime: number }): StoredFile {
  return { name, size, modified: new Date(mtime * 1000) };
}
