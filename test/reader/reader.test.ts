/**
 * The reader in Python, written from SPEC.md alone, reads what this library writes: whole, and damaged in every way that
 * the specification says can be healed. Where the two disagree, one of them or the specification is wrong.
 *
 * A failure is repeated by DBS_TEST_SEED=<seed>. DBS_PYTHON names another interpreter than python3.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { createBackup, defineBackupConfig } from '../../lib/index.ts';
import { core, openOrm, scratch } from '../support/orm.ts';
import { exec } from '../support/orm-database.ts';
import { seeded } from './make.ts';

// What a slow and busy machine may take; a quiet one is done in seconds.
const timeout = 300_000;
const here = dirname(fileURLToPath(import.meta.url));
const reader = join(here, 'dbs_reader.py');
const python = process.env.DBS_PYTHON ?? 'python3';
const run = promisify(execFile);
const MAGIC = Buffer.from('89444253320d0a1a', 'hex');
const PAGE = 4096;
const [DATA, PARITY, END] = [2, 3, 5];

// The file has it decomposed: after NFC it is the same passphrase.
const secret = 'corr\u00e9ct horse';
const passphrase = join(scratch, 'passphrase');
writeFileSync(passphrase, `${secret.normalize('NFD')}\n`);

/** Why the reader cannot run on this machine, or nothing. */
function obstacle(): string | undefined {
  const check = `import ctypes, ctypes.util, sys
assert sys.version_info >= (3, 9), 'Python is older than 3.9'
ctypes.CDLL(ctypes.util.find_library('crypto') or 'libcrypto is missing').EVP_aes_256_gcm`;
  try {
    execFileSync(python, ['-c', check], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return `${python} or libcrypto cannot be used here: ${stderr?.trim().split('\n').pop() || message}`;
  }
}

/**
 * One Python process that runs the reader's main() for each line of arguments it gets. Argon2id takes seconds in Python,
 * and the reader remembers what it derived: so every damaged copy of one container goes to one process.
 */
class Reader {
  readonly #process: ChildProcess;
  readonly #codes: AsyncIterator<string>;
  #stderr = '';

  constructor(t: Test) {
    t.teardown(() => this.#process.stdin!.end());
    const loop = `import json, sys
sys.path.insert(0, ${JSON.stringify(here)})
import dbs_reader
for line in sys.stdin:
    print(dbs_reader.main(json.loads(line)), flush=True)`;
    this.#process = spawn(python, ['-B', '-c', loop], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr!.setEncoding('utf8').on('data', (text) => {
      this.#stderr += text;
    });
    this.#codes = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async read(...args: string[]): Promise<number> {
    this.#process.stdin!.write(`${JSON.stringify([...args, '--passphrase-file', passphrase])}\n`);
    const { value, done } = await this.#codes.next();
    if (done) throw new Error(`The reader died: ${this.#stderr}`);
    return Number(value);
  }
}

// --- Damage.

const seed = Number(process.env.DBS_TEST_SEED ?? Date.now() % 2 ** 31);

/** Pseudo-random numbers (mulberry32). Each test has its own, as tests run side by side. */
class Random {
  #state: number;

