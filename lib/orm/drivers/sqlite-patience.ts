/** Waiting for somebody else's lock without blocking the process: that somebody may live in it. */
import { setTimeout } from 'node:timers/promises';
import { isLocked } from './sqlite-errors.ts';

/** Milliseconds after which a lock is an error. */
export const PATIENCE = 10_000;
const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 250;

/**
 * Runs `step` until it is not refused for a lock, at most 10 seconds.
 *
 * @param signal ends the waiting with its reason
 */
export async function patiently<T>(step: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
  const end = Date.now() + PATIENCE;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    signal?.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!isLocked(error) || Date.now() + pause > end) throw error;
    }
    await setTimeout(pause);
  }
}
