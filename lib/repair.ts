/** `repairBackup`: a damaged container into a perfect one, without its key. */
import { randomBytes } from 'node:crypto';
import { basename, extname } from 'node:path';
import type { ContainerReader } from './container/reader.ts';
import { isUrl, openPlace } from './destinations.ts';
import { ConfigError, SinkError } from './errors.ts';
import { type Expected, land } from './landing.ts';
import { Output, openTargets } from './outputs.ts';
import { Progress } from './progress.ts';
import { rewrite } from './rewriting.ts';
import { FileSink } from './sinks/file.ts';
import type { Destination, Sink } from './sinks/sink.ts';
import { transfer } from './sinks/transfer.ts';
import { noName, withReader } from './sources.ts';
import type { BackupTarget, ReadOptions, ValidationReport } from './types.ts';
import { examine } from './validate.ts';

export interface RepairOptions extends ReadOptions {
  /** Where the repaired file goes. */
  output?: BackupTarget;
  /** Replace the damaged file, once the repaired one was verified. */
  inPlace?: boolean;
  /** Replace an output that exists. */
  force?: boolean;
}

export interface RepairReport {
  type: 'repair';
  source: string;
  /** `null` where nothing was damaged, and nothing was written. */
  output: string | null;
  /** What was found before. */
  report: ValidationReport;
  milliseconds: number;
}

/**
 * Writes a perfect file from a damaged one and, with `with`, from other copies of it. Payloads are rebuilt, and everything else is a
 * function of them and of the key records, so that the result is byte for byte what was first written. Needs no key.
 *
 * The new file is written under a temporary name, read back, compared by hash with what was healed, and only then named; `inPlace` swaps it for the damaged
 * one in one rename. Where a place cannot read back what has no name yet (S3), `inPlace` first makes a verified second file there, and keeps it unless the replaced one
 * verifies, too. Memory: flat.
 * @param file path or URL of the damaged file; of a split pair, either half (the other one in `with`)
 * @throws DamageError, TruncatedError where something is beyond repair: nothing is written; TamperError ERR_TAMPER_CHAIN; ConfigError ERR_CONFIG_NO_OUTPUT, ERR_SINK_EXISTS;
 *   SinkError
 */
export async function repairBackup(file: string, options: RepairOptions): Promise<RepairReport> {
  const started = performance.now();
  if (!options.inPlace && !options.output)
    throw new ConfigError('ERR_CONFIG_NO_OUTPUT', 'Say where the repaired file goes: an output, or in place.');
  return withReader(file, options, async (reader) => {
    const { report, error } = await examine(reader, null, options);
    if (error) throw error;
    const output = report.damaged ? await write(reader, file, options) : null;
    return { type: 'repair', source: file, output, report, milliseconds: Math.round(performance.now() - started) };
  });
}

/** Resolves to what messages call the repaired file. */
async function write(reader: ContainerReader, file: string, options: RepairOptions): Promise<string> {
  if (options.inPlace)
    return isUrl(file)
      ? replace(reader, file, options)
      : rewriteTo(new FileSink(file, { force: true }), reader, options);
  const { targets, close } = await openTargets([options.output!], options);
  try {
    return await rewriteTo(targets[0]!.sink, reader, options);
  } finally {
    await close();
  }
}

async function rewriteTo(sink: Sink, reader: ContainerReader, options: ReadOptions): Promise<string> {
  await landed(sink, options, (output) => rewrite(reader, output, options));
  return sink.name;
}

/** Begins, fills, verifies and names one output; whatever fails, nothing stays. Resolves to what it must be. */
export async function landed(
  sink: Sink,
  options: ReadOptions,
  fill: (output: Output) => Promise<Expected>,
): Promise<Expected> {
  const output = await Output.begin(sink);
  try {
    if (output.failure) throw output.failure;
    const facts = await fill(output);
    await land([[output]], facts, options, (_, error) => output.fail(error));
    if (output.failure) throw output.failure;
    return facts;
  } finally {
    await output.abort();
  }
}

/** Replaces a file at a destination. At no time is there no whole copy of what can be had. */
async function replace(reader: ContainerReader, url: string, options: ReadOptions): Promise<string> {
  const { destination, name } = await openPlace(url, options.settings);
  try {
    if (name === null) throw noName(destination.name);
    const sink = destination.sink(name, { force: true });
    if (await readsBack(sink)) return await rewriteTo(sink, reader, options);
    const end = extname(name);
    const second = `${basename(name, end)}.repaired-${randomBytes(6).toString('hex')}${end}`;
    await rewriteTo(destination.sink(second), reader, options);
    await copyOver(destination, second, name, options);
    await destination.remove(second).catch((error: Error) => {
      const message = `The repaired backup is in its place. ${second}, which was needed for that, could not be removed: ${error.message}`;
      options.onEvent?.({ type: 'warning', code: 'WARN_NOT_REMOVED', message });
    });
    return sink.name;
  } finally {
    await destination.close();
  }
}

async function readsBack(sink: Sink): Promise<boolean> {
  const writer = await sink.create();
  await writer.abort();
  return writer.readBack !== undefined;
}

async function copyOver(
  destination: Destination,
  from: string,
  to: string,
  { signal, onEvent }: ReadOptions,
): Promise<void> {
  const source = await destination.open(from);
  const progress = new Progress('repair', onEvent, source.size);
  try {
    await transfer(source, withoutWithdrawal(destination), to, {
      force: true,
      ...(signal ? { signal } : {}),
      onProgress: (bytes) => progress.add(bytes - progress.bytes),
    });
    progress.done();
  } catch (error) {
    signal?.throwIfAborted();
    throw new SinkError(
      'ERR_SINK_REPLACE',
      `${destination.name}${to} could not be replaced. The repaired backup is whole and verified at ${source.name}: copy it, and look at the destination.`,
      { cause: error, facts: { repaired: from } },
    );
  } finally {
    await source.close();
  }
}

/** What replaces a backup is not taken away again, even where it does not verify: damaged is better than none. */
function withoutWithdrawal(destination: Destination): Destination {
  return {
    name: destination.name,
    sink(name, options) {
      const sink = destination.sink(name, options);
      return {
        name: sink.name,
        async create() {
          const writer = await sink.create();
          const { stream, published } = writer;
          return {
            stream,
            finish: () => writer.finish(),
            abort: () => writer.abort(),
            ...(published ? { published: () => published.call(writer) } : {}),
          };
        },
      };
    },
    open: (name) => destination.open(name),
    stat: (name) => destination.stat(name),
    list: () => destination.list(),
    remove: (name) => destination.remove(name),
    close: async () => {},
  };
}
