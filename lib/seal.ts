/** Any stream, sealed into a container and back: `pg_dump | dbs seal > out.dbs`. */
import { Readable, Writable } from 'node:stream';
import { FormatError } from './errors.ts';
import type { BackupItem } from './format/items.ts';
import { readItems, readingPool } from './reading.ts';
import { openKeys, withReader } from './sources.ts';
import type {
  BackupSource,
  OpeningSecret,
  ReadOptions,
  SealingSecret,
  SealResult,
  ValidationReport,
  WriteOptions,
} from './types.ts';
import { examine } from './validate.ts';
import { TOOL } from './version.ts';
import { containerStream, writeContainer } from './write.ts';

const PIECE = 256 * 1024;

/** A stream of bytes as items: one file of kind `stream`. */
export async function* streamItems(
  input: AsyncIterable<Uint8Array>,
  counted: { bytes: number },
): AsyncGenerator<BackupItem> {
  yield { type: 'schema', schema: { kind: 'stream', created: new Date().toISOString(), tool: TOOL, tables: [] } };
  yield { type: 'file-begin', stream: 1, file: { kind: 'stream', root: '', path: '' } };
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let at = 0; at < bytes.length; at += PIECE) {
      const data = bytes.subarray(at, at + PIECE);
      counted.bytes += data.length;
      yield { type: 'file-data', stream: 1, data };
    }
  }
  yield { type: 'file-end', stream: 1, size: counted.bytes };
  yield { type: 'end', rows: 0, files: 1, bytes: counted.bytes, skipped: [] };
}

/**
 * Seals a stream of bytes into `options.output`. Memory: flat, about 100 MiB resident in all.
 * Errors: ConfigError, SinkError, and whatever the input fails with. @see unsealStream
 */
export async function sealStream(
  input: AsyncIterable<Uint8Array>,
  secret: SealingSecret,
  options: WriteOptions,
): Promise<SealResult> {
  const counted = { bytes: 0 };
  const items = () => Readable.from(streamItems(input, counted), { highWaterMark: 1 });
  const result = await writeContainer(items, secret, options);
  return { type: 'seal', ...result, input: counted.bytes };
}

/** The same as a stream, to be piped anywhere. */
export function sealedStream(
  input: AsyncIterable<Uint8Array>,
  secret: SealingSecret,
  options: Omit<WriteOptions, 'output' | 'mirror'> = {},
): Readable {
  return containerStream(() => Readable.from(streamItems(input, { bytes: 0 }), { highWaterMark: 1 }), secret, options);
}

/**
 * Opens a sealed stream into `output`. The whole container is verified before the first byte is released.
 * @returns the report; `damaged` says that it was healed
 * @throws as `validateBackup`; DamageError, TamperError, TruncatedError where it is beyond repair; FormatError ERR_FORMAT_NOT_SEALED
 *   for a backup of a database
 */
export function unsealStream(
  source: BackupSource,
  secret: OpeningSecret,
  output: Writable,
  options: ReadOptions = {},
): Promise<ValidationReport> {
  return withReader(source, options, async (reader) => {
    const keys = await openKeys(reader, secret);
    const { report, error } = await examine(reader, keys, options);
    if (error) throw error;
    const pool = readingPool();
    await readItems(
      reader.stream(() => pool.take()),
      reader,
      keys,
      fileContent(output),
      options.signal,
    );
    return report;
  });
}

/** Writes the data of a sealed stream's one file on, waiting for the output; ends it. */
function fileContent(output: Writable): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(item: BackupItem, _encoding, callback) {
      if (item.type === 'schema' && item.schema.kind !== 'stream') {
        callback(
          new FormatError(
            'ERR_FORMAT_NOT_SEALED',
            'This is the backup of a database, not a sealed stream. Use `dbs restore`, or `dbs cat`.',
          ),
        );
      } else if (item.type === 'file-data') output.write(item.data, callback);
      else callback();
    },
    final(callback) {
      output.end(callback);
    },
  });
}
