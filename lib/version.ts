/** This package's name and version, as they stand in backups and in `dbs --version`. */
import { createRequire } from 'node:module';

// By its name, as it stands one folder deeper in the bundle of the program than in that of the library.
const { name, version } = createRequire(import.meta.url)('mikro-orm-dbs/package.json') as {
  name: string;
  version: string;
};

export const VERSION = version;
export const TOOL = `${name} ${version}`;
