/** H and the hashes made of it (SPEC.md, conventions and sections 3 and 6). */
import { createHash, createHmac, type Hash, hkdfSync } from 'node:crypto';

export const HASH = 32;

const FILE = Buffer.from('DBS2 file\0', 'latin1');
const BLOCK = Buffer.from('DBS2 block\0', 'latin1');
const CHAIN = Buffer.from('DBS2 chain\0', 'latin1');

/** H over the parts in order: the first 32 bytes of BLAKE2b-512. */
export function H(...parts: Uint8Array[]): Buffer {
  const hash = createHash('blake2b512');
  for (const part of parts) hash.update(part);
  return hash.digest().subarray(0, HASH);
}

/** H over data that arrives in pieces. */
export class RunningHash {
  readonly #hash: Hash = createHash('blake2b512');
  update(data: Uint8Array): this {
    this.#hash.update(data);
    return this;
  }
  /** Lower-case hex. The hash cannot be used afterwards. */
  hex(): string {
    return this.#hash.digest().subarray(0, HASH).toString('hex');
  }
}

export function fileIdOf(coreBytes: Buffer): Buffer {
  return H(FILE, coreBytes);
}

/** The hash in a page: over a payload or a body, its type and its position. */
export function blockHash(fileId: Buffer, type: number, sequence: number, flags: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(14);
  head[0] = type;
  head.writeBigUInt64BE(BigInt(sequence), 1);
  head[9] = flags;
  head.writeUInt32BE(payload.length, 10);
  return H(BLOCK, fileId, head, payload);
}

export function chainHash(previous: Buffer, hash: Buffer): Buffer {
  return H(CHAIN, previous, hash);
}

/** HKDF-SHA-512, 32 bytes (RFC 5869). */
export function hkdf(ikm: Uint8Array, salt: Uint8Array, info: string): Buffer {
  return Buffer.from(hkdfSync('sha512', ikm, salt, info, 32));
}

export function hmac(key: Uint8Array, data: Uint8Array): Buffer {
  return createHmac('sha512', key).update(data).digest().subarray(0, 32);
}
