/** One container, written and verified: what `createBackup` and `sealStream` share. */
import { pipeline as callbackPipeline, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createFileKeys, type FileKeys } from './container/keys.ts';
import { survival } from './container/survival.ts';
import { ConfigError } from './errors.ts';
import { FanOut, readBackOfAny } from './fan-out.ts';
import type { BackupItem } from './format/items.ts';
import type { LayoutName } from './format/limits.ts';
import { type Group, land } from './landing.ts';
import { failureOfAll, Output, openTargets, targetsOf } from './outputs.ts';
import { writingStages } from './pipeline.ts';
import { Progress } from './progress.ts';
import { reasonOf, sealingKeys } from './sources.ts';
import type { Encoded } from './stages/blocks.ts';
import { type ContainerFacts, DualCopyInterleaver, readBackFailed } from './stages/dual-copy-interleaver.ts';
import type { SealingSecret, WriteOptions, WriteResult } from './types.ts';

/**
 * Makes the items once everything else is ready: no database transaction waits for Argon2id.
 * @param paths local files that are being written: a backup must not contain itself
 */
export type ItemSource = (paths: string[]) => Readable;

/**
 * Writes items to every output (and to the mirror), re-reads what landed, and gives it its final name. Whatever fails, nothing incomplete stands under that name.
 * One of several outputs may fail alone.
 */
export async function writeContainer(
  source: ItemSource,
  secret: SealingSecret,
  options: WriteOptions,
): Promise<WriteResult> {
  const started = performance.now();
  const { targets, name, close } = await openTargets(targetsOf(options), options);
  const outputs: Output[] = [];
  try {
    for (const { sink } of targets) outputs.push(await Output.begin(sink));
    const groups: Group[] = options.mirror ? [outputs] : outputs.map((output) => [output]);
    const fail = (output: Output, error: unknown) => {
      output.fail(error);
      if (groups.length === 1) return;
      const { code, message } = output.failure!;
      options.onEvent?.({ type: 'output-failed', output: output.name, code, message });
    };
    for (const output of outputs) if (output.failure) fail(output, output.failure);
    throwIfAllFailed(groups);
    const layout = chooseLayout(outputs, options);
    const keys = await createFileKeys(sealingKeys(secret), layout);
    options.signal?.throwIfAborted();
    const paths = targets.flatMap(({ path }) => path ?? []);
    const facts = await run(source(paths), keys, outputs, options, fail, () => failureOfAll(firstFailures(groups)));
    await land(groups, facts, options, (group, error) => group.forEach((output) => void fail(output, error)));
    throwIfAllFailed(groups);
    const whole = outputs.filter(({ failure }) => !failure);
    return {
      output: whole[0]!.name,
      outputs: outputs.map(({ result }) => result),
      name,
      bytes: facts.bytes * (options.mirror ? outputs.length : 1),
      blocks: facts.blocks,
      layout,
      verified: whole.every(({ verified }) => verified),
      survives: survival({ layout, count: facts.blocks, lastLength: facts.lastLength }),
      milliseconds: Math.round(performance.now() - started),
    };
  } catch (error) {
    throw reasonOf(error, options.signal);
  } finally {
    for (const output of outputs) await output.abort();
    await close();
  }
}

const firstFailures = (groups: Group[]) => groups.map((group) => group.find(({ failure }) => failure) ?? group[0]!);

/** A half of a pair that failed is the failure of both. */
function throwIfAllFailed(groups: Group[]): void {
  if (groups.every((group) => group.some(({ failure }) => failure))) throw failureOfAll(firstFailures(groups));
}

function chooseLayout(outputs: Output[], options: WriteOptions): LayoutName {
  const { layout, mirror } = options;
  if (mirror) {
    if (layout && layout !== 'split')
      throw new ConfigError('ERR_CONFIG_LAYOUT', `With a mirror the layout is split, not ${layout}.`);
    return 'split';
  }
  if (layout === 'split')
    throw new ConfigError('ERR_CONFIG_LAYOUT', 'The split layout needs a second place: give a mirror.');
  const living = outputs.filter(({ failure }) => !failure);
  if (layout === 'tandem' && !living.every(({ writer }) => writer.readBack)) {
    throw new ConfigError(
      'ERR_CONFIG_LAYOUT',
      'The tandem layout needs outputs that can be read back, such as files. Use interleaved.',
    );
  }
  return layout ?? (living.every(({ writer }) => writer.readBack && !writer.remote) ? 'tandem' : 'interleaved');
}

async function run(
  items: Readable,
  keys: FileKeys,
  outputs: Output[],
  options: WriteOptions,
  fail: (output: Output, error: unknown) => void,
  allFailed: () => Error,
): Promise<ContainerFacts> {
  const abort = options.signal ? { signal: options.signal } : {};
  const living = outputs.filter(({ failure }) => !failure);
  const alone = outputs.length === 1 || options.mirror !== undefined;
  const { readBack } = outputs[0]!.writer;
  const { stages, interleaver } = writingStages({
    keys,
    recycle: true,
    ...(options.compression ? { compression: options.compression } : {}),
    ...(alone ? (readBack ? { readBack } : {}) : readBackOfAny(living, fail, () => readBackFailed())),
  });
  const counted = Readable.from(count(items, new Progress('write', options.onEvent)), { highWaterMark: 1 });
  if (!options.mirror) {
    const place = alone ? outputs[0]!.writer.stream : new FanOut(living, fail, allFailed);
    await pipeline([counted, ...stages, place], abort);
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

/** The bytes of a container as a stream, in interleaved layout; keys are made when it is first read. */
export function containerStream(
  source: ItemSource,
  secret: SealingSecret,
  options: Omit<WriteOptions, 'output' | 'outputs' | 'mirror'>,
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
    callbackPipeline([source([]), ...stages], () => {});
    yield* interleaver as AsyncIterable<Buffer>;
  };
  const stream = Readable.from(produce(), { objectMode: false });
  options.signal?.addEventListener('abort', () => stream.destroy(options.signal!.reason as Error), { once: true });
  return stream;
}
