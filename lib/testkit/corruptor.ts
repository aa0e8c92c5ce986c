/**
 * Breaks bytes on purpose, the same way each time: for drills on real backups, and for the tests of this package.
 *
 * Each kind of damage is first planned as a list of edits, from the size and the seed alone; the edits are then made on a Buffer or on a
 * file. So the same seed does the same to both.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { type Damage, damageText, type Extent, parseDamage } from './damage.ts';
import { Random } from './random.ts';

export interface CorruptOptions {
  /** The same seed does the same damage to a file of the same size. */
  seed: number | string;
  /** Where `splice` takes its bytes from; random ones by default. */
  foreign?: Buffer;
}

/** What was done, in order. */
export interface Wound {
  /** As `parseDamage` takes it. */
  damage: string;
  /** In words and numbers. */
  description: string;
  /** Bytes that were changed, added or removed. */
  bytes: number;
  /** Where: at most the first 1000 ranges `[start, end)`, each as the file was when its turn came. */
  ranges: [number, number][];
}

export interface Corruption {
  seed: number | string;
  wounds: Wound[];
  /** One line for each wound, and the seed. */
  summary(): string;
}

/** One change of a file. Later edits count on what earlier ones did to its length. Bytes are made when they are needed. */
type Edit =
  | { op: 'xor'; at: number; length: number; flips: () => Flip[] }
  | { op: 'write'; at: number; bytes: () => Buffer }
  | { op: 'insert'; at: number; length: number; pieces: () => Iterable<Buffer> }
  | { op: 'remove'; at: number; length: number }
  | { op: 'swap'; a: number; b: number; length: number }
  | { op: 'copy'; from: number; at: number; length: number };

/** Where, from the edit's beginning, and what is XORed to the byte there. */
type Flip = [point: number, mask: number];

const PIECE = 1 << 20;

/** Damages a copy of `bytes`. @throws ConfigError ERR_CONFIG_DAMAGE */
export function corrupt(
  bytes: Buffer,
  damage: string | Damage[],
  options: CorruptOptions,
): Corruption & { bytes: Buffer } {
  let result: Buffer = Buffer.from(bytes);
  const wounds = listOf(damage).map((d, i) => {
    const planned = plan(d, result.length, new Random(`${options.seed}/${i}`), options.foreign);
    for (const edit of planned.edits) result = applyTo(result, edit);
    return planned.wound;
  });
  return { ...corruption(options.seed, wounds), bytes: result };
}

/**
 * Damages a file where it lies: point it at a copy. Memory: 2 MiB, and 100 bytes for each sector or run. Whatever moves bytes (`cut-head`, `insert`, `delete`, `duplicate`) rewrites all that follows.
 * @throws ConfigError ERR_CONFIG_DAMAGE, and what the file system says
 */
export async function corruptFile(
  path: string,
  damage: string | Damage[],
  options: CorruptOptions,
): Promise<Corruption> {
  const list = listOf(damage);
  const handle = await open(path, 'r+');
  try {
    const wounds: Wound[] = [];
    for (const [i, d] of list.entries()) {
      const { size } = await handle.stat();
      const planned = plan(d, size, new Random(`${options.seed}/${i}`), options.foreign);
      for (const edit of planned.edits) await applyToFile(handle, edit);
      wounds.push(planned.wound);
    }
    await handle.sync();
    return corruption(options.seed, wounds);
  } finally {
    await handle.close();
  }
}

function listOf(damage: string | Damage[]): Damage[] {
  return typeof damage === 'string' ? parseDamage(damage) : damage;
}

function corruption(seed: number | string, wounds: Wound[]): Corruption {
  return {
    seed,
    wounds,
    summary: () => [...wounds.map((w) => w.description), `(seed ${seed})`].join('\n'),
  };
}

/** Collects what a plan does. */
class Plan {
  readonly edits: Edit[] = [];
  readonly wound: Wound;

  constructor(damage: Damage) {
    this.wound = { damage: damageText(damage), description: '', bytes: 0, ranges: [] };
  }

  add(edit: Edit, start: number, length: number): void {
    this.edits.push(edit);
    this.note(start, length);
  }

  note(start: number, length: number): void {
    this.wound.bytes += length;
    if (this.wound.ranges.length < 1000) this.wound.ranges.push([start, start + length]);
  }

  /** A run of bytes, in edits of at most 1 MiB. */
  write(at: number, length: number, make: (offset: number, length: number) => Buffer): void {
    for (let done = 0; done < length; done += PIECE) {
      this.edits.push({ op: 'write', at: at + done, bytes: () => make(at + done, Math.min(PIECE, length - done)) });
    }
    this.note(at, length);
  }
}

const number = (n: number): string => n.toLocaleString('en-US');

