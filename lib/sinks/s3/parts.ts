/** How long parts are, and their checksums. */
import { crc32 } from 'node:zlib';

const MiB = 2 ** 20;

/** What S3 allows. */
export const MAX_PARTS = 10_000;
/** A part may have 5 GiB; but it is held in memory, and Node.js hashes no more than 2 GiB at once. */
const LARGEST = 1024 * MiB;
/** By thousands of parts. Nobody knows the length beforehand: parts stay small as long as that is possible. */
const GROWTH = [1, 1, 2, 4, 8, 16, 32, 64, 128, 128];

/** Length of a part in bytes. @param number from 1 @param first length of the first one */
export function partSizeOf(number: number, first: number): number {
  const factor = GROWTH[Math.floor((number - 1) / 1000)] ?? GROWTH.at(-1)!;
  return Math.min(first * factor, Math.max(first, LARGEST));
}

/** As S3 writes it: four bytes, the highest first, as Base64. */
export function crcOf(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}
