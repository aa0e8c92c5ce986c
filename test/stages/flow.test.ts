/** How stages behave as streams: they wait for slow readers, hand errors on, stop when told, and give memory back. */

import { Readable, type Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { type FrameHead, readFrameHead } from '../../lib/format/frame.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { FRAME_HEAD, FULL_PAYLOAD } from '../../lib/format/limits.ts';
import { recycle, Slot } from '../../lib/memory.ts';
import { containerWriter, writingStages } from '../../lib/pipeline.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import { type Segment, SlotPool } from '../../lib/stages/blocks.ts';
import { Deblocker } from '../../lib/stages/deblocker.ts';
import { Decryptor } from '../../lib/stages/decryptor.ts';
import { Deserializer } from '../../lib/stages/deserializer.ts';
import { DualCopyInterleaver } from '../../lib/stages/dual-copy-interleaver.ts';
import { Encryptor } from '../../lib/stages/encryptor.ts';
import { HealingMerger } from '../../lib/stages/healing-merger.ts';
import { RSDecoder } from '../../lib/stages/rs-decoder.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { Stage } from '../../lib/stages/stage.ts';
import { fixedKeys, itemsOf, noise, seal } from '../container/support.ts';
import { bytesThrough, codeOf, through } from './support.ts';

const keys = fixedKeys('interleaved', 'flow');
const { fileId, payloadKey: key } = keys;
const COUNT = 30;
const full = noise('flow', FULL_PAYLOAD);
const segment = (index: number): Segment => ({ index, final: index === COUNT - 1, payload: full });

/** What each stage takes: chunks of about one mebibyte, and how many it may hold. */
async function rooms(): Promise<[name: string, make: () => Transform, input: unknown[], most: number][]> {
  const items = [...itemsOf(Buffer.alloc(COUNT << 18))];
  const chunks = Array.from({ length: COUNT }, () => full);
  const segments = Array.from({ length: COUNT }, (_, i) => segment(i));
  const sealed = await through(chunks, new Encryptor({ key, fileId }));
  const blocks = await through(segments, new Blocker({ fileId }));
  const encoded = await through(blocks, new RSEncoder({ fileId }));
  const frames = framesOf(await bytesThrough(items, new Serializer({ compression: 'none' })));
  const { file } = await seal('split', 8 << 20);
  const pieces = Array.from({ length: Math.ceil(file.length / (1 << 18)) }, (_, i) =>
    file.subarray(i << 18, (i + 1) << 18),
  );
  const interleaver = (layout: 'interleaved' | 'split') => () =>
    new DualCopyInterleaver({ fileId, headerBytes: keys.headerBytes, layout });
  return [
    // Three frames are compressed ahead.
    ['Serializer', () => new Serializer({ compression: 'none' }), items, 8],
    ['Encryptor', () => new Encryptor({ key, fileId }), chunks, 5],
    ['Blocker', () => new Blocker({ fileId }), segments, 4],
    ['RSEncoder', () => new RSEncoder({ fileId }), blocks, 4],
    ['DualCopyInterleaver', interleaver('split'), encoded, 4],
    ['RSDecoder', () => new RSDecoder({ fileId }), encoded, 4],
    ['HealingMerger', () => new HealingMerger(), pieces, 12],
    ['Deblocker', () => new Deblocker(), blocks, 4],
    ['Decryptor', () => new Decryptor({ key, fileId }), sealed, 4],
    ['Deserializer', () => new Deserializer(), frames, 5],
  ];
}

function framesOf(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < stream.length; at += frames.at(-1)!.length) {
    const head = readFrameHead(stream, at) as FrameHead;
    frames.push(stream.subarray(at, at + FRAME_HEAD + head.codedLength));
  }
  return frames;
}

t.test('each stage waits for its reader', async (t) => {
  for (const [name, make, input, most] of await rooms()) {
    let taken = 0;
    const source = function* () {
      for (const chunk of input) {
        taken++;
        yield chunk;
      }
    };
    const stage = make();
    const feeding = pipeline(Readable.from(source(), { objectMode: true, highWaterMark: 1 }), stage);
    feeding.catch(() => {});
    await settled(() => taken);
    t.ok(taken <= most && taken < input.length, `${name}: takes ${taken} of ${input.length} chunks while nobody reads`);
    let read = 0;
    const before = taken;
    const iterator = stage[Symbol.asyncIterator]();
    while (read < 2 && !(await iterator.next()).done) read++;
    await settled(() => taken);
    t.ok(taken <= before + 8, `${name}: and ${taken - before} more when ${read} were read`);
    stage.destroy();
    t.match(await codeOf(feeding), /ERR_STREAM_PREMATURE_CLOSE|no error/, `${name}: destroyed`);
  }
});

