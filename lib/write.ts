/** One container, written and verified: what `createBackup` and `sealStream` share. */
import { pipeline as callbackPipeline, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { checkBlocks, isDamaged, newTally } from './container/check.ts';
import { createFileKeys, type FileKeys } from './container/keys.ts';
import { ContainerReader } from './container/reader.ts';
import type { ByteSource } from './container/source.ts';
import { survival } from './container/survival.ts';
import { ConfigError, SinkError } from './errors.ts';
import type { BackupItem } from './format/items.ts';
import type { LayoutName } from './format/limits.ts';
import { freeYoung } from './garbage.ts';
import { writingStages } from './pipeline.ts';
import { Progress } from './progress.ts';
import { readingPool } from './reading.ts';
import { FileSink } from './sinks/file.ts';
import type { Sink, SinkWriter } from './sinks/sink.ts';
import { reasonOf, sealingKeys } from './sources.ts';
import type { Encoded } from './stages/blocks.ts';
import { type ContainerFacts, DualCopyInterleaver } from './stages/dual-copy-interleaver.ts';
import type { SealingSecret, WriteOptions, WriteResult } from './types.ts';

/** Makes the items once everything else is ready: no database transaction waits for Argon2id. */
export type ItemSource = () => Readable;

/** Where a container goes, opened. */
export interface Output {
  sink: Sink;
  writer: SinkWriter;
}

/**
 * Writes items to `options.output` (and `options.mirror`), re-reads what landed, and gives it its final name. Whatever fails, nothing stays
 * behind under that name.
 */
export async function writeContainer(
  source: ItemSource,
  secret: SealingSecret,
  options: WriteOptions,
): Promise<WriteResult> {
  const started = performance.now();
  if (!options.output)
    throw new ConfigError('ERR_CONFIG_NO_OUTPUT', 'There is nowhere to write to. Give an output: a path or a sink.');
  const outputs: Output[] = [];
  try {
    for (const target of [options.output, ...(options.mirror ? [options.mirror] : [])])
      outputs.push(await openOutput(target, options));
    const layout = chooseLayout(outputs, options);
    const keys = await createFileKeys(sealingKeys(secret), layout);
    options.signal?.throwIfAborted();
    const facts = await run(source(), keys, outputs, options);
    const verified = options.verify !== false && (await verifyWritten(outputs, facts, options));
    for (const { writer } of outputs) await writer.finish();
    return {
      output: outputs[0]!.sink.name,
      bytes: facts.bytes * outputs.length,
      blocks: facts.blocks,
      layout,
      verified,
      survives: survival({ layout, count: facts.blocks, lastLength: facts.lastLength }),
      milliseconds: Math.round(performance.now() - started),
    };
  } catch (error) {
    for (const { writer } of outputs) await writer.abort();
    throw reasonOf(error, options.signal);
  }
}

async function openOutput(target: string | Sink, options: WriteOptions): Promise<Output> {
  const sink = typeof target === 'string' ? new FileSink(target, { force: options.force ?? false }) : target;
  return { sink, writer: await sink.create() };
}

function chooseLayout(outputs: Output[], options: WriteOptions): LayoutName {
  const { layout } = options;
  if (outputs.length > 1) {
    if (layout && layout !== 'split')
      throw new ConfigError('ERR_CONFIG_LAYOUT', `With a mirror the layout is split, not ${layout}.`);
    return 'split';
  }
  if (layout === 'split')
    throw new ConfigError('ERR_CONFIG_LAYOUT', 'The split layout needs a second place: give a mirror.');
  const readsBack = outputs[0]!.writer.readBack !== undefined;
  if (layout === 'tandem' && !readsBack) {
    throw new ConfigError(
      'ERR_CONFIG_LAYOUT',
      'The tandem layout needs an output that can be read back, such as a file. Use interleaved.',
    );
  }
  return layout ?? (readsBack ? 'tandem' : 'interleaved');
}

async function run(items: Readable, keys: FileKeys, outputs: Output[], options: WriteOptions): Promise<ContainerFacts> {
  const abort = options.signal ? { signal: options.signal } : {};
  const { writer } = outputs[0]!;
  const { stages, interleaver } = writingStages({
    keys,
    recycle: true,
    ...(options.compression ? { compression: options.compression } : {}),
    ...(writer.readBack ? { readBack: writer.readBack } : {}),
  });
  const counted = Readable.from(count(items, new Progress('write', options.onEvent)), { highWaterMark: 1 });
  if (outputs.length === 1) {
    await pipeline([counted, ...stages, writer.stream], abort);
    return interleaver.facts;
  }
  const halves = outputs.map((_, copy) => new DualCopyInterleaver({ ...keys, copy: copy as 0 | 1 }));
  const encoders = stages.slice(0, -1);
  await Promise.all([
    pipeline([counted, ...encoders, fork(halves)], abort),
    ...halves.map((half, i) => pipeline([half, outputs[i]!.writer.stream], abort)),
  ]);
  return halves[0]!.facts;
}

async function* count(items: AsyncIterable<BackupItem>, progress: Progress): AsyncGenerator<BackupItem> {
  for await (const item of items) {
    if (item.type === 'rows') progress.add(item.data.length, item.count);
    else if (item.type === 'file-data') progress.add(item.data.length);
    else if (item.type === 'file-end') progress.add(0, 0, 1);
    yield item;
  }
  progress.done();
}

/** Hands every record to each half; the slower one sets the pace. A failure of either ends both. */
function fork(halves: DualCopyInterleaver[]): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(record: Encoded, _encoding, callback) {
      for (let i = 1; i < halves.length && 'slot' in record; i++) record.slot.retain();
      Promise.all(halves.map((half) => handOver(half, record))).then(() => callback(), callback);
    },
    final(callback) {
      for (const half of halves) half.end();
      callback();
    },
    destroy(error, callback) {
      if (error) for (const half of halves) half.destroy(error);
      callback(error);
    },
  });
}

