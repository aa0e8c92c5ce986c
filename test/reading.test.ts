/** Which error a damaged and tampered backup ends with does not hang on which stage was faster. */
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { OpenedKeys } from '../lib/container/keys.ts';
import type { ContainerReader } from '../lib/container/reader.ts';
import { aeadKey } from '../lib/crypto/aead.ts';
import { DamageError, TruncatedError } from '../lib/errors.ts';
import { RecordType } from '../lib/format/limits.ts';
import { readItems } from '../lib/reading.ts';
import type { VerifiedBlock } from '../lib/stages/deblocker.ts';

const fileId = Buffer.alloc(16);
const keys = { payloadKey: aeadKey(Buffer.alloc(32)), fileId } as OpenedKeys;
/** Looking for another copy of a block takes its time. */
const slow = {
  // biome-ignore lint/correctness/useYield: there is none
  async *alternatives() {
    await delay(50);
  },
} as unknown as ContainerReader;

function read(blocks: AsyncIterable<VerifiedBlock>): Promise<void> {
  return readItems(blocks, slow, keys, new Writable({ objectMode: true, write: (_item, _encoding, done) => done() }));
}

const forged = { type: RecordType.DATA, sequence: 0, final: false, payload: Buffer.alloc(100) };
const failures = [
  new TruncatedError('ERR_TRUNCATED', 'cut'),
  new DamageError('ERR_DAMAGE_BLOCKS', 'lost', { blocks: [] }),
];

for (const failure of failures) {
  t.test(failure.code, async (t) => {
    async function* behind() {
      yield forged;
      throw failure;
    }
    await t.rejects(read(behind()), { code: 'ERR_TAMPER_BLOCK' }, 'behind a forged block: the forged block');

    // biome-ignore lint/correctness/useYield: it fails before its first block
    async function* alone() {
      throw failure;
    }
    await t.rejects(read(alone()), failure, 'alone: itself');
  });
}
