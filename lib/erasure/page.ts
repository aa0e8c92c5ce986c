/** Healing of pages: 16 interleaved codewords of 143 content and 112 parity symbols. */
import { sharedKernel } from './kernel/erasure-kernel.ts';
import { PAGE_CONTENT, PAGE_PARITY } from './kernel/sizes.ts';

const CODEWORDS = 16;
const PARITY_SYMBOLS = PAGE_PARITY / CODEWORDS;
const CONTENT_SYMBOLS = PAGE_CONTENT / CODEWORDS;

/** Bytes of a page that its code covers: content, then parity. */
export const PAGE_PROTECTED = PAGE_CONTENT + PAGE_PARITY;

/**
 * Corrects a page in place: up to 56 wrong bytes, or 112 erased ones, in each of its 16 codewords (e errors and f
 * erasures with 2e + f <= 112). Beyond that it may, very rarely, find another codeword: the page's CRC decides.
 *
 * @param page 4080 bytes, content[2288] | parity[1792]; left alone where the answer is false
 * @param erased byte ranges [start, end) of `page` that are known to be lost
 * @returns whether the page is now a codeword
 * @throws RangeError for another length or ranges outside of the page
 */
export function decodePage(page: Uint8Array, erased: readonly (readonly [number, number])[] = []): boolean {
  if (page.length !== PAGE_PROTECTED) throw new RangeError(`${PAGE_PROTECTED} bytes expected, ${page.length} given`);
  const lost = erasedPositions(erased);
  return sharedKernel().correctPage(
    page,
    lost.map((set) => [...set]),
  );
}

/** The erased positions x of each codeword. */
function erasedPositions(ranges: readonly (readonly [number, number])[]): Set<number>[] {
  const lost = Array.from({ length: CODEWORDS }, () => new Set<number>());
  for (const [start, end] of ranges) {
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > PAGE_PROTECTED) {
      throw new RangeError(`bytes ${start}..${end} are not in a page`);
    }
    for (let b = start; b < end; b++) {
      const symbol = Math.floor(b / CODEWORDS);
      lost[b % CODEWORDS].add(symbol < CONTENT_SYMBOLS ? symbol + PARITY_SYMBOLS : symbol - CONTENT_SYMBOLS);
    }
  }
  return lost;
}
