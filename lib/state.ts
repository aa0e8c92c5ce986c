/** What the last runs came to, in a small file of this machine: so that `dbs health` can tell. Written beside its place, synced, renamed; only its owner may read it. */
import { randomBytes } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DEFAULT_PREFIX } from './catalog/naming.ts';
import type { BackupConfig } from './settings.ts';
import { syncFolder } from './sinks/file.ts';
import type { BackupRun, Problem } from './types.ts';

/** A look at a whole backup: when it was written, or by `dbs health --validate`. */
export interface ValidationNote {
  /** ISO 8601, UTC. */
  at: string;
  destination: string;
  name: string;
  ok: boolean;
  problem: Problem | null;
}

/** Of one prefix. */
export interface BackupState {
  lastRun: BackupRun | null;
  /** The newest run that was good at every destination. */
  lastSuccess: { name: string | null; endedAt: string } | null;
  lastValidation: ValidationNote | null;
}

const NOTHING: BackupState = { lastRun: null, lastSuccess: null, lastValidation: null };
const VERSION = 1;

interface StateFile {
  version: number;
  prefixes: Record<string, BackupState>;
}

/** Where it is; `null` where the settings want none. */
export function statePath({ stateFile }: BackupConfig): string | null {
  return stateFile === false ? null : resolve(stateFile ?? '.dbs-state.json');
}

/** What is known; nothing where there is no file, or one that cannot be understood. */
export async function readState(settings: BackupConfig): Promise<BackupState> {
  const path = statePath(settings);
  const file = path === null ? null : await parsed(path);
  return { ...NOTHING, ...file?.prefixes[settings.prefix ?? DEFAULT_PREFIX] };
}

/** Changes some of it. @throws what the file system says: the caller makes a warning of it */
export async function writeState(settings: BackupConfig, changes: Partial<BackupState>): Promise<void> {
  const path = statePath(settings);
  if (path === null) return;
  const file = (await parsed(path)) ?? { version: VERSION, prefixes: {} };
  const prefix = settings.prefix ?? DEFAULT_PREFIX;
  file.prefixes[prefix] = { ...NOTHING, ...file.prefixes[prefix], ...changes };
  await replace(path, `${JSON.stringify(file, null, 2)}\n`);
}

async function parsed(path: string): Promise<StateFile | null> {
  try {
    const file = JSON.parse(await readFile(path, 'utf8')) as StateFile;
    return file.version === VERSION && typeof file.prefixes === 'object' && file.prefixes !== null ? file : null;
  } catch {
    return null;
  }
}

async function replace(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.dbs-state.${randomBytes(6).toString('hex')}.part`);
  const handle = await open(temporary, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}
