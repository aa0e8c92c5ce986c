/** The writing chain, joined: items in, a container out. Users who want other stages join them the same way. */
import type { Duplex } from 'node:stream';
import chain from 'stream-chain';
import type { FileKeys } from './container/keys.ts';
import type { CodecName } from './format/frame.ts';
import { DELAY } from './format/limits.ts';
import { Blocker } from './stages/blocker.ts';
import { SlotPool } from './stages/blocks.ts';
import { DualCopyInterleaver, type ReadBack } from './stages/dual-copy-interleaver.ts';
import { Encryptor } from './stages/encryptor.ts';
import { RSEncoder } from './stages/rs-encoder.ts';
import { Serializer } from './stages/serializer.ts';

export interface WritingOptions {
  keys: FileKeys;
  compression?: CodecName;
  readBack?: ReadBack;
  nextReadBack?: () => boolean;
  /** For split layout. */
  copy?: 0 | 1;
  /**
   * Reuse memory: only where every chunk goes to ONE consumer that calls `recycle` when done, as the sinks of this library do.
   */
  recycle?: boolean;
}

/** The stages from items to container bytes, in order. */
export interface WritingChain {
  stages: [Serializer, Encryptor, Blocker, RSEncoder, DualCopyInterleaver];
  interleaver: DualCopyInterleaver;
}

/** Blocks on their way through the stages, beyond those that the delay line holds. */
const IN_FLIGHT = 6;

/** The stages of a writer, not yet joined: pass them to `stream.pipeline` with a source of items before and a Writable behind. */
export function writingStages(options: WritingOptions): WritingChain {
  const { fileId, payloadKey, headerBytes, layout } = options.keys;
  const pool = options.recycle ? new SlotPool(layout === 'interleaved' ? DELAY + IN_FLIGHT : IN_FLIGHT) : undefined;
  const pooled = pool ? { pool } : {};
  const interleaver = new DualCopyInterleaver({
    fileId,
    headerBytes,
    layout,
    ...pooled,
    ...(options.readBack ? { readBack: options.readBack } : {}),
    ...(options.nextReadBack ? { nextReadBack: options.nextReadBack } : {}),
    ...(options.copy === undefined ? {} : { copy: options.copy }),
  });
  return {
    stages: [
      new Serializer(options.compression ? { compression: options.compression } : {}),
      new Encryptor({ key: payloadKey, fileId, ...pooled }),
      new Blocker({ fileId }),
      new RSEncoder({ fileId, ...pooled }),
      interleaver,
    ],
    interleaver,
  };
}

/** The same stages as one Duplex (by stream-chain): items are written to it, container bytes are read from it. */
export function containerWriter(options: WritingOptions): Duplex {
  const { stages } = writingStages(options);
  return chain(stages as never, { writableObjectMode: true, readableObjectMode: true });
}