/** Turns damage into edits of a file of `size` bytes. Pure: the same random numbers give the same plan. */
function plan(damage: Damage, size: number, random: Random, foreign?: Buffer): Plan {
  const p = new Plan(damage);
  const say = (text: string) => (p.wound.description = text);
  const length = 'size' in damage ? Math.min(size, resolve(damage.size, size)) : 0;
  const place = (at: Extent | undefined, room: number): number =>
    at ? Math.min(room, resolve(at, size)) : random.below(room + 1);
  const noise = (at: number, n: number) => random.branch(at).bytes(n);
  switch (damage.kind) {
    case 'flip':
      flips(p, size, damage.rate, random);
      say(`${number(p.wound.bytes)} of ${number(size)} bytes changed, at a rate of ${damage.rate}`);
      break;
    case 'sectors': {
      const sectors = lostSectors(p, size, Math.max(1, length), damage.rate, random);
      say(`${number(sectors)} sectors of ${number(length)} bytes lost, at a rate of ${damage.rate}`);
      break;
    }
    case 'burst':
      for (let i = 0; i < damage.count; i++) p.write(place(undefined, size - length), length, noise);
      say(`${number(damage.count)} runs of ${number(length)} bytes overwritten at random places`);
      break;
    case 'zero':
    case 'overwrite': {
      const at = place(damage.at, size - length);
      p.write(at, length, damage.kind === 'zero' ? (_at, n) => Buffer.alloc(n) : noise);
      say(`${number(length)} bytes from ${number(at)} on ${damage.kind === 'zero' ? 'zeroed' : 'overwritten'}`);
      break;
    }
    case 'splice': {
      const at = place(damage.at, size - length);
      p.write(at, length, foreign ? (from, n) => window(foreign, from, n) : noise);
      say(`${number(length)} bytes from ${number(at)} on replaced by those of ${foreign ? 'another file' : 'nothing'}`);
      break;
    }
    case 'cut-head':
    case 'cut-tail': {
      const at = damage.kind === 'cut-head' ? 0 : size - length;
      p.add({ op: 'remove', at, length }, at, length);
      say(`the ${damage.kind === 'cut-head' ? 'first' : 'last'} ${number(length)} of ${number(size)} bytes cut off`);
      break;
    }
    case 'insert':
      moves(damage.count, (i) => {
        const at = place(damage.at, size + i * length);
        const own = random.branch(i);
        p.add({ op: 'insert', at, length, pieces: () => piecesOf(length, (n) => own.bytes(n)) }, at, length);
        return at;
      });
      say(`${number(length)} bytes inserted at ${startsOf(p)}`);
      break;
    case 'delete': {
      let left = size;
      moves(damage.count, () => {
        const n = Math.min(length, left);
        const at = place(damage.at, left - n);
        p.add({ op: 'remove', at, length: n }, at, n);
        left -= n;
      });
      say(`${number(length)} bytes deleted at ${startsOf(p)}`);
      break;
    }
    case 'swap': {
      const most = Math.min(length, Math.floor(size / 2));
      moves(damage.count, () => {
        const a = random.below(size - 2 * most + 1);
        const b = random.between(a + most, size - most);
        p.add({ op: 'swap', a, b, length: most }, a, most);
        p.note(b, most);
      });
      say(`ranges of ${number(most)} bytes changed places: ${startsOf(p)}`);
      break;
    }
    case 'duplicate':
      moves(damage.count, (i) => {
        const total = size + i * length;
        const from = random.below(total - length + 1);
        const at = random.below(total + 1);
        p.add({ op: 'copy', from, at, length }, at, length);
      });
      say(`${number(length)} bytes from elsewhere once more, at ${startsOf(p)}`);
      break;
  }
  return p;
}

function moves(count: number, one: (i: number) => unknown): void {
  for (let i = 0; i < count; i++) one(i);
}

function startsOf(p: Plan): string {
  const starts = p.wound.ranges.map(([start]) => number(start));
  return starts.slice(0, 8).join('; ') + (starts.length > 8 ? ` and ${starts.length - 8} more` : '');
}

function resolve(extent: Extent, size: number): number {
  return 'bytes' in extent ? extent.bytes : Math.round(extent.share * size);
}

function flips(p: Plan, size: number, rate: number, random: Random): void {
  for (let at = 0; at < size; at += PIECE) {
    const length = Math.min(PIECE, size - at);
    const make = () => [...flipsOf(length, rate, random.branch(at))];
    const made = make();
    if (made.length > 0) p.edits.push({ op: 'xor', at, length, flips: make });
    for (const [point] of made) p.note(at + point, 1);
  }
}

