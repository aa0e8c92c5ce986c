/** Any Writable as a sink: stdout, a socket, a response. It cannot be read back, so nothing is verified there. */
import { Writable } from 'node:stream';
import { SinkError } from '../errors.ts';
import { recycle } from '../memory.ts';
import type { Sink } from './sink.ts';

/** A sink that appends to `output` and ends it, unless it is a standard stream, which cannot be ended. */
export function streamSink(output: Writable, name = 'stream'): Sink {
  const failed = (cause: Error) =>
    new SinkError('ERR_SINK_WRITE', `${name} was closed before everything was written (${cause.message}).`, { cause });
  return {
    name,
    create: async () => ({
      stream: new Writable({
        write(chunk: Buffer, _encoding, callback) {
          output.write(chunk, (error) => {
            recycle(chunk);
            callback(error ? failed(error) : null);
          });
        },
      }),
      finish: () =>
        new Promise((resolve, reject) => {
          if (output === process.stdout || output === process.stderr) resolve();
          else output.end((error?: Error | null) => (error ? reject(failed(error)) : resolve()));
        }),
      abort: async () => {
        if (output !== process.stdout && output !== process.stderr) output.destroy();
      },
    }),
  };
}
