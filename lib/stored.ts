/** What lies at a destination: `dbs list`. */
import { parseName } from './catalog/naming.ts';
import { type DestinationSettings, openDestination } from './destinations.ts';
import { type QuickCheck, quickCheck } from './quick-check.ts';
import type { Destination, StoredFile } from './sinks/sink.ts';

export interface StoredOptions {
  /** Only backups of this prefix. Default: every file whose name ends in `.dbs`. */
  prefix?: string;
  /** Look at each: 4 KiB of each megabyte are read. */
  check?: boolean;
  settings?: DestinationSettings;
  signal?: AbortSignal;
}

/** A backup at a destination. */
export interface StoredBackup {
  type: 'stored';
  destination: string;
  name: string;
  bytes: number;
  /** When it was begun, as its name says it; for other names when it was last written. ISO 8601. */
  time: string;
  /** Of a name that this package made; `null` for others. */
  prefix: string | null;
  /** How it is, with `check`. */
  check: QuickCheck | null;
}

/**
 * The backups at a destination, oldest first. Memory: their names. With `check`, one that cannot be read is an error, one that is damaged a finding.
 * @throws ConfigError as `openDestination`; SourceError
 */
export async function* storedBackups(
  target: string | Destination,
  options: StoredOptions = {},
): AsyncGenerator<StoredBackup> {
  const destination = await openDestination(target, options.settings);
  try {
    const found: { file: StoredFile; prefix: string | null; time: Date }[] = [];
    for await (const file of destination.list()) {
      options.signal?.throwIfAborted();
      const parsed = parseName(file.name, options.prefix);
      if (!parsed && (options.prefix !== undefined || !file.name.endsWith('.dbs'))) continue;
      found.push({ file, prefix: parsed?.prefix ?? null, time: parsed?.time ?? file.modified });
    }
    found.sort((a, b) => a.time.getTime() - b.time.getTime() || (a.file.name < b.file.name ? -1 : 1));
    for (const { file, prefix, time } of found) {
      yield {
        type: 'stored',
        destination: destination.name,
        name: file.name,
        bytes: file.size,
        time: time.toISOString(),
        prefix,
        check: options.check ? await checkStored(destination, file.name, options.signal) : null,
      };
    }
  } finally {
    if (destination !== target) await destination.close();
  }
}

/** @throws SourceError */
export async function checkStored(destination: Destination, name: string, signal?: AbortSignal): Promise<QuickCheck> {
  const source = await destination.open(name);
  try {
    return await quickCheck(source, signal);
  } finally {
    await source.close();
  }
}
