/** Buckets as destinations: Amazon's S3, and all that speaks its language. */
import { SinkError, SourceError } from '../errors.ts';
import { checkName } from './errors.ts';
import { S3Connection, type S3Tuning } from './s3/client.ts';
import { checkS3Settings, parseS3Url, type S3Settings } from './s3/settings.ts';
import { s3Source } from './s3/source.ts';
import { abortUpload, listUploads } from './s3/uploads.ts';
import { createS3Writer } from './s3/writer.ts';
import type { ByteSource, Destination, Sink, StoredFile, UnfinishedFile } from './sink.ts';

export { checkS3Settings, type S3Settings } from './s3/settings.ts';

/**
 * A place in a bucket. Containers go there in parts, several at once, each with its checksum; small ones by one request. Nothing is under a name before it is whole,
 * and what fails or is aborted leaves no upload behind. Requests are tried again where that may help.
 *
 * Memory: `partSize * (parallelParts + 1)`, 25 MiB by default; more once parts have grown, beyond 9.7 GiB by default.
 *
 * @param url `s3://bucket/prefix/`. Credentials come from the SDK's own chain: environment, profile, role.
 * @param tuning for tests
 * @throws ConfigError ERR_CONFIG_S3_URL, ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_PACKAGE_MISSING; SinkError ERR_SINK_REGION. The operations:
 * ERR_SINK_* and ERR_SOURCE_* as docs/errors.md has them.
 */
export async function s3Destination(
  url: string,
  settings: S3Settings = {},
  tuning: S3Tuning = {},
): Promise<Destination> {
  const place = parseS3Url(url);
  const connection = await S3Connection.open(place, checkS3Settings(settings, 's3'), tuning);
  return new S3Destination(connection);
}

class S3Destination implements Destination {
  readonly name: string;
  readonly #connection: S3Connection;

  constructor(connection: S3Connection) {
    this.name = connection.nameOf('');
    this.#connection = connection;
  }

  sink(name: string, options: { force?: boolean } = {}): Sink {
    checkName(name);
    return {
      name: this.#connection.nameOf(name),
      create: () => createS3Writer(this.#connection, name, options.force ?? false),
    };
  }

  async open(name: string): Promise<ByteSource> {
    const facts = await this.#connection.head('source', checkName(name));
    if (facts) return s3Source(this.#connection, name, facts);
    const path = this.#connection.nameOf(name);
    throw new SourceError('ERR_SOURCE_NOT_FOUND', `There is no object ${path}. Check the name.`, { facts: { path } });
  }

  async stat(name: string): Promise<StoredFile | null> {
    const facts = await this.#connection.head('source', checkName(name));
    return facts && { name, size: facts.size, modified: facts.modified };
  }

  async *list(): AsyncGenerator<StoredFile> {
    const { place, sdk, tuning } = this.#connection;
    let token: string | undefined;
    do {
      const page = await this.#connection.send('source', this.name, (client, options) =>
        client.send(
          new sdk.ListObjectsV2Command({
            Bucket: place.bucket,
            Prefix: place.prefix,
            Delimiter: '/',
            ...(tuning.pageSize ? { MaxKeys: tuning.pageSize } : {}),
            ...(token ? { ContinuationToken: token } : {}),
          }),
          options,
        ),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        const name = Key?.slice(place.prefix.length);
        // Some tools put an empty object where they want to see a folder.
        if (!name || name.includes('/') || name.endsWith('.part')) continue;
        yield { name, size: Size ?? 0, modified: LastModified ?? new Date(0) };
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token);
  }

  async *unfinished(): AsyncGenerator<UnfinishedFile> {
    for await (const { name, id, started } of listUploads(this.#connection))
      yield { name, started, remove: () => abortUpload(this.#connection, name, id) };
  }

  async remove(name: string): Promise<void> {
    const target = this.#connection.target(checkName(name));
    try {
      await this.#connection.send('sink', this.#connection.nameOf(name), (client, options) =>
        client.send(new this.#connection.sdk.DeleteObjectCommand(target), options),
      );
    } catch (error) {
      if (error instanceof SinkError && error.code === 'ERR_SINK_NOT_FOUND') return;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
  }
}
