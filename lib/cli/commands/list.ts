import type { Command } from 'commander';
import type { StoredBackup } from '../../stored.ts';
import { printable, size } from '../../texts.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, settingsOptions } from '../options.ts';
import { type AppFlags, type Runner, type Session, settingsFor } from '../session.ts';
import { age, checkWord } from '../stored.ts';

interface Options extends AppFlags {
  prefix?: string;
  check?: boolean;
}

/** `dbs list URL` */
export function listCommand(program: Command, run: Runner): void {
  const command = program
    .command('list')
    .description('List the backups in a folder or at a URL, oldest first.')
    .argument('<url>', 'a folder, or a URL such as s3://bucket/prefix/ or sftp://target/folder/')
    .option('--prefix <name>', 'only backups of this prefix')
    .option('--check', 'look at each, 4 KiB of every megabyte, and say what state it is in')
    .addHelpText('after', example('dbs list s3://backups/shop/', 'dbs list /mnt/backups --check'));
  settingsOptions(command).action(run(list));
}

async function list(session: Session, url: string, options: Options): Promise<ExitCode> {
  const { ctx, out } = session;
  const { prefix, check = false } = options;
  const settings = await settingsFor(session, options, url);
  const library = await ctx.library();
  const now = Date.now();
  let code: ExitCode = ExitCode.OK;
  let titled = false;
  const stored = library.storedBackups(url, {
    ...settings,
    ...(prefix === undefined ? {} : { prefix }),
    check,
    signal: ctx.signal,
  });
  for await (const file of stored) {
    if (!titled) out.print(null, row('TIME', 'AGE', 'SIZE', check ? 'STATE' : null, 'NAME'));
    titled = true;
    out.print({ ...file, ageSeconds: Math.round((now - Date.parse(file.time)) / 1000) }, line(file, now));
    if (file.check && !file.check.ok) code = ExitCode.UNRECOVERABLE;
    else if (isHurt(file) && code === ExitCode.OK) code = ExitCode.HEALED;
  }
  return code;
}

function isHurt({ check }: StoredBackup): boolean {
  return check?.health != null && check.health.intact < check.health.pages;
}

function line(file: StoredBackup, now: number): string {
  const time = file.time.replace('T', ' ').slice(0, 19);
  const state = file.check ? checkWord(file.check) : null;
  return row(time, age(now - Date.parse(file.time)), size(file.bytes), state, printable(file.name));
}

function row(time: string, old: string, bytes: string, state: string | null, name: string): string {
  const columns = [time.padEnd(19), old.padStart(7), bytes.padStart(10)];
  if (state !== null) columns.push(state.padEnd(8));
  return `${columns.join('  ')}  ${name}`;
}
