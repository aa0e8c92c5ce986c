/**
 * The reader against mutated containers. Each case ends in the exact bytes or in a typed error: never in a crash, in wrong bytes, after
 * more than 5 s of computing, or having taken more than 256 MiB.
 *
 *     SEED=7 COUNT=1000000 node --import=tsx test/container/fuzz.test.ts        a long run
 *     SEED=7 COUNT=10000 LARGE=1 node --import=tsx test/container/fuzz.test.ts  containers of several blocks only (default: 3 % of all)
 *     SEED=7 CASE=1234 node --import=tsx test/container/fuzz.test.ts            one case again
 *
 * Without COUNT: 10,000 cases, or as many as fit into 50 s.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import t from 'tap';
import { openFileKeys } from '../../lib/container/keys.ts';
import { BackupError } from '../../lib/errors.ts';
import type { BackupItem } from '../../lib/format/items.ts';
import { PAGE } from '../../lib/format/limits.ts';
import { Deblocker } from '../../lib/stages/deblocker.ts';
import { Decryptor } from '../../lib/stages/decryptor.ts';
import { Deserializer } from '../../lib/stages/deserializer.ts';
import { HealingMerger } from '../../lib/stages/healing-merger.ts';
import { Serializer } from '../../lib/stages/serializer.ts';
import { corrupt, type Damage, Random } from '../../lib/testkit/index.ts';
import { validateBackup } from '../../lib/validate.ts';
import { forgeBody, forgePage, forgePayload } from './forge.ts';
import {
  type Container,
  DATA,
  END,
  HEADER,
  INDEX,
  itemsOf,
  key,
  type Placed,
  restore,
  restoreOnce,
  seal,
  seed,
} from './support.ts';

const LARGE = Number(process.env.LARGE ?? 0.03);
const COUNT = Number(process.env.COUNT ?? 10_000);
const ONLY = process.env.CASE === undefined ? null : Number(process.env.CASE);
const BUDGET = process.env.COUNT === undefined ? 50_000 : Number.POSITIVE_INFINITY;

/** What is fed to the reader, and how: from a buffer, from a pipe, or as a decrypted stream. */
type Mode = 'once' | 'full' | 'pipe' | 'stream';

interface Case {
  mode: Mode;
  /** No checksum was forged: this is damage, and must not be called anything else. */
  honest: boolean;
  container: Container;
  bytes: Buffer;
  /** For a replay. */
  story: string;
}

const INTERESTING = [0, 1, 2, 15, 16, 17, 20, 21, 127, 128, 129, 255, 256, 4095, 4096, 65_535, 2 ** 31, 2 ** 32 - 1];

/** A few bytes of a page's content, in the fields more often than not. */
function forgeField(page: Buffer, random: Random): void {
  for (let i = random.between(1, 3); i > 0; i--) {
    const at = random.unit() < 0.7 ? random.between(8, 127) : random.between(8, 2283);
    const size = random.pick([1, 2, 4]);
    if (random.unit() < 0.5 && at + size <= 2284) {
      page.writeUIntBE(random.pick(INTERESTING) % 256 ** size, Math.min(at, 2284 - size), size);
    } else page[at] = random.below(256);
  }
}

function forgeRecord(file: Buffer, record: Placed, random: Random): string {
  const kind = random.pick(['field', 'field', 'body', 'payload']);
  if (kind === 'payload' && record.type === DATA) {
    forgePayload(file, record, (p) => void (p[random.below(p.length)]! ^= random.between(1, 255)));
  } else if (kind === 'body' && (record.type === HEADER || record.type === END)) {
    forgeBody(file, record, (body) => {
      for (let i = random.between(1, 3); i > 0; i--) {
        const at = random.below(body.length);
        if (random.unit() < 0.5 || at + 4 > body.length) body[at] = random.below(256);
        else body.writeUInt32BE(random.pick(INTERESTING), at);
      }
      return random.unit() < 0.1 ? body.subarray(0, random.below(body.length)) : body;
    });
  } else {
    forgePage(file, record, (page) => forgeField(page, random));
    if (record.type === HEADER || record.type === END || record.type === INDEX) {
      const length = file.readUInt32BE(record.at + 64);
      if (length < 2156 && random.unit() < 0.7) forgeBody(file, record, (body) => body);
    }
  }
  return `${kind} of record ${record.type}.${record.copy}.${record.sequence}`;
}