/** Distances between flips are geometric: the work goes by the number of flips. */
function* flipsOf(length: number, rate: number, random: Random): Generator<Flip> {
  if (rate <= 0) return;
  const skip = () => (rate >= 1 ? 0 : Math.floor(Math.log1p(-random.unit()) / Math.log1p(-rate)));
  for (let at = skip(); at < length; at += 1 + skip()) yield [at, random.between(1, 255)];
}

function lostSectors(p: Plan, size: number, sector: number, rate: number, random: Random): number {
  let lost = 0;
  for (let at = 0; at < size; at += sector) {
    if (random.unit() >= rate) continue;
    lost++;
    p.write(at, Math.min(sector, size - at), (_at, n) => Buffer.alloc(n));
  }
  return lost;
}

/** `length` bytes of another file from `at` on; it begins again where it is too short. */
function window(foreign: Buffer, at: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let done = 0; done < length && foreign.length > 0; ) {
    const from = (at + done) % foreign.length;
    done += foreign.copy(out, done, from, Math.min(foreign.length, from + length - done));
  }
  return out;
}

function* piecesOf(length: number, make: (n: number) => Buffer): Generator<Buffer> {
  for (let done = 0; done < length; done += PIECE) yield make(Math.min(PIECE, length - done));
}

function applyTo(bytes: Buffer, edit: Edit): Buffer {
  switch (edit.op) {
    case 'xor':
      for (const [point, mask] of edit.flips()) bytes[edit.at + point]! ^= mask;
      return bytes;
    case 'write':
      edit.bytes().copy(bytes, edit.at);
      return bytes;
    case 'insert':
      return Buffer.concat([bytes.subarray(0, edit.at), ...edit.pieces(), bytes.subarray(edit.at)]);
    case 'remove':
      return Buffer.concat([bytes.subarray(0, edit.at), bytes.subarray(edit.at + edit.length)]);
    case 'swap': {
      const first = Buffer.from(bytes.subarray(edit.a, edit.a + edit.length));
      bytes.copy(bytes, edit.a, edit.b, edit.b + edit.length);
      first.copy(bytes, edit.b);
      return bytes;
    }
    case 'copy': {
      const range = bytes.subarray(edit.from, edit.from + edit.length);
      return Buffer.concat([bytes.subarray(0, edit.at), range, bytes.subarray(edit.at)]);
    }
  }
}

async function applyToFile(file: FileHandle, edit: Edit): Promise<void> {
  switch (edit.op) {
    case 'xor': {
      const bytes = await readAt(file, edit.at, edit.length);
      for (const [point, mask] of edit.flips()) bytes[point]! ^= mask;
      return writeAt(file, edit.at, bytes);
    }
    case 'write':
      return writeAt(file, edit.at, edit.bytes());
    case 'insert': {
      await makeRoom(file, edit.at, edit.length);
      let at = edit.at;
      for (const piece of edit.pieces()) {
        await writeAt(file, at, piece);
        at += piece.length;
      }
      return;
    }
    case 'remove': {
      const { size } = await file.stat();
      await moveDown(file, edit.at + edit.length, edit.at, size - edit.at - edit.length);
      return file.truncate(size - edit.length);
    }
    case 'swap':
      for (let done = 0; done < edit.length; done += PIECE) {
        const n = Math.min(PIECE, edit.length - done);
        const [a, b] = [await readAt(file, edit.a + done, n), await readAt(file, edit.b + done, n)];
        await writeAt(file, edit.a + done, b);
        await writeAt(file, edit.b + done, a);
      }
      return;
    case 'copy': {
      await makeRoom(file, edit.at, edit.length);
      // What stood behind the new room stands further back now.
      const before = Math.max(0, Math.min(edit.length, edit.at - edit.from));
      await moveDown(file, edit.from, edit.at, before);
      await moveDown(file, edit.from + before + edit.length, edit.at + before, edit.length - before);
    }
  }
}

async function makeRoom(file: FileHandle, at: number, length: number): Promise<void> {
  const { size } = await file.stat();
  for (let end = size; end > at; ) {
    const n = Math.min(PIECE, end - at);
    end -= n;
    await writeAt(file, end + length, await readAt(file, end, n));
  }
  if (at === size) await file.truncate(size + length);
}

/** Copies a range from its beginning on. */
async function moveDown(file: FileHandle, from: number, to: number, length: number): Promise<void> {
  for (let done = 0; done < length; done += PIECE) {
    await writeAt(file, to + done, await readAt(file, from + done, Math.min(PIECE, length - done)));
  }
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let have = 0; have < length; ) {
    const { bytesRead } = await file.read(bytes, have, length - have, at + have);
    if (bytesRead === 0) break;
    have += bytesRead;
  }
  return bytes;
}

async function writeAt(file: FileHandle, at: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}
