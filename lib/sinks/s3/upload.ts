/** An upload in parts, from its first part to its completion or its end. */
import type { CompletedPart } from '@aws-sdk/client-s3';
import type { S3Connection } from './client.ts';
import { isUnknownHeader, mayHaveArrived, sensible } from './errors.ts';
import { crcOf } from './parts.ts';
import { abortUpload, listUploads } from './uploads.ts';

interface Begun {
  UploadId: string;
  /** The server checks each part's CRC32. Others have the SHA-256 that the signature covers. */
  checks: boolean;
}

/** The extra fields of every object, as `CreateMultipartUpload` takes them. */
type ObjectOptions = Partial<ConstructorParameters<S3Connection['sdk']['CreateMultipartUploadCommand']>[0]>;

export class Upload {
  readonly #connection: S3Connection;
  readonly #name: string;
  readonly #object: ObjectOptions;
  readonly #signal: AbortSignal;
  readonly #parts: CompletedPart[] = [];
  #begun: Promise<Begun> | undefined;

  constructor(connection: S3Connection, name: string, object: ObjectOptions, signal: AbortSignal) {
    this.#connection = connection;
    this.#name = name;
    this.#object = object;
    this.#signal = signal;
  }

  /** Sends one part, and begins the upload with the first. @throws SinkError */
  async send(number: number, bytes: Buffer): Promise<void> {
    this.#begun ??= this.#begin();
    const { UploadId, checks } = await this.#begun;
    const ChecksumCRC32 = crcOf(bytes);
    const checksum = checks ? { ChecksumCRC32 } : {};
    const { ETag } = await this.#connection.send(
      'sink',
      this.#shown,
      async (client, options) => {
        const input = { ...this.#connection.target(this.#name), UploadId, PartNumber: number };
        const body = { Body: bytes, ContentLength: bytes.length, ...checksum };
        const command = new this.#connection.sdk.UploadPartCommand({ ...input, ...body });
        return sensible('ETag', await client.send(command, options));
      },
      this.#signal,
    );
    this.#parts.push({ PartNumber: number, ETag: ETag!, ...checksum });
  }

  /** Makes the object of its parts. @param onlyNew refuse, where the server can, a name that came meanwhile @throws SinkError */
  async complete(onlyNew: boolean): Promise<void> {
    const { UploadId } = await this.#begun!;
    const { CompleteMultipartUploadCommand } = this.#connection.sdk;
    const Parts = this.#parts.sort((a, b) => a.PartNumber! - b.PartNumber!);
    const attempt = (condition: { IfNoneMatch?: string }) =>
      this.#connection.send('sink', this.#shown, async (client, options) => {
        const input = { ...this.#connection.target(this.#name), UploadId, MultipartUpload: { Parts } };
        const command = new CompleteMultipartUploadCommand({ ...input, ...condition });
        return sensible('ETag', await client.send(command, options));
      });
    try {
      await attempt(onlyNew ? { IfNoneMatch: '*' } : {});
    } catch (error) {
      if (!onlyNew || !isUnknownHeader(error)) throw error;
      await attempt({});
    }
  }

  /** Ends it and frees its parts. Never throws: what could not be ended is among the leftovers that `dbs prune` finds. */
  async abort(): Promise<void> {
    const begun = await this.#begun?.catch(() => undefined);
    if (begun) await abortUpload(this.#connection, this.#name, begun.UploadId).catch(() => {});
  }

  get #shown(): string {
    return this.#connection.nameOf(this.#name);
  }

  async #begin(): Promise<Begun> {
    const connection = this.#connection;
    const { CreateMultipartUploadCommand } = connection.sdk;
    const started = performance.now();
    let lost = false;
    const attempt = (checksum: { ChecksumAlgorithm?: 'CRC32' }) =>
      connection.send(
        'sink',
        this.#shown,
        async (client, options) => {
          try {
            const input = { ...connection.target(this.#name), ...this.#object, ...checksum };
            return sensible('UploadId', await client.send(new CreateMultipartUploadCommand(input), options));
          } catch (error) {
            lost ||= mayHaveArrived(error);
            throw error;
          }
        },
        this.#signal,
      );
    let UploadId: string | undefined;
    try {
      const answer = await attempt({ ChecksumAlgorithm: 'CRC32' }).catch((error) => {
        if (!isUnknownHeader(error)) throw error;
        return attempt({});
      });
      UploadId = answer.UploadId!;
      return { UploadId, checks: answer.ChecksumAlgorithm === 'CRC32' };
    } finally {
      if (lost) await this.#endLost(UploadId, performance.now() - started).catch(() => {});
    }
  }

  /**
   * Ends uploads of this very name that began while we tried, except the one that we know: their answers were lost. An upload of the same name by another process
   * within the same seconds would end with them; it fails, and says so.
   */
  async #endLost(known: string | undefined, elapsed: number): Promise<void> {
    const found: { id: string; started: number }[] = [];
    for await (const { name, id, started } of listUploads(this.#connection, this.#name))
      if (name === this.#name) found.push({ id, started: started.getTime() });
    const own = found.find(({ id }) => id === known)?.started;
    // Without one of our own there is only this machine's clock, which may differ.
    const [now, doubt] = own === undefined ? [Date.now(), 60_000] : [own, 2000];
    for (const { id, started } of found) {
      if (id !== known && Math.abs(now - started) <= elapsed + doubt)
        await abortUpload(this.#connection, this.#name, id);
    }
  }
}
