/** Frames of the encrypted stream, and its footer: bytes to values and back (SPEC.md section 8). No compression here. */
import { FOOTER, FRAME_HEAD, MAX_FRAME, STREAM_UNIT } from './limits.ts';

export const FrameType = {
  SCHEMA: 1,
  ROWS: 2,
  FILE_BEGIN: 3,
  FILE_DATA: 4,
  FILE_END: 5,
  ENTITY_END: 6,
  TOC: 7,
  SKIPPED: 8,
  END: 9,
  PAD: 10,
} as const;

export const Codec = { none: 0, deflate: 1, zstd: 2 } as const;
export type CodecName = keyof typeof Codec;

/** SCHEMA: the body goes on in the next frame. */
export const MORE = 1;
/** ROWS: the body begins inside of a line. */
export const CONTINUED = 2;
/** A reader skips frames of unknown types from here on. */
export const FIRST_OPTIONAL_TYPE = 128;

export interface FrameHead {
  type: number;
  codec: number;
  flags: number;
  stream: number;
  rawLength: number;
  codedLength: number;
  ordinal: number;
}

/** The head of a frame whose body follows it. */
export function writeFrameHead(head: FrameHead): Buffer {
  const b = Buffer.allocUnsafe(FRAME_HEAD);
  b[0] = head.type;
  b[1] = head.codec;
  b.writeUInt16BE(head.flags, 2);
  b.writeUInt32BE(head.stream, 4);
  b.writeUInt32BE(head.rawLength, 8);
  b.writeUInt32BE(head.codedLength, 12);
  b.writeBigUInt64BE(BigInt(head.ordinal), 16);
  return b;
}

/** The head at `at`, or a sentence that says what is impossible about it: no length is believed before it was bounded. */
export function readFrameHead(b: Buffer, at = 0): FrameHead | string {
  const head: FrameHead = {
    type: b[at]!,
    codec: b[at + 1]!,
    flags: b.readUInt16BE(at + 2),
    stream: b.readUInt32BE(at + 4),
    rawLength: b.readUInt32BE(at + 8),
    codedLength: b.readUInt32BE(at + 12),
    ordinal: Number(b.readBigUInt64BE(at + 16)),
  };
  if (head.codec > 2) return `codec ${head.codec} is unknown`;
  if (head.rawLength > MAX_FRAME) return `a frame claims ${head.rawLength} bytes`;
  if (head.codec === 0 && head.codedLength !== head.rawLength) return 'a stored frame has two lengths';
  // Compressors add a little to what they cannot shrink; a writer then stores instead.
  if (head.codedLength > MAX_FRAME + 4096) return `a frame claims ${head.codedLength} coded bytes`;
  if (head.type === 0 || (head.type > FrameType.PAD && head.type < FIRST_OPTIONAL_TYPE))
    return `frame type ${head.type} is unknown`;
  return head;
}

const FOOTER_MAGIC = 'DBS2TAIL';

/** The body of the last PAD frame: makes the stream's length a multiple of 512 and ends in the footer. */
export function padBody(lengthBefore: number, endAt: number): Buffer {
  const least = lengthBefore + FRAME_HEAD + FOOTER;
  const body = Buffer.alloc(FOOTER + (Math.ceil(least / STREAM_UNIT) * STREAM_UNIT - least));
  body.writeBigUInt64BE(BigInt(endAt), body.length - FOOTER);
  body.write(FOOTER_MAGIC, body.length - 8, 'latin1');
  return body;
}

/** The stream offset of the END frame, from the stream's last 16 bytes; `null` if they are no footer. */
export function readFooter(b: Buffer): number | null {
  return b.toString('latin1', 8, 16) === FOOTER_MAGIC ? Number(b.readBigUInt64BE(0)) : null;
}
