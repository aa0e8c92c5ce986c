/** Passphrase to key: Argon2id (RFC 9106) by hash-wasm. */
import { setImmediate } from 'node:timers/promises';
// Not 'hash-wasm', which is every algorithm at once: 3 MiB more, resident for as long as the program runs.
import hashWasm from 'hash-wasm/dist/argon2.umd.min.js';
import { ConfigError } from '../errors.ts';
import { freeAll } from '../garbage.ts';

export interface Argon2Parameters {
  iterations: number;
  memoryKiB: number;
  parallelism: number;
}

/** t = 3, m = 64 MiB, p = 4: RFC 9106's second recommended option. */
export const DEFAULT_KDF: Argon2Parameters = { iterations: 3, memoryKiB: 64 * 1024, parallelism: 4 };

/**
 * 32 bytes from a passphrase. Holds `memoryKiB` while it runs; about 0.5 s with the defaults. Parameters are trusted here: the
 * caller has checked them against the format's bounds.
 * @throws ConfigError ERR_KEY_EMPTY_PASSPHRASE
 */
export async function deriveKey(passphrase: string, salt: Uint8Array, kdf: Argon2Parameters): Promise<Buffer> {
  if (passphrase.length === 0) {
    throw new ConfigError('ERR_KEY_EMPTY_PASSPHRASE', 'The passphrase is empty. Give one of at least one character.');
  }
  const bytes = await hashWasm.argon2id({
    password: Buffer.from(passphrase.normalize('NFC'), 'utf8'),
    salt,
    iterations: kdf.iterations,
    memorySize: kdf.memoryKiB,
    parallelism: kdf.parallelism,
    hashLength: 32,
    outputType: 'binary',
  });
  // In a turn of its own, nothing on the stack holds on to hash-wasm's memory.
  await setImmediate();
  freeAll();
  return Buffer.from(bytes);
}
