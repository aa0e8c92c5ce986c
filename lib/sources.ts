/** Turns what users name as a backup into random access, and secrets into keys. */
import { Readable } from 'node:stream';
import type { How } from './container/block.ts';
import {
  DerivedPassphrase,
  type OpenedKeys,
  type OpeningKeys,
  openFileKeys,
  type SealingKeys,
  UnlockedBackup,
} from './container/keys.ts';
import { ContainerReader } from './container/reader.ts';
import { type ByteSource, bufferSource } from './container/source.ts';
import { spool } from './container/spool.ts';
import { type DestinationSettings, isUrl, openPlace } from './destinations.ts';
import { ConfigError } from './errors.ts';
import { fileSource } from './sinks/file.ts';
import type { BackupSource, OpeningSecret, ReadOptions, SealingSecret } from './types.ts';

async function toByteSource(source: BackupSource, settings?: DestinationSettings): Promise<ByteSource> {
  if (typeof source === 'string') return isUrl(source) ? openUrl(source, settings) : fileSource(source);
  if (Buffer.isBuffer(source)) return bufferSource(source);
  if (source instanceof Readable) return spool(source);
  return source;
}

/**
 * Ciphertext from a stream, kept on disk until `close`: a file (0600) in the system's temporary folder, that has no name as soon as it is open, so that it is gone however this
 * process ends. What is read in part is removed.
 */
export { spool as keepOnDisk };

/** A file at a destination. Only the ranges that are asked for are read. */
async function openUrl(url: string, settings?: DestinationSettings): Promise<ByteSource> {
  const { destination, name } = await openPlace(url, settings);
  try {
    if (name === null) throw noName(destination.name);
    const source = await destination.open(name);
    return {
      name: source.name,
      size: source.size,
      read: (offset, into) => source.read(offset, into),
      close: async () => {
        await source.close();
        await destination.close();
      },
    };
  } catch (error) {
    await destination.close();
    throw error;
  }
}

/** For what needs one file, and got a place of many. */
export function noName(place: string): ConfigError {
  return new ConfigError(
    'ERR_DESTINATION_NO_NAME',
    `${place} is a place for many backups. Name one of them: \`dbs list\` shows them.`,
    { facts: { destination: place } },
  );
}

/** Runs `work` with an opened container, and closes what was opened. */
export async function withReader<T>(
  source: BackupSource,
  options: ReadOptions & { onHealed?: (block: number, how: How) => void },
  work: (reader: ContainerReader) => Promise<T>,
): Promise<T> {
  const sources: ByteSource[] = [];
  try {
    for (const s of [source, ...(options.with ?? [])]) sources.push(await toByteSource(s, options.settings));
    return await work(await openReader(sources, options));
  } catch (error) {
    throw reasonOf(error, options.signal);
  } finally {
    for (const s of sources) await s.close();
  }
}

/** Streams wrap what they are aborted with: the caller gets back the reason that it gave. */
export function reasonOf(error: unknown, signal: AbortSignal | undefined): unknown {
  return signal?.aborted && (error as Error | null)?.name === 'AbortError' ? signal.reason : error;
}

function openReader(
  sources: ByteSource[],
  options: ReadOptions & { onHealed?: (block: number, how: How) => void },
): Promise<ContainerReader> {
  const { fileId, signal, onEvent } = options;
  return ContainerReader.open(sources, {
    ...(fileId ? { fileId } : {}),
    ...(signal ? { signal } : {}),
    onHealed: (block, how) => {
      options.onHealed?.(block, how);
      onEvent?.({ type: 'healed', block, how });
    },
  });
}

/** @throws as `openFileKeys`; for an unlocked backup as `UnlockedBackup.open` */
export async function openKeys(reader: ContainerReader, secret: OpeningSecret): Promise<OpenedKeys> {
  const { headers, fileId } = reader;
  if (secret instanceof UnlockedBackup) return secret.open(headers, fileId);
  return openFileKeys(headers, fileId, openingKeys(secret));
}

function openingKeys(secret: string | OpeningKeys): OpeningKeys {
  const keys = typeof secret === 'string' ? { passphrase: secret } : secret;
  if (keys.passphrase === '')
    throw new ConfigError(
      'ERR_KEY_EMPTY_PASSPHRASE',
      'The passphrase is empty. Give the one that the backup was made with.',
    );
  return keys;
}

export function sealingKeys(secret: SealingSecret): SealingKeys {
  return typeof secret === 'string' || secret instanceof DerivedPassphrase ? { passphrases: [secret] } : secret;
}
