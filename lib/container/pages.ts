/** Pages from a source: read, and decoded where they are damaged. */
import { sharedKernel } from '../erasure/kernel/index.ts';
import { decodePage } from '../erasure/page.ts';
import { PAGE, PAGE_CONTENT } from '../format/limits.ts';
import { MAGIC, type PageFields, pageIntact, readPage, TAIL_MAGIC_AT } from '../format/page.ts';
import type { ByteSource } from './source.ts';

export interface FoundPage {
  fields: PageFields;
  /** The page had to be decoded: its bytes on the medium are damaged. */
  decoded: boolean;
}

/** The fields of a page in memory, decoding it if need be (not in place). `null` where it is no page. */
export function parsePage(bytes: Buffer, decode = true): FoundPage | null {
  if (pageIntact(bytes)) return found(bytes, false);
  if (!decode) return null;
  const copy = Buffer.from(bytes.subarray(0, TAIL_MAGIC_AT));
  return decodePage(copy) && pageIntact(copy) ? found(copy, true) : null;
}

function found(bytes: Buffer, decoded: boolean): FoundPage | null {
  const fields = readPage(bytes);
  return fields && { fields, decoded };
}

/** The page at `offset`, if there is one. */
export async function pageAt(source: ByteSource, offset: number, decode = true): Promise<FoundPage | null> {
  if (offset < 0 || offset + PAGE > source.size) return null;
  const bytes = Buffer.allocUnsafe(PAGE);
  return (await source.read(offset, bytes)) === PAGE ? parsePage(bytes, decode) : null;
}

/** The page at `offset`, if each of its bytes is as it was written. */
export async function exactPageAt(source: ByteSource, offset: number): Promise<FoundPage | null> {
  if (offset < 0 || offset + PAGE > source.size) return null;
  const bytes = Buffer.allocUnsafe(PAGE);
  const page = (await source.read(offset, bytes)) === PAGE ? parsePage(bytes, false) : null;
  return page && isExactPage(bytes) ? page : null;
}

/** Whether an intact page's other bytes, parity and tail marker, are as they were written, too: they are needed when it is damaged. */
export function isExactPage(bytes: Buffer): boolean {
  const parity = Buffer.allocUnsafe(TAIL_MAGIC_AT - PAGE_CONTENT);
  sharedKernel().encodePage(bytes.subarray(0, PAGE_CONTENT), parity);
  const tail = TAIL_MAGIC_AT + MAGIC.length;
  return (
    parity.compare(bytes, PAGE_CONTENT, TAIL_MAGIC_AT) === 0 &&
    MAGIC.compare(bytes, TAIL_MAGIC_AT, tail) === 0 &&
    bytes.compare(bytes, 16, 16 + PAGE - tail, tail, PAGE) === 0
  );
}

/** Whether either of a page's two markers stands where it should: worth the work of decoding. */
export function looksLikePage(bytes: Buffer): boolean {
  return MAGIC.compare(bytes, 0, 8) === 0 || MAGIC.compare(bytes, TAIL_MAGIC_AT, TAIL_MAGIC_AT + 8) === 0;
}
