/** Passphrase to key: Argon2id (RFC 9106) by hash-wasm, in a thread of its own. */
import { createRequire } from 'node:module';
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

/**
 * 32 bytes from a passphrase. A thread of its own does it, so that the app goes on meanwhile, and the memory (`memoryKiB`) is given back
 * when it ends, not when the garbage collector sees fit. About 0.5 s with the defaults. Parameters are trusted here: the caller has
 * checked them against the format's bounds.
 * @throws ConfigError ERR_KEY_EMPTY_PASSPHRASE, ERR_KEY_KDF_FAILED
 */
export async function deriveKey(passphrase: string, salt: Uint8Array, kdf: Argon2Parameters): Promise<Buffer> {
  if (passphrase.length === 0) {
    throw new ConfigError('ERR_KEY_EMPTY_PASSPHRASE', 'The passphrase is empty. Give one of at least one character.');
  }
  const options = {
    password: new Uint8Array(Buffer.from(passphrase.normalize('NFC'), 'utf8')),
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
  } catch (cause) {
    const needed = `${Math.ceil(kdf.memoryKiB / 1024)} MiB`;
    throw new ConfigError(
      'ERR_KEY_KDF_FAILED',
      `The key could not be derived from the passphrase. It takes ${needed} of memory: make room for it.`,
      { cause },
    );
  } finally {
    await worker.terminate();
  }
}