  constructor(name: string) {
    this.#state = seeded(`${seed} ${name}`, 4).readUInt32BE();
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** `count` different numbers below `limit`. */
  sample(limit: number, count: number): number[] {
    const found = new Set<number>();
    while (found.size < count) found.add(this.below(limit));
    return [...found];
  }

  bytes(length: number): Buffer {
    return seeded(`noise ${this.below(2 ** 32)}`, length);
  }
}

interface Record {
  type: number;
  copy: number;
  seq: number;
  at: number;
  length: number;
  rowLength: number;
  rows: number;
}

/** The records of a whole container. */
function recordsOf(file: Buffer): Record[] {
  const records: Record[] = [];
  for (let at = 0; at < file.length; at += records.at(-1)!.length) {
    if (!file.subarray(at, at + 8).equals(MAGIC)) throw new Error(`No record at ${at}`);
    records.push({
      type: file[at + 10],
      copy: file[at + 11],
      seq: Number(file.readBigUInt64BE(at + 48)),
      at,
      length: file.readUInt32BE(at + 12),
      rowLength: file.readUInt16BE(at + 68),
      rows: file[at + 70] + file[at + 71],
    });
  }
  return records;
}

interface Case {
  name: string;
  damage(file: Buffer): Buffer | undefined;
  /** The exit codes that are right. */
  codes: number[];
}

/** Ways to damage a container, as far as its size has room for them. */
function cases(file: Buffer, random: Random): Case[] {
  const records = recordsOf(file);
  const data = records.filter((r) => r.type === DATA);
  const blocks = data.filter((r) => r.copy === 0).length;
  const parity = records.filter((r) => r.type === PARITY);
  const large = file.length > 1e6;
  const overwrite = (file: Buffer, at: number, length: number) => {
    random.bytes(Math.min(length, file.length - at)).copy(file, at);
  };
  const lose = (filter: (r: Record) => boolean) => (file: Buffer) => {
    for (const r of records.filter(filter)) overwrite(file, r.at, r.length);
    return undefined;
  };
  /** Overwrites these rows in both copies of each block. */
  const loseRows = (file: Buffer, choose: (r: Record, block: number) => number[]) => {
    for (let block = 0; block < blocks; block++) {
      const copies = data.filter((r) => r.seq === block);
      for (const row of choose(copies[0], block))
        for (const r of copies) overwrite(file, r.at + PAGE + row * r.rowLength, r.rowLength);
    }
    return undefined;
  };
  const flip = (file: Buffer, count: number) => {
    for (let i = 0; i < count; i++) file[random.below(file.length)] ^= 1 << random.below(8);
    return undefined;
  };
  const list: Case[] = [
    { name: 'nothing', damage: () => undefined, codes: [0] },
    {
      name: 'the first 64 KiB (or page)',
      damage: (file) => void overwrite(file, 0, large ? 65536 : PAGE),
      codes: [4],
    },
    { name: 'both END records', damage: lose((r) => r.type === END), codes: [4] },
    { name: 'every copy A', damage: lose((r) => r.type === DATA && r.copy === 0), codes: [4] },
    { name: 'every copy B', damage: lose((r) => r.type === DATA && r.copy === 1), codes: [4] },
    { name: 'A and B in turns', damage: lose((r) => r.type === DATA && r.copy === r.seq % 2), codes: [4] },
    {
      name: 'every magic',
      damage(file) {
        for (const { at } of records) for (const offset of [0, PAGE - 16]) file.fill(0, at + offset, at + offset + 8);
        return undefined;
      },
      codes: [4],
    },
    {
      name: '300 bytes of each page',
      damage(file) {
        for (const { at } of records)
          for (const i of random.sample(PAGE - 16, 300)) file[at + i] ^= 1 + random.below(255);
        return undefined;
      },
      codes: [4],
    },
    {
      name: 'the page of every copy',
      damage(file) {
        for (const { at } of data) overwrite(file, at, PAGE);
        return undefined;
      },
      codes: [4],
    },
    // What is hit may be something that is not needed.
    { name: 'a few bits', damage: (file) => flip(file, large ? Math.floor(file.length / 50_000) : 5), codes: [0, 4] },
    { name: 'the tail', damage: (file) => file.subarray(0, file.length - 10_000), codes: [4] },
    {
      name: 'bytes are inserted',
      damage(file) {
        for (let i = 0; i < (large ? 3 : 1); i++) {
          const at = random.below(file.length - PAGE);
          file = Buffer.concat([file.subarray(0, at), random.bytes(1 + random.below(5000)), file.subarray(at)]);
        }
        return file;
      },
      codes: [4],
    },
    {
      name: 'bytes are missing',
      damage(file) {
        for (let i = 0; i < (large ? 3 : 1); i++) {
          const at = random.below(file.length - PAGE);
          file = Buffer.concat([file.subarray(0, at), file.subarray(at + 1 + random.below(5000))]);
        }
        return file;
      },
      codes: [4],
    },
    { name: 'everything', damage: (file) => void overwrite(file, 0, file.length), codes: [6] },
  ];
  if (large) {
    list.push({
      name: '16 rows of each block in both copies',
      damage: (file) => loseRows(file, (r) => random.sample(r.rows, Math.min(16, r.rows))),
      codes: [4],
    });
    list.push({
      name: 'some bytes of 60 rows in both copies',
      damage(file) {
        // In each copy elsewhere, as it happens: so no column has many errors, but few rows are whole.
        for (const r of data.filter((r) => r.seq === 0))
          for (let row = 0; row < 60; row++) file[r.at + PAGE + row * r.rowLength + random.below(r.rowLength)] ^= 0x55;
        return undefined;
      },
      codes: [4],
    });
  }
  if (parity.length > 0) {
    const lost = random.below(blocks);
    list.push({
      name: `block ${lost} of ${blocks} in both copies`,
      damage: lose((r) => r.type === DATA && r.seq === lost),
      codes: [4],
    });
    list.push({
      name: '30 rows of each block in both copies, never the same',
      damage: (file) =>
        loseRows(file, (r, block) =>
          Array.from({ length: 30 }, (_, i) => 30 * block + i).filter((row) => row < r.rows),
        ),
      codes: [4],
    });
    list.push({ name: 'two blocks in both copies', damage: lose((r) => r.type === DATA && r.seq < 2), codes: [6] });
  } else {
    list.push({ name: 'the only block in both copies', damage: lose((r) => r.type === DATA), codes: [6] });
  }
  return list;
}

// --- The tests.

const why = obstacle();
if (why) {
  if (process.env.CI) t.fail(why);
  else t.test('the reader in Python', { skip: why }, () => {});
} else {
  t.comment(`DBS_TEST_SEED=${seed}`);
  t.jobs = 2;
  t.setTimeout(timeout);
  // A block holds 978,924 bytes of the stream; the stream is about 1 KB longer than what is sealed.
  const containers: [layout: string, bytes: number, blocks: number][] = [
    ['interleaved', 3_000_000, 4],
    ['tandem', 3_000_000, 4],
    ['interleaved', 978_900, 2],
    ['tandem', 977_000, 1],
    ['interleaved', 1000, 1],
    ['tandem', 0, 1],
  ];
  for (const [layout, bytes, blocks] of containers)
    t.test(`${bytes} bytes, ${layout}`, { buffered: true, timeout }, (t) => readsAll(t, layout, bytes, blocks));
  t.test('the program', { buffered: true, timeout }, program);
  t.test('a database', { buffered: true, timeout }, database);
}

function make(file: string, layout: string, bytes: number): Promise<unknown> {
  const script = join(here, 'make.ts');
  const args = [file, layout, String(bytes), secret, 'content'];
  return run(process.execPath, ['--import=tsx', '--no-warnings', script, ...args]);
}

async function readsAll(t: Test, layout: string, bytes: number, blocks: number): Promise<void> {
  const name = join(scratch, `${layout}-${bytes}`);
  await make(`${name}.dbs`, layout, bytes);
  const original = readFileSync(`${name}.dbs`);
  const expected = seeded('content', bytes);
  t.equal(recordsOf(original).filter((r) => r.type === DATA).length, 2 * blocks, 'the blocks this case is about');
  const python = new Reader(t);
  for (const { name: what, damage, codes } of cases(original, new Random(`${layout} ${bytes}`))) {
    const copy = Buffer.from(original);
    writeFileSync(`${name}.dbs`, damage(copy) ?? copy);
    rmSync(`${name}.out`, { force: true });
    const code = await python.read(`${name}.dbs`, '--output', `${name}.out`);
    t.ok(codes.includes(code), `damaged: ${what}`, { found: code, wanted: codes, seed });
    if (codes.includes(6)) t.notOk(existsSync(`${name}.out`), 'nothing is given out');
    else
      t.ok(existsSync(`${name}.out`) && readFileSync(`${name}.out`).equals(expected), 'the same bytes', { what, seed });
  }
}

async function program(t: Test): Promise<void> {
  const file = join(scratch, 'program.dbs');
  const output = join(scratch, 'program.out');
  const wrong = join(scratch, 'wrong');
  await make(file, 'tandem', 100);
  writeFileSync(wrong, 'correct horse\n');
  const start = (...args: string[]) =>
    run(python, [reader, ...args]).then(
      () => ({ code: 0, stderr: '' }),
      ({ code, stderr }) => ({ code, stderr }),
    );
  t.match(await start(file, '--passphrase-file', wrong, '--output', output), { code: 12, stderr: 'Wrong passphrase' });
  t.notOk(existsSync(output));
  t.match(await start(file), { code: 2, stderr: 'usage' });
  t.match(await start(`${file}x`, '--passphrase-file', wrong, '--output', output), { code: 2, stderr: 'No such file' });
  t.match(await start(file, '--passphrase-file', passphrase, '--output', output), { code: 0 });
  t.ok(readFileSync(output).equals(seeded('content', 100)));
}

async function database(t: Test): Promise<void> {
  // biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
  const { EntitySchema } = core as any;
  const Plant = new EntitySchema({
    name: 'Plant',
    properties: {
      id: { type: 'integer', primary: true },
      name: { type: 'text' },
      photo: { type: 'string', nullable: true },
    },
  });
  const Empty = new EntitySchema({ name: 'Empty', properties: { id: { type: 'integer', primary: true } } });
  const orm = await openOrm([Plant, Empty]);
  // More than one ROWS frame, and a line that is longer than one.
  const rows: [number, string, string | null][] = Array.from({ length: 200 }, (_, i) => [
    i + 1,
    seeded(`name ${i}`, i === 7 ? 700_000 : 3000).toString('hex'),
    i < 3 ? `beds/${i}.jpg` : null,
  ]);
  const literal = (value: string | number | null) => (typeof value === 'string' ? `'${value}'` : `${value}`);
  await exec(orm, ...rows.map((row) => `INSERT INTO plant VALUES (${row.map(literal).join(', ')})`));
  const photos = join(scratch, 'photos', 'beds');
  mkdirSync(photos, { recursive: true });
  for (let i = 0; i < 3; i++) writeFileSync(join(photos, `${i}.jpg`), seeded(`photo ${i}`, 1_200_000 * i));
  const [output, mirror, folder] = ['db.dbs', 'db2.dbs', 'dump'].map((name) => join(scratch, name));
  await createBackup(orm, secret, {
    output,
    mirror,
    kdf: { memoryKiB: 8192, iterations: 1, parallelism: 4 },
    config: defineBackupConfig({
      entities: { Plant: { fields: { photo: 'FILE' } } },
      storages: { default: dirname(photos) },
    }),
  });
  await orm.close();
  const python = new Reader(t);
  t.equal(await python.read(output, mirror, '--dump', folder), 0, 'split: both files');
  const lines = readFileSync(join(folder, 'plant.ndjson'), 'utf8').trimEnd().split('\n');
  t.strictSame(
    lines.map((line) => JSON.parse(line)),
    rows,
  );
  t.equal(statSync(join(folder, 'empty.ndjson')).size, 0);
  for (let i = 0; i < 3; i++)
    t.ok(readFileSync(join(folder, `files/field/default/beds/${i}.jpg`)).equals(seeded(`photo ${i}`, 1_200_000 * i)));
  t.match(JSON.parse(readFileSync(join(folder, 'schema.json'), 'utf8')), { kind: 'database', dialect: 'sqlite' });

  const damaged = readFileSync(mirror);
  new Random('mirror').bytes(300_000).copy(damaged, 4096 + 500_000);
  writeFileSync(mirror, damaged);
  t.equal(await python.read(mirror, '--dump', `${folder}2`), 4, 'split: one file is enough');
  t.strictSame(
    readFileSync(join(`${folder}2`, 'plant.ndjson'), 'utf8')
      .trimEnd()
      .split('\n'),
    lines,
  );
}
