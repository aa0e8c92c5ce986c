/** Damage as disks do it, from a seed: the same places in a file of the same length every time. */
import { readFile, writeFile } from 'node:fs/promises';
import { Random } from './random.ts';

const HEAD = 64 * 1024;
const SECTOR = 4096;
const FLIPS = 200;

/** Damages a backup in place, and says what it did. */
export async function wreck(path: string, seed: number): Promise<string[]> {
  const random = new Random(seed);
  const file = await readFile(path);
  const victim = blocks(file, random);
  const overwrite = (at: number, length: number) => file.set(random.bytes(length), at);
  overwrite(0, HEAD);
  for (const { at, length } of victim.records) overwrite(at, length);
  const sectors = Math.round(file.length / SECTOR / 100);
  for (let i = 0; i < sectors; i++) overwrite(random.next(file.length / SECTOR) * SECTOR, SECTOR);
  for (let i = 0; i < FLIPS; i++) file[random.next(file.length)]! ^= 1 + random.next(255);
  await writeFile(path, file);
  return [
    'the first 64 KiB overwritten (the header with the key slot)',
    `block ${victim.number} overwritten from end to end, in both copies`,
    `1 % of all sectors overwritten (${sectors} of 4 KiB each, anywhere)`,
    `${FLIPS} single bytes changed, anywhere`,
  ];
}

/** One data block, and where both of its copies stand. SPEC.md, section 3: a page at each record's start says what it is. */
function blocks(file: Buffer, random: Random) {
  const magic = Buffer.from('89444253320d0a1a', 'hex');
  const found = new Map<number, { at: number; length: number }[]>();
  for (let at = 0; at < file.length; at += file.readUInt32BE(at + 12)) {
    if (file.compare(magic, 0, 8, at, at + 8) !== 0) throw new Error(`There is no record at ${at}.`);
    if (file[at + 10] !== 2) continue;
    const number = Number(file.readBigUInt64BE(at + 48));
    found.set(number, [...(found.get(number) ?? []), { at, length: file.readUInt32BE(at + 12) }]);
  }
  const number = random.next(found.size);
  return { number, records: found.get(number)! };
}
