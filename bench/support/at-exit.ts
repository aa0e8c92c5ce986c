/** Loaded before a program (`node --import`), whose process then says on descriptor 3 what it took, as a Usage in JSON. */
import { writeSync } from 'node:fs';
import { usage } from './measured.ts';

const used = usage();
process.on('exit', () => writeSync(3, JSON.stringify(used())));
