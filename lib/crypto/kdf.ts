/** Passphrase to key: Argon2id (RFC 9106), Node's own where it has one (from 24.7 on), else by hash-wasm in a thread of its own. */
import * as crypto from 'node:crypto';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ConfigError } from '../errors.ts';

export interface Argon2Parameters {
  iterations: number;
  memoryKiB: number;
  parallelism: number;
}

/** t = 3, m = 64 MiB, p = 4: RFC 9106's second recommended option. */
export const DEFAULT_KDF: Argon2Parameters = { iterations: 3, memoryKiB: 64 * 1024, parallelism: 4 };

/** Not 'hash-wasm', which is every algorithm at once. */
const ARGON2 = createRequire(import.meta.url).resolve('hash-wasm/dist/argon2.umd.min.js');

/** Runs in the thread. It is text, as a file would be found under another name in the sources than in the package. */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { argon2id } = require(workerData.module);
argon2id(workerData.options).then((bytes) => parentPort.postMessage(bytes));
`;

/** As the types of Node 20 do not have it. */
type Argon2 = (algorithm: 'argon2id', parameters: object, done: (error: Error | null, key: Buffer) => void) => void;
const { argon2 } = crypto as { argon2?: Argon2 };

/**
 * 32 bytes from a passphrase. Another thread does it, so that the app goes on meanwhile, and the memory (`memoryKiB`; hash-wasm's thread takes 25 MiB more) is given
 * back when it ends, not when the garbage collector sees fit. About 0.5 s with the defaults. Parameters are trusted here: the caller has
 * checked them against the format's bounds.
 * @throws ConfigError ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_KDF_FAILED
 */
export async function deriveKey(passphrase: string, salt: Uint8Array, kdf: Argon2Parameters): Promise<Buffer> {
  if (passphrase.length === 0) {
    throw new ConfigError('ERR_KEY_EMPTY_PASSPHRASE', 'The passphrase is empty. Give one of at least one character.');
  }
  const password = Buffer.from(passphrase.normalize('NFC'), 'utf8');
  try {
    return (await byNode(password, salt, kdf)) ?? (await byThread(password, salt, kdf));
  } catch (cause) {
    const needed = `${Math.ceil(kdf.memoryKiB / 1024)} MiB`;
    throw new ConfigError(
      'ERR_KEY_KDF_FAILED',
      `The key could not be derived from the passphrase. It takes ${needed} of memory: make room for it.`,
      { cause },
    );
  }
}

/** In Node's own pool of threads; `null` where this Node, or the OpenSSL that it was built with, has no Argon2. */
async function byNode(message: Buffer, nonce: Uint8Array, kdf: Argon2Parameters): Promise<Buffer | null> {
  if (!argon2) return null;
  const { iterations: passes, memoryKiB: memory, parallelism } = kdf;
  try {
    return await promisify(argon2)('argon2id', { message, nonce, passes, memory, parallelism, tagLength: 32 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_CRYPTO_ARGON2_NOT_SUPPORTED') return null;
    throw error;
  }
}

async function byThread(password: Buffer, salt: Uint8Array, kdf: Argon2Parameters): Promise<Buffer> {
  const options = {
    password: new Uint8Array(password),
    salt: new Uint8Array(salt),
    iterations: kdf.iterations,
    memorySize: kdf.memoryKiB,
    parallelism: kdf.parallelism,
    hashLength: 32,
    outputType: 'binary',
  };
  const workerData = { module: ARGON2, options };
  // Without the app's own loaders, which would only slow the thread's start, and with a small heap: Argon2's memory is not in it.
  const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 };
  const worker = new Worker(THREAD, { eval: true, execArgv: [], env: {}, resourceLimits, workerData });
  try {
    const bytes = await new Promise<Uint8Array>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('the thread ended without an answer')));
    });
    return Buffer.from(bytes);
  } finally {
    await worker.terminate();
  }
}
