/** This package's name and version, as they stand in backups and in `dbs --version`. */
import { createRequire } from 'node:module';

const { name, version } = createRequire(import.meta.url)('../package.json') as { name: string; version: string };

export const VERSION = version;
export const TOOL = `${name} ${version}`;
