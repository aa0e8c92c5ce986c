/** Frames by hand. */
import { type FrameHead, writeFrameHead } from '../../lib/format/frame.ts';

/** Head and body as one buffer. */
export function writeFrame(head: Omit<FrameHead, 'codedLength'>, body: Uint8Array): Buffer {
  return Buffer.concat([writeFrameHead({ ...head, codedLength: body.length }), body]);
}
