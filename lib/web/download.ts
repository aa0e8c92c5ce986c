/** A backup as the body of a response: made while it is sent, at the pace of whoever reads it. */
import type { UnderlyingSource } from 'node:stream/web';
import { createBackup } from '../backup.ts';
import { RequestError } from '../errors.ts';
import type { BackupEvent } from '../events.ts';
import type { KdfParameters } from '../format/key-slot.ts';
import type { Lease } from '../orm/lock.ts';
import type { OrmLike } from '../orm/orm-like.ts';
import { lockOf } from '../run.ts';
import type { BackupConfig } from '../settings.ts';
import { besideRecipients } from '../settings-secret.ts';

export interface DownloadOptions {
  config: BackupConfig;
  kdf: Partial<KdfParameters>;
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
  options: DownloadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const { config, kdf, signal, onEvent } = options;
  const lease = await lockOf(orm, config, signal);
  const stop = new AbortController();
  const signals = AbortSignal.any([signal, stop.signal, ...(lease ? [lease.signal] : [])]);
  try {
    signals.throwIfAborted();
    const secret = besideRecipients(passphrase, config);
    const stream = createBackup(orm, secret, { config, kdf, signal: signals, ...(onEvent ? { onEvent } : {}) });
    const chunks: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
    // The header comes before anything of the database: only the second one says that it can be read.
    const ahead = [await chunks.next(), await chunks.next()];
    return new ReadableStream(new Download({ chunks, ahead, lease, stop, signals }, options), { highWaterMark: 0 });
  } catch (error) {
    stop.abort();
    await lease?.release();
    throw error;
  }
}

interface Running {
  chunks: AsyncIterator<Buffer>;
  ahead: IteratorResult<Buffer>[];
  lease: Lease | null;
  stop: AbortController;
  /** The reader's, the lock's, and `stop`. */
  signals: AbortSignal;
}

/** A backup that is being read. However it ends, the lock is given back, and the database is let go. */
class Download implements UnderlyingSource<Uint8Array> {
  readonly #running: Running;
  readonly #options: DownloadOptions;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #stalled: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(running: Running, options: DownloadOptions) {
    this.#running = running;
    this.#options = options;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    const { signals } = this.#running;
    this.#controller = controller;
    const broken = () => void this.#break(signals.reason);
    if (signals.aborted) broken();
    else signals.addEventListener('abort', broken, { once: true });
  }

  async pull(): Promise<void> {
    clearTimeout(this.#stalled);
    const { chunks, ahead, stop } = this.#running;
    try {
      const { done, value } = ahead.shift() ?? (await chunks.next());
      if (this.#ended) return;
      if (done) {
        await this.#end();
        return this.#controller.close();
      }
      this.#controller.enqueue(value);
      this.#stalled = setTimeout(() => stop.abort(stalled()), this.#options.stallTimeout);
      this.#stalled.unref();
    } catch (error) {
      await this.#break(error);
    }
  }

  cancel(): Promise<void> {
    return this.#end();
  }

  async #break(error: unknown): Promise<void> {
    if (this.#ended) return;
    this.#controller.error(error);
    // Who went away is not to be complained about.
    if (!this.#options.signal.aborted) this.#options.onBroken(error);
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#stalled);
    this.#running.stop.abort();
    await this.#running.lease?.release();
  }
}

function stalled(): RequestError {
  return new RequestError('ERR_WEB_STALLED', 'Nobody read the download for too long, so it was ended. Download again.');
}
