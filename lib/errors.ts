/**
 * Every error that this library throws on purpose. Each has a stable `code` (docs/errors.md lists them), a sentence
 * that says what to do next, typed facts, and the exit code that `dbs` ends with.
 */

const BRAND = Symbol.for('mikro-orm-dbs.error');

/** Facts of an error: plain JSON, never a secret. */
export type ErrorFacts = Record<string, unknown>;

export interface ErrorOptions {
  cause?: unknown;
  facts?: ErrorFacts;
}

/** The root of the hierarchy. `instanceof` works by brand, so it survives two installs of this package. */
export class BackupError extends Error {
  /** `ERR_<AREA>_<WHAT>`, stable across versions. */
  readonly code: string;
  /** Typed facts for programs, as they also stand in the CLI's JSON. */
  readonly facts: ErrorFacts;

  constructor(code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.facts = options.facts ?? {};
    Object.defineProperty(this, BRAND, { value: ancestry(new.target) });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false;
    const names = (value as Record<symbol, unknown>)[BRAND];
    // biome-ignore lint/complexity/noThisInStatic: each subclass asks for its own name
    return Array.isArray(names) && names.includes(this.name);
  }
}

function ancestry(type: { name: string }): string[] {
  const names: string[] = [];
  for (let t: unknown = type; typeof t === 'function' && t !== Error && t.name; t = Object.getPrototypeOf(t))
    names.push(t.name);
  return names;
}

/** A setting, argument or option is wrong. Thrown before any byte moves. */
export class ConfigError extends BackupError {}
/** The app's database or files, or a backup, cannot be read. `permanent` says that reading the same again is pointless. */
export class SourceError extends BackupError {
  readonly permanent: boolean;
  constructor(code: string, message: string, options: ErrorOptions & { permanent?: boolean } = {}) {
    super(code, message, options);
    this.permanent = options.permanent ?? true;
  }
}

/** A destination refuses or fails. `permanent` says that trying again is pointless. */
export class SinkError extends BackupError {
  readonly permanent: boolean;
  constructor(code: string, message: string, options: ErrorOptions & { permanent?: boolean } = {}) {
    super(code, message, options);
    this.permanent = options.permanent ?? true;
  }
}

/** Another instance of the app is at work, or the lock that tells so cannot be used. */
export class LockError extends BackupError {}

/** The bytes are not a backup that this version can read. */
export class FormatError extends BackupError {
  readonly offset: number | undefined;
  constructor(code: string, message: string, options: ErrorOptions & { offset?: number } = {}) {
    super(code, message, options);
    this.offset = options.offset;
  }
}

/** The key material is intact, and the passphrase opens none of its slots. */
export class WrongPassphraseError extends BackupError {}
/** No key slot is of a kind that the given key could open. */
export class NoKeyMatchError extends BackupError {}
/** Checksums fit and authentication fails: somebody changed the file on purpose. */
export class TamperError extends BackupError {}
/** The end of the file is missing and what is there cannot stand for the whole. */
export class TruncatedError extends BackupError {}

/** One lost block: its number, and where its copies should be. */
export interface LostBlock {
  block: number;
  /** Byte ranges of the container `[start, end)`, one for each copy. */
  ranges: [number, number][];
}

/** Damage beyond repair. Names every lost block and, where the key is known, what it held. */
export class DamageError extends BackupError {
  readonly blocks: LostBlock[];
  readonly entities: string[];
  readonly files: string[];
  constructor(
    code: string,
    message: string,
    options: ErrorOptions & { blocks: LostBlock[]; entities?: string[]; files?: string[] },
  ) {
    super(code, message, {
      ...options,
      facts: { ...options.facts, blocks: options.blocks, entities: options.entities ?? [], files: options.files ?? [] },
    });
    this.blocks = options.blocks;
    this.entities = options.entities ?? [];
    this.files = options.files ?? [];
  }
}

/** A request over the web that cannot be served as it is. Nothing was changed. */
export class RequestError extends BackupError {}

/** The target database or file system refuses what the backup holds. Nothing was changed. */
export class RestoreError extends BackupError {}
