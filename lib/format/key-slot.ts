/** The two kinds of key slot, 120 bytes each: bytes to values and back (SPEC.md section 6). */
import { SLOT, SlotKind } from './header.ts';
import { KDF_BOUNDS } from './limits.ts';

export interface KdfParameters {
  /** Argon2id passes. */
  iterations: number;
  /** Argon2id memory in KiB. */
  memoryKiB: number;
  /** Argon2id lanes. */
  parallelism: number;
}

export interface PassphraseSlot {
  kind: 'passphrase';
  kdf: KdfParameters;
  salt: Buffer;
  commitment: Buffer;
  wrapped: Buffer;
  /** What the wrapping authenticates: the slot before the wrapped key. */
  head: Buffer;
}

export interface RecipientSlot {
  kind: 'recipient';
  ephemeral: Buffer;
  commitment: Buffer;
  wrapped: Buffer;
  head: Buffer;
}

export type KeySlot = PassphraseSlot | RecipientSlot | { kind: 'unknown'; id: number };

/** Bytes of a passphrase slot before its commitment. */
export function passphraseSlotHead(kdf: KdfParameters, salt: Buffer): Buffer {
  const b = Buffer.alloc(32);
  b[0] = SlotKind.passphrase;
  b.writeUInt32BE(kdf.iterations, 4);
  b.writeUInt32BE(kdf.memoryKiB, 8);
  b.writeUInt32BE(kdf.parallelism, 12);
  salt.copy(b, 16);
  return b;
}

/** Bytes of a recipient slot before its commitment. */
export function recipientSlotHead(ephemeral: Buffer): Buffer {
  const b = Buffer.alloc(40);
  b[0] = SlotKind.recipient;
  ephemeral.copy(b, 8);
  return b;
}

export function closeSlot(head: Buffer, wrapped: Buffer): Buffer {
  const b = Buffer.alloc(SLOT);
  head.copy(b);
  wrapped.copy(b, head.length);
  return b;
}

export function readSlot(b: Buffer): KeySlot {
  if (b[0] === SlotKind.passphrase) {
    return {
      kind: 'passphrase',
      kdf: { iterations: b.readUInt32BE(4), memoryKiB: b.readUInt32BE(8), parallelism: b.readUInt32BE(12) },
      salt: b.subarray(16, 32),
      commitment: b.subarray(32, 64),
      wrapped: b.subarray(64, 112),
      head: b.subarray(0, 64),
    };
  }
  if (b[0] === SlotKind.recipient) {
    return {
      kind: 'recipient',
      ephemeral: b.subarray(8, 40),
      commitment: b.subarray(40, 72),
      wrapped: b.subarray(72, 120),
      head: b.subarray(0, 72),
    };
  }
  return { kind: 'unknown', id: b[0]! };
}

/** Names the first bound that the parameters break, or `null`. Checked before anything is allocated. */
export function kdfOutOfBounds(k: KdfParameters): string | null {
  const b = KDF_BOUNDS;
  const within = (v: number, lo: number, hi: number) => Number.isInteger(v) && v >= lo && v <= hi;
  if (!within(k.iterations, b.minIterations, b.maxIterations))
    return `iterations must be ${b.minIterations} to ${b.maxIterations}`;
  if (!within(k.memoryKiB, b.minMemoryKiB, b.maxMemoryKiB))
    return `memory must be ${b.minMemoryKiB} to ${b.maxMemoryKiB} KiB`;
  if (!within(k.parallelism, b.minParallelism, b.maxParallelism)) {
    return `parallelism must be ${b.minParallelism} to ${b.maxParallelism}`;
  }
  if (k.iterations * k.memoryKiB > b.maxWorkKiB) return 'iterations times memory must not exceed 4 GiB';
  return null;
}
