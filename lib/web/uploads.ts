/**
 * Uploaded backups between two requests: the one that sends and checks, and the one that restores. Each is ciphertext in a temporary file without a name
 * (`keepOnDisk`), under a random token, for one browser and a limited time. No key is kept with it.
 */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { BackupError, RequestError } from '../errors.ts';
import type { ByteSource } from '../sinks/sink.ts';
import { keepOnDisk } from '../sources.ts';
import type { RestoreResult } from '../types.ts';

export interface Upload {
  token: string;
  /** As the browser called the file. */
  name: string;
  bytes: number;
  /** ISO 8601: when it is removed, unless it is used before. */
  expiresAt: string;
  /** What came out when it was last tried. */
  checked?: RestoreResult;
}

interface Entry {
  upload: Upload;
  session: string;
  source: ByteSource;
  timer?: NodeJS.Timeout;
  busy: boolean;
}

/** Of all browsers: what a mistake can fill is bounded. */
const MOST = 4;

export class Uploads {
  readonly #lifetime: number;
  readonly #entries = new Map<string, Entry>();
  #arriving = 0;

  /** @param lifetime milliseconds */
  constructor(lifetime: number) {
    this.#lifetime = lifetime;
  }

  /**
   * Keeps a stream; what the same browser sent before goes.
   * @throws RequestError ERR_WEB_NO_FILE, ERR_WEB_TOO_MANY_UPLOADS, ERR_WEB_UPLOAD_NOT_KEPT; the stream's error. Nothing of it is kept then
   */
  async keep(session: string, name: string, stream: Readable): Promise<Upload> {
    for (const { upload, session: owner } of this.#entries.values())
      if (owner === session) await this.discard(upload.token, session);
    if (this.#entries.size + this.#arriving >= MOST)
      throw new RequestError(
        'ERR_WEB_TOO_MANY_UPLOADS',
        'Too many uploads are waiting here. Try again in some minutes.',
      );
    this.#arriving++;
    try {
      const source = await keepOnDisk(stream, name).catch((cause) => {
        throw notKept(cause);
      });
      if (source.size === 0) {
        await source.close();
        throw new RequestError('ERR_WEB_NO_FILE', 'The file is empty, or none was chosen. Choose a .dbs file.');
      }
      const token = randomBytes(32).toString('base64url');
      const upload: Upload = { token, name, bytes: source.size, expiresAt: '' };
      const entry = { upload, session, source, busy: false };
      this.#entries.set(token, entry);
      this.#await(entry);
      return upload;
    } finally {
      this.#arriving--;
    }
  }

  /** @throws RequestError ERR_WEB_UPLOAD_GONE where it is not there, or is another browser's */
  find(token: string, session: string): Upload {
    return this.#entry(token, session).upload;
  }

  /**
   * Lends an upload to one piece of work, which need not close it. Its time begins anew afterwards.
   * @throws as `find`, also where it is in use; what `work` throws
   */
  async use<T>(token: string, session: string, work: (source: ByteSource) => Promise<T>): Promise<T> {
    const entry = this.#entry(token, session);
    if (entry.busy) throw gone();
    const { source } = entry;
    clearTimeout(entry.timer);
    entry.busy = true;
    try {
      return await work({
        name: source.name,
        size: source.size,
        read: (offset, into) => source.read(offset, into),
        close: async () => {},
      });
    } finally {
      entry.busy = false;
      if (this.#entries.has(token)) this.#await(entry);
      else await source.close();
    }
  }

  /** Removes it, if it is there; what is in use, right after that. */
  async discard(token: string, session: string): Promise<void> {
    const entry = this.#entries.get(token);
    if (entry?.session === session) await this.#remove(entry);
  }

  /** Removes all of them. */
  async close(): Promise<void> {
    for (const entry of this.#entries.values()) await this.#remove(entry);
  }

  #entry(token: string, session: string): Entry {
    const entry = this.#entries.get(token);
    if (entry?.session !== session) throw gone();
    return entry;
  }

  #await(entry: Entry): void {
    entry.upload.expiresAt = new Date(Date.now() + this.#lifetime).toISOString();
    entry.timer = setTimeout(() => void this.#remove(entry), this.#lifetime);
    // The file has no name: a process that ends takes it along.
    entry.timer.unref();
  }

  async #remove(entry: Entry): Promise<void> {
    clearTimeout(entry.timer);
    this.#entries.delete(entry.upload.token);
    if (!entry.busy) await entry.source.close();
  }
}

function gone(): RequestError {
  return new RequestError(
    'ERR_WEB_UPLOAD_GONE',
    'This upload is not here any more: its time is over, it was restored, or it is in use. Upload the file again.',
  );
}

/** What the file system says; what the sender did stays as it is. */
function notKept(cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (cause instanceof BackupError || !syscall) return cause;
  return new RequestError(
    'ERR_WEB_UPLOAD_NOT_KEPT',
    `The upload could not be kept on the server (${code}). Make room in its temporary folder, or name another one in $TMPDIR.`,
    { cause },
  );
}
