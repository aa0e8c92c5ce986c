/** What the host calls; module.ts declares it again for TypeScript. Nothing here allocates. */
import { columnMatrix } from './correct';
import { pageMatrix } from './encode';
import { ARENA, fieldTables } from './field';
import { twiddleTables } from './transform';

export { combine, xor } from './combine';
export { columnSyndromes, correctColumn, correctColumns, correctPage } from './correct';
export { encodePage, encodeRows } from './encode';
export { addQuad, parityToSums, sumsToParity } from './outer';

/** Where the host's memory begins. */
export function arena(): usize {
  return ARENA;
}

fieldTables();
twiddleTables();
pageMatrix();
columnMatrix();
