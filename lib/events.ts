/** What the library tells while it works: the same objects that `dbs --json` prints, one a line. */
import type { SkippedSource } from './format/items.ts';
import type { BackupRun } from './types.ts';

export type Phase = 'read' | 'write' | 'verify' | 'check' | 'restore' | 'repair' | 'pull' | 'push';

export type BackupEvent =
  /** At most ten times a second. `total` where it is known. */
  | { type: 'progress'; phase: Phase; bytes: number; total?: number; rows?: number; files?: number }
  | { type: 'entity'; name: string; rows: number }
  | ({ type: 'skipped' } & { source: SkippedSource })
  | { type: 'healed'; block: number; how: 'copy' | 'rows' | 'columns' | 'outer' }
  /** One of several outputs will not have the backup; the others go on. */
  | { type: 'output-failed'; output: string; code: string; message: string }
  | { type: 'warning'; code: string; message: string }
  /** Of a schedule: when the next backup is due, as ISO 8601; `null` where it never is again. */
  | { type: 'waiting'; schedule: string; next: string | null }
  /** Of a schedule: no backup was made this time, as another instance makes it or has made it. */
  | { type: 'run-skipped'; code: string; message: string }
  | BackupRun;
