/** The standard streams, prepared for what `dbs` does with them. */
import { fstatSync, read } from 'node:fs';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import type { ByteSource } from '../container/source.ts';
import type { Output } from './terminal.ts';

const readAt = promisify(read);
const STDIN = 0;

/** `dbs validate - < file`: a regular file needs no spooling, whatever descriptor it comes by. `null` for pipes and terminals. */
export function fileStdin(fd: number = STDIN): ByteSource | null {
  // As BigInt: numbers of a pipe stay behind in the buffer that Node's `realpathSync` takes for those of the path it is at (Node 20; 24 is cured),
  // and the app's modules would then be loaded twice, by two names.
  const facts = fstatSync(fd, { bigint: true });
  if (!facts.isFile()) return null;
  return {
    name: 'stdin',
    size: Number(facts.size),
    async read(offset, into) {
      let have = 0;
      while (have < into.length) {
        const { bytesRead } = await readAt(fd, into, have, into.length - have, offset + have);
        if (bytesRead === 0) break;
        have += bytesRead;
      }
      return have;
    },
    close: async () => {},
  };
}

/**
 * Our own way to stdout. Whatever else in this process writes there (the app's configuration, its logger, dotenv) goes to
 * stderr from now on: stdout holds results, JSON or a backup, and nothing may be mixed in.
 */
export function guardStdout(): Output {
  const { stdout, stderr } = process;
  const write = stdout.write.bind(stdout) as (chunk: Buffer, done: (error?: Error | null) => void) => boolean;
  const own: Output = new Writable({ write: (chunk: Buffer, _encoding, done) => void write(chunk, done) });
  own.isTTY = stdout.isTTY === true;
  own.columns = stdout.columns;
  // The callback of the write reports it; without a listener the process would die first.
  stdout.on('error', () => {});
  stdout.write = stderr.write.bind(stderr) as typeof stdout.write;
  return own;
}

/** Resolves when everything was handed to the system, or can no longer be. */
export async function flushed(stream: Output): Promise<void> {
  if (stream.destroyed || stream.writableFinished) return;
  await new Promise<void>((resolve) => {
    stream.once('error', () => resolve());
    stream.once('close', () => resolve());
    if (stream.writableEnded) stream.once('finish', () => resolve());
    else stream.write('', () => resolve());
  });
}
