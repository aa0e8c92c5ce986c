/** Content of restored files while it waits for the database's commit. */
import { type FileHandle, open } from 'node:fs/promises';

/** One that is being written. */
export interface WaitingFile {
  /** Bytes so far. */
  readonly size: number;
  write(data: Buffer): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** The files that are being written, so that a restore which ends early leaves no descriptor open. */
export class WaitingFiles {
  readonly #open = new Set<FileHandle>();

  /** A new file of mode 0600. @throws what the file system says, EEXIST too */
  async create(path: string): Promise<WaitingFile> {
    const file = await open(path, 'wx', 0o600);
    this.#open.add(file);
    let size = 0;
    return {
      get size() {
        return size;
      },
      async write(data) {
        for (let at = 0; at < data.length; ) at += (await file.write(data, at)).bytesWritten;
        size += data.length;
      },
      close: async () => {
        if (this.#open.delete(file)) await file.close();
      },
    };
  }

  async closeAll(): Promise<void> {
    for (const file of this.#open) await file.close().catch(() => {});
    this.#open.clear();
  }
}
