/** Writes a container of pseudo-random bytes: `make.ts OUT LAYOUT BYTES PASSPHRASE SEED`. Small Argon2id parameters, for readers without a fast one. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { LayoutName } from '../../lib/format/limits.ts';
import { sealStream } from '../../lib/seal.ts';

/** Bytes that depend on nothing but the seed. */
export function seeded(seed: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; parts.length * 64 < length; i++) parts.push(createHash('sha512').update(`${seed}/${i}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

const [output, layout, bytes, passphrase, seed] = process.argv.slice(2);
if (output) {
  const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };
  const data = seeded(seed!, Number(bytes));
  await sealStream(
    Readable.from([data]),
    { passphrases: [passphrase!], kdf },
    { output, layout: layout as LayoutName, force: true },
  );
}
