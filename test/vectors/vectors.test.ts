/** Every vector, whole from a Buffer and a file, in odd chunks, byte by byte, from a pipe, and through the stages: always what it says of itself. */
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t, { type Test as Tap } from 'tap';
import { type OpeningKeys, openFileKeys } from '../../lib/container/keys.ts';
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
import { Deblocker } from '../../lib/stages/deblocker.ts';
import { Decryptor } from '../../lib/stages/decryptor.ts';
import { Deserializer } from '../../lib/stages/deserializer.ts';
import { HealingMerger } from '../../lib/stages/healing-merger.ts';
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

function* bytesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at++) yield bytes.subarray(at, at + 1);
}

const stream = (chunks: Iterable<Buffer>): Readable => Readable.from(chunks, { objectMode: false });

/** Restores through the stages, as a user may join them. What was not looked at counts as damaged. */
async function merge(source: Readable, secret: OpeningKeys): Promise<{ damaged: boolean; content: string }> {
  const merger = new HealingMerger();
  const feeding = pipeline(source, merger);
  feeding.catch(() => {});
  try {
    const { headers, fileId } = await merger.header;
    const { payloadKey: key } = await openFileKeys(headers, fileId, secret);
    const parts: Buffer[] = [];
    const target = new Writable({
      objectMode: true,
      write(item: BackupItem, _encoding, callback) {
        if ('data' in item) parts.push(Buffer.from(item.data));
        callback();
      },
    });
    await pipeline([merger, new Deblocker(), new Decryptor({ key, fileId }), new Deserializer(), target]);
    await feeding;
    return { damaged: merger.healed, content: H(...parts).toString('hex') };
  } finally {
    merger.destroy();
  }
}

type Restoring = (secret: OpeningKeys) => Promise<{ damaged: boolean; content: string }>;

/** @param stages from there on only what authenticates is released, and a healthy beginning hides what is behind it */
async function holds(t: Tap, v: Vector, how: string, restoring: Restoring, stages = false): Promise<void> {
  const secret =
    v.passphrase === undefined ? { identities: [Buffer.from(v.identity!, 'hex')] } : { passphrase: v.passphrase };
  const wanted = classes[v.expect];
  try {
    const { damaged, content } = await restoring(secret);
    t.notOk(wanted, `${v.name}, ${how}: comes out`);
    t.equal(content, v.content, `${v.name}, ${how}: exactly`);
    if (!stages) t.equal(damaged, v.expect === 'healed', `${v.name}, ${how}: ${v.expect}`);
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
    await holds(t, v, 'from a Buffer', (secret) => restore(v.container, secret));
    const path = join(folder, v.name);
    await writeFile(path, v.container);
    await holds(t, v, 'from a file', (secret) => restore(path, secret));
    await holds(t, v, 'in odd chunks', (secret) => restore(stream(oddChunks(v.container)), secret));
    await holds(t, v, 'from a pipe', async (secret) => {
      const cat = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] });
      return restore(cat.stdout, secret);
    });
    // They release what is authentic, from the first copy that fits, and stop behind the last block.
    if (v.name === 'healed-forged-copy' || v.name === 'format-several') continue;
    await holds(
      t,
      v,
      'through the stages, byte by byte',
      (secret) => merge(stream(bytesOf(v.container)), secret),
      true,
    );
  }
});

t.test('the set', async (t) => {
  t.ok(vectors.length >= 40, `${vectors.length} vectors`);
  t.same([...new Set(vectors.map((v) => v.expect))].sort(), [...EXPECTATIONS].sort(), 'every class is there');
  const size = vectors.reduce((sum, v) => sum + statSync(join(import.meta.dirname, `${v.name}.vector`)).size, 0);
  t.ok(size < 1.5e6, `${size} bytes in all`);
});