function someDamage(random: Random): Damage {
  const size = { bytes: random.pick([1, 2, 7, 64, 511, 512, 513, 4096, 5000, 20_000, 100_000]) };
  const count = random.between(1, 4);
  const place = () => (random.unit() < 0.3 ? { at: { bytes: PAGE * random.below(12) } } : {});
  const damages: (() => Damage)[] = [
    () => ({ kind: 'flip', rate: 10 ** -random.between(1, 5) }),
    () => ({ kind: 'sectors', size: { bytes: random.pick([512, 4096]) }, rate: random.unit() * 0.4 }),
    () => ({ kind: 'burst', size, count }),
    () => ({ kind: random.pick(['zero', 'overwrite', 'splice'] as const), size, ...place() }),
    () => ({ kind: random.pick(['cut-head', 'cut-tail'] as const), size: { share: random.unit() } }),
    () => ({ kind: random.pick(['insert', 'delete'] as const), size, count, ...place() }),
    () => ({ kind: random.pick(['swap', 'duplicate'] as const), size, count }),
  ];
  return random.pick(damages)();
}

/** Records dropped, repeated, moved, mixed with those of others. */
function shuffleRecords(c: Container, others: Container[], random: Random): Buffer {
  const cut = (x: Container) => x.records.map((r) => x.file.subarray(r.at, r.at + r.length));
  let parts = cut(c);
  if (random.unit() < 0.5) parts = parts.filter(() => random.unit() < 0.8);
  if (random.unit() < 0.5) parts = parts.flatMap((p) => (random.unit() < 0.3 ? [p, p] : [p]));
  if (random.unit() < 0.5) parts.sort(() => random.unit() - 0.5);
  if (random.unit() < 0.5)
    parts.splice(random.below(parts.length + 1), 0, ...cut(random.pick(others)).slice(0, random.between(1, 4)));
  if (random.unit() < 0.3) parts.splice(random.below(parts.length + 1), 0, random.bytes(random.between(1, 5000)));
  return Buffer.concat(parts);
}

/** Whole records, or their pages, lost in place: as zeros, as noise, or as another record, which a disk may put there by mistake. */
function wreckRecords(c: Container, file: Buffer, random: Random): string[] {
  const rate = random.pick([0.2, 0.5, 0.8]);
  return c.records.flatMap((r) => {
    if (random.unit() >= rate) return [];
    const length = random.pick([r.length, r.length, PAGE, r.length - PAGE]);
    const at = length === r.length - PAGE ? r.at + PAGE : r.at;
    const how = random.pick(['zeros', 'zeros', 'noise', 'another']);
    const other = random.pick(c.records).at;
    if (how === 'zeros') file.fill(0, at, at + length);
    else if (how === 'noise') random.fill(file.subarray(at, at + length));
    else c.file.copy(file, at, other, Math.min(other + length, c.file.length));
    return [`${length} bytes of ${r.type}.${r.copy}.${r.sequence}: ${how}`];
  });
}

interface Material {
  small: Container[];
  large: Container[];
  others: Container[];
  /** The decrypted stream of each of `small`, compressed and not. */
  streams: Map<Container, Buffer[]>;
}

