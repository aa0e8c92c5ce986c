/** Uploads in parts that are under way, or were left. */
import type { S3Connection } from './client.ts';
import { answerOf } from './errors.ts';

/** An upload that has not been completed. */
export interface OpenUpload {
  /** Without the place's prefix. */
  name: string;
  id: string;
  started: Date;
}

/** Those of names directly in the place that begin with `begin`. @throws SourceError */
export async function* listUploads(connection: S3Connection, begin = ''): AsyncGenerator<OpenUpload> {
  const { bucket, prefix } = connection.place;
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await connection.send('source', connection.nameOf(''), (client, options) =>
      client.send(
        new connection.sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix + begin, ...marker }),
        options,
      ),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      const name = Key?.slice(prefix.length);
      if (name && UploadId && !name.includes('/')) yield { name, id: UploadId, started: Initiated ?? new Date() };
    }
    if (!page.IsTruncated || !page.NextKeyMarker) return;
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker ? { UploadIdMarker: page.NextUploadIdMarker } : {}),
    };
  }
}

/** Ends an upload and frees its parts; does nothing where there is none. @throws SinkError */
export async function abortUpload(connection: S3Connection, name: string, id: string): Promise<void> {
  try {
    await connection.send('sink', connection.nameOf(name), (client, options) =>
      client.send(
        new connection.sdk.AbortMultipartUploadCommand({ ...connection.target(name), UploadId: id }),
        options,
      ),
    );
  } catch (error) {
    if (answerOf(error).status !== 404) throw error;
  }
}
