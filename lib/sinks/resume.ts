/** Parts of earlier runs: found by what the file holds, and compared before they are believed. */
import { createHash } from 'node:crypto';
import type { ByteSource } from './sink.ts';

/** Of the file's beginning and end: two backups differ in both. */
const SAMPLE = 64 * 1024;
/** Bytes at the end of a part that must be those of the file. */
const COMPARED = 1024 * 1024;

/** Names the file by what it holds, so that another one is not gone on with. @throws SourceError */
async function identityOf(file: ByteSource): Promise<string> {
  const length = Math.min(SAMPLE, file.size);
  const [head, tail] = [Buffer.alloc(length), Buffer.alloc(length)];
  await file.read(0, head);
  await file.read(file.size - length, tail);
  return createHash('sha256').update(`${file.size}\n`).update(head).update(tail).digest('hex').slice(0, 24);
}

/** What the part of this file is called, in each run. @throws SourceError */
export async function partName(name: string, file: ByteSource): Promise<string> {
  return `.${name}.${await identityOf(file)}.part`;
}

/**
 * Where to go on with a part.
 * @param size bytes that it has
 * @param doubtful bytes at its end that may have come in part, and out of order
 * @param read of the part; resolves to the bytes read, fewer at its end only
 * @returns 0 where what is there is not the beginning of `file`
 */
export async function resumeAt(
  file: ByteSource,
  size: number,
  doubtful: number,
  read: (offset: number, into: Buffer) => Promise<number>,
): Promise<number> {
  const from = size > file.size ? 0 : Math.max(0, size - doubtful);
  const start = Math.max(0, from - COMPARED);
  const [mine, theirs] = [Buffer.alloc(from - start), Buffer.alloc(from - start)];
  const have = [await file.read(start, mine), await read(start, theirs)];
  return have.every((bytes) => bytes === mine.length) && mine.equals(theirs) ? from : 0;
}
