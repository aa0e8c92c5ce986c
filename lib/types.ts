/** Options and results of the public functions. Results are plain JSON, apart from methods that are said to be there. */
import type { Readable } from 'node:stream';
import type { DerivedPassphrase, OpeningKeys, SealingKeys, UnlockedBackup } from './container/keys.ts';
import type { ByteSource } from './container/source.ts';
import type { Survival } from './container/survival.ts';
import type { DestinationSettings } from './destinations.ts';
import type { LostBlock } from './errors.ts';
import type { BackupEvent } from './events.ts';
import type { CodecName } from './format/frame.ts';
import type { SkippedSource } from './format/items.ts';
import type { LayoutName } from './format/limits.ts';
import type { Losses } from './salvage.ts';
import type { Destination, Sink } from './sinks/sink.ts';

/** A passphrase, as text or derived (`derivePassphrase`), or several, or recipients' public keys. */
export type SealingSecret = string | DerivedPassphrase | SealingKeys;
/** A passphrase, or secret keys, or what `unlockBackup` made of them. */
export type OpeningSecret = string | OpeningKeys | UnlockedBackup;
/** A path or URL, bytes, random access, or a stream (spooled to a temporary file). */
export type BackupSource = string | Buffer | ByteSource | Readable;

/**
 * A path or URL, a sink, or a destination. Where it names a destination (a URL that ends in `/`, a folder, an object), the file gets a name by prefix and time.
 */
export type BackupTarget = string | Sink | Destination;

interface Common {
  signal?: AbortSignal;
  /** What URLs need: `sshTargets`, `s3`, `schemes`. For functions that take an ORM or a `config`, that has them already. */
  settings?: DestinationSettings;
  /** Called with each event, the same objects that `dbs --json` prints. Must not throw. */
  onEvent?: (event: BackupEvent) => void;
}

export interface WriteOptions extends Common {
  output?: BackupTarget;
  /**
   * Several, in one pass: the source is read once, the container is made once, and each gets all of it. One that fails is reported in the result, and the others
   * finish; it is an error when all fail.
   */
  outputs?: BackupTarget[];
  /** Of the name at destinations: `PREFIX-YYYYMMDD-HHMMSSZ.dbs`. Default: that of the settings, or `backup`. */
  prefix?: string;
  /** Replace an output that exists. */
  force?: boolean;
  /** Default `tandem` where every output can be read back at little cost (files), else `interleaved`. `split` with `mirror`. */
  layout?: LayoutName;
  /** A second place for copy B: the layout is then `split`. */
  mirror?: BackupTarget;
  /** Default `deflate`. */
  compression?: CodecName;
  /** Re-read both copies at every output before success is said. Default true where an output can be read back. */
  verify?: boolean;
  /** Asked when all is written and verified, just before the first output gets its name. What it throws stops the backup: nothing of it is kept. */
  confirm?: () => Promise<void>;
}

export type { Losses, Survival };

/** A code and its sentence, as results carry the failures that did not stop them. */
export interface Problem {
  code: string;
  message: string;
}

/** What became of one output. */
export interface OutputResult {
  /** As messages call it. */
  output: string;
  /** The whole backup is there, under its name. */
  ok: boolean;
  /** It was read back. */
  verified: boolean;
  problem: Problem | null;
}

export interface WriteResult {
  /** The first that has it. */
  output: string | null;
  /** Every output, in the order given; with a mirror, both. */
  outputs: OutputResult[];
  /** The file's name, where it was made by prefix and time. */
  name: string | null;
  /** Of the container; with a mirror, of both halves. */
  bytes: number;
  blocks: number;
  layout: LayoutName;
  verified: boolean;
  survives: Survival;
  milliseconds: number;
}

export interface BackupResult extends WriteResult {
  type: 'backup';
  entities: { name: string; rows: number }[];
  rows: number;
  files: { count: number; bytes: number };
  /** Sources that could not be read: `dbs` then exits with 3. */
  skipped: SkippedSource[];
  /** `Entity.property` of what was masked; empty for a backup of everything as it is. */
  masked: string[];
}

export interface SealResult extends WriteResult {
  type: 'seal';
  /** Bytes of the sealed stream. */
  input: number;
}

export interface ReadOptions extends Common {
  /** Other copies of the same backup, damaged or not: each heals from all. The second file of a split pair, too. */
  with?: BackupSource[];
  /** Which backup, where a file holds several: the fileID in hex. */
  fileId?: string;
}

/** State of one kind of record. */
export interface Health {
  total: number;
  good: number;
  /** Damaged and healed from the rest. */
  healed: number;
}

export interface ValidationReport {
  type: 'validation';
  /** Everything can be restored, exactly. */
  ok: boolean;
  /** The medium is failing: something is damaged, healed or not. */
  damaged: boolean;
  source: string;
  bytes: number;
  fileId: string;
  layout: LayoutName;
  blocks: number;
  groups: number;
  copyA: Health;
  copyB: Health;
  outerParity: Health;
  /** HEADER, INDEX and END records. */
  tables: Health;
  /** Blocks that were rebuilt, as neither copy was whole. */
  rebuilt: number;
  /** Bytes of the file that belong to no record. */
  foreignBytes: number;
  lost: LostBlock[];
  /** What the lost blocks held, as far as the key and the table of contents tell. */
  touched: { entities: string[]; files: string[] } | null;
  /** With a key: every block's authentication verified, and the stream down to its totals. `null` without a key. */
  authentic: boolean | null;
  /** Why `ok` is false, in a sentence. */
  problem: { code: string; message: string } | null;
  /** With a key. */
  totals: { rows: number; files: number; bytes: number; skipped: number } | null;
  /** A few lines for people. */
  summary(): string;
}

