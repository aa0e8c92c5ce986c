/** The last steps of writing: what landed is read back, and gets its name. */
import { checkBlocks, isDamaged, newTally } from './container/check.ts';
import { ContainerReader } from './container/reader.ts';
import type { ByteSource } from './container/source.ts';
import { SinkError } from './errors.ts';
import { freeYoung } from './garbage.ts';
import type { Output } from './outputs.ts';
import { Progress } from './progress.ts';
import { readingPool } from './reading.ts';
import type { ContainerFacts } from './stages/dual-copy-interleaver.ts';
import type { WriteOptions } from './types.ts';

/** What the finished container must be when it is read. */
export type Expected = Pick<ContainerFacts, 'bytes' | 'blocks' | 'chain'>;

/** Outputs that are verified together, and stand or fall together: the halves of a pair, or one alone. */
export type Group = Output[];

type Options = Pick<WriteOptions, 'signal' | 'onEvent' | 'verify' | 'confirm'>;

/**
 * Verifies each group, by reading back what was written, and then gives it its name; what can only be read under its name is verified after that, and withdrawn where it
 * is not what was written. A failure is that group's alone (`fail`). @throws the signal's reason
 */
export async function land(
  groups: Group[],
  facts: Expected,
  options: Options,
  fail: (group: Group, error: unknown) => void,
): Promise<void> {
  const { signal } = options;
  const verify = options.verify !== false;
  const check = verifier(groups, facts, options);
  const living = () => groups.filter((group) => group.every(({ failure }) => !failure));
  const forEach = async (chosen: Group[], work: (group: Group) => Promise<void>) => {
    // All of them end before anything else begins, also when they are aborted.
    const ends = await Promise.allSettled(chosen.map(work));
    signal?.throwIfAborted();
    ends.forEach((end, i) => {
      if (end.status === 'rejected') fail(chosen[i]!, end.reason);
    });
  };
  if (verify) await forEach(living().filter(readsBack), check);
  await options.confirm?.();
  signal?.throwIfAborted();
  await forEach(living(), async (group) => {
    for (const output of group) {
      await output.writer.finish();
      output.finished = true;
    }
  });
  if (!verify) return;
  await forEach(
    living().filter((group) => !readsBack(group) && isReadable(group)),
    (group) =>
      check(group).catch(async (error) => {
        await withdraw(group);
        throw error;
      }),
  );
}

const readsBack = (group: Group) => group.every(({ writer }) => writer.readBack);
const isReadable = (group: Group) => group.every(({ writer }) => writer.readBack ?? writer.published);

async function withdraw(group: Group): Promise<void> {
  for (const output of group) {
    if (!output.writer.withdraw) continue;
    await output.writer.withdraw();
    output.finished = false;
  }
}

/** Compares both copies of everything with the hashes of what was written. Groups are read side by side. */
function verifier(groups: Group[], facts: Expected, options: Options): (group: Group) => Promise<void> {
  const total = groups.filter(isReadable).reduce((sum, group) => sum + facts.bytes * group.length, 0);
  const progress = new Progress('verify', options.onEvent, total);
  return async (group) => {
    const sources: ByteSource[] = [];
    try {
      for (const output of group) sources.push(await sourceOf(output, facts));
      await verifySources(sources, facts, progress, options.signal);
      for (const output of group) output.verified = true;
    } finally {
      for (const source of sources) await source.close();
    }
    progress.done();
  };
}

async function sourceOf({ name, finished, writer }: Output, facts: Expected): Promise<ByteSource> {
  const { readBack, published } = writer;
  if (readBack && !finished) return { name, size: facts.bytes, read: readBack, close: async () => {} };
  return published!();
}

/** @throws SinkError ERR_SINK_VERIFY */
async function verifySources(
  sources: ByteSource[],
  facts: Expected,
  progress: Progress,
  signal?: AbortSignal,
): Promise<void> {
  const reader = await ContainerReader.open(sources, signal ? { signal } : {});
  const tally = newTally(reader.fileId);
  const pool = readingPool();
  for await (const block of checkBlocks(reader, tally, () => pool.take())) {
    signal?.throwIfAborted();
    block.slot.release();
    freeYoung(block.slot.bytes.length);
    progress.add(reader.size / facts.blocks);
  }
  if (isDamaged(tally) || !reader.regular || !tally.chain.equals(facts.chain)) {
    throw new SinkError(
      'ERR_SINK_VERIFY',
      `${reader.name} does not read back as it was written. The medium is failing: write to another one.`,
    );
  }
}
