/** A container written again from one that is read: healed on the way, and byte for byte what was first written. */
import { pipeline as callbackPipeline, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ContainerReader, ReadBlock } from './container/reader.ts';
import { TamperError } from './errors.ts';
import { recycle, type Slot } from './memory.ts';
import type { Output } from './outputs.ts';
import { Progress } from './progress.ts';
import { Blocker } from './stages/blocker.ts';
import { type Segment, SlotPool } from './stages/blocks.ts';
import { type ContainerFacts, DualCopyInterleaver, type ReadBack } from './stages/dual-copy-interleaver.ts';
import { RSEncoder } from './stages/rs-encoder.ts';
import type { ReadOptions } from './types.ts';

/** Blocks on their way: the interleaved layout holds 16 more. */
const IN_FLIGHT = 22;

/**
 * Payloads are rebuilt, and everything else is a function of them and of the key records. Into an output that cannot be read back, the second half of the `tandem` layout
 * is made by healing everything a second time.
 * @throws DamageError, TruncatedError; TamperError ERR_TAMPER_CHAIN; SinkError
 */
export async function rewrite(reader: ContainerReader, output: Output, options: ReadOptions): Promise<ContainerFacts> {
  const progress = new Progress('repair', options.onEvent, reader.size);
  const { readBack } = output.writer;
  const again = readBack ? null : secondTime(reader);
  try {
    const interleaver = interleaverOf(reader, readBack ?? again!.readBack);
    const stages = [...stagesOf(reader, interleaver.pool, progress), interleaver.stage];
    await pipeline([...stages, output.writer.stream], options.signal ? { signal: options.signal } : {});
    const { facts } = interleaver.stage;
    if (reader.chain && !reader.chain.equals(facts.chain)) throw contradiction(reader);
    progress.done();
    return facts;
  } finally {
    again?.close();
  }
}

function interleaverOf(reader: ContainerReader, readBack?: ReadBack) {
  const { fileId, extent, headers, sources } = reader;
  const pool = new SlotPool(IN_FLIGHT);
  const stage = new DualCopyInterleaver({
    fileId,
    headerBytes: headers[0]!.bytes,
    layout: extent.layout,
    copy: sources[0]!.half,
    ...(readBack ? { readBack } : {}),
    pool,
  });
  return { stage, pool };
}

function stagesOf(reader: ContainerReader, pool: SlotPool, progress?: Progress) {
  const segments = async function* () {
    for await (const block of reader.stream(() => pool.take())) {
      yield toSegment(block);
      progress?.add(reader.size / reader.extent.count);
    }
  };
  const { fileId } = reader;
  return [
    Readable.from(segments(), { highWaterMark: 1 }),
    new Blocker({ fileId }),
    new RSEncoder({ fileId, pool }),
  ] as const;
}

/** What the first half of a tandem file is, made once more: for reads whose offsets only grow. Begins when first read. */
function secondTime(reader: ContainerReader): { readBack: ReadBack; close: () => void } {
  let chunks: AsyncIterator<Buffer> | undefined;
  let stage: DualCopyInterleaver | undefined;
  let chunk: Buffer = Buffer.alloc(0);
  let start = 0;
  const begin = () => {
    const interleaver = interleaverOf(reader);
    stage = interleaver.stage;
    // The consumer sees the failure: the pipeline destroys the last stage with it.
    callbackPipeline([...stagesOf(reader, interleaver.pool), stage], () => {});
    return (stage as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  };
  return {
    async readBack(offset, into) {
      chunks ??= begin();
      let have = 0;
      while (have < into.length) {
        const at = offset + have - start;
        if (at < chunk.length) {
          have += chunk.copy(into, have, at);
          continue;
        }
        start += chunk.length;
        recycle(chunk);
        const next = await chunks.next();
        if (next.done) return have;
        chunk = next.value;
      }
      return have;
    },
    close: () => void stage?.destroy(),
  };
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
