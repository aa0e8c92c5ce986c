/** `pullBackup` and `pushBackup`: whole containers from a destination to a local file, and back. */
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ContainerReader } from './container/reader.ts';
import { openPlace } from './destinations.ts';
import { SourceError } from './errors.ts';
import type { Phase } from './events.ts';
import { Progress } from './progress.ts';
import { landed, repairBackup } from './repair.ts';
import { rewrite } from './rewriting.ts';
import { FileDestination } from './sinks/folder.ts';
import type { ByteSource } from './sinks/sink.ts';
import { type TransferOptions, transfer } from './sinks/transfer.ts';
import { noName, withReader } from './sources.ts';
import type { ReadOptions } from './types.ts';
import { examine } from './validate.ts';

export interface TransferBackupOptions extends Omit<ReadOptions, 'with' | 'fileId'> {
  /** Replace what has the name. */
  force?: boolean;
}

export interface TransferReport {
  type: 'pull' | 'push';
  source: string;
  output: string;
  bytes: number;
  /** Bytes that an earlier run had brought there. */
  resumed: number;
  /** The backup was damaged where it came from; what arrived is as it was first written. */
  healed: boolean;
  milliseconds: number;
}

/** What was fetched is not as it was written: not a failure of the transfer. */
class Damaged extends Error {}

/**
 * Fetches a backup into a local file: by ranges, under a temporary name, and verified without its key before it gets its own. A damaged one is healed on the way. A
 * run that is cut off leaves what it fetched, hidden beside the file, and the next one goes on with it. Memory: flat.
 * @param url of the backup @param file default: its name, in the current folder; may be a folder
 * @throws DamageError, TruncatedError for what is beyond repair; FormatError; ConfigError ERR_DESTINATION_NO_NAME, ERR_SINK_EXISTS; SourceError, SinkError
 */
export async function pullBackup(
  url: string,
  file?: string,
  options: TransferBackupOptions = {},
): Promise<TransferReport> {
  const started = performance.now();
  const { destination, name } = await openPlace(url, options.settings);
  try {
    if (name === null) throw noName(destination.name);
    const output = await localName(file, name);
    const folder = new FileDestination(dirname(resolve(output)));
    const report = (source: ByteSource, resumed: number, healed: boolean): TransferReport => {
      const facts = { source: source.name, output, bytes: source.size, resumed, healed };
      return { type: 'pull', ...facts, milliseconds: Math.round(performance.now() - started) };
    };
    const verify = async (written: ByteSource) => {
      if (await isDamaged(written, options)) throw new Damaged();
    };
    const source = await destination.open(name);
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          const settings = { ...transferOptions(options, 'pull', source.size), verify };
          const { resumed } = await transfer(source, folder, basename(output), settings);
          return report(source, resumed, false);
        } catch (error) {
          if (!(error instanceof Damaged)) throw error;
        }
        // Damaged where it lies: then it is healed from there. Damaged on its way: then it is fetched once more.
        const { output: repaired } = await repairBackup(url, { ...options, output });
        if (repaired !== null) return report(source, 0, true);
        if (attempt > 0) throw arrivesDamaged(source.name);
      }
    } finally {
      await source.close();
    }
  } finally {
    await destination.close();
  }
}

/**
 * Brings a local backup to a destination. It is verified before, healed on the way if it is damaged, and read back after. Where the destination can, a run that was cut
 * off is gone on with. Memory: flat.
 * @param url of a destination, where it keeps its name, or of the file to be
 * @throws as `pullBackup`
 */
export async function pushBackup(
  file: string,
  url: string,
  options: TransferBackupOptions = {},
): Promise<TransferReport> {
  const started = performance.now();
  return withReader(file, options, async (reader) => {
    const { report, error } = await examine(reader, null, options);
    if (error) throw error;
    const place = await openPlace(url, options.settings);
    const { destination } = place;
    const name = place.name ?? basename(file);
    try {
      const source = reader.sources[0]!.map.source;
      let resumed = 0;
      let bytes = source.size;
      if (report.damaged) {
        const sink = destination.sink(name, { force: options.force ?? false });
        bytes = (await landed(sink, options, (output) => rewrite(reader, output, options))).bytes;
      } else {
        const settings = transferOptions(options, 'push', source.size);
        resumed = (await transfer(source, destination, name, settings)).resumed;
      }
      const facts = { source: reader.name, output: destination.sink(name).name, bytes, resumed };
      return { type: 'push', ...facts, healed: report.damaged, milliseconds: Math.round(performance.now() - started) };
    } finally {
      await destination.close();
    }
  });
}

async function localName(file: string | undefined, name: string): Promise<string> {
  if (file === undefined) return name;
  const isFolder = /[/\\]$/.test(file) || (await stat(file).catch(() => null))?.isDirectory();
  return isFolder ? join(file, name) : file;
}

function transferOptions(options: TransferBackupOptions, phase: Phase, total: number): TransferOptions {
  const progress = new Progress(phase, options.onEvent, total);
  let before = 0;
  return {
    force: options.force ?? false,
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: (bytes) => {
      progress.add(bytes - before);
      before = bytes;
    },
  };
}

/** Whether anything is not as it was written. @throws what is no backup, or beyond repair */
async function isDamaged(source: ByteSource, options: TransferBackupOptions): Promise<boolean> {
  const { signal, onEvent } = options;
  const reader = await ContainerReader.open([source], signal ? { signal } : {});
  const { report, error } = await examine(reader, null, {
    ...(signal ? { signal } : {}),
    ...(onEvent ? { onEvent } : {}),
  });
  return error !== null || report.damaged;
}

function arrivesDamaged(name: string): SourceError {
  return new SourceError(
    'ERR_SOURCE_ARRIVES_DAMAGED',
    `${name} is whole where it lies, and arrived damaged twice. Nothing was kept: look at the network and at this machine's memory.`,
    { facts: { path: name } },
  );
}