function handOver(half: DualCopyInterleaver, record: Encoded): Promise<void> {
  return new Promise((resolve, reject) => half.write(record, (error) => (error ? reject(error) : resolve())));
}

/**
 * Reads back both copies of everything and compares its hashes with those that were written. @throws SinkError ERR_SINK_VERIFY @returns false where an output cannot be read back
 */
export async function verifyWritten(
  outputs: Output[],
  facts: ContainerFacts,
  options: Pick<WriteOptions, 'signal' | 'onEvent'>,
): Promise<boolean> {
  const sources: ByteSource[] = [];
  for (const { sink, writer } of outputs) {
    const { readBack } = writer;
    if (!readBack) return false;
    sources.push({ name: sink.name, size: facts.bytes, read: readBack, close: async () => {} });
  }
  const reader = await ContainerReader.open(sources, options.signal ? { signal: options.signal } : {});
  const tally = newTally(reader.fileId);
  const progress = new Progress('verify', options.onEvent, reader.size);
  const pool = readingPool();
  for await (const block of checkBlocks(reader, tally, () => pool.take())) {
    options.signal?.throwIfAborted();
    block.slot.release();
    freeYoung(block.slot.bytes.length);
    progress.add(reader.size / facts.blocks);
  }
  progress.done();
  if (isDamaged(tally) || !reader.regular || !tally.chain.equals(facts.chain)) {
    throw new SinkError(
      'ERR_SINK_VERIFY',
      `${reader.name} does not read back as it was written. The medium is failing: write to another one.`,
    );
  }
  return true;
}

/** The bytes of a container as a stream, in interleaved layout; keys are made when it is first read. */
export function containerStream(
  source: ItemSource,
  secret: SealingSecret,
  options: Omit<WriteOptions, 'output' | 'mirror'>,
): Readable {
  if (options.layout && options.layout !== 'interleaved') {
    throw new ConfigError(
      'ERR_CONFIG_LAYOUT',
      `A stream cannot be read back, so its layout is interleaved, not ${options.layout}.`,
    );
  }
  const produce = async function* () {
    const keys = await createFileKeys(sealingKeys(secret), 'interleaved');
    const { stages, interleaver } = writingStages({
      keys,
      ...(options.compression ? { compression: options.compression } : {}),
    });
    // The consumer sees the failure: the pipeline destroys the last stage with it.
    callbackPipeline([source(), ...stages], () => {});
    yield* interleaver as AsyncIterable<Buffer>;
  };
  const stream = Readable.from(produce(), { objectMode: false });
  options.signal?.addEventListener('abort', () => stream.destroy(options.signal!.reason as Error), { once: true });
  return stream;
}
