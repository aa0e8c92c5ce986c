/** Files as BackupItems: those that rows name, then whole folders. What cannot be read is said and passed over. */
import { lstat, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { BackupError } from '../errors.ts';
import { STAGING_PREFIX } from '../files/fs-staging.ts';
import { FsStorage } from '../files/fs-storage.ts';
import { type FileStat, fileReason, isStorageAdapter, type StorageAdapter } from '../files/storage.ts';
import { rechunk } from '../files/streams.ts';
import type { BackupItem, FileMeta, SkippedSource } from '../format/items.ts';
import type { FileCollector } from './file-collector.ts';
import type { RegistryConfig } from './registry.ts';

export interface FileContext {
  registry: RegistryConfig;
  ignorePaths: string[];
  signal: AbortSignal;
}

/** Data in one item. */
const CHUNK = 256 * 1024;

/** The storages of a registry by kind and name; directories become FsStorage. Undefined where it names none. */
export function storageOf(registry: RegistryConfig, kind: FileMeta['kind'], name: string): StorageAdapter | undefined {
  if (kind === 'path') {
    const base = resolve(registry.baseDir ?? '.');
    return new FsStorage(
      base,
      (registry.pathRoots ?? [base]).map((root) => resolve(base, root)),
    );
  }
  const found = kind === 'field' ? registry.storages?.[name] : registry.fileRoots?.[name];
  if (found === undefined || isStorageAdapter(found)) return found;
  return new FsStorage(resolve(registry.baseDir ?? '.', found));
}

/** @param nextStream gives each file its stream number */
export async function* fileItems(
  collector: FileCollector,
  context: FileContext,
  nextStream: () => number,
): AsyncGenerator<BackupItem> {
  const storages = new Map<string, StorageAdapter>();
  const storage = (kind: FileMeta['kind'], name: string) => {
    const id = `${kind}\0${name}`;
    const found = storages.get(id) ?? storageOf(context.registry, kind, name)!;
    storages.set(id, found);
    return found;
  };
  for await (const { kind, storage: root, key, from } of collector.files()) {
    yield* oneFile(storage(kind, root), { kind, root, path: key }, context, nextStream, from);
  }
  const ignored = new Set((await Promise.all(context.ignorePaths.map(placesOf))).flat());
  for (const [name, dir] of Object.entries(context.registry.fileRoots ?? {})) {
    const top = resolve(context.registry.baseDir ?? '.', dir);
    for await (const found of walk(top, '', ignored)) {
      const source = { kind: 'root' as const, root: name, path: found.path };
      if (found.reason !== undefined) yield skip({ ...source, reason: found.reason });
      else yield* oneFile(storage('root', name), source, context, nextStream);
    }
  }
}

function skip(skipped: SkippedSource): BackupItem {
  return { type: 'skipped', skipped };
}

type Source = Pick<FileMeta, 'kind' | 'root' | 'path'>;

async function* oneFile(
  storage: StorageAdapter,
  source: Source,
  { signal }: FileContext,
  nextStream: () => number,
  from?: string,
): AsyncGenerator<BackupItem> {
  const why = (reason: string) => skip({ ...source, reason, ...(from === undefined ? {} : { from }) });
  let before: FileStat | null;
  let content: Readable;
  try {
    before = await storage.stat(source.path);
    if (!before) return yield why('It cannot be read, because it does not exist.');
    content = await storage.open(source.path);
  } catch (error) {
    return yield why(reasonOf(error));
  }
  // Without a listener an error between two reads would end the process.
  content.on('error', () => {});
  const abort = () => content.destroy();
  signal.addEventListener('abort', abort, { once: true });
  const stream = nextStream();
  yield { type: 'file-begin', stream, file: { ...source, ...before } };
  let size = 0;
  let failure: string | undefined;
  try {
    for await (const data of rechunk(content, CHUNK)) {
      size += data.length;
      yield { type: 'file-data', stream, data };
    }
    failure = await changed(storage, source.path, before, size);
  } catch (error) {
    failure = reasonOf(error);
  } finally {
    signal.removeEventListener('abort', abort);
    content.destroy();
  }
  yield { type: 'file-end', stream, size, ...(failure === undefined ? {} : { incomplete: failure }) };
  if (failure !== undefined) yield why(failure);
}

/**
 * A file that only grew (a log) is what it was when it was opened. One that shrank, or was written over in the same
 * length, may be half old and half new: that is no copy of anything.
 */
async function changed(
  storage: StorageAdapter,
  key: string,
  before: FileStat,
  size: number,
): Promise<string | undefined> {
  if (size < before.size) return 'It became shorter while it was read.';
  const after = await storage.stat(key);
  if (!after || after.size > before.size || after.mtime === before.mtime) return undefined;
  return 'It was changed while it was read.';
}

function reasonOf(error: unknown): string {
  return error instanceof BackupError ? error.message : `It cannot be read, because ${fileReason(error)}.`;
}

interface Found {
  path: string;
  reason?: string;
}

/**
 * Regular files below a folder in sorted order. Symbolic links and special files are named, never followed; empty
 * folders are passed over, and so are folders of an unfinished restore. Memory: the names of one folder a level.
 */
async function* walk(top: string, below: string, ignored: Set<string>): AsyncGenerator<Found> {
  const dir = below === '' ? top : join(top, below);
  let names: string[];
  try {
    // By UTF-16 code units: the same on every machine.
    names = (await readdir(dir)).sort();
  } catch (error) {
    return yield { path: below, reason: `The folder cannot be read, because ${fileReason(error)}.` };
  }
  for (const name of names) {
    if (name.startsWith(STAGING_PREFIX)) continue;
    const path = below === '' ? name : `${below}/${name}`;
    const full = join(dir, name);
    const found = await lstat(full).catch((error: unknown) => error as Error);
    if (found instanceof Error) {
      const bytes = name.includes('\ufffd') ? 'its name is not UTF-8' : fileReason(found);
      yield { path, reason: `It cannot be read, because ${bytes}.` };
    } else if (found.isDirectory()) yield* walk(top, path, ignored);
    else if (found.isSymbolicLink()) yield { path, reason: 'It is a symbolic link, which is not followed.' };
    else if (!found.isFile()) yield { path, reason: 'It is a special file (a socket, pipe or device).' };
    else if (!ignored.size || !(await isIgnored(dir, name, ignored))) yield { path };
  }
}

/** A file's own place, and that of what a link there leads to. It need not exist yet. */
async function placesOf(path: string): Promise<string[]> {
  const full = resolve(path);
  const folder = await realpath(dirname(full)).catch(() => dirname(full));
  return [join(folder, basename(full)), await realpath(full).catch(() => full)];
}

/** Also under the temporary name that it has while it is written. */
async function isIgnored(dir: string, name: string, ignored: Set<string>): Promise<boolean> {
  const finalName = /^\.(.+)\.[0-9a-f]{12}\.part$/.exec(name)?.[1] ?? name;
  return ignored.has(join(await realpath(dir).catch(() => dir), finalName));
}
