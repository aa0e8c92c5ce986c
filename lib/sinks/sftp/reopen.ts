/** The part of an upload that a later run goes on with. */
import { resumeAt } from '../resume.ts';
import type { ByteSource } from '../sink.ts';
import { Flags, type SftpConnection } from './connection.ts';
import type { Opened } from './part.ts';

/** What was under way when the last run ended: a server may have written the end of it and not the beginning. */
const DOUBTFUL = 2 * 1024 * 1024;

/**
 * Opens the part at `path`, or makes it.
 * @returns where to go on; 0, and nothing there, where it is not the beginning of `file`
 */
export async function reopenPart(
  connection: SftpConnection,
  path: string,
  file: ByteSource,
): Promise<{ opened: Opened; from: number }> {
  const handle = await connection.open(path, Flags.WRITE | Flags.CREATE);
  const { size } = await connection.fstat(handle);
  const from = await resumeAt(file, size, DOUBTFUL, (offset, into) => readAt(connection, path, offset, into));
  if (from > 0 || size === 0) return { opened: { connection, handle }, from };
  await connection.closeHandle(handle);
  return { opened: { connection, handle: await connection.open(path, Flags.WRITE | Flags.TRUNCATE) }, from };
}

async function readAt(connection: SftpConnection, path: string, offset: number, into: Buffer): Promise<number> {
  if (into.length === 0) return 0;
  const handle = await connection.open(path, Flags.READ);
  try {
    for (let have = 0; ; ) {
      const more = await connection.read(handle, into.subarray(have, have + connection.readSize), offset + have);
      have += more;
      if (more === 0 || have === into.length) return have;
    }
  } finally {
    await connection.closeHandle(handle).catch(() => {});
  }
}
