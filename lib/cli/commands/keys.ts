import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { ConfigError } from '../../errors.ts';
import type { KeysReport } from '../../keys.ts';
import type { CliContext } from '../context.ts';
import { ExitCode } from '../exit-codes.ts';
import { example, integer, kdfOptions, openingOptions, recipientOptions, settingsOptions } from '../options.ts';
import { type OpeningFlags, opening, type SealingFlags, sealing } from '../secrets.ts';
import { type AppFlags, type Runner, readOptions, type Session } from '../session.ts';
import { keysSummary } from '../summary.ts';

interface ChangeOptions extends OpeningFlags, Omit<SealingFlags, keyof OpeningFlags> {
  newPassphraseFile?: string;
  all?: boolean;
}

/** `dbs keys new|list|add|remove|rotate` */
export function keysCommand(program: Command, run: Runner): void {
  const keys = program
    .command('keys')
    .description('Make key pairs; show and change who can open a backup.')
    .addHelpText('after', example('dbs keys new -o me.key', 'dbs keys add app.dbs --recipient dbs1...'));
  keys
    .command('new')
    .description('Make a key pair. Who has only its public half can make backups, and not read them.')
    .option('-o, --output <file>', 'write the pair to a new file that only you can read (default: stdout)')
    .addHelpText('after', example('dbs keys new -o me.key'))
    .action(run(newPair));
  const listing = keys
    .command('list')
    .description('List the key slots of FILE. Needs no passphrase.')
    .argument('<file>', 'a backup: a path or a URL')
    .addHelpText('after', example('dbs keys list app.dbs'));
  settingsOptions(listing).action(run(list));
  const add = keys
    .command('add')
    .description('Let one more passphrase or recipient open FILE.')
    .argument('<file>', 'a backup')
    .addHelpText('after', example('dbs keys add app.dbs --identity me.key --recipient dbs1...'));
  newKeyOptions(openingOptions(add)).action(run(addKey));
  const remove = keys
    .command('remove')
    .description('Take a key slot out of FILE. Whoever copied it before can still open that copy.')
    .argument('<file>', 'a backup')
    .requiredOption('--slot <n>', 'its number, as `dbs keys list` shows it', integer)
    .addHelpText('after', example('dbs keys remove app.dbs --slot 1'));
  openingOptions(remove).action(run(removeKey));
  const rotate = keys
    .command('rotate')
    .description('Replace the slot that opens FILE now by a new one.')
    .argument('<file>', 'a backup')
    .option('--all', 'replace every slot')
    .addHelpText('after', example('dbs keys rotate app.dbs --new-passphrase-file new-secret'));
  newKeyOptions(openingOptions(rotate)).action(run(rotateKey));
}

function newKeyOptions(command: Command): Command {
  const options = recipientOptions(command).option(
    '--new-passphrase-file <file>',
    'the new passphrase. Also: $DBS_NEW_PASSPHRASE, or the prompt',
  );
  return kdfOptions(options);
}

/** What the new slots are for: the same ways as for a new backup, under other names. */
function added(ctx: CliContext, { newPassphraseFile, recipient, recipientsFile, ...kdf }: ChangeOptions) {
  const { DBS_NEW_PASSPHRASE } = ctx.env;
  delete ctx.env.DBS_NEW_PASSPHRASE;
  const { kdfIterations, kdfMemory, kdfParallelism } = kdf;
  const flags = {
    passphraseFile: newPassphraseFile,
    recipient,
    recipientsFile,
    kdfIterations,
    kdfMemory,
    kdfParallelism,
  };
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  return sealing(
    { ...ctx, env: DBS_NEW_PASSPHRASE === undefined ? {} : { DBS_PASSPHRASE: DBS_NEW_PASSPHRASE } },
    given,
  );
}

async function newPair({ ctx, out }: Session, { output }: { output?: string }): Promise<ExitCode> {
  const { recipient, identity } = (await ctx.library()).newKeyPair();
  const text = `# created: ${new Date().toISOString()}\n# public key: ${recipient}\n${identity}`;
  if (output === undefined) {
    out.print({ type: 'key-pair', recipient, identity }, text);
    return ExitCode.OK;
  }
  try {
    await writeFile(output, `${text}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'EEXIST'
        ? 'exists already, and a secret key is never overwritten. Choose another name'
        : `cannot be written (${code})`;
    throw new ConfigError('ERR_KEY_FILE', `The key file ${output} ${why}.`, { cause: error, facts: { path: output } });
  }
  out.result(
    { type: 'key-pair', recipient, output },
    `Wrote ${output}. Keep it safe and secret: it opens backups. Its public key:\n${recipient}`,
  );
  return ExitCode.OK;
}

async function list(session: Session, file: string, options: AppFlags): Promise<ExitCode> {
  const library = await session.ctx.library();
  return shown(session, await library.listKeys(file, await readOptions(session, options, file)));
}

async function addKey(session: Session, file: string, options: ChangeOptions): Promise<ExitCode> {
  const [open, seal] = [await opening(session.ctx, options), await added(session.ctx, options)];
  const library = await session.ctx.library();
  const secret = await open();
  return shown(session, await library.addKeys(file, secret, await seal()));
}

async function removeKey(session: Session, file: string, options: OpeningFlags & { slot: number }): Promise<ExitCode> {
  const open = await opening(session.ctx, options);
  const library = await session.ctx.library();
  return shown(session, await library.removeKey(file, await open(), options.slot));
}

async function rotateKey(session: Session, file: string, options: ChangeOptions): Promise<ExitCode> {
  const [open, seal] = [await opening(session.ctx, options), await added(session.ctx, options)];
  const library = await session.ctx.library();
  const secret = await open();
  return shown(session, await library.rotateKeys(file, secret, await seal(), { all: options.all === true }));
}

function shown({ out }: Session, report: KeysReport): ExitCode {
  out.print(report, keysSummary(report));
  return ExitCode.OK;
}
