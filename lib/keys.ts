/** Who can open a backup: its key slots, listed, added, removed and rotated in place (SPEC.md section 6). */
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createSlots, type OpenedKeys, signHeader, UnlockedBackup } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { blockHash } from './crypto/hash.ts';
import { generateX25519 } from './crypto/key-wrap.ts';
import { encodePublicKey, encodeSecretKey, parseIdentities, parsePublicKey } from './crypto/text-keys.ts';
import { isUrl } from './destinations.ts';
import { ConfigError, DamageError } from './errors.ts';
import { type End, type Header, readHeader, writeEnd, writeHeaderUnsigned } from './format/header.ts';
import { type KdfParameters, readSlot } from './format/key-slot.ts';
import { order } from './format/layout.ts';
import { DELAY, GROUP, Layout, MAX_SLOTS, RecordType } from './format/limits.ts';
import { openKeys, sealingKeys, withReader } from './sources.ts';
import { PageSealer } from './stages/page-sealer.ts';
import type { BackupSource, OpeningSecret, ReadOptions, SealingSecret } from './types.ts';

export { encodePublicKey, encodeSecretKey, parseIdentities, parsePublicKey };

/** A key pair as text. Whoever has only `recipient` can make backups and not read them. */
export interface KeyPair {
  /** `dbs1…` */
  recipient: string;
  /** `DBS-SECRET-KEY-1…` */
  identity: string;
}

export function newKeyPair(): KeyPair {
  const pair = generateX25519();
  return { recipient: encodePublicKey(pair.public), identity: encodeSecretKey(pair.secret) };
}

export interface SlotInfo {
  /** Its number, from 0: for `removeKey`. */
  slot: number;
  kind: 'passphrase' | 'recipient' | 'unknown';
  kdf?: KdfParameters;
}

export interface KeysReport {
  type: 'keys';
  source: string;
  generation: number;
  slots: SlotInfo[];
}

/** The slots of a backup, without a key. */
export function listKeys(path: string, options: ReadOptions = {}): Promise<KeysReport> {
  return withReader(path, options, async (reader) => reportOf(path, reader.headers[0]!));
}

/**
 * Tries the key, and nothing else: reads what it takes to know the backup, a few pages where it is whole. What comes back stands for the key wherever this backup
 * is opened again. So Argon2id can run before the app is loaded, and a wrong passphrase is known before the database is asked.
 * @param source one that can be read twice: not a stream, which would be used up
 * @throws WrongPassphraseError, NoKeyMatchError, TamperError ERR_TAMPER_HEADER; FormatError, DamageError where there is no backup or no key material left
 * @example
 * const secret = await unlockBackup('app.dbs', passphrase);
 * const { orm } = await import('./app.js');
 * await restoreBackup(orm, 'app.dbs', secret);
 */
export function unlockBackup(
  source: Exclude<BackupSource, Readable>,
  secret: OpeningSecret,
  options: ReadOptions = {},
): Promise<UnlockedBackup> {
  return withReader(source, options, async (reader) => {
    const unlocked = new UnlockedBackup(await openKeys(reader, secret));
    options.signal?.throwIfAborted();
    return unlocked;
  });
}

/** Adds slots for passphrases or recipients. @param secret opens the backup now. @throws as `changeKeys` */
export function addKeys(path: string, secret: OpeningSecret, added: SealingSecret): Promise<KeysReport> {
  return changeKeys(path, secret, async (header, keys) => [
    ...header.slots,
    ...(await createSlots(sealingKeys(added), keys.fileId, keys.dataKey)),
  ]);
}

/** Removes one slot; the last one stays. @throws ConfigError ERR_KEY_NO_SLOT, ERR_KEY_NONE; as `changeKeys` */
export function removeKey(path: string, secret: OpeningSecret, slot: number): Promise<KeysReport> {
  return changeKeys(path, secret, async ({ slots }) => {
    if (!slots[slot])
      throw new ConfigError('ERR_KEY_NO_SLOT', `There is no key slot ${slot}. \`dbs keys list\` shows them.`);
    return slots.filter((_, i) => i !== slot);
  });
}

