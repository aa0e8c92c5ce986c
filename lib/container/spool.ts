/** A stream that cannot be read twice, on disk for as long as it is needed. */
import { randomBytes } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { ByteSource } from './source.ts';

/**
 * Copies a stream into a temporary file (0600, in the system's temporary folder, without a name as soon as it is open) and gives random
 * access to it. What is in it is ciphertext.
 */
export async function spool(stream: Readable, name = 'stream'): Promise<ByteSource> {
  const path = join(tmpdir(), `dbs-${randomBytes(8).toString('hex')}.spool`);
  const handle = await open(path, 'wx+', 0o600);
  await unlink(path);
  let size = 0;
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk as Uint8Array);
      for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at, bytes.length - at, size + at)).bytesWritten;
      size += bytes.length;
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    name,
    size,
    read: async (offset, into) => (offset < 0 ? 0 : (await handle.read(into, 0, into.length, offset)).bytesRead),
    close: () => handle.close(),
  };
}
