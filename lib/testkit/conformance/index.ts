/** The suite that says whether a destination is right. It needs no test runner, and serves any. */
import type { Destination } from '../../sinks/sink.ts';
import { READING } from './reading.ts';
import { FAILING, WRITING } from './writing.ts';

export interface ConformanceOptions {
  /** Opens an empty place: a new one for each case, or the same one. The case removes its files and closes it. */
  open: () => Promise<Destination>;
  /**
   * What lies there beside finished files: temporary files, unfinished uploads. Asked while the place is open, and expected to be none once a writer
   * has ended. Default: what the destination's own `unfinished` says, if it has that.
   */
  leftovers?: (at: Destination) => Promise<string[]>;
  /** Opens an empty place where writing fails before `big` bytes are there, such as a small disk. Default: no such case. */
  failing?: () => Promise<Destination>;
  /** Length of the big file in bytes: over several parts of a sink that knows parts. Default 48 MiB. */
  big?: number;
  /** Bytes that may be held while the big one is written. Default 40 MiB; Infinity for what keeps everything in memory. */
  memory?: number;
}

/** One case. `run` resolves, or rejects with a reason. */
export interface ConformanceCase {
  name: string;
  run: () => Promise<void>;
}

/** @internal */
export interface Settled {
  leftovers: () => Promise<string[]>;
  big: number;
  memory: number;
}

/** @internal */
export type Cases = Record<string, (at: Destination, settled: Settled) => Promise<void>>;

/**
 * The cases that every destination must pass, one after the other.
 *
 * @example
 * import test from 'node:test';
 * for (const { name, run } of sinkConformance({ open: async () => new MyDestination() })) test(name, run);
 */
export function sinkConformance(options: ConformanceOptions): ConformanceCase[] {
  const { open, failing, leftovers } = options;
  const one = (cases: Cases, open: () => Promise<Destination>): ConformanceCase[] =>
    Object.entries(cases).map(([name, check]) => ({
      name,
      run: async () => {
        const at = await open();
        try {
          await check(at, {
            leftovers: () => (leftovers ?? unfinished)(at),
            big: options.big ?? 48 * 2 ** 20,
            memory: options.memory ?? 40 * 2 ** 20,
          });
        } finally {
          await sweep(at);
        }
      },
    }));
  return [...one(READING, open), ...one(WRITING, open), ...(failing ? one(FAILING, failing) : [])];
}

/** What a case wrote goes, also where it failed. */
async function sweep(at: Destination): Promise<void> {
  try {
    const found: string[] = [];
    for await (const { name } of at.list()) found.push(name);
    for (const name of found) await at.remove(name);
  } catch {
    // A place that cannot be swept has failed its case already, or was closed by it and is empty.
  } finally {
    await at.close();
  }
}

async function unfinished(at: Destination): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of at.unfinished?.() ?? []) found.push(name);
  return found;
}
