/** Node's own Argon2id, from 24.7 on, makes the keys that hash-wasm makes, and needs no thread of ours. */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { argon2id } from 'hash-wasm';
import t from 'tap';
import { DEFAULT_KDF, deriveKey } from '../../lib/crypto/kdf.ts';

t.test('the same keys', async (t) => {
  // That of the loader of these tests is said late.
  await setTimeout(100);
  let threads = 0;
  const count = () => void threads++;
  process.on('worker', count);
  t.teardown(() => process.off('worker', count));
  const parameters = [
    DEFAULT_KDF,
    { iterations: 1, memoryKiB: 8192, parallelism: 1 },
    { iterations: 2, memoryKiB: 8192, parallelism: 16 },
    // Not a multiple of 4 * parallelism: RFC 9106 rounds it down.
    { iterations: 16, memoryKiB: 8199, parallelism: 3 },
  ];
  for (const kdf of parameters) {
    for (const password of ['x', 'Zw\u00f6lf Boxk\u00e4mpfer', 'long '.repeat(1000)]) {
      const salt = randomBytes(16);
      const { iterations, memoryKiB: memorySize, parallelism } = kdf;
      const options = { password, salt, iterations, memorySize, parallelism, hashLength: 32 };
      t.equal((await deriveKey(password, salt, kdf)).toString('hex'), await argon2id(options), JSON.stringify(kdf));
    }
  }
  t.equal(threads, 0, 'Node itself made them');
  const kdf = { iterations: 1, memoryKiB: 0, parallelism: 1 };
  await t.rejects(deriveKey('x', randomBytes(16), kdf), { code: 'ERR_KEY_KDF_FAILED' }, 'what it refuses has our code');
});
