import type { Command } from 'commander';
import { example, settingsOptions } from '../options.ts';
import type { Runner } from '../session.ts';
import { type TransferFlags, transfer } from '../transfer.ts';

/** `dbs push FILE URL` */
export function pushCommand(program: Command, run: Runner): void {
  const command = program
    .command('push')
    .description('Bring a backup to a folder or URL: verified before, and read back after. Needs no passphrase.')
    .argument('<file>', 'a backup: a path or a URL')
    .argument('<url>', 'where to: a folder or a URL that ends in /, where it keeps its name, or the file to be')
    .option('-f, --force', 'replace what has that name')
    .addHelpText('after', example('dbs push app.dbs s3://backups/shop/'));
  settingsOptions(command).action(
    run((session, file: string, url: string, flags: TransferFlags) =>
      transfer(session, flags, [file, url], (library, settings) => library.pushBackup(file, url, settings)),
    ),
  );
}