export interface InspectReport {
  type: 'inspection';
  source: string;
  bytes: number;
  fileId: string;
  version: string;
  layout: LayoutName;
  blocks: number;
  groups: number;
  /** Bytes of the sealed stream, with padding. */
  streamBytes: number;
  keySlots: { kind: string; kdf?: { iterations: number; memoryKiB: number; parallelism: number } }[];
  survives: Survival;
  /** A quick look at every record's page; `dbs validate` reads everything. */
  health: { pages: number; intact: number; healable: number; missing: number };
}

export interface RestoreOptions extends ReadOptions {
  /** `merge` (default): by primary key, into what is there. `flush`: the backup's tables are emptied first. */
  mode?: 'merge' | 'flush';
  /** Everything, files too, and then undone. */
  dryRun?: boolean;
  /** Entity or table names. */
  only?: string[];
  except?: string[];
  /** Go on although columns of the backup are missing in the target, or its types hold less. */
  allowDrift?: boolean;
  /** Of that, conversions only: into another kind of database, some may lose digits. What they lost is counted. */
  allowLossy?: boolean;
  /** Mask on the way in: as `mask` of a backup, with this configuration's sensitive fields. */
  mask?: boolean | string;
  /** Accept rows that refer to rows which are not there: for a source that has such rows itself. */
  allowDangling?: boolean;
  /** MariaDB and MySQL cannot switch triggers off: let them fire for restored rows instead of refusing. */
  allowTriggers?: boolean;
  /**
   * Where the backup is beyond repair: restore what is intact, into an EMPTY target, and report the rest. Rows may then refer to rows
   * that are lost.
   */
  salvage?: boolean;
}

/** How the backup's schema and the target's differ. */
export interface SchemaDrift {
  /** Entities with a difference, in the backup's order. */
  entities: {
    name: string;
    columns: {
      column: string;
      /**
       * `dropped`: not in the target; `defaulted`: not in the backup; `converted`: the target's type holds less, or something may get lost;
       * `told`: every value arrives, in another form.
       */
      kind: 'dropped' | 'defaulted' | 'converted' | 'told';
      /** Types, where they matter. */
      from?: string;
      to?: string;
      note?: string;
      /** Values (not NULL) that were dropped, or that lost something. */
      values?: number;
    }[];
  }[];
  /** Over all entities: columns left out, values in them that were not NULL, and values that lost something. */
  discarded: { columns: number; values: number; lossy: number };
  /** Migrations that only one side has executed. */
  migrations: { onlyInBackup: string[]; onlyInTarget: string[] };
}

export interface RestoreResult {
  type: 'restore';
  /** False where something is lost (`losses`), or would be refused (`refused`). */
  ok: boolean;
  /** Damage was found and healed: copy the backup to a better medium. */
  healed: boolean;
  dryRun: boolean;
  entities: { name: string; inserted: number; updated: number; untouched: number }[];
  files: {
    written: number;
    /** In place already, byte for byte. */
    unchanged: number;
    /** The backup has only a part of them: not restored. */
    incomplete: number;
    /** Left out by `only` or `except`. */
    skipped: number;
    /** Of what was written. */
    bytes: number;
  };
  drift: SchemaDrift;
  /** Of a dry run: what the restore itself would be refused with, for want of `allowDrift` or `allowLossy`. */
  refused: { code: string; message: string } | null;
  report: ValidationReport;
  /** With `salvage`, where something is missing: what. `ok` is then false. */
  losses: Losses | null;
  milliseconds: number;
}

/** What `dbs ls` shows. */
export type ListEntry =
  | { type: 'entity'; name: string; entities: string[]; rows: number; bytes: number }
  | { type: 'file'; kind: string; root: string; path: string; size: number };

/** One run of an unattended backup, from the lock to the removal of old backups: what hooks, webhook and state file get. No secrets. */
export interface BackupRun {
  type: 'run';
  /** The backup is whole at every destination. */
  ok: boolean;
  /** ISO 8601, UTC. */
  startedAt: string;
  endedAt: string;
  milliseconds: number;
  /** Of the file, the same at every destination; `null` where none was begun. */
  name: string | null;
  destinations: { name: string; ok: boolean; verified: boolean; problem: Problem | null }[];
  rows: number;
  files: { count: number; bytes: number };
  /** Of the container. */
  bytes: number;
  /** Sources that could not be read. */
  skipped: number;
  /** Names that retention removed, by destination. */
  removed: { destination: string; names: string[] }[];
  /** What went wrong and did not fail the run: hooks, webhook, ping, retention. */
  warnings: Problem[];
  /** Why `ok` is false. */
  problem: Problem | null;
}
