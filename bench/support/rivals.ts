/**
 * What others would survive of the same damage. Neither is run here: a rule says what each needs of its bytes, and the rule is put to the bytes that
 * the damage left. PAR2's rule is held against the program by bench/par2.ts; the ancestor's is a model made from the figures of container.md.
 */
import { createCipheriv } from 'node:crypto';

/** Bytes as they were, and as they are. */
export interface Medium {
  original: Buffer;
  damaged: Buffer;
}

export interface Rival {
  name: string;
  /** Of all that it writes for one content. */
  size: number;
  survives(medium: Medium): boolean;
}

/** Whether a range is there as it was, at its place or, where a byte came or went, beside it. */
function intact({ original, damaged }: Medium, from: number, to: number): boolean {
  const moved = damaged.length - original.length;
  const shifts = Math.abs(moved) === 1 ? [0, moved] : [0];
  return shifts.some(
    (by) =>
      from + by >= 0 && to + by <= damaged.length && original.compare(damaged, from + by, to + by, from, to) === 0,
  );
}

interface Range {
  from: number;
  to: number;
}

type Critical = 'main' | 'description' | 'checksums';

/** Where PAR2's packets and blocks stand: the content, then the recovery file, then the index file. */
export interface Par2Set {
  blockSize: number;
  blocks: number;
  recovery: number;
  sources: Range[];
  recoveries: Range[];
  critical: Record<Critical, Range[]>;
  /** Ends of the three files. */
  files: [content: number, recovery: number, index: number];
}

/**
 * As `par2 create -b BLOCKS -c RECOVERY -n1` (0.8.1) writes it, with a file name of up to 8 letters: the critical packets stand log2(recovery) times
 * in the recovery file, in turns and evenly spread, and once in the index file.
 */
export function par2Set(content: number, wantedBlocks: number, recovery: number): Par2Set {
  const blockSize = 4 * Math.ceil(content / wantedBlocks / 4);
  const blocks = Math.ceil(content / blockSize);
  const sizes: Record<Critical, number> = { main: 92, description: 128, checksums: 80 + 20 * blocks };
  const set: Par2Set = {
    blockSize,
    blocks,
    recovery,
    sources: Array.from({ length: blocks }, (_, i) => ({
      from: i * blockSize,
      to: Math.min(content, (i + 1) * blockSize),
    })),
    recoveries: [],
    critical: { main: [], description: [], checksums: [] },
    files: [content, 0, 0],
  };
  let at = content;
  const take = (list: Range[], length: number) => {
    list.push({ from: at, to: at + length });
    at += length;
  };
  const kinds = Object.keys(sizes) as Critical[];
  const total = kinds.length * Math.floor(Math.log2(recovery) + 1);
  for (let i = 0, placed = 0; i < recovery; i++) {
    take(set.recoveries, 68 + blockSize);
    for (; placed < Math.floor((total * (i + 1)) / recovery); placed++) {
      const kind = kinds[placed % kinds.length]!;
      take(set.critical[kind], sizes[kind]);
    }
  }
  at += 104;
  set.files[1] = at;
  for (const kind of kinds) take(set.critical[kind], sizes[kind]);
  at += 104;
  set.files[2] = at;
  return set;
}

/** Repair is possible with one intact packet of each critical kind, and as many intact blocks, of either sort, as the content has. */
export function par2Survives(set: Par2Set, medium: Medium): boolean {
  const good = (ranges: Range[]) => ranges.filter(({ from, to }) => intact(medium, from, to)).length;
  const sources = good(set.sources);
  if (sources === set.blocks) return true;
  if (Object.values(set.critical).some((copies) => good(copies) === 0)) return false;
  return sources + good(set.recoveries) >= set.blocks;
}

/** PAR2 with its default of 2000 blocks (512 bytes each in small contents), and as much recovery as makes it as large as `size`. */
export function par2(content: number, size: number): Rival & { set: Par2Set } {
  const blocks = Math.min(2000, Math.ceil(content / 512));
  let recovery = 1;
  // Files that are larger than allowed would be no fair rival: the last that fits.
  for (let step = 1 << 15; step >= 1; step >>= 1) {
    if (par2Set(content, blocks, recovery + step).files[2] <= size) recovery += step;
  }
  const set = par2Set(content, blocks, recovery);
  return { name: 'PAR2', size, set, survives: (medium) => par2Survives(set, medium) };
}

const CODEWORD = 255;
const CONTENT = 239;
const CORRECTED = 8;

/**
 * The ancestor, django-dbs, as container.md's figures describe it: a manifest twice at the front, without parity; then all blocks, then all
 * blocks again, in codewords of 255 contiguous bytes that correct 8 errors each. Sizes of block and manifest are those that give its figures at 1 GiB.
 */
export function ancestor(content: number): Rival {
  const block = 53_000;
  const blocks = Math.max(1, Math.ceil(content / block));
  const manifest = 200 + 62 * blocks;
  const coded = (i: number) => Math.ceil(Math.min(block, content - i * block) / CONTENT) * CODEWORD;
  const starts: number[] = [];
  let half = 0;
  for (let i = 0; i < blocks; i++) {
    starts.push(half);
    half += coded(i);
  }
  const size = 2 * manifest + 2 * half;
  return {
    name: 'django-dbs',
    size,
    survives(medium) {
      const { original, damaged } = medium;
      // A reader that goes by offsets.
      if (Math.abs(damaged.length - original.length) === 1) return false;
      if (![0, manifest].some((from) => intact(medium, from, from + manifest))) return false;
      return starts.every((start, i) =>
        [0, half].some((copy) => decodes(medium, 2 * manifest + copy + start, coded(i))),
      );
    },
  };
}

function decodes(medium: Medium, from: number, length: number): boolean {
  const { original, damaged } = medium;
  if (from + length > damaged.length) return false;
  if (intact(medium, from, from + length)) return true;
  for (let at = from; at < from + length; at += CODEWORD) {
    let wrong = 0;
    for (let i = at; i < at + CODEWORD; i++) if (original[i] !== damaged[i]) wrong++;
    if (wrong > CORRECTED) return false;
  }
  return true;
}

/** Bytes for a rival's medium: nothing in them is zero by design. */
export function noiseOf(length: number): Buffer {
  return createCipheriv('aes-256-ctr', Buffer.alloc(32, 1), Buffer.alloc(16)).update(Buffer.alloc(length));
}
