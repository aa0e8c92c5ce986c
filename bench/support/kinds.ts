/** The damages of the survival table. */
import { corrupt } from '../../lib/testkit/index.ts';
import { Random } from '../../lib/testkit/random.ts';
import { MiB } from './run.ts';

/** `figures`: container.md's, of 1 GiB, for interleaved and tandem; none where it has no such row. */
export interface Kind {
  name: string;
  damage: string[];
  figures?: [string, string];
  /** Bytes that the file must have for this to be what it says. */
  needs?: number;
}

export const KINDS: Kind[] = [
  { name: 'random byte errors 1e-6', damage: ['flip:1e-6'], figures: ['1', '1'] },
  { name: 'random byte errors 1e-2', damage: ['flip:1e-2'], figures: ['1', '1'] },
  { name: 'lost 512 B sectors 1e-4', damage: ['sectors:512:1e-4'], figures: ['1', '1'] },
  { name: 'lost 512 B sectors 5e-2', damage: ['sectors:512:5e-2'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 1e-3', damage: ['sectors:4096:1e-3'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 0.15', damage: ['sectors:4096:0.15'], figures: ['1', '1'] },
  { name: 'lost 4 KiB sectors 0.20', damage: ['sectors:4096:0.20'], figures: ['.98', '1'] },
  { name: 'one burst of 16 MiB', damage: ['burst:16MiB'], figures: ['1', '1'], needs: 64 * MiB },
  { name: 'one burst of 64 MiB', damage: ['burst:64MiB'], figures: ['0', '1'], needs: 256 * MiB },
  { name: '20 bursts of 1 MiB', damage: ['burst:1MiB:20'], figures: ['1', '1'], needs: 256 * MiB },
  { name: '100 bursts of 1 MiB', damage: ['burst:1MiB:100'], figures: ['1', '1'], needs: 512 * MiB },
  { name: 'one burst of 10 % of the file', damage: ['burst:10%'] },
  { name: 'one burst of 40 % of the file', damage: ['burst:40%'] },
  { name: 'tail cut by 0.5 %', damage: ['cut-tail:0.5%'], figures: ['1', '1'] },
  { name: 'tail cut by 1..45 %', damage: ['cut-tail'], figures: ['salvage', '1'] },
  { name: 'first 16 MiB overwritten', damage: ['overwrite:16MiB@head'], figures: ['1', '1'], needs: 64 * MiB },
  { name: 'first 256 MiB overwritten', damage: ['overwrite:256MiB@head'], figures: ['salvage', '1'], needs: 520 * MiB },
  { name: 'first 10 % overwritten', damage: ['overwrite:10%@head'] },
  { name: 'a byte inserted or deleted', damage: ['insert:1', 'delete:1'], figures: ['1', '1'] },
];

/** The damage of one trial, done to a copy of `bytes`: the same for every file of one size. */
export function hurt(bytes: Buffer, kind: Kind, seed: string, trial: number): Buffer {
  let damage = kind.damage[trial % kind.damage.length]!;
  if (damage === 'cut-tail') damage = `cut-tail:${1 + 44 * new Random(`${seed} ${trial} cut`).unit()}%`;
  return corrupt(bytes, damage, { seed: `${seed} ${trial}` }).bytes;
}
