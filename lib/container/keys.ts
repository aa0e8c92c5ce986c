/** Keys of one file: made for a writer, opened for a reader (SPEC.md section 6). */
import { randomBytes } from 'node:crypto';
import { type AeadKey, aeadKey } from '../crypto/aead.ts';
import { fileIdOf, hkdf, hmac } from '../crypto/hash.ts';
import { DEFAULT_KDF, deriveKey } from '../crypto/kdf.ts';
import {
  generateX25519,
  passphraseSlotKeys,
  recipientSlotKeys,
  sameBytes,
  unwrapDataKey,
  wrapDataKey,
  x25519,
  x25519Public,
} from '../crypto/key-wrap.ts';
import { ConfigError, NoKeyMatchError, TamperError, WrongPassphraseError } from '../errors.ts';
import { type Header, writeCore, writeHeaderUnsigned } from '../format/header.ts';
import {
  closeSlot,
  type KdfParameters,
  kdfOutOfBounds,
  passphraseSlotHead,
  readSlot,
  recipientSlotHead,
} from '../format/key-slot.ts';
import { type LayoutName, MAX_SLOTS, MAX_TRIED_SLOTS } from '../format/limits.ts';

/** Who shall be able to open a backup. At least one; at most 16 in all, of which 4 passphrases. */
export interface SealingKeys {
  /** As text, or derived already. */
  passphrases?: (string | DerivedPassphrase)[];
  /** Raw X25519 public keys, 32 bytes each. */
  recipients?: Buffer[];
  /** For passphrases that are text. */
  kdf?: Partial<KdfParameters>;
}

/**
 * A passphrase after Argon2id: it seals as the text does, and takes neither time nor memory any more. No file's identity is in it yet, so it may seal several, each with a
 * wrap key of its own; their slots then show one salt. Neither `util.inspect` nor JSON shows the key.
 */
export class DerivedPassphrase {
  readonly kdf: KdfParameters;
  readonly #salt: Buffer;
  readonly #ikm: Buffer;

  /** @param salt 16 bytes @param ikm 32 bytes: what Argon2id made of passphrase and salt */
  constructor(kdf: KdfParameters, salt: Buffer, ikm: Buffer) {
    this.kdf = kdf;
    this.#salt = salt;
    this.#ikm = ikm;
  }

