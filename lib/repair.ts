/** `repairBackup`: a damaged container into a perfect one, without its key. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ContainerReader, ReadBlock } from './container/reader.ts';
import { ConfigError, TamperError } from './errors.ts';
import type { Slot } from './memory.ts';
import { Progress } from './progress.ts';
import { FileSink } from './sinks/file.ts';
import { withReader } from './sources.ts';
import { Blocker } from './stages/blocker.ts';
import { type Segment, SlotPool } from './stages/blocks.ts';
import { DualCopyInterleaver } from './stages/dual-copy-interleaver.ts';
import { RSEncoder } from './stages/rs-encoder.ts';
import type { BackupSource, ReadOptions, ValidationReport } from './types.ts';
import { examine } from './validate.ts';
import { verifyWritten } from './write.ts';

export interface RepairOptions extends ReadOptions {
  /** Where the repaired file goes. */
  output?: string;
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

/** Blocks on their way: the interleaved layout holds 16 more. */
const IN_FLIGHT = 22;

/**
 * Writes a perfect file from a damaged one and, with `with`, from other copies of it. Payloads are rebuilt, and everything else is a
 * function of them and of the key records, so that the result is byte for byte what was first written. Needs no key.
 *
 * The new file is written beside its place, read back, compared by hash with what was healed, and only then named; `inPlace` swaps it for the damaged
 * one in one rename. Memory: flat.
 * @param path the damaged file; of a split pair, either half (the other one in `with`)
 * @throws DamageError, TruncatedError where something is beyond repair: nothing is written; TamperError ERR_TAMPER_CHAIN; ConfigError ERR_CONFIG_NO_OUTPUT, ERR_SINK_EXISTS;
 *   SinkError
 */
export async function repairBackup(path: string, options: RepairOptions): Promise<RepairReport> {
  const started = performance.now();
  const output = options.inPlace ? path : options.output;
  if (!output)
    throw new ConfigError('ERR_CONFIG_NO_OUTPUT', 'Say where the repaired file goes: an output, or in place.');
  return withReader(path as BackupSource, options, async (reader) => {
    const { report, error } = await examine(reader, null, options);
    if (error) throw error;
    const done = (written: string | null): RepairReport => ({
      type: 'repair',
      source: path,
      output: written,
      report,
      milliseconds: Math.round(performance.now() - started),
    });
    if (!report.damaged) return done(null);
    await rewrite(reader, new FileSink(output, { force: (options.force || options.inPlace) ?? false }), options);
    return done(output);
  });
}

async function rewrite(reader: ContainerReader, sink: FileSink, options: RepairOptions): Promise<void> {
  const writer = await sink.create();
  try {
    const { fileId, extent, headers, sources } = reader;
    const pool = new SlotPool(IN_FLIGHT);
    const progress = new Progress('repair', options.onEvent, reader.size);
    const segments = async function* () {
      for await (const block of reader.stream(() => pool.take())) {
        yield toSegment(block);
        progress.add(reader.size / extent.count);
      }
    };
    const interleaver = new DualCopyInterleaver({
      fileId,
      headerBytes: headers[0]!.bytes,
      layout: extent.layout,
      copy: sources[0]!.half,
      readBack: writer.readBack!,
      pool,
    });
    const stages = [new Blocker({ fileId }), new RSEncoder({ fileId, pool }), interleaver];
    const source = Readable.from(segments(), { highWaterMark: 1 });
    await pipeline([source, ...stages, writer.stream], options.signal ? { signal: options.signal } : {});
    if (reader.chain && !reader.chain.equals(interleaver.facts.chain)) throw contradiction(reader);
    await verifyWritten([{ sink, writer }], interleaver.facts, options);
    await writer.finish();
    progress.done();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Without the key there is one more witness to what was healed. */
function contradiction(reader: ContainerReader): TamperError {
  return new TamperError(
    'ERR_TAMPER_CHAIN',
    `The blocks of ${reader.name} and its END contradict each other: somebody changed it, and without the key nobody can say where. Restore it with the passphrase.`,
  );
}

/** Healed payloads may lie outside of the slot that came with them. */
function toSegment({ sequence, final, payload, slot }: ReadBlock & { slot: Slot }): Segment {
  const place = slot.rows.subarray(0, payload.length);
  if (payload.buffer !== place.buffer || payload.byteOffset !== place.byteOffset) payload.copy(place);
  return { index: sequence, final, payload: place, slot };
}
