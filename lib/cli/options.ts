/** Options that several commands share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RetentionRules } from '../catalog/retention.ts';

/** Example lines at the end of a command's help. */
export function example(...lines: string[]): string {
  return `\nExample${lines.length > 1 ? 's' : ''}:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}

const WARNING =
  'the passphrase itself. WARNING: other users of this machine can see it in the list of processes, and your shell keeps it in its history. Also: $DBS_PASSPHRASE, or the prompt';

function passphraseOptions(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'read the passphrase from a file (its last line break does not count)')
    .option('--passphrase-stdin', 'read the passphrase from stdin')
    .option('--passphrase <text>', WARNING);
}

/** What opens the backup. */
export function openingOptions(command: Command): Command {
  return passphraseOptions(command).option(
    '-i, --identity <file>',
    'a file with secret keys, as `dbs keys new` makes them',
    repeated,
  );
}

/** Who shall be able to open it. */
export function sealingOptions(command: Command): Command {
  return kdfOptions(recipientOptions(passphraseOptions(command)));
}

/** Public keys. */
export function recipientOptions(command: Command): Command {
  return command
    .option(
      '-r, --recipient <key>',
      'a public key (dbs1...) that shall open it; no passphrase is asked for then',
      repeated,
    )
    .option('-R, --recipients-file <file>', 'a file with public keys, one a line', repeated);
}

/** What guessing the passphrase costs. */
export function kdfOptions(command: Command): Command {
  return command
    .option('--kdf-memory <MiB>', 'memory of the key derivation (default: 64)', integer)
    .option('--kdf-iterations <n>', 'passes of the key derivation (default: 3)', integer)
    .option('--kdf-parallelism <n>', 'lanes of the key derivation (default: 4)', integer);
}

/** Where the app is. */
export function appOptions(command: Command): Command {
  return command
    .option('--config <file>', "the app's MikroORM configuration (default: found as MikroORM's own CLI does)")
    .option('--context <name>', 'which configuration, where the file exports several', list)
    .option(
      '--config-dbs <file>',
      'module whose default export is a BackupConfig (default: "dbs" in the MikroORM configuration)',
    );
}

/** What URLs need. */
export function settingsOptions(command: Command): Command {
  return command
    .option('--config <file>', "for URLs: the app's MikroORM configuration, whose settings they need (default: found)")
    .option('--context <name>', 'for URLs: which configuration, where the file exports several', list)
    .option('--config-dbs <file>', 'for URLs: module whose default export is a BackupConfig');
}

/** Which backups stay. */
export function retentionOptions(command: Command): Command {
  return command
    .option('--keep-last <n>', 'keep the last N', integer)
    .option('--keep-hourly <n>', 'keep the newest of each of the last N hours that have one', integer)
    .option('--keep-daily <n>', 'the same for days', integer)
    .option('--keep-weekly <n>', 'for weeks, which begin on Monday', integer)
    .option('--keep-monthly <n>', 'for months', integer)
    .option('--keep-yearly <n>', 'for years', integer)
    .option('--time-zone <name>', 'in which these begin (default: UTC)')
    .option('--pin <name>', 'never remove this file', repeated);
}

export interface RetentionFlags {
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
  timeZone?: string;
  pin?: string[];
}

/** The rules that were given; `undefined` where none was. */
export function rulesOf(flags: RetentionFlags): RetentionRules | undefined {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, timeZone } = flags;
  const counts = { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly };
  const given = Object.entries(counts).filter(([, count]) => count !== undefined);
  if (given.length === 0) return undefined;
  return { ...Object.fromEntries(given), ...(timeZone === undefined ? {} : { timeZone }) };
}

/** How a container is written. */
export function writeOptions(command: Command): Command {
  return command
    .option('--to <url>', 'write it there, too: a path, a folder or a URL; the source is read once for all', repeated)
    .option('--prefix <name>', 'of the name that it gets in a folder or at a URL that ends in /')
    .option('-f, --force', 'replace FILE if it exists')
    .addOption(new Option('--layout <layout>', 'where the second copy goes').choices(['tandem', 'interleaved']))
    .option('--mirror <file>', 'write the second copy there, a path or a URL: either alone restores everything')
    .addOption(new Option('--compression <codec>', 'default: deflate').choices(['none', 'deflate', 'zstd']))
    .option('--no-verify', 'do not read back what was written');
}

export interface WriteFlags {
  to?: string[];
  prefix?: string;
  force?: boolean;
  layout?: 'tandem' | 'interleaved';
  mirror?: string;
  compression?: 'none' | 'deflate' | 'zstd';
  verify?: boolean;
}

/** Those flags as the library takes them. */
export function writeFlags({ prefix, force, layout, mirror, compression, verify }: WriteFlags) {
  return {
    ...(prefix === undefined ? {} : { prefix }),
    ...(force ? { force } : {}),
    ...(layout ? { layout } : {}),
    ...(mirror ? { mirror } : {}),
    ...(compression ? { compression } : {}),
    ...(verify === false ? { verify } : {}),
  };
}

/** Which backup is read: other copies to heal from, and which of several in one file. */
export function withOption(command: Command): Command {
  return command
    .option(
      '--with <file>',
      'another copy of the same backup, a path or a URL, damaged or not: each heals the other',
      repeated,
    )
    .option('--file-id <hex>', 'which backup, where a file holds several: its id, or the beginning of it');
}

/** `--only a,b --only c`. */
export function list(value: string, before: string[] = []): string[] {
  const names = value.split(',').map((name) => name.trim());
  if (names.some((name) => !name)) throw new InvalidArgumentError('Give names, separated by commas.');
  return [...before, ...names];
}

export function repeated(value: string, before: string[] = []): string[] {
  return [...before, value];
}

export function integer(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Give a whole number.');
  return Number(value);
}
