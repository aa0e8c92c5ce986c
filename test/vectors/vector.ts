/**
 * A vector: one file that says what it is. Its head is JSON, then comes an empty line, then the container, compressed by zlib.
 *
 * `expect` is what a reader must make of it:
 *
 *     success          restored, and nothing is wrong with the file
 *     healed           restored exactly, and the file is damaged
 *     wrong-key        the given passphrase or key opens no slot
 *     tampered         checksums fit and authentication does not
 *     truncated        the end is missing
 *     damaged          beyond repair
 *     format           no backup, several of them, or a stream that no writer writes
 *     newer-version    of a later major version
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync, inflateSync } from 'node:zlib';

export const EXPECTATIONS = [
  'success',
  'healed',
  'wrong-key',
  'tampered',
  'truncated',
  'damaged',
  'format',
  'newer-version',
] as const;

export interface VectorHead {
  name: string;
  /** In a sentence. */
  what: string;
  expect: (typeof EXPECTATIONS)[number];
  /** This library's code, where something is refused. */
  code?: string;
  /** What to open it with: one of the two. */
  passphrase?: string;
  /** An X25519 secret key, hex. */
  identity?: string;
  /** Hex of H over the raw bodies of all ROWS and FILE_DATA frames, in order: of what is to come out. */
  content?: string;
  /** Bytes of the container. */
  size: number;
}

export interface Vector extends VectorHead {
  container: Buffer;
}

const FOLDER = import.meta.dirname;
const END_OF_HEAD = '\n\n';

export function writeVector(head: VectorHead, container: Buffer): void {
  const body = deflateSync(container, { level: 9 });
  writeFileSync(
    join(FOLDER, `${head.name}.vector`),
    Buffer.concat([Buffer.from(JSON.stringify(head, null, 1) + END_OF_HEAD), body]),
  );
}

export function readVectors(): Vector[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.vector'));
  return names.sort().map((name) => {
    const bytes = readFileSync(join(FOLDER, name));
    const end = bytes.indexOf(END_OF_HEAD);
    const head = JSON.parse(bytes.toString('utf8', 0, end)) as VectorHead;
    return { ...head, container: inflateSync(bytes.subarray(end + END_OF_HEAD.length)) };
  });
}
