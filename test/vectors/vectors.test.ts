/** Every vector, from a Buffer, from a file, and in odd chunks from a pipe: always what it says of itself. */
import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import t, { type Test as Tap } from 'tap';
import type { OpeningKeys } from '../../lib/container/keys.ts';
import { H } from '../../lib/crypto/hash.ts';
import {
  type BackupError,
  DamageError,
  FormatError,
  NoKeyMatchError,
  TamperError,
  TruncatedError,
  WrongPassphraseError,
} from '../../lib/errors.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { readItems, readingPool } from '../../lib/reading.ts';
import { openKeys, withReader } from '../../lib/sources.ts';
import type { BackupSource } from '../../lib/types.ts';
import { examine } from '../../lib/validate.ts';
import { EXPECTATIONS, readVectors, type Vector } from './vector.ts';

const vectors = readVectors();
const classes: Record<string, (typeof BackupError)[]> = {
  'wrong-key': [WrongPassphraseError, NoKeyMatchError],
  tampered: [TamperError],
  truncated: [TruncatedError],
  damaged: [DamageError],
  format: [FormatError],
  'newer-version': [FormatError],
};

/** Restores: what `unsealStream` does, for backups of every kind. */
function restore(source: BackupSource, secret: OpeningKeys): Promise<{ damaged: boolean; content: string }> {
  return withReader(source, {}, async (reader) => {
    const keys = await openKeys(reader, secret);
    const { report, error } = await examine(reader, keys, {});
    if (error) throw error;
    const parts: Buffer[] = [];
    const target = new Writable({
      objectMode: true,
      write(item: BackupItem, _encoding, callback) {
        if ('data' in item) parts.push(item.data);
        callback();
      },
    });
    const pool = readingPool();
    await readItems(
      reader.stream(() => pool.take()),
      reader,
      keys,
      target,
    );
    return { damaged: report.damaged, content: H(...parts).toString('hex') };
  });
}

function* oddChunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0, n = 1; at < bytes.length; at += n, n = (n * 7 + 13) % 9973) yield bytes.subarray(at, at + n);
}

async function holds(t: Tap, v: Vector, how: string, source: BackupSource): Promise<void> {
  const secret =
    v.passphrase === undefined ? { identities: [Buffer.from(v.identity!, 'hex')] } : { passphrase: v.passphrase };
  const wanted = classes[v.expect];
  try {
    const { damaged, content } = await restore(source, secret);
    t.notOk(wanted, `${v.name}, ${how}: comes out`);
    t.equal(content, v.content, `${v.name}, ${how}: exactly`);
    t.equal(damaged, v.expect === 'healed', `${v.name}, ${how}: ${v.expect}`);
  } catch (error) {
    const { code, message } = error as BackupError;
    t.ok(
      wanted?.some((type) => error instanceof type),
      `${v.name}, ${how}: ${v.expect} (${message})`,
    );
    t.equal(code, v.code, `${v.name}, ${how}: its code`);
  }
}

t.test('vectors', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-vectors-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const v of vectors) {
    t.equal(v.container.length, v.size, v.what);
    await holds(t, v, 'from a Buffer', v.container);
    const path = join(folder, v.name);
    await writeFile(path, v.container);
    await holds(t, v, 'from a file', path);
    await holds(t, v, 'from a pipe', Readable.from(oddChunks(v.container), { objectMode: false }));
  }
});

t.test('the set', async (t) => {
  t.ok(vectors.length >= 40, `${vectors.length} vectors`);
  t.same([...new Set(vectors.map((v) => v.expect))].sort(), [...EXPECTATIONS].sort(), 'every class is there');
  const size = vectors.reduce((sum, v) => sum + statSync(join(import.meta.dirname, `${v.name}.vector`)).size, 0);
  t.ok(size < 1.5e6, `${size} bytes in all`);
});
