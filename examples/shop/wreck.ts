/** Damage as disks do it, from a seed: the same places in a file of the same length every time. */
import { readFile } from 'node:fs/promises';
import { corruptFile } from 'mikro-orm-dbs/testkit';

/** Damages a backup in place, and says what it did. */
export async function wreck(path: string, seed: number): Promise<string[]> {
  const { number, records } = oneBlock(await readFile(path), seed);
  const both = records.map(({ at, length }) => `overwrite:${length}@${at}`);
  const damage = ['overwrite:64KiB@0', ...both, 'sectors:4096:0.01', 'flip:1e-5'];
  const { wounds } = await corruptFile(path, damage.join(','), { seed });
  const [sectors, flips] = wounds.slice(-2);
  return [
    'the first 64 KiB overwritten (the header with the key slot)',
    `block ${number} overwritten from end to end, in both copies`,
    sectors!.description,
    flips!.description,
  ];
}

/** One data block, and where both of its copies stand. SPEC.md, section 3: a page at each record's start says what it is. */
function oneBlock(file: Buffer, seed: number) {
  const magic = Buffer.from('89444253320d0a1a', 'hex');
  const found = new Map<number, { at: number; length: number }[]>();
  for (let at = 0; at < file.length; at += file.readUInt32BE(at + 12)) {
    if (file.compare(magic, 0, 8, at, at + 8) !== 0) throw new Error(`There is no record at ${at}.`);
    if (file[at + 10] !== 2) continue;
    const number = Number(file.readBigUInt64BE(at + 48));
    found.set(number, [...(found.get(number) ?? []), { at, length: file.readUInt32BE(at + 12) }]);
  }
  const number = seed % found.size;
  return { number, records: found.get(number)! };
}
