/** Ranges of an object. */
import type { Readable } from 'node:stream';
import { SourceError } from '../../errors.ts';
import { withRetries } from '../retry.ts';
import type { ByteSource } from '../sink.ts';
import type { ObjectFacts, S3Connection } from './client.ts';
import { answerOf, s3Error, sensible } from './errors.ts';

/** @param facts what it was when it was opened: a read of anything else is refused */
export function s3Source(connection: S3Connection, name: string, facts: ObjectFacts): ByteSource {
  const shown = connection.nameOf(name);
  const closed = new AbortController();
  return {
    name: shown,
    size: facts.size,
    read: async (offset, into) => {
      if (offset < 0 || offset >= facts.size || into.length === 0) return 0;
      const wanted = into.subarray(0, Math.min(into.length, facts.size - offset));
      let have = 0;
      // What came before a cut is not fetched again.
      await withRetries(
        async () => {
          try {
            for await (const chunk of range(
              connection,
              name,
              facts,
              offset + have,
              wanted.length - have,
              closed.signal,
            )) {
              const taken = Math.min(chunk.length, wanted.length - have);
              chunk.copy(wanted, have, 0, taken);
              have += taken;
            }
          } catch (error) {
            throw error instanceof SourceError ? replaced(error, shown) : s3Error('source', error, shown);
          }
          if (have < wanted.length) throw s3Error('source', { code: 'ECONNRESET' }, shown);
        },
        { ...connection.tuning.retry, signal: closed.signal },
      );
      return have;
    },
    close: async () => closed.abort(new SourceError('ERR_SOURCE_READ', `${shown} was closed.`)),
  };
}

async function* range(
  connection: S3Connection,
  name: string,
  facts: ObjectFacts,
  offset: number,
  length: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const shown = connection.nameOf(name);
  const answer = await connection.client
    .send(
      new connection.sdk.GetObjectCommand({
        ...connection.target(name),
        Range: `bytes=${offset}-${offset + length - 1}`,
        ...(facts.etag ? { IfMatch: facts.etag } : {}),
      }),
      { abortSignal: signal },
    )
    .catch((error) => {
      signal.throwIfAborted();
      throw s3Error('source', error, shown);
    });
  const body = answer.Body as Readable;
  try {
    sensible('ETag', answer);
    if (facts.etag && answer.ETag !== facts.etag)
      throw { name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } };
  } catch (error) {
    body.destroy();
    throw s3Error('source', error, shown);
  }
  if (!answer.ContentRange?.startsWith(`bytes ${offset}-`)) {
    body.destroy();
    throw new SourceError(
      'ERR_SOURCE_READ',
      `${shown}: the server sent other bytes than those it was asked for. It must support ranges.`,
      { facts: { path: shown } },
    );
  }
  try {
    yield* body;
  } finally {
    body.destroy();
  }
}

/** A precondition that does not hold any more says that it is another object by now. */
function replaced(error: SourceError, shown: string): SourceError {
  const { status } = answerOf(error);
  if (status !== 412 && status !== 404) return error;
  return new SourceError('ERR_SOURCE_REPLACED', `${shown} was replaced or removed while it was read. Start again.`, {
    cause: error,
    facts: { path: shown },
  });
}