function makeCase(m: Material, n: number): Case {
  const random = new Random(`${seed}/${n}`);
  // By cost: a full restore takes four times as long as one pass.
  const dice = random.unit();
  const mode: Mode = dice < 0.6 ? 'once' : dice < 0.8 ? 'stream' : dice < 0.93 ? 'pipe' : 'full';
  const large = mode !== 'stream' && random.unit() < LARGE;
  const container = random.pick(large ? m.large : m.small);
  const stories: string[] = [];
  const source = mode === 'stream' ? random.pick(m.streams.get(container)!) : container.file;
  let bytes: Buffer = Buffer.from(source);
  const kind =
    mode === 'stream'
      ? 'damage'
      : random.pick(['damage', 'damage', 'wreck', 'forge', 'forge', 'forge and damage', 'records']);
  if (kind === 'records') {
    bytes = shuffleRecords(container, m.others, random);
    stories.push('records shuffled');
  }
  if (kind === 'wreck') stories.push(...wreckRecords(container, bytes, random));
  if (kind.startsWith('forge')) {
    const all = random.unit() < 0.3;
    const victim = random.pick(container.records);
    const times = random.between(1, 3);
    for (let i = 0; i < times; i++) {
      const record = all ? victim : random.pick(container.records);
      const same = container.records.filter((r) => r.type === record.type && r.sequence === record.sequence);
      const own = random.branch(i);
      for (const r of all ? same : [record]) stories.push(forgeRecord(bytes, r, new Random(String(own.seed))));
    }
  }
  if (kind.endsWith('damage')) {
    const count = random.between(1, 3);
    const damage = Array.from({ length: count }, () => (mode === 'stream' ? streamDamage(random) : someDamage(random)));
    const done = corrupt(bytes, damage, { seed: `${seed}/${n}`, foreign: random.pick(m.others).file });
    bytes = done.bytes;
    stories.push(...done.wounds.map((w) => w.damage));
  }
  return {
    mode,
    honest: mode !== 'stream' && !kind.startsWith('forge'),
    container,
    bytes,
    story: `${mode}, ${container.layout}, ${container.data.length} bytes: ${stories.join('; ')}`,
  };
}

/** A stream is authentic, so only its maker can spoil it: a few bytes here and there. */
function streamDamage(random: Random): Damage {
  const at = { bytes: random.below(300) };
  return random.pick<Damage>([
    { kind: 'flip', rate: 0.001 },
    { kind: 'overwrite', size: { bytes: random.pick([1, 2, 4]) }, at },
    { kind: 'zero', size: { bytes: random.pick([1, 2, 4, 8]) }, at },
    { kind: 'delete', size: { bytes: random.pick([1, 24, 100]) }, count: 1, at },
    { kind: 'duplicate', size: { bytes: random.pick([24, 100, 1000]) }, count: 1 },
    { kind: 'cut-tail', size: { share: random.unit() } },
  ]);
}

/** @returns the error's code, or `exact` @throws what must not happen */
async function run({ mode, honest, container, bytes }: Case, others: Container[], random: Random): Promise<string> {
  if (mode === 'full' && honest) {
    const fileId = container.keys.fileId.toString('hex');
    const { ok, error } = await restore(container, bytes, { fileId });
    const keyless = await validateBackup(bytes, undefined, { fileId }).catch((error) => ({ ok: false, error }));
    if (keyless.ok !== ok) throw new Error(`without the key ok is ${keyless.ok}, with it ${error?.code ?? 'exact'}`);
    return error?.code ?? 'exact';
  }
  // Parts of others are mixed in: where they are more of a backup than what is left of this one, theirs is restored.
  if (mode === 'full') return (await restore(container, bytes, {}, others)).error?.code ?? 'exact';
  if (mode === 'once') return (await restoreOnce(container, bytes)).error?.code ?? 'exact';
  const possible = (mode === 'pipe' ? [container, ...others] : [container]).map((c) => c.data);
  const parts: Buffer[] = [];
  let ended = false;
  const target = new Writable({
    objectMode: true,
    write(item: BackupItem, _encoding, callback) {
      if (item.type === 'file-data') parts.push(Buffer.from(item.data));
      ended ||= item.type === 'end';
      callback();
    },
  });
  try {
    if (mode === 'stream') await pipeline([chunks(bytes, random), new Deserializer(), target]);
    else await fromPipe(chunks(bytes, random), target);
  } catch (error) {
    if (!(error instanceof BackupError)) throw new Error(`an error without a type: ${(error as Error)?.stack}`);
    // From a pipe blocks are released one by one, each authentic: what came is what was written.
    const got = Buffer.concat(parts);
    if (mode === 'pipe' && !possible.some((data) => got.equals(data.subarray(0, got.length))))
      throw new Error('WRONG BYTES were released');
    return error.code;
  }
  const got = Buffer.concat(parts);
  if (!ended || !possible.some((data) => data.equals(got))) throw new Error('WRONG BYTES were released');
  return 'exact';
}

