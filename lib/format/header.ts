/** HEADER and END bodies: bytes to values and back (SPEC.md section 6). No cryptography here. */

import { countOf } from './layout.ts';
import {
  DELAY,
  FULL_PAYLOAD,
  GROUP,
  GROUP_PARITY,
  Layout,
  type LayoutName,
  MAX_DATA_ROWS,
  MAX_ROW,
  MAX_SLOTS,
  PARITY_ROWS,
  SEGMENT,
} from './limits.ts';

export const CORE = 96;
export const SLOT = 120;
const MAC = 32;
const END_HEAD = 56;
const SUITE = 1;
const CORE_MAGIC = 'DBS2core';

export const SlotKind = { passphrase: 1, recipient: 2 } as const;

/** The immutable heart of a file: its hash is the fileID. */
export interface Core {
  layout: LayoutName;
  fileSalt: Buffer;
  commitment: Buffer;
}

export interface Header {
  core: Core;
  coreBytes: Buffer;
  generation: number;
  /** Raw slots of 120 bytes, kinds that this version does not know included. */
  slots: Buffer[];
  /** Everything that the MAC covers. */
  macInput: Buffer;
  mac: Buffer;
  /** The body as a whole. */
  bytes: Buffer;
}

export interface End {
  count: number;
  lastLength: number;
  totalPayload: number;
  chain: Buffer;
  headerBytes: Buffer;
}

export function writeCore(core: Core): Buffer {
  const b = Buffer.alloc(CORE);
  b.write(CORE_MAGIC, 0, 'latin1');
  b.writeUInt16BE(SUITE, 8);
  b[10] = Layout[core.layout];
  b.writeUInt32BE(SEGMENT, 12);
  b.writeUInt16BE(MAX_ROW, 16);
  b[18] = MAX_DATA_ROWS;
  b[19] = PARITY_ROWS;
  b[20] = GROUP;
  b[21] = GROUP_PARITY;
  b.writeUInt32BE(core.layout === 'interleaved' ? DELAY : 0, 24);
  core.fileSalt.copy(b, 32);
  core.commitment.copy(b, 64);
  return b;
}

/** `null` for anything but a core that this version writes: another geometry is another format. */
export function readCore(b: Buffer): Core | null {
  const name = (Object.keys(Layout) as LayoutName[]).find((n) => Layout[n] === b[10]);
  if (b.length < CORE || !name) return null;
  const core: Core = {
    layout: name,
    fileSalt: Buffer.from(b.subarray(32, 64)),
    commitment: Buffer.from(b.subarray(64, 96)),
  };
  const expected = writeCore(core);
  const fixed: [number, number][] = [
    [0, 10],
    [12, 22],
    [24, 28],
  ];
  return fixed.every(([from, to]) => expected.compare(b, from, to, from, to) === 0) ? core : null;
}

/** The part of a HEADER body that its MAC covers. */
export function writeHeaderUnsigned(coreBytes: Buffer, generation: number, slots: Buffer[]): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(generation, 0);
  head[4] = slots.length;
  return Buffer.concat([coreBytes, head, ...slots]);
}

/** `null` where lengths or values contradict each other. The MAC is for the holder of the key to check. */
export function readHeader(body: Buffer): Header | null {
  const count = body[CORE + 4] ?? 0;
  const covered = CORE + 8 + SLOT * count;
  if (count < 1 || count > MAX_SLOTS || body.length !== covered + MAC) return null;
  const core = readCore(body);
  if (!core) return null;
  const slots = Array.from({ length: count }, (_, i) => body.subarray(CORE + 8 + SLOT * i, CORE + 8 + SLOT * (i + 1)));
  return {
    core,
    coreBytes: body.subarray(0, CORE),
    generation: body.readUInt32BE(CORE),
    slots,
    macInput: body.subarray(0, covered),
    mac: body.subarray(covered),
    bytes: body,
  };
}

export function writeEnd(end: {
  count: number;
  totalPayload: number;
  groups: number;
  chain: Buffer;
  headerBytes: Buffer;
}): Buffer {
  const head = Buffer.alloc(END_HEAD);
  head.writeBigUInt64BE(BigInt(end.count), 0);
  head.writeBigUInt64BE(BigInt(end.totalPayload), 8);
  head.writeUInt32BE(end.groups, 16);
  end.chain.copy(head, 24);
  return Buffer.concat([head, end.headerBytes]);
}

/** `null` where the counts contradict each other. */
export function readEnd(body: Buffer): End | null {
  if (body.length <= END_HEAD) return null;
  const count = Number(body.readBigUInt64BE(0));
  const totalPayload = Number(body.readBigUInt64BE(8));
  if (!Number.isSafeInteger(totalPayload) || totalPayload > 2 ** 32 * FULL_PAYLOAD) return null;
  const shape = countOf(totalPayload);
  if (!shape || shape.count !== count || body.readUInt32BE(16) !== Math.ceil(count / GROUP)) return null;
  return {
    count,
    lastLength: shape.lastLength,
    totalPayload,
    chain: Buffer.from(body.subarray(24, 56)),
    headerBytes: body.subarray(END_HEAD),
  };
}
