/** Keeping file names inside the directories that the configuration allows. */
import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { RestoreError } from '../errors.ts';

/** A name that was found to lie inside. */
export interface ConfinedPath {
  /** Real absolute path: no symbolic link is left in it, as far as it exists. */
  path: string;
  /** The allowed root that holds it, as a real path. */
  root: string;
}

/**
 * Resolves a key and makes sure that what it leads to lies inside an allowed root.
 *
 * What counts is where the path REALLY leads: every symbolic link on the way is followed first. Refused are `..`
 * escapes, absolute paths outside, NUL bytes, links that lead out, and links that lead nowhere (writing through one
 * would create its target). Another process that swaps a folder for a link between this check and the use of its
 * answer is not defended against; the check is repeated right before a restored file gets its name.
 *
 * @param base what relative keys are relative to
 * @throws RestoreError ERR_FILES_OUTSIDE_ROOT
 */
export async function confine(base: string, key: string, roots: string[]): Promise<ConfinedPath> {
  if (key === '' || key.includes('\0')) throw outside(key, 'it is empty or holds a NUL byte');
  const path = await realName(isAbsolute(key) ? resolve(key) : resolve(base, key), key);
  for (const each of roots) {
    const root = await realName(resolve(each), key);
    if (path !== root && isInside(path, root)) return { path, root };
  }
  throw outside(key, 'it leads outside of the allowed folders');
}

/** Whether `path` is `root` or below it. Both absolute and normalized. */
export function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/** The real path of the deepest ancestor that exists, and the rest as it stands. */
async function realName(path: string, key: string): Promise<string> {
  let rest = '';
  for (let at = path; ; at = dirname(at)) {
    try {
      return join(await realpath(at), rest);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
      if (await isLink(at)) throw outside(key, 'a symbolic link on its way leads nowhere');
      if (dirname(at) === at) throw error;
      rest = join(basename(at), rest);
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

function outside(key: string, why: string): RestoreError {
  return new RestoreError(
    'ERR_FILES_OUTSIDE_ROOT',
    `The file name ${JSON.stringify(key.slice(0, 200))} is refused: ${why}. If it belongs there, name its folder in "pathRoots", "fileRoots" or "storages".`,
    { facts: { path: key } },
  );
}
