/** The reading chain, joined: a container in, items out. */
import { Readable, type Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { TruncatedError } from './errors.ts';
import { SlotPool } from './stages/blocks.ts';
import { Deblocker, type VerifiedBlock } from './stages/deblocker.ts';
import { Decryptor } from './stages/decryptor.ts';
import { Deserializer } from './stages/deserializer.ts';

/** Blocks on their way to the decryptor. */
const IN_FLIGHT = 5;

export function readingPool(): SlotPool {
  return new SlotPool(IN_FLIGHT);
}

/** Blocks to stream bytes. @param first the number of the first block, for a reader that starts in the middle */
export function decryptingStages(reader: ContainerReader, keys: OpenedKeys, first = 0): [Deblocker, Decryptor] {
  const { payloadKey: key, fileId } = keys;
  return [
    new Deblocker({ first }),
    new Decryptor({ key, fileId, first, alternatives: (index) => reader.alternatives(index) }),
  ];
}

/**
 * Runs blocks through decryption into a target of items. Resolves when the target has finished.
 *
 * @param between further stages of items
 */
export async function readItems(
  blocks: AsyncIterable<VerifiedBlock>,
  reader: ContainerReader,
  keys: OpenedKeys,
  target: Writable,
  signal?: AbortSignal,
  between: Transform[] = [],
): Promise<void> {
  let failure: unknown;
  // What is wrong with the blocks is said once all of those before have been opened: which error is told must not hang on which was faster.
  const source = Readable.from(
    (async function* () {
      try {
        yield* blocks;
      } catch (error) {
        failure = error;
      }
    })(),
    { highWaterMark: 1 },
  );
  try {
    await pipeline(
      [source, ...decryptingStages(reader, keys), new Deserializer(), ...between, target],
      signal ? { signal } : {},
    );
  } catch (error) {
    throw failure && error instanceof TruncatedError && error.code === 'ERR_TRUNCATED_STREAM' ? failure : error;
  }
  if (failure) throw failure;
}
