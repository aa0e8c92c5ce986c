/** What a restore is asked to do, and what it says that it did. */
import type { DanglingReference, EntityCounts } from './driver.ts';
import type { FileCounts } from './file-target.ts';
import type { RegistryConfig } from './registry.ts';
import type { Drift } from './target-drift.ts';

export interface RowTargetOptions {
  registry?: RegistryConfig;
  /**
   * `merge` (default): rows are told apart by primary key; missing ones are inserted, different ones updated, others
   * left alone. `flush`: all rows of the tables in the backup are deleted first.
   */
  mode?: 'merge' | 'flush';
  /** Does everything, files and their confinement included, and then takes it back. */
  dryRun?: boolean;
  /** Entity or table names: only these, with their files. */
  only?: string[];
  /** Entity or table names: everything but these. */
  except?: string[];
  /** Columns that the target does not have are left out, and types that hold less converted, instead of refused. */
  allowDrift?: boolean;
  /** Of that, conversions only: into another kind of database, some of them may lose digits. */
  allowLossy?: boolean;
  /** Foreign keys without their row are accepted: for a source that has such rows itself. */
  allowDangling?: boolean;
  /** MariaDB and MySQL cannot switch triggers off: let them fire for restored rows instead of refusing. */
  allowTriggers?: boolean;
  /** Refuse tables that hold rows: what is salvaged must not meet anything. */
  requireEmpty?: boolean;
  /** Aborting destroys the stream with the signal's reason and takes everything back. */
  signal?: AbortSignal;
}

export interface TableCounts extends EntityCounts {
  table: string;
  entities: string[];
}

/** What a restore did, or would have done (`dryRun`). */
export interface RestoreCounts {
  dryRun: boolean;
  /** In the backup's order. */
  tables: TableCounts[];
  files: FileCounts;
  /** How the schemas differ, with counts of what was left out or lost something. */
  drift: Drift[];
  /** With `dryRun`: what the restore itself would be refused with, as allowDrift or allowLossy is missing. */
  refused: { code: string; message: string } | null;
  /** Foreign keys without their row, where `allowDangling` accepted them; at most 20. */
  dangling: DanglingReference[];
  /** Migrations that only the backup's database, or only the target's, had executed. */
  migrations: { onlyInBackup: string[]; onlyInTarget: string[] };
}
