/** Sizes and bounds of the format (SPEC.md sections 3 to 7). Nothing here is tunable: another value is another format. */

export const MAJOR = 1;
export const MINOR = 0;

export const PAGE = 4096;
export const PAGE_CONTENT = 2288;
export const PAGE_PARITY = 1792;
/** Bytes of a HEADER, INDEX or END body that one page carries. */
export const BODY_SLICE = 2156;
export const BODY_AT = 128;

export const MAX_DATA_ROWS = 239;
export const PARITY_ROWS = 16;
export const MAX_ROW = 4096;
export const ROW_UNIT = 512;
/** Payload of a full block: 978,944 bytes. */
export const FULL_PAYLOAD = MAX_DATA_ROWS * MAX_ROW;
/** Bytes of the k + m rows of a full block. */
export const FULL_ROWS = (MAX_DATA_ROWS + PARITY_ROWS) * MAX_ROW;
export const FULL_RECORD = PAGE + FULL_ROWS;

export const TAG = 16;
/** Plaintext of a full segment. */
export const SEGMENT = FULL_PAYLOAD - TAG;
/** The u32 before the stream bytes of a segment. */
export const SEGMENT_HEAD = 4;
/** Stream bytes in every segment but the last. */
export const SEGMENT_STREAM = SEGMENT - SEGMENT_HEAD;
/** "No frame starts in this segment." */
export const NO_FRAME = 0xffffffff;
export const MIN_PAYLOAD = SEGMENT_HEAD + 1 + TAG;

export const GROUP = 128;
export const GROUP_PARITY = 8;
export const DELAY = 16;

export const FRAME_HEAD = 24;
export const MAX_FRAME = 1 << 20;
/** The stream's length is a multiple of this. */
export const STREAM_UNIT = 512;
export const FOOTER = 16;

/** Key slots in a HEADER, and how many passphrase slots a reader tries. */
export const MAX_SLOTS = 16;
export const MAX_TRIED_SLOTS = 4;

/** Bounds on Argon2id, checked before anything is allocated (SPEC.md section 6). */
export const KDF_BOUNDS = {
  minIterations: 1,
  maxIterations: 16,
  minMemoryKiB: 8 * 1024,
  maxMemoryKiB: 1024 * 1024,
  minParallelism: 1,
  maxParallelism: 16,
  /** iterations * memory, in KiB: 4 GiB. */
  maxWorkKiB: 4 * 1024 * 1024,
} as const;

export const RecordType = { HEADER: 1, DATA: 2, PARITY: 3, INDEX: 4, END: 5 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

export const Layout = { interleaved: 0, tandem: 1, split: 2 } as const;
export type LayoutName = keyof typeof Layout;

export const FINAL = 1;
