/**
 * The stages, each a Transform that stands alone, for those who join their own:
 *
 *     items → Serializer → Encryptor → Blocker → RSEncoder → DualCopyInterleaver → any Writable
 *     any Readable → HealingMerger → Deblocker → Decryptor → Deserializer → items
 *
 * `createFileKeys` and `openFileKeys` make what they need to know of a file's keys.
 */
export {
  createFileKeys,
  type FileKeys,
  type OpenedKeys,
  type OpeningKeys,
  openFileKeys,
  type SealingKeys,
} from '../container/keys.ts';
export type * from '../format/items.ts';
export { recycle } from '../memory.ts';
export { Blocker } from './blocker.ts';
export { type Block, type Encoded, type GroupIndex, type Segment, SlotPool } from './blocks.ts';
export { Deblocker, type VerifiedBlock } from './deblocker.ts';
export { Decryptor, type DecryptorOptions } from './decryptor.ts';
export { Deserializer } from './deserializer.ts';
export { type ContainerFacts, DualCopyInterleaver, type DualCopyInterleaverOptions } from './dual-copy-interleaver.ts';
export { Encryptor, type EncryptorOptions } from './encryptor.ts';
export { HealingMerger } from './healing-merger.ts';
export { RSDecoder } from './rs-decoder.ts';
export { RSEncoder, type RSEncoderOptions } from './rs-encoder.ts';
export { Serializer, type SerializerOptions } from './serializer.ts';
