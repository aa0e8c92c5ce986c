/**
 * For your own drills: break a copy of a backup on purpose, reproducibly, and see that it restores.
 *
 *     const { bytes, summary } = corrupt(await readFile('app.dbs'), 'sectors:4096:0.01,cut-tail:5%', { seed: 7 });
 *     await corruptFile('copy-of-app.dbs', 'burst:1MiB:20', { seed: 7 });
 *
 * And for sinks of your own: `sinkConformance`, the suite that all of this package's pass.
 */
export { type ConformanceCase, type ConformanceOptions, sinkConformance } from './conformance/index.ts';
export { type Corruption, type CorruptOptions, corrupt, corruptFile, type Wound } from './corruptor.ts';
export { DAMAGE_HELP, type Damage, type DamageKind, damageText, type Extent, parseDamage } from './damage.ts';
export { Random } from './random.ts';
