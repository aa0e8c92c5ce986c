/** What an attacker without the key can do: pages, bodies and whole containers whose every checksum fits. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { blockHash } from '../../lib/crypto/hash.ts';
import { sharedKernel } from '../../lib/erasure/kernel/index.ts';
import { FULL_PAYLOAD, PAGE } from '../../lib/format/limits.ts';
import { blockShape } from '../../lib/format/page.ts';
import { MemorySink } from '../../lib/sinks/memory.ts';
import { Blocker } from '../../lib/stages/blocker.ts';
import type { Segment } from '../../lib/stages/blocks.ts';
import { DualCopyInterleaver } from '../../lib/stages/dual-copy-interleaver.ts';
import { RSEncoder } from '../../lib/stages/rs-encoder.ts';
import { type Container, DATA, type Placed } from './support.ts';

/** Makes CRC and parity of a page fit what its content says now. */
export function resealPage(page: Buffer): void {
  page.writeUInt32BE(crc32(page.subarray(0, 2284)), 2284);
  sharedKernel().encodePage(page.subarray(0, 2288), page.subarray(2288, 4080));
}

/** Changes the fields of a record's first page, in place, and makes its checksums fit. */
export function forgePage(file: Buffer, record: Placed, change: (page: Buffer) => void): void {
  const page = file.subarray(record.at, record.at + PAGE);
  change(page);
  resealPage(page);
}

/** Changes a one-page body (HEADER, END, INDEX), in place; its hash, CRC and parity fit. */
export function forgeBody(file: Buffer, record: Placed, change: (body: Buffer) => Buffer): void {
  forgePage(file, record, (page) => {
    const fileId = page.subarray(16, 48);
    const body = change(Buffer.from(page.subarray(128, 128 + Math.min(2156, page.readUInt32BE(64)))));
    page.fill(0, 128, 2284);
    body.copy(page, 128);
    page.writeUInt32BE(body.length, 64);
    blockHash(fileId, record.type, Number(page.readBigUInt64BE(48)), page[72]!, body).copy(page, 88);
  });
}

/** Changes the payload of a DATA or PARITY record, in place: rows, their CRCs and parity, the hash and the page fit. */
export function forgePayload(file: Buffer, record: Placed, change: (payload: Buffer) => void): void {
  forgePage(file, record, (page) => {
    const length = page.readUInt32BE(64);
    const shape = blockShape(length);
    // An earlier forgery may have made nonsense of it.
    if (!shape || shape.recordLength > record.length) return;
    const { k, m, rowLength } = shape;
    const rows = file.subarray(record.at + PAGE, record.at + PAGE + (k + m) * rowLength);
    change(rows.subarray(0, length));
    sharedKernel().encodeRows(rows.subarray(0, k * rowLength), k, rowLength, rows.subarray(k * rowLength));
    for (let r = 0; r < k + m; r++) {
      page.writeUInt32BE(crc32(rows.subarray(r * rowLength, (r + 1) * rowLength)), 128 + 4 * r);
    }
    const hash = blockHash(page.subarray(16, 48), record.type, record.sequence, page[72]!, rows.subarray(0, length));
    hash.copy(page, 88);
  });
}

/** The sealed payloads of a container, as an attacker sees them. */
export function segmentsOf(c: Container): Segment[] {
  return Array.from({ length: c.count }, (_, index) => {
    const at = c.place(DATA, 0, index).at + PAGE;
    const final = index === c.count - 1;
    return { index, final, payload: Buffer.from(c.file.subarray(at, at + (final ? c.lastLength : FULL_PAYLOAD))) };
  });
}

/** A perfect container of other payloads, under the same keys. */
export async function rebuild(c: Container, segments: Segment[], headerBytes = c.keys.headerBytes): Promise<Buffer> {
  const { fileId, layout } = c.keys;
  const sink = new MemorySink();
  const writer = await sink.create();
  await pipeline([
    Readable.from(segments),
    new Blocker({ fileId }),
    new RSEncoder({ fileId }),
    new DualCopyInterleaver({ fileId, headerBytes, layout, readBack: writer.readBack! }),
    writer.stream,
  ]);
  await writer.finish();
  return sink.bytes!;
}
