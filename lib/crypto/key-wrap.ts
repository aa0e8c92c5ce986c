/** Wrapping a data key for a passphrase or a recipient (SPEC.md section 6). Values only: the slots' bytes are lib/format's. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, timingSafeEqual } from 'node:crypto';
import { unwrapKey, wrapKey } from './aead.ts';
import { hkdf } from './hash.ts';

/** What a slot derives from its secret: the commitment that is compared first, and the key that wraps. */
export interface SlotKeys {
  commitment: Buffer;
  wrapKey: Buffer;
}

/** From the output of Argon2id. */
export function passphraseSlotKeys(ikm: Buffer, fileId: Buffer): SlotKeys {
  return {
    commitment: hkdf(ikm, fileId, 'DBS2 slot commit'),
    wrapKey: hkdf(ikm, fileId, 'DBS2 slot wrap'),
  };
}

/** From an X25519 shared secret and both public keys. */
export function recipientSlotKeys(shared: Buffer, fileId: Buffer, ephemeral: Buffer, recipient: Buffer): SlotKeys {
  const salt = Buffer.concat([fileId, ephemeral, recipient]);
  return {
    commitment: hkdf(shared, salt, 'DBS2 recipient commit'),
    wrapKey: hkdf(shared, salt, 'DBS2 recipient wrap'),
  };
}

const SLOT_AAD = Buffer.from('DBS2 slot\0', 'latin1');

/** The 48 bytes of a wrapped data key. `slotHead` is the slot before them. */
export function wrapDataKey(keys: SlotKeys, fileId: Buffer, slotHead: Buffer, dataKey: Buffer): Buffer {
  return wrapKey(keys.wrapKey, Buffer.concat([SLOT_AAD, fileId, slotHead]), dataKey);
}

/** The data key, or `null` where the commitment fits and the tag does not: the slot was changed. */
export function unwrapDataKey(keys: SlotKeys, fileId: Buffer, slotHead: Buffer, wrapped: Buffer): Buffer | null {
  return unwrapKey(keys.wrapKey, Buffer.concat([SLOT_AAD, fileId, slotHead]), wrapped);
}

export function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Raw 32-byte keys of X25519 (RFC 7748). */
export interface X25519Pair {
  secret: Buffer;
  public: Buffer;
}

// PKCS#8 and SPKI frames around a raw key (RFC 8410): the one form in which every Node version takes raw X25519 keys.
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

export function generateX25519(): X25519Pair {
  const pair = generateKeyPairSync('x25519');
  return {
    secret: pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8.length),
    public: pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(SPKI.length),
  };
}

export function x25519Public(secret: Buffer): Buffer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: 'der', type: 'pkcs8' });
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
}

/** The shared secret, or `null` for a public key of low order, whose secret would be all zero. */
export function x25519(secret: Buffer, publicKey: Buffer): Buffer | null {
  try {
    const shared = diffieHellman({
      privateKey: createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' }),
    });
    return shared.some((byte) => byte !== 0) ? shared : null;
  } catch {
    return null;
  }
}
