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
  passphrases?: string[];
  /** Raw X25519 public keys, 32 bytes each. */
  recipients?: Buffer[];
  kdf?: Partial<KdfParameters>;
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
 * 64 MiB by default.
 * @throws ConfigError ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_NONE, ERR_KEY_TOO_MANY, ERR_KEY_KDF_BOUNDS
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
  const { passphrases = [], recipients = [] } = keys;
  const kdf = { ...DEFAULT_KDF, ...keys.kdf };
  const broken = kdfOutOfBounds(kdf);
  if (broken) throw new ConfigError('ERR_KEY_KDF_BOUNDS', `These Argon2id parameters cannot be used: ${broken}.`);
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
    const salt = randomBytes(16);
    const derived = passphraseSlotKeys(await deriveKey(passphrase, salt, kdf), fileId);
    const head = Buffer.concat([passphraseSlotHead(kdf, salt), derived.commitment]);
    slots.push(closeSlot(head, wrapDataKey(derived, fileId, head, dataKey)));
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
  const kinds = new Set(headers.flatMap((h) => h.slots.map((s) => readSlot(s).kind)));
  if (keys.passphrase !== undefined && kinds.has('passphrase')) {
    throw new WrongPassphraseError(
      'ERR_KEY_WRONG_PASSPHRASE',
      'Wrong passphrase. The backup itself was not judged; try again.',
    );
  }
  throw new NoKeyMatchError(
    'ERR_KEY_NO_MATCH',
    `None of this backup's key slots (${[...kinds].join(', ')}) fits the given key. \`dbs inspect\` shows its slots.`,
  );
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
