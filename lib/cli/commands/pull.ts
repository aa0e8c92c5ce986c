import type { Command } from 'commander';
import { example, settingsOptions } from '../options.ts';
import type { Runner } from '../session.ts';
import { type TransferFlags, transfer } from '../transfer.ts';

/** `dbs pull URL [FILE]` */
export function pullCommand(program: Command, run: Runner): void {
  const command = program
    .command('pull')
    .description('Fetch a backup into a local file, verified and healed on the way. Needs no passphrase.')
    .argument('<url>', 'a backup: a URL or a path')
    .argument('[file]', 'where to: a file or a folder (default: its name, in this folder)')
    .option('-f, --force', 'replace FILE if it exists')
    .addHelpText(
      'after',
      example('dbs pull s3://backups/shop/shop-20261125-030000Z.dbs', 'dbs pull sftp://nas/app.dbs /mnt/'),
    );
  settingsOptions(command).action(
    run((session, url: string, file: string | undefined, flags: TransferFlags) =>
      transfer(session, flags, [url], (library, settings) => library.pullBackup(url, file, settings)),
    ),
  );
}
