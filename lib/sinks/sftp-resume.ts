/** The part of an upload that a later run goes on with. */
import { createHash } from 'node:crypto';
import { Flags, type SftpConnection } from './sftp-connection.ts';
import type { Opened } from './sftp-part.ts';
import type { ByteSource } from './sink.ts';

/** Of the file's beginning and end: two backups differ in both. */
const SAMPLE = 64 * 1024;
/** What was under way when the last run ended may have arrived in part, and out of order. */
const DOUBTFUL = 2 * 1024 * 1024;
/** Bytes before that which must be those of the file. */
const COMPARED = 1024 * 1024;
const TRUNCATE = 16;

/** Names the file by what it holds, so that another file of the same name is not gone on with. @throws SourceError */
export async function identityOf(file: ByteSource): Promise<string> {
  const length = Math.min(SAMPLE, file.size);
  const [head, tail] = [Buffer.alloc(length), Buffer.alloc(length)];
  await file.read(0, head);
  await file.read(file.size - length, tail);
  return createHash('sha256').update(`${file.size}\n`).update(head).update(tail).digest('hex').slice(0, 24);
}

/**
 * Opens the part at `path`, or makes it.
 * @returns where to go on; 0 where what is there is not the beginning of `file`
 */
export async function reopenPart(
  connection: SftpConnection,
  path: string,
  file: ByteSource,
): Promise<{ opened: Opened; from: number }> {
  const handle = await connection.open(path, Flags.WRITE | Flags.CREATE);
  const { size } = await connection.fstat(handle);
  const from = size > file.size ? 0 : Math.max(0, size - DOUBTFUL);
  if (from > 0 && (await agrees(connection, path, file, from))) return { opened: { connection, handle }, from };
  await connection.closeHandle(handle);
  return { opened: { connection, handle: await connection.open(path, Flags.WRITE | TRUNCATE) }, from: 0 };
}

async function agrees(connection: SftpConnection, path: string, file: ByteSource, end: number): Promise<boolean> {
  const start = Math.max(0, end - COMPARED);
  const [here, there] = [Buffer.alloc(end - start), Buffer.alloc(end - start)];
  const handle = await connection.open(path, Flags.READ);
  try {
    for (let have = 0; have < there.length; ) {
      const into = there.subarray(have, have + connection.readSize);
      const more = await connection.read(handle, into, start + have);
      if (more === 0) return false;
      have += more;
    }
  } finally {
    await connection.closeHandle(handle);
  }
  return (await file.read(start, here)) === here.length && here.equals(there);
}