  /** The slot of one file, 120 bytes. */
  slot(fileId: Buffer, dataKey: Buffer): Buffer {
    const derived = passphraseSlotKeys(this.#ikm, fileId);
    const head = Buffer.concat([passphraseSlotHead(this.kdf, this.#salt), derived.commitment]);
    return closeSlot(head, wrapDataKey(derived, fileId, head, dataKey));
  }
}

/**
 * Runs Argon2id now, where its memory (64 MiB by default) has room, instead of when the backup begins: with a fresh salt. About 0.5 s with the defaults.
 * @throws ConfigError ERR_KEY_KDF_BOUNDS, ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_KDF_FAILED
 * @example
 * const secret = await derivePassphrase(passphrase); // before MikroORM is loaded: the peak of memory is then not the sum of both
 * const { orm } = await import('./app.js');
 * await createBackup(orm, secret, { output: 'app.dbs' });
 */
export async function derivePassphrase(
  passphrase: string,
  parameters: Partial<KdfParameters> = {},
): Promise<DerivedPassphrase> {
  const kdf = { ...DEFAULT_KDF, ...parameters };
  const broken = kdfOutOfBounds(kdf);
  if (broken) throw new ConfigError('ERR_KEY_KDF_BOUNDS', `These Argon2id parameters cannot be used: ${broken}.`);
  const salt = randomBytes(16);
  return new DerivedPassphrase(kdf, salt, await deriveKey(passphrase, salt, kdf));
}

/** What a reader has to offer. */
export interface OpeningKeys {
  passphrase?: string;
  /** Raw X25519 secret keys, 32 bytes each. */
  identities?: Buffer[];
}

/** What the stages need to know of a file's keys. The data key itself is not kept. */
export interface FileKeys {
  fileId: Buffer;
  payloadKey: AeadKey;
  layout: LayoutName;
  /** The HEADER body. */
  headerBytes: Buffer;
}

/**
 * Fresh keys for a new file: random data key and salt, a slot for everybody named. Holds Argon2id's memory while it runs,
 * 64 MiB by default; none for passphrases that are derived already.
 * @throws ConfigError ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_NONE, ERR_KEY_TOO_MANY, ERR_KEY_KDF_BOUNDS, ERR_KEY_KDF_FAILED
 */
export async function createFileKeys(keys: SealingKeys, layout: LayoutName): Promise<FileKeys> {
  const dataKey = randomBytes(32);
  const fileSalt = randomBytes(32);
  const coreBytes = writeCore({ layout, fileSalt, commitment: hkdf(dataKey, fileSalt, 'DBS2 commit') });
  const fileId = fileIdOf(coreBytes);
  const slots = await createSlots(keys, fileId, dataKey);
  return {
    fileId,
    layout,
    payloadKey: aeadKey(hkdf(dataKey, fileSalt, 'DBS2 payload')),
    headerBytes: signHeader(writeHeaderUnsigned(coreBytes, 1, slots), dataKey, fileSalt),
  };
}

export function signHeader(unsigned: Buffer, dataKey: Buffer, fileSalt: Buffer): Buffer {
  return Buffer.concat([unsigned, hmac(hkdf(dataKey, fileSalt, 'DBS2 header'), unsigned)]);
}

/** The slots for everybody in `keys`, 120 bytes each. Errors as `createFileKeys`. */
export async function createSlots(keys: SealingKeys, fileId: Buffer, dataKey: Buffer): Promise<Buffer[]> {
  const { passphrases = [], recipients = [], kdf } = keys;
  if (passphrases.length + recipients.length === 0) {
    throw new ConfigError('ERR_KEY_NONE', 'Nobody could open this backup. Give a passphrase or a recipient.');
  }
  if (passphrases.length > MAX_TRIED_SLOTS || passphrases.length + recipients.length > MAX_SLOTS) {
    throw new ConfigError(
      'ERR_KEY_TOO_MANY',
      'A backup has at most 16 key slots, of which 4 for passphrases. Name fewer.',
    );
  }
  const slots: Buffer[] = [];
  for (const passphrase of passphrases) {
    const derived = typeof passphrase === 'string' ? await derivePassphrase(passphrase, kdf) : passphrase;
    slots.push(derived.slot(fileId, dataKey));
  }
  for (const recipient of recipients) {
    const ephemeral = generateX25519();
    const shared = x25519(ephemeral.secret, recipient);
    if (!shared)
      throw new ConfigError('ERR_KEY_BAD_RECIPIENT', 'This is not a usable X25519 public key. Check the recipient.');
    const derived = recipientSlotKeys(shared, fileId, ephemeral.public, recipient);
    const head = Buffer.concat([recipientSlotHead(ephemeral.public), derived.commitment]);
    slots.push(closeSlot(head, wrapDataKey(derived, fileId, head, dataKey)));
  }
  return slots;
}

/** An opened header: what the payload needs, and the data key for those who change slots. */
export interface OpenedKeys extends FileKeys {
  dataKey: Buffer;
  /** The slot that opened, as it stands in `headerBytes`'s header. */
  slot: Buffer;
}

/**
 * Opens the first slot that one of the keys fits. `headers` are the distinct HEADER bodies of the file, best first.
 * @throws WrongPassphraseError ERR_KEY_WRONG_PASSPHRASE, NoKeyMatchError ERR_KEY_NO_MATCH,
 *   TamperError ERR_TAMPER_HEADER, ConfigError ERR_KEY_EMPTY_PASSPHRASE
 */
export async function openFileKeys(headers: Header[], fileId: Buffer, keys: OpeningKeys): Promise<OpenedKeys> {
  let tampered = false;
  let tried = 0;
  for (const header of headers) {
    for (const bytes of header.slots) {
      const slot = readSlot(bytes);
      if (slot.kind === 'unknown') continue;
      if (slot.kind === 'passphrase' && (keys.passphrase === undefined || tried >= MAX_TRIED_SLOTS)) continue;
      if (slot.kind === 'passphrase' && kdfOutOfBounds(slot.kdf)) {
        tampered = true;
        continue;
      }
      if (slot.kind === 'passphrase') tried++;
      for await (const derived of candidates(slot, fileId, keys)) {
        if (!sameBytes(derived.commitment, slot.commitment)) continue;
        const dataKey = unwrapDataKey(derived, fileId, slot.head, slot.wrapped);
        const opened = dataKey && checked(header, fileId, dataKey);
        if (opened) return { ...opened, slot: bytes };
        tampered = true;
      }
    }
  }
  if (tampered) {
    throw new TamperError(
      'ERR_TAMPER_HEADER',
      'The key material of this file was changed by somebody: its checksums fit and its authentication fails. Use another copy of this backup.',
    );
  }
  if (keys.passphrase !== undefined && slotKinds(headers).has('passphrase')) {
    throw new WrongPassphraseError(
      'ERR_KEY_WRONG_PASSPHRASE',
      'Wrong passphrase. The backup itself was not judged; try again.',
    );
  }
  throw noMatch(headers);
}

function slotKinds(headers: Header[]): Set<string> {
  return new Set(headers.flatMap((h) => h.slots.map((s) => readSlot(s).kind)));
}

function noMatch(headers: Header[]): NoKeyMatchError {
  return new NoKeyMatchError(
    'ERR_KEY_NO_MATCH',
    `None of this backup's key slots (${[...slotKinds(headers)].join(', ')}) fits the given key. \`dbs inspect\` shows its slots.`,
  );
}

/**
 * One backup, unlocked: what opens it again without Argon2id. Holds no passphrase; the data key in it opens this backup and no other, and stays for as long as the
 * object does. Neither `util.inspect` nor JSON shows it.
 */
export class UnlockedBackup {
  /** Of the backup, in hex. */
  readonly fileId: string;
  readonly #keys: OpenedKeys;

  constructor(keys: OpenedKeys) {
    this.fileId = keys.fileId.toString('hex');
    this.#keys = keys;
  }

  /**
   * As `openFileKeys`, which may find other headers than when the backup was unlocked: its keys may have been changed since.
   * @throws NoKeyMatchError ERR_KEY_OTHER_BACKUP, ERR_KEY_NO_MATCH where the slot that opened was taken out
   */
  open(headers: Header[], fileId: Buffer): OpenedKeys {
    const { dataKey, slot } = this.#keys;
    if (!fileId.equals(this.#keys.fileId)) {
      throw new NoKeyMatchError(
        'ERR_KEY_OTHER_BACKUP',
        `What was unlocked is the backup ${this.fileId.slice(0, 16)}, and this is another one, ${fileId.toString('hex', 0, 8)}. Unlock this one, or give its passphrase or key.`,
      );
    }
    for (const header of headers.filter(({ slots }) => slots.some((other) => other.equals(slot)))) {
      const opened = checked(header, fileId, dataKey);
      if (opened) return { ...opened, slot };
    }
    throw noMatch(headers);
  }
}

type KnownSlot = Exclude<ReturnType<typeof readSlot>, { kind: 'unknown' }>;

async function* candidates(slot: KnownSlot, fileId: Buffer, keys: OpeningKeys) {
  if (slot.kind === 'passphrase') {
    yield passphraseSlotKeys(await deriveKey(keys.passphrase!, slot.salt, slot.kdf), fileId);
    return;
  }
  for (const identity of keys.identities ?? []) {
    const shared = x25519(identity, slot.ephemeral);
    if (shared) yield recipientSlotKeys(shared, fileId, slot.ephemeral, x25519Public(identity));
  }
}

function checked(header: Header, fileId: Buffer, dataKey: Buffer): Omit<OpenedKeys, 'slot'> | null {
  const { fileSalt, commitment, layout } = header.core;
  if (!sameBytes(hkdf(dataKey, fileSalt, 'DBS2 commit'), commitment)) return null;
  if (!sameBytes(hmac(hkdf(dataKey, fileSalt, 'DBS2 header'), header.macInput), header.mac)) return null;
  return {
    fileId,
    layout,
    dataKey,
    payloadKey: aeadKey(hkdf(dataKey, fileSalt, 'DBS2 payload')),
    headerBytes: header.bytes,
  };
}
