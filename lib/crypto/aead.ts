/** AES-256-GCM over segments (SPEC.md section 7). */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';

const TAG = 16;
/** Pieces for `update`: small enough that Node's result buffers die young, instead of one fresh megabyte a block. */
const PIECE = 64 * 1024;

export type AeadKey = KeyObject;

export function aeadKey(bytes: Uint8Array): AeadKey {
  return createSecretKey(bytes);
}

function nonceOf(index: number, final: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(index), 3);
  nonce[11] = final ? 1 : 0;
  return nonce;
}

/** Seals `plaintext` into `out` (as long as the plaintext, plus 16 bytes of tag). Both may be the same memory. */
export function sealSegment(
  key: AeadKey,
  fileId: Buffer,
  index: number,
  final: boolean,
  plaintext: Buffer,
  out: Buffer,
): void {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(index, final));
  cipher.setAAD(fileId);
  for (let at = 0; at < plaintext.length; at += PIECE) cipher.update(plaintext.subarray(at, at + PIECE)).copy(out, at);
  cipher.final();
  cipher.getAuthTag().copy(out, plaintext.length);
}

/**
 * Opens a payload into `out` (16 bytes shorter). Returns whether the tag verified; where it did not, `out` holds zeros: nothing
 * unauthenticated leaves this function.
 */
export function openSegment(
  key: AeadKey,
  fileId: Buffer,
  index: number,
  final: boolean,
  payload: Buffer,
  out: Buffer,
): boolean {
  const length = payload.length - TAG;
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(index, final));
  decipher.setAAD(fileId);
  decipher.setAuthTag(payload.subarray(length));
  for (let at = 0; at < length; at += PIECE)
    decipher.update(payload.subarray(at, Math.min(at + PIECE, length))).copy(out, at);
  try {
    decipher.final();
    return true;
  } catch {
    out.fill(0);
    return false;
  }
}

const ZERO_NONCE = Buffer.alloc(12);

/** Wraps 32 bytes under a key that is used once: 48 bytes. */
export function wrapKey(key: Buffer, aad: Buffer, secret: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, ZERO_NONCE);
  cipher.setAAD(aad);
  return Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** The 32 bytes, or `null` where the tag does not verify. */
export function unwrapKey(key: Buffer, aad: Buffer, wrapped: Buffer): Buffer | null {
  const decipher = createDecipheriv('aes-256-gcm', key, ZERO_NONCE);
  decipher.setAAD(aad);
  decipher.setAuthTag(wrapped.subarray(32, 48));
  const secret = decipher.update(wrapped.subarray(0, 32));
  try {
    decipher.final();
    return secret;
  } catch {
    return null;
  }
}