async function fromPipe(source: Readable, target: Writable): Promise<void> {
  const merger = new HealingMerger();
  // Keys are opened as soon as the header was seen.
  const opened = merger.header.then(({ headers, fileId }) => openFileKeys(headers, fileId, key));
  const feeding = pipeline(source, merger);
  feeding.catch(() => {});
  try {
    const { payloadKey, fileId } = await opened;
    await pipeline([merger, new Deblocker(), new Decryptor({ key: payloadKey, fileId }), new Deserializer(), target]);
    await feeding;
  } catch (error) {
    merger.destroy();
    throw error;
  }
}

function chunks(bytes: Buffer, random: Random): Readable {
  const size = random.pick([1000, 4096, 10_007, 65_536, 1 << 20]);
  function* cut() {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  return Readable.from(cut(), { objectMode: false });
}

async function streamOf(c: Container, compression: 'none' | 'deflate'): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of Readable.from(itemsOf(c.data)).pipe(new Serializer({ compression }))) parts.push(part);
  return Buffer.concat(parts);
}

// A long run takes hours; one that hangs is killed by its caller.
t.setTimeout(0);

t.test(`mutations, SEED=${seed}`, { timeout: 0 }, async (t) => {
  const small = [];
  for (const layout of ['tandem', 'interleaved', 'split'] as const)
    small.push(await seal(layout, 0), await seal(layout, 9000));
  const large = [
    await seal('tandem', 1_100_000),
    await seal('interleaved', 1_100_000),
    await seal('tandem', 2_000_000),
  ];
  const others = [await seal('tandem', 0, 'other'), await seal('interleaved', 3000, 'other')];
  const streams = new Map<Container, Buffer[]>();
  for (const c of small) streams.set(c, [await streamOf(c, 'none'), await streamOf(c, 'deflate')]);
  const material = { small, large, others, streams };
  const outcomes = new Map<string, number>();
  const failures: string[] = [];
  const began = performance.now();
  let done = 0;
  let slowest = 0;
  for (let n = ONLY ?? 0; n < (ONLY === null ? COUNT : ONLY + 1); n++) {
    if (performance.now() - began > BUDGET || failures.length >= 10) break;
    const made = makeCase(material, n);
    const before = process.resourceUsage().maxRSS;
    const started = cpu();
    let outcome: string;
    try {
      outcome = await run(made, others, new Random(`${seed}/${n}/run`));
      if (made.honest && outcome.startsWith('ERR_TAMPER')) throw new Error(`damage was called ${outcome}`);
    } catch (error) {
      outcome = 'FAILED';
      failures.push(await report(n, made, (error as Error).message));
    }
    const took = cpu() - started;
    slowest = Math.max(slowest, took);
    const grown = (process.resourceUsage().maxRSS - before) / 1024;
    if (took > 5000) failures.push(await report(n, made, `took ${Math.round(took)} ms`));
    // The first cases fill the pools of the process.
    if (n > 50 && grown > 256) failures.push(await report(n, made, `took ${Math.round(grown)} MiB`));
    if (ONLY !== null) t.comment(`${made.story}\n${outcome}, ${Math.round(took)} ms`);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    done++;
    if (n % 10_000 === 9999 && COUNT > 10_000)
      t.comment(`${n + 1} cases, ${Math.round((performance.now() - began) / 1000)} s`);
  }
  t.same(failures, [], `${done} cases`);
  for (const [outcome, count] of [...outcomes].sort((a, b) => b[1] - a[1]))
    t.comment(`${String(count).padStart(8)} ${outcome}`);
  t.comment(
    `${done} cases in ${Math.round((performance.now() - began) / 1000)} s, the slowest in ${Math.round(slowest)} ms`,
  );
});

/** Milliseconds that this process has computed: another's load on the machine is no hang. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function report(n: number, { story, bytes }: Case, what: string): Promise<string> {
  const path = join(tmpdir(), `dbs-fuzz-${seed}-${n}.bin`);
  await writeFile(path, bytes);
  return `SEED=${seed} CASE=${n}: ${what}\n${story}\nkept in ${path}`;
}
