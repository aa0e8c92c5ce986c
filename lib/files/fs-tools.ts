/** Small tools on files and folders. */

import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Bytes that are compared at once, of each file. */
const CHUNK = 256 * 1024;
/** Files whose flush waits at the same time: the file system's journal serves several at one go. */
const SYNC_WIDTH = 16;

/** Makes a folder and what is missing above it. Appends what it made to `made`, parents first. */
export async function makeFolders(dir: string, made: string[]): Promise<void> {
  try {
    await mkdir(dir);
    made.push(dir);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw error;
    await makeFolders(dirname(dir), made);
    await makeFolders(dir, made);
  }
}

/** Byte for byte. Memory: two chunks. */
export async function sameContent(a: string, b: string): Promise<boolean> {
  const files = [await open(a, 'r'), await open(b, 'r')] as const;
  try {
    const buffers = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)] as const;
    for (;;) {
      const [left, right] = await Promise.all([fillFrom(files[0], buffers[0]), fillFrom(files[1], buffers[1])]);
      if (!left.equals(right)) return false;
      if (left.length < CHUNK) return true;
    }
  } finally {
    for (const file of files) await file.close();
  }
}

async function fillFrom(file: Awaited<ReturnType<typeof open>>, buffer: Buffer): Promise<Buffer> {
  let size = 0;
  while (size < buffer.length) {
    const { bytesRead } = await file.read(buffer, size, buffer.length - size, null);
    if (bytesRead === 0) break;
    size += bytesRead;
  }
  return buffer.subarray(0, size);
}

/** Flushes numbered files to the disk, several at a time. */
export async function syncAll(dir: string, entries: AsyncIterable<{ n: number }>): Promise<void> {
  let wave: Promise<void>[] = [];
  for await (const { n } of entries) {
    wave.push(syncFile(join(dir, String(n))));
    if (wave.length < SYNC_WIDTH) continue;
    await Promise.all(wave);
    wave = [];
  }
  await Promise.all(wave);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r+').catch((error) => {
    if ((error as { code?: string }).code === 'ENOENT') return undefined; // aborted after it was finished
    throw error;
  });
  try {
    await file?.sync();
  } finally {
    await file?.close();
  }
}

/** Moves a file into another file system, where its name still changes at one stroke. */
export async function copyAcross(from: string, to: string): Promise<void> {
  const temporary = join(dirname(to), `.dbs-restore-${randomBytes(6).toString('hex')}`);
  try {
    await copyFile(from, temporary);
    await syncFile(temporary);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rm(from, { force: true });
}