/** Waits until a number stays what it is. */
async function settled(value: () => number): Promise<void> {
  for (let last = -1, calm = 0; calm < 3; calm = value() === last ? calm + 1 : 0) {
    last = value();
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

t.test('errors and aborts pass through the whole chain', async (t) => {
  const everything = () => writingStages({ keys, compression: 'none' }).stages;
  const boom = new Error('boom');
  const endless = function* (): Generator<BackupItem> {
    yield* [...itemsOf(Buffer.alloc(0))].slice(0, 2);
    for (;;) yield { type: 'file-data', stream: 1, data: full };
  };
  // Not at once: where nothing ever waits, no timer would have its turn.
  const nowhere = () => new Writable({ write: (_chunk, _encoding, callback) => void setImmediate(callback) });
  const failing = (after: number) => {
    let left = after;
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => callback((left -= chunk.length) < 0 ? boom : null),
    });
  };
  const closed = (stages: readonly Transform[]) => stages.every((s) => s.destroyed);

  let stages = everything();
  const source = Readable.from(endless());
  await t.rejects(pipeline([source, ...stages, failing(5 << 20)]), boom, 'a sink that fails');
  t.ok(closed(stages) && source.destroyed, 'ends every stage and the source');

  stages = everything();
  const broken = async function* () {
    yield* [...itemsOf(Buffer.alloc(0))].slice(0, 2);
    throw boom;
  };
  const sink = nowhere();
  await t.rejects(pipeline([Readable.from(broken()), ...stages, sink]), boom, 'a source that fails');
  t.ok(closed(stages) && sink.destroyed, 'ends every stage and the sink');

  for (const when of [0, 100]) {
    stages = everything();
    const abort = new AbortController();
    setTimeout(() => abort.abort(), when);
    await t.rejects(pipeline([Readable.from(endless()), ...stages, nowhere()], { signal: abort.signal }), {
      name: 'AbortError',
    });
    t.ok(closed(stages), `aborted after ${when} ms`);
  }

  class Sync extends Stage<number, number> {
    constructor() {
      super({ objectsIn: true, objectsOut: true });
    }
    protected override accept(n: number): void {
      if (n === 3) throw boom;
      void this.send(n);
    }
    protected override finish(): void {
      throw boom;
    }
  }
  await t.rejects(through([1, 2, 3], new Sync()), boom, 'thrown by a body that is not asynchronous');
  await t.rejects(through([1], new Sync()), boom, 'thrown by its end');
  class Several extends Sync {
    protected override async accept(n: number): Promise<void> {
      for (let i = 0; i < n; i++) await this.send(i);
    }
    protected override async finish(): Promise<void> {
      await this.send(99);
    }
  }
  t.same(await through([2, 0, 3], new Several()), [0, 1, 0, 1, 2, 99], 'any number of chunks for one');
});

t.test('memory of the pool comes back', async (t) => {
  const pool = new SlotPool(4);
  const [a, b, c, d, fresh] = Array.from({ length: 5 }, () => pool.take());
  const isPooled = (slot: Slot) => slot.bytes.buffer === a!.bytes.buffer;
  t.notOk(isPooled(fresh!), 'when all are out: fresh memory');
  a!.retain().release();
  t.notOk(isPooled(pool.take()), 'held by another holder');
  a!.release();
  t.equal(pool.take().bytes.byteOffset, a!.bytes.byteOffset, 'released by the last one');
  for (const slot of [a, b, c, d, fresh]) slot!.release();
  recycle(Buffer.alloc(1));

  // A tandem chain over a sink that recycles: never more than the pool's slots.
  const tandem = fixedKeys('tandem', 'flow');
  let out = 0;
  let most = 0;
  class Counting extends SlotPool {
    override take(): Slot {
      const slot = super.take();
      most = Math.max(most, ++out);
      return new Slot(slot.bytes, () => {
        out--;
        slot.release();
      });
    }
  }
  const counting = new Counting(8);
  const written: Buffer[] = [];
  const flat = () => Buffer.concat(written);
  const interleaver = new DualCopyInterleaver({
    ...tandem,
    pool: counting,
    readBack: async (at, into) => flat().copy(into, 0, at, at + into.length),
  });
  await pipeline([
    Readable.from(itemsOf(Buffer.alloc(10 << 20))),
    new Serializer({ compression: 'none' }),
    new Encryptor({ key: tandem.payloadKey, fileId: tandem.fileId, pool: counting }),
    new Blocker(tandem),
    new RSEncoder({ fileId: tandem.fileId, pool: counting }),
    interleaver,
    new Writable({
      write(chunk: Buffer, _encoding, callback) {
        written.push(Buffer.from(chunk));
        recycle(chunk);
        callback();
      },
    }),
  ]);
  t.ok(most <= 8, `at most ${most} slots at once`);
  t.equal(out, 0, 'all of them came back');
});

t.test('the chain as one Duplex', async (t) => {
  const c = await seal('interleaved', 20_000);
  const bytes = await bytesThrough(
    itemsOf(c.data),
    containerWriter({ keys: c.keys, compression: 'none' }) as Transform,
  );
  t.ok(bytes.equals(c.file));
});
