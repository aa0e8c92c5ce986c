/** The options of masked copies. The seed never comes by argument: whoever has it can try guesses. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import { usage } from './usage.ts';

export interface MaskFlags {
  mask?: boolean;
  maskSeedFile?: string;
}

export function maskOptions(command: Command): Command {
  return command
    .option('--mask', 'replace what the configuration declares sensitive: a copy for staging')
    .option(
      '--mask-seed-file <file>',
      'the same, alike in every copy, by the secret in this file (default: $DBS_MASK_SEED)',
    );
}

/** The library's option. Without a seed, a random one. */
export function maskOf({ env }: CliContext, { mask, maskSeedFile }: MaskFlags): { mask?: boolean | string } {
  const seed = env.DBS_MASK_SEED;
  // Nothing that the app starts needs it.
  delete env.DBS_MASK_SEED;
  if (maskSeedFile !== undefined) return { mask: seedIn(maskSeedFile) };
  return mask ? { mask: seed || true } : {};
}

function seedIn(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usage(`--mask-seed-file ${file} cannot be read (${code}). Name a file that holds a secret text.`, {
      path: file,
    });
  }
  if (!text) throw usage(`--mask-seed-file ${file} is empty. Put a secret text into it.`, { path: file });
  return text;
}
