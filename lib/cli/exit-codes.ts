/** What `dbs` ends with: a contract, listed in docs/cli.md. A number is never given a second meaning. */
import {
  BackupError,
  ConfigError,
  DamageError,
  FormatError,
  NoKeyMatchError,
  TamperError,
  TruncatedError,
  WrongPassphraseError,
} from '../errors.ts';

export const ExitCode = {
  OK: 0,
  /** A bug, or a world that fails: full disk, lost connection. The message says which. */
  UNEXPECTED: 1,
  /** An option, argument or setting is wrong: nothing was begun. */
  USAGE: 2,
  /** The backup is there, and some sources could not be read into it. */
  SKIPPED: 3,
  /** Damage was found, and all data is intact: the medium is failing, copy the backup elsewhere. */
  HEALED: 4,
  /** Part of the data is lost; what is left was restored, as asked for. */
  SALVAGED: 5,
  /** Not a backup, damaged beyond repair, cut, or changed on purpose. */
  UNRECOVERABLE: 6,
  /** Done in part: one of several destinations does not have the backup, or something that should go could not be removed. */
  PARTIAL: 7,
  NOT_FOUND: 10,
  LOCKED: 11,
  WRONG_KEY: 12,
  SCHEMA_MISMATCH: 13,
  /** A check of `health` or `doctor` failed. */
  UNHEALTHY: 20,
  INTERRUPTED: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Codes that say more than their class does. The first match counts. */
const BY_CODE: [RegExp, ExitCode][] = [
  [/_LOCKED$|^ERR_LOCK_LOST$/, ExitCode.LOCKED],
  [/^ERR_(SOURCE|SINK|CONTENT)_(NOT_FOUND|NO_DATABASE|NO_BUCKET)$/, ExitCode.NOT_FOUND],
  [
    /^ERR_RESTORE_(UNKNOWN_ENTITY|MISSING_TABLE|SCHEMA_DRIFT|DIALECT|CONVERSION|LOSSY|VALUE|NO_PRIMARY_KEY)$/,
    ExitCode.SCHEMA_MISMATCH,
  ],
  [/^ERR_SOURCE_MISSING_TABLE$/, ExitCode.SCHEMA_MISMATCH],
  // The file is fine: this program is too old for it, or it was named for the wrong purpose.
  [/^ERR_FORMAT_(NEWER|SEVERAL|DIFFERENT|NOT_SEALED)$/, ExitCode.USAGE],
  [/^ERR_RESTORE_(NOT_A_DATABASE|UNKNOWN_STORAGE)$/, ExitCode.USAGE],
];

/** The user, or the system, ended the run: the reason with which `dbs` aborts everything under way. */
export class Interrupted extends Error {
  constructor(readonly signal: string) {
    super(`interrupted (${signal})`);
    this.name = 'Interrupted';
  }
}

/** The exit code of anything that was thrown. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Interrupted) return ExitCode.INTERRUPTED;
  if (!(error instanceof BackupError)) return ExitCode.UNEXPECTED;
  for (const [pattern, code] of BY_CODE) if (pattern.test(error.code)) return code;
  if (error instanceof ConfigError) return ExitCode.USAGE;
  if (error instanceof WrongPassphraseError || error instanceof NoKeyMatchError) return ExitCode.WRONG_KEY;
  for (const type of [DamageError, TruncatedError, TamperError, FormatError]) {
    if (error instanceof type) return ExitCode.UNRECOVERABLE;
  }
  return ExitCode.UNEXPECTED;
}
