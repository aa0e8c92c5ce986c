/** One object being written: by one request if it is small, else in parts. Whatever fails, neither an object nor an upload stays. */
import { randomBytes } from 'node:crypto';
import { ConfigError, SinkError } from '../../errors.ts';
import { existsAlready, notEnded } from '../errors.ts';
import type { SinkWriter } from '../sink.ts';
import { type ObjectFacts, type S3Connection, WRITER } from './client.ts';
import { answerOf, isUnknownHeader, s3Error, sensible } from './errors.ts';
import { crcOf } from './parts.ts';
import { PartsWriter } from './parts-writer.ts';
import { s3Source } from './source.ts';
import { Upload } from './upload.ts';

const DAY = 86_400_000;
const MiB = 2 ** 20;

/** @throws SinkError; ConfigError ERR_SINK_EXISTS */
export async function createS3Writer(connection: S3Connection, name: string, force: boolean): Promise<SinkWriter> {
  const shown = connection.nameOf(name);
  if (!(await mayCreate(connection, name, force))) throw existsAlready(shown);
  const id = randomBytes(12).toString('hex');
  const { partSize = 5 * MiB, parallelParts = 4 } = connection.settings;
  const ended = new AbortController();
  const upload = new Upload(connection, name, objectOptions(connection, id), ended.signal);
  let finished = false;
  let cleaned: Promise<void> | undefined;
  const clean = () =>
    (cleaned ??= (async () => {
      ended.abort(new SinkError('ERR_SINK_WRITE', `${shown}: the upload was ended.`));
      await stream.settled();
      await upload.abort();
      await withdraw(connection, name, id).catch(() => {});
    })());
  const stream = new PartsWriter({
    name: shown,
    partSize,
    parallelParts,
    send: (number, bytes) => upload.send(number, bytes),
    onBroken: () => void clean(),
  });

  const finish = async (): Promise<void> => {
    if (!stream.writableFinished || cleaned) throw notEnded(shown);
    // Not every server knows If-None-Match: this look is for those.
    if (!(await mayCreate(connection, name, force))) throw existsAlready(shown);
    const { single } = stream;
    try {
      if (single) await putWhole(connection, name, single, { id, force });
      else await upload.complete(!force);
    } catch (error) {
      // The answer may have been lost on its way, and what was sent may have arrived.
      const there = await connection.head('sink', name).catch(() => null);
      if (there?.writer !== id) {
        // Nothing was there a moment ago: whatever the server calls it, somebody else's came meanwhile.
        if (!force && (there || answerOf(error).status === 412)) throw existsAlready(shown);
        throw error;
      }
    }
    await confirm(connection, name, id, stream.length);
  };
  return {
    stream,
    finish: async () => {
      try {
        await finish();
        finished = true;
      } catch (error) {
        await clean();
        throw error;
      }
    },
    published: async () => s3Source(connection, name, await ownObject(connection, name, id)),
    withdraw: () => withdraw(connection, name, id),
    abort: async () => {
      if (finished) return;
      stream.destroy();
      await clean();
    },
  };
}

/** Whether the name is free. A key that may be written and not read is left to `If-None-Match`. */
async function mayCreate(connection: S3Connection, name: string, force: boolean): Promise<boolean> {
  try {
    return (await connection.head('sink', name)) === null || force;
  } catch (error) {
    if ((error as SinkError).code === 'ERR_SINK_DENIED') return true;
    throw error;
  }
}

/** What every object gets, however it is sent. */
function objectOptions(connection: S3Connection, id: string) {
  const { storageClass, serverSideEncryption, kmsKeyId } = connection.settings;
  return {
    Metadata: { [WRITER]: id },
    ContentType: 'application/octet-stream',
    ...(storageClass ? { StorageClass: storageClass as 'STANDARD' } : {}),
    ...lockOptions(connection),
    ...(serverSideEncryption ? { ServerSideEncryption: serverSideEncryption } : {}),
    ...(kmsKeyId ? { SSEKMSKeyId: kmsKeyId } : {}),
  };
}

