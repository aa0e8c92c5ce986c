/** HEADER, INDEX and END: records that are pages and nothing else. */
import { blockHash } from '../crypto/hash.ts';
import { PAGE, type RecordType } from '../format/limits.ts';
import type { PageFields } from '../format/page.ts';
import { pageAt } from './pages.ts';
import type { RecordMap } from './record-map.ts';

/** The body of a HEADER, INDEX or END record at an offset, if all its pages are there and its hash fits. */
export async function readBody(
  map: RecordMap,
  offset: number,
  type: RecordType,
  sequence: number | null,
  fileId: Buffer,
): Promise<Buffer | null> {
  const first = (await pageAt(map.source, offset))?.fields;
  const fits = (f: PageFields | undefined, i: number) =>
    f?.type === type && f.page === i && (sequence === null || f.sequence === sequence) && f.fileId.equals(fileId);
  if (!first?.body || !fits(first, 0) || first.pages > 8) return null;
  const slices = [first.body];
  for (let i = 1; i < first.pages; i++) {
    const next = (await pageAt(map.source, offset + i * PAGE))?.fields;
    if (!next?.body || !fits(next, i)) return null;
    slices.push(next.body);
  }
  const body = Buffer.concat(slices);
  return blockHash(fileId, type, first.sequence, first.flags, body).equals(first.hash) ? body : null;
}
