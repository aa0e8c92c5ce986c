/** What a restore is asked to do, and what it says that it did. */
import type { DanglingReference, EntityCounts } from './driver.ts';
import type { FileCounts } from './file-target.ts';
import type { RegistryConfig } from './registry.ts';
import type { Drift } from './target-plan.ts';

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
  /** Columns that the target does not have are left out instead of refused. */
  allowDrift?: boolean;
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
  /** What was left out because of `allowDrift`. */
  drift: Drift[];
  /** Foreign keys without their row, where `allowDangling` accepted them; at most 20. */
  dangling: DanglingReference[];
  /** Migrations that only the backup's database, or only the target's, had executed. */
  migrations: { onlyInBackup: string[]; onlyInTarget: string[] };
}