function lockOptions({ settings: { objectLock } }: S3Connection) {
  if (!objectLock) return {};
  return { ObjectLockMode: objectLock.mode, ObjectLockRetainUntilDate: new Date(Date.now() + objectLock.days * DAY) };
}

async function putWhole(
  connection: S3Connection,
  name: string,
  bytes: Buffer,
  { id, force }: { id: string; force: boolean },
): Promise<void> {
  const { PutObjectCommand } = connection.sdk;
  // What a server does not know is left out, one after the other: then the look before is what there is.
  let condition = force ? {} : { IfNoneMatch: '*' };
  let checksum: { ChecksumCRC32?: string } = { ChecksumCRC32: crcOf(bytes) };
  const shown = connection.nameOf(name);
  for (;;) {
    try {
      await connection.send('sink', shown, async (client, options) => {
        const body = { Body: bytes, ContentLength: bytes.length, ...condition, ...checksum };
        const input = { ...connection.target(name), ...objectOptions(connection, id), ...body };
        return sensible('ETag', await client.send(new PutObjectCommand(input), options));
      });
      return;
    } catch (error) {
      if (!isUnknownHeader(error)) throw error;
      if ('IfNoneMatch' in condition) condition = {};
      else if ('ChecksumCRC32' in checksum) checksum = {};
      else throw error;
    }
  }
}

/** That the server said yes is looked at: right name, right length, and written by us. */
async function confirm(connection: S3Connection, name: string, id: string, length: number): Promise<void> {
  const shown = connection.nameOf(name);
  let facts: ObjectFacts;
  try {
    facts = await ownObject(connection, name, id);
  } catch (error) {
    // Who may only write cannot look.
    if ((error as SinkError).code === 'ERR_SINK_DENIED' || (error as SinkError).code === 'ERR_SOURCE_DENIED') return;
    throw error;
  }
  if (facts.size !== length) {
    throw new SinkError(
      'ERR_SINK_VERIFY',
      `${shown} has ${facts.size} bytes at the server, and ${length} were sent. Nothing was kept; write to another place.`,
      { facts: { path: shown, sent: length, stored: facts.size } },
    );
  }
  if (connection.settings.objectLock && !facts.locked) await lock(connection, name);
}

/** Some servers forget, for an object that came in parts, what was said about its lock when it was begun. */
async function lock(connection: S3Connection, name: string): Promise<void> {
  const { ObjectLockMode: Mode, ObjectLockRetainUntilDate: RetainUntilDate } = lockOptions(connection);
  await connection.send('sink', connection.nameOf(name), (client, options) =>
    client.send(
      new connection.sdk.PutObjectRetentionCommand({
        ...connection.target(name),
        Retention: { Mode: Mode!, RetainUntilDate: RetainUntilDate! },
      }),
      options,
    ),
  );
}

/** The object, if it is this writer's. */
async function ownObject(connection: S3Connection, name: string, id: string): Promise<ObjectFacts> {
  const facts = await connection.head('sink', name);
  const shown = connection.nameOf(name);
  if (!facts) throw s3Error('sink', { name: 'NoSuchKey', $metadata: { httpStatusCode: 404 } }, shown);
  if (facts.writer === id) return facts;
  throw new ConfigError(
    'ERR_SINK_EXISTS',
    `${shown} was written by somebody else at the same time, and theirs is what is there. Choose another name.`,
    { facts: { path: shown } },
  );
}

/** Removes the object if it is this writer's. */
async function withdraw(connection: S3Connection, name: string, id: string): Promise<void> {
  const facts = await connection.head('sink', name);
  if (facts?.writer !== id) return;
  await connection.send('sink', connection.nameOf(name), (client, options) =>
    client.send(new connection.sdk.DeleteObjectCommand(connection.target(name)), options),
  );
}
