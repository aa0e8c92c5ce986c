/** Local files, for random access. */
import { type FileHandle, open } from 'node:fs/promises';
import { SourceError } from '../errors.ts';
import { fileSourceError } from './errors.ts';
import type { ByteSource } from './sink.ts';

/** Opens a file for random access. @throws SourceError ERR_SOURCE_NOT_FOUND, ERR_SOURCE_DENIED, ERR_SOURCE_READ */
export async function fileSource(path: string): Promise<ByteSource> {
  try {
    const handle = await open(path, 'r');
    const facts = await handle.stat();
    if (!facts.isFile()) {
      await handle.close();
      throw new SourceError('ERR_SOURCE_READ', `${path} is not a file. Name a .dbs file.`, { facts: { path } });
    }
    return handleSource(handle, path, facts.size);
  } catch (error) {
    throw error instanceof SourceError ? error : fileSourceError(error, path);
  }
}

/** Random access to an open file, which `close` closes. */
export function handleSource(handle: FileHandle, name: string, size: number): ByteSource {
  return {
    name,
    size,
    read: (offset, into) =>
      readFully(handle, offset, into).catch((error) => {
        throw fileSourceError(error, name);
      }),
    close: () => handle.close(),
  };
}

/** Reads until `into` is full or the file ends. */
export async function readFully(handle: FileHandle, offset: number, into: Buffer): Promise<number> {
  let have = 0;
  // A negative position would mean "wherever the file is" to the system.
  while (offset >= 0 && have < into.length) {
    const { bytesRead } = await handle.read(into, have, into.length - have, offset + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return have;
}
