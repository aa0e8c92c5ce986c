/** A backup as the body of a response: made while it is sent, at the pace of whoever reads it. */
import { createBackup } from '../backup.ts';
import { RequestError } from '../errors.ts';
import type { BackupEvent } from '../events.ts';
import type { OrmLike } from '../orm/orm-like.ts';
import { lockOf } from '../run.ts';
import type { BackupConfig } from '../settings.ts';
import { besideRecipients } from '../settings-secret.ts';

export interface DownloadOptions {
  config: BackupConfig;
  signal: AbortSignal;
  /** Milliseconds after which a reader who takes nothing is given up: it keeps a snapshot open, and the lock. */
  stallTimeout: number;
  onEvent?: ((event: BackupEvent) => void) | undefined;
  /** Told what broke a transfer that had begun: nobody else can be. */
  onBroken: (error: unknown) => void;
}

/**
 * The bytes of a backup, under the lock of unattended ones. Resolves when the first block is there, so that what fails before is still an error with a name. After that a failure breaks the
 * transfer: the stream errors, and is never closed as if it were whole.
 *
 * Memory: flat, as `createBackup`; two blocks are made ahead.
 * @throws LockError ERR_BACKUP_LOCKED; as `createBackup`
 */
export async function backupBody(
  orm: OrmLike | OrmLike[],
  passphrase: string,
  { config, signal, stallTimeout, onEvent, onBroken }: DownloadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const lease = await lockOf(orm, config, signal);
  const stop = new AbortController();
  const signals = AbortSignal.any([signal, stop.signal, ...(lease ? [lease.signal] : [])]);
  let chunks: AsyncIterator<Buffer>;
  const ahead: IteratorResult<Buffer>[] = [];
  const end = async (): Promise<void> => {
    stop.abort(new RequestError('ERR_WEB_STOPPED', 'The download was ended.'));
    await lease?.release();
  };
  signals.addEventListener('abort', () => void end(), { once: true });
  try {
    signals.throwIfAborted();
    const secret = besideRecipients(passphrase, config);
    const stream = createBackup(orm, secret, { config, signal: signals, ...(onEvent ? { onEvent } : {}) });
    chunks = stream[Symbol.asyncIterator]();
    // The header comes before anything of the database: only the second one says that it can be read.
    ahead.push(await chunks.next(), await chunks.next());
  } catch (error) {
    await end();
    throw error;
  }
  let stalled: NodeJS.Timeout | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled);
        try {
          const { done, value } = ahead.shift() ?? (await chunks.next());
          if (done) {
            await end();
            return controller.close();
          }
          controller.enqueue(value);
          stalled = setTimeout(() => {
            const error = new RequestError('ERR_WEB_STALLED', 'Nobody read the download for too long. It was ended.');
            onBroken(error);
            controller.error(error);
            void end();
          }, stallTimeout);
          stalled.unref();
        } catch (error) {
          await end();
          onBroken(error);
          throw error;
        }
      },
      async cancel() {
        clearTimeout(stalled);
        await end();
      },
    },
    { highWaterMark: 0 },
  );
}
