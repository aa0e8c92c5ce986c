/** The HealingMerger on a pipe of two groups: a damaged group comes out when its own parity has passed, not when the pipe ends. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { H } from '../../lib/crypto/hash.ts';
import { type Plan, plan } from '../../lib/format/layout.ts';
import { DELAY, FULL_PAYLOAD, FULL_RECORD, GROUP, type LayoutName } from '../../lib/format/limits.ts';
import { FileSink } from '../../lib/sinks/file.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import type { Segment } from '../../lib/stages/blocks.ts';
import type { VerifiedBlock } from '../../lib/stages/deblocker.ts';
import { DualCopyInterleaver } from '../../lib/stages/dual-copy-interleaver.ts';
import { HealingMerger } from '../../lib/stages/healing-merger.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { Random } from '../../lib/testkit/index.ts';
import { fixedKeys, noise } from '../container/support.ts';
import { seed } from './support.ts';

const COUNT = GROUP + 40;
const LAST = 5000;
const random = new Random(seed);

t.before(() => t.comment(`SEED=${seed}`));

function* segments(): Generator<Segment> {
  const payload = noise('a long pipe', FULL_PAYLOAD);
  for (let index = 0; index < COUNT; index++) {
    payload.writeUInt32BE(index);
    const final = index === COUNT - 1;
    yield { index, final, payload: Buffer.from(final ? payload.subarray(0, LAST) : payload) };
  }
}

async function write(layout: LayoutName, path: string): Promise<void> {
  const { fileId, headerBytes } = fixedKeys(layout, 'a long pipe');
  const writer = await new FileSink(path).create();
  const interleaver = new DualCopyInterleaver({ fileId, headerBytes, layout, readBack: writer.readBack! });
  await pipeline([
    Readable.from(segments()),
    new Blocker({ fileId }),
    new RSEncoder({ fileId }),
    interleaver,
    writer.stream,
  ]);
  await writer.finish();
}

/** Zeros in place of some records, as the bytes go by. */
class Wrecker extends Transform {
  passed = 0;
  readonly #lost: number[];

  constructor(lost: number[]) {
    super();
    this.#lost = lost;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error: null, chunk: Buffer) => void): void {
    for (const at of this.#lost) {
      const from = Math.max(0, at - this.passed);
      const to = Math.min(chunk.length, at + FULL_RECORD - this.passed);
      if (from < to) chunk.fill(0, from, to);
    }
    this.passed += chunk.length;
    callback(null, chunk);
  }
}

/** What comes out of a wrecked pipe: its hash, and how much had gone in when each block came. */
async function merge(path: string, lost: number[]): Promise<{ content: string; came: number[]; healed: boolean }> {
  const wrecker = new Wrecker(lost);
  const merger = new HealingMerger();
  const hashes: Buffer[] = [];
  const came: number[] = [];
  const target = new Writable({
    objectMode: true,
    write(block: VerifiedBlock, _encoding, callback) {
      hashes.push(H(block.payload));
      came.push(wrecker.passed);
      callback();
    },
  });
  await pipeline([createReadStream(path, { highWaterMark: FULL_RECORD }), wrecker, merger, target]);
  return { content: H(...hashes).toString('hex'), came, healed: merger.healed };
}

const SLACK = 4 * FULL_RECORD;
const content = H(...[...segments()].map((s) => H(s.payload))).toString('hex');

for (const layout of ['interleaved', 'tandem'] as const) {
  t.test(layout, async (t) => {
    const path = join(t.testdir({}), 'long.dbs');
    await write(layout, path);
    const places: Plan = plan(layout, COUNT, LAST);
    const copies = (blocks: number[], which: (0 | 1)[]) =>
      which.flatMap((copy) => blocks.map((i) => places.data[copy][i]!));
    const wanted = layout === 'interleaved' ? 300 * FULL_RECORD : 140 * FULL_RECORD;
    // Of later ones the second copy stands in the next group, which would be damaged, too.
    const first = random.sample(8, GROUP - DELAY).sort((a, b) => a - b);

    const clean = await merge(path, []);
    t.equal(clean.content, content);
    t.notOk(clean.healed, 'whole');

    const some = await merge(path, copies(first, [0, 1]));
    t.equal(some.content, content, `blocks ${first} lost in both copies: exact`);
    t.ok(some.healed);
    t.ok(some.came[first[0]!]! > places.parity[0][7]!, 'they wait for the parity');
    t.ok(
      some.came[GROUP - 1]! < wanted + SLACK,
      `their group came after ${some.came[GROUP - 1]} bytes of ${places.size}`,
    );
    t.ok(some.came[GROUP - 1]! < places.size - SLACK, 'before the end');

    const last = random.between(GROUP + 2, COUNT - 2);
    const twice = await merge(path, [...copies(first, [0, 1]), ...copies([last], [0, 1])]);
    t.equal(twice.content, content, `and block ${last} of the next group: exact`);
    t.ok(twice.came[last - 1]! < twice.came[last]!, 'what stands before it comes before it is healed');

    const many = await merge(path, copies(random.sample(20, GROUP), [0]));
    t.equal(many.content, content, '20 blocks of copy A: exact');
  });
}
