/**
 * Files of one restore on their way into folders of the file system. Their content waits in `.dbs-restore-<random>`
 * inside the allowed root, numbered, so that giving them their names is a rename within one file system. What goes
 * where stands in a list beside them: memory does not grow with the number of files.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, lstat, mkdir, open, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { RestoreError } from '../errors.ts';
import { type ConfinedPath, confine } from './confine.ts';
import { copyAcross, makeFolders, sameContent, syncAll } from './fs-tools.ts';
import { type FileStaging, type FileStat, fileReason, type StagedFile } from './storage.ts';
import { WaitingFiles } from './waiting-files.ts';

/** Folders with this prefix are ours: a backup passes over them. */
export const STAGING_PREFIX = '.dbs-restore-';

/** One line of the list: what waits under which number. */
interface Entry {
  n: number;
  key: string;
  mode?: number;
  mtime?: number;
}

/** The waiting room in one allowed root. */
interface Room {
  dir: string;
  /** Entries not yet on disk. */
  pending: string[];
  count: number;
}

export class FsStaging implements FileStaging {
  readonly #base: string;
  readonly #roots: string[];
  readonly #id = randomBytes(6).toString('hex');
  readonly #rooms = new Map<string, Room>();
  /** Folders that we made, parents first. */
  readonly #made: string[] = [];
  readonly #writing = new WaitingFiles();

  constructor(base: string, roots: string[]) {
    this.#base = base;
    this.#roots = roots;
  }

  async stage(key: string, meta: Partial<FileStat>): Promise<StagedFile> {
    const target = await this.#confine(key);
    await refuseFolder(target.path, key);
    const room = await this.#room(target.root, key);
    const n = ++room.count;
    const temporary = join(room.dir, String(n));
    const refused = (error: unknown) => {
      throw writeError(key, error);
    };
    const file = await this.#writing.create(temporary).catch(refused);
    return {
      write: (data) => file.write(data).catch(refused),
      finish: async () => {
        await file.close();
        const there = await stat(target.path).catch(() => undefined);
        if (there?.isFile() && there.size === file.size && (await sameContent(target.path, temporary))) {
          await unlink(temporary);
          return { unchanged: true };
        }
        const entry: Entry = { n, key, ...pick(meta) };
        room.pending.push(`${JSON.stringify(entry)}\n`);
        if (room.pending.length >= 256) await flush(room);
        return { unchanged: false };
      },
      abort: async () => {
        await file.close().catch(() => {});
        await rm(temporary, { force: true }).catch(() => {});
      },
    };
  }

  async prepare(): Promise<void> {
    for (const room of this.#rooms.values()) {
      await flush(room);
      await syncAll(room.dir, this.#entries(room));
      for await (const { key } of this.#entries(room)) await this.#confine(key);
    }
  }

  async commit(): Promise<void> {
    const failed: { path: string; reason: string }[] = [];
    for (const room of this.#rooms.values()) {
      for await (const entry of this.#entries(room)) {
        await this.#place(room, entry).catch((error) => {
          if (failed.length < 100) failed.push({ path: entry.key, reason: fileReason(error) });
        });
      }
      await rm(room.dir, { recursive: true, force: true }).catch(() => {});
    }
    this.#rooms.clear();
    if (failed.length) throw notPlaced(failed);
  }

  async abort(): Promise<void> {
    await this.#writing.closeAll();
    for (const room of this.#rooms.values()) await rm(room.dir, { recursive: true, force: true }).catch(() => {});
    this.#rooms.clear();
    // Only empty ones go: what somebody else put there meanwhile stays.
    for (const dir of this.#made.splice(0).reverse()) await rmdir(dir).catch(() => {});
  }

  async #place(room: Room, { n, key, mode, mtime }: Entry): Promise<void> {
    const from = join(room.dir, String(n));
    // Aborted after `finish`: its content is gone on purpose.
    if (!(await lstat(from).catch(() => undefined))) return;
    const { path } = await this.#confine(key);
    await makeFolders(dirname(path), this.#made);
    const file = await open(from, 'r+');
    try {
      await file.chmod(mode ?? 0o644);
      if (mtime !== undefined) await file.utimes(mtime / 1000, mtime / 1000);
    } finally {
      await file.close();
    }
    await rename(from, path).catch((error) => {
      // Another file system is mounted below the root.
      if ((error as { code?: string }).code !== 'EXDEV') throw error;
      return copyAcross(from, path);
    });
  }

  #confine(key: string): Promise<ConfinedPath> {
    return confine(this.#base, key, this.#roots);
  }

  async #room(root: string, key: string): Promise<Room> {
    let room = this.#rooms.get(root);
    if (room) return room;
    const dir = join(root, `${STAGING_PREFIX}${this.#id}`);
    try {
      await makeFolders(root, this.#made);
      await mkdir(dir, { mode: 0o700 });
    } catch (error) {
      throw writeError(key, error);
    }
    room = { dir, pending: [], count: 0 };
    this.#rooms.set(root, room);
    return room;
  }

  async *#entries(room: Room): AsyncGenerator<Entry> {
    const list = join(room.dir, 'list');
    if (!(await lstat(list).catch(() => undefined))) return;
    for await (const line of createInterface({ input: createReadStream(list), crlfDelay: Number.POSITIVE_INFINITY })) {
      yield JSON.parse(line) as Entry;
    }
  }
}

function pick({ mode, mtime }: Partial<FileStat>): Pick<Entry, 'mode' | 'mtime'> {
  // No set-uid, no sticky bit: a backup must not be a way to install those.
  return { ...(mode === undefined ? {} : { mode: mode & 0o777 }), ...(mtime === undefined ? {} : { mtime }) };
}

async function flush(room: Room): Promise<void> {
  if (!room.pending.length) return;
  await appendFile(join(room.dir, 'list'), room.pending.join(''), { mode: 0o600 });
  room.pending = [];
}

async function refuseFolder(path: string, key: string): Promise<void> {
  const there = await lstat(path).catch((error) => {
    if ((error as { code?: string }).code === 'ENOTDIR')
      throw blocked(key, 'a file is in the place of one of its folders');
    return undefined;
  });
  if (there && !there.isFile()) throw blocked(key, 'something that is no regular file has its name');
}

function blocked(key: string, why: string): RestoreError {
  return new RestoreError(
    'ERR_FILES_BLOCKED',
    `The file ${JSON.stringify(key)} cannot be restored: ${why}. Move that away and restore again. Nothing was changed.`,
    { facts: { path: key } },
  );
}

function writeError(key: string, error: unknown): RestoreError {
  const code = (error as { code?: string }).code === 'ENOSPC' ? 'ERR_RESTORE_DISK_FULL' : 'ERR_FILES_WRITE';
  return new RestoreError(
    code,
    `The file ${JSON.stringify(key)} cannot be written, because ${fileReason(error)}. Nothing was changed.`,
    { cause: error, facts: { path: key } },
  );
}

export function notPlaced(failed: { path: string; reason: string }[]): RestoreError {
  const shown = failed.slice(0, 5).map(({ path, reason }) => `${path} (${reason})`);
  return new RestoreError(
    'ERR_FILES_NOT_PLACED',
    `The rows are restored, but these files could not be put in their places: ${shown.join('; ')}${failed.length > 5 ? ' and more' : ''}. Remove the cause and restore again: what is in place already is left alone.`,
    { facts: { files: failed } },
  );
}