/** Replaces the slot that `secret` opens, or with `all` every slot, by new ones. @throws as `changeKeys` */
export function rotateKeys(
  path: string,
  secret: OpeningSecret,
  added: SealingSecret,
  options: { all?: boolean } = {},
): Promise<KeysReport> {
  return changeKeys(path, secret, async (header, keys) => {
    const fresh = await createSlots(sealingKeys(added), keys.fileId, keys.dataKey);
    return options.all ? fresh : [...header.slots.filter((s) => !s.equals(keys.slot)), ...fresh];
  });
}

/**
 * Rewrites HEADER and END pages, nothing else: each page is replaced by one write, the file is synced, and a change that was cut short leaves pages of two generations,
 * of which readers take the newer one whose MAC verifies. Revokes nothing that was copied before.
 *
 * A file whose first or last page or whose size is damaged is refused: repair it first, as its tables must stand where they belong.
 * @throws WrongPassphraseError, NoKeyMatchError; DamageError ERR_DAMAGE_REPAIR_FIRST; ConfigError ERR_KEY_TOO_MANY, ERR_KEY_NONE
 */
async function changeKeys(
  path: string,
  secret: OpeningSecret,
  change: (header: Header, keys: OpenedKeys) => Promise<Buffer[]>,
): Promise<KeysReport> {
  if (isUrl(path)) throw notLocal();
  return withReader(path, {}, async (reader) => {
    const keys = await openKeys(reader, secret);
    if (!reader.regular) {
      throw new DamageError(
        'ERR_DAMAGE_REPAIR_FIRST',
        'The file is damaged, so its keys are not touched. Run `dbs repair` first.',
        { blocks: [] },
      );
    }
    const header = readHeader(keys.headerBytes)!;
    const slots = await change(header, keys);
    if (slots.length === 0)
      throw new ConfigError(
        'ERR_KEY_NONE',
        'Nobody could open this backup any more. Add a key before you remove the last.',
      );
    if (slots.length > MAX_SLOTS)
      throw new ConfigError('ERR_KEY_TOO_MANY', 'A backup has at most 16 key slots. Remove one first.');
    const unsigned = writeHeaderUnsigned(header.coreBytes, header.generation + 1, slots);
    const headerBytes = signHeader(unsigned, keys.dataKey, header.core.fileSalt);
    await rewriteTables(path, reader, headerBytes);
    return reportOf(path, readHeader(headerBytes)!);
  });
}

function notLocal(): ConfigError {
  return new ConfigError(
    'ERR_DESTINATION_NOT_LOCAL',
    'Key slots are changed in place, and that needs a local file. `dbs pull` it, change it, and `dbs push --force` it back.',
  );
}

async function rewriteTables(path: string, reader: ContainerReader, headerBytes: Buffer): Promise<void> {
  const { extent, fileId, sources } = reader;
  const { map, half } = sources[0]!;
  const end = await reader.end();
  const handle = await open(path, 'r+');
  try {
    for (const { type, copy, sequence } of order(extent.layout, extent.count, half)) {
      if (type !== RecordType.HEADER && type !== RecordType.END) continue;
      const body = type === RecordType.HEADER ? headerBytes : endBody(end, headerBytes);
      const sealer = new PageSealer(fileId, Layout[extent.layout], extent.layout === 'interleaved' ? DELAY : 0);
      sealer.offset = map.planned(type, copy, sequence);
      const at = sealer.offset;
      const hash = blockHash(fileId, type, sequence, 0, body);
      const [page] = sealer.body(type, { copy, sequence, hash, body });
      await handle.write(page!, 0, page!.length, at);
      // The first page is durable before the second is touched: at no time is every table half-written.
      await handle.datasync();
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function endBody({ count, totalPayload, chain }: End, headerBytes: Buffer): Buffer {
  return writeEnd({ count, totalPayload, groups: Math.ceil(count / GROUP), chain, headerBytes });
}

function reportOf(source: string, header: Header): KeysReport {
  return {
    type: 'keys',
    source,
    generation: header.generation,
    slots: header.slots
      .map(readSlot)
      .map((s, slot) => (s.kind === 'passphrase' ? { slot, kind: s.kind, kdf: s.kdf } : { slot, kind: s.kind })),
  };
}
