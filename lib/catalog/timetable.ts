/** Doing something whenever a schedule says so: one after another, whatever the clock does. */
import { setTimeout } from 'node:timers/promises';
import type { Schedule } from './schedule.ts';

/** The time, and waiting: tests bring their own. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** @throws the signal's reason */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

export interface TimetableOptions {
  signal: AbortSignal;
  clock?: Clock;
  /** From 0 to 1, for the jitter. */
  random?: () => number;
  /** Whenever the next moment is known. */
  onNext?: (at: Date | null) => void;
}

/** A nap: also a machine that slept, or whose clock was set, notices within this. */
const NAP = 30_000;

/** @param ref keep the process alive while waiting */
export function systemClock(ref: boolean): Clock {
  return {
    now: () => Date.now(),
    sleep: (milliseconds, signal) =>
      setTimeout(milliseconds, undefined, { signal, ref }).catch(() => signal.throwIfAborted()),
  };
}

/**
 * Calls `task` at each moment of the schedule, until the signal aborts or the schedule ends. `task` handles its own failures; what it throws ends the timetable.
 *
 * - Never two at once: moments that pass while `task` runs are left out, and the next one counts.
 * - A machine that slept through several moments does one run when it wakes.
 * - A clock that is set forward is as sleep. One that is set back counts from the new time: a moment may come twice, none is lost.
 *
 * @param task gets the moment that it is for: the same on every machine of a fleet, whatever the jitter
 * @throws the signal's reason
 */
export async function keepTimetable(
  schedule: Schedule,
  task: (due: Date) => Promise<void>,
  options: TimetableOptions,
): Promise<void> {
  const { signal, clock = systemClock(true), random = Math.random, onNext } = options;
  signal.throwIfAborted();
  if (schedule.runAtStart) {
    onNext?.(new Date(clock.now()));
    await task(new Date(clock.now()));
  }
  for (let after = clock.now(); ; ) {
    const due = schedule.next(new Date(after));
    const at = due && new Date(due.getTime() + random() * schedule.jitter);
    onNext?.(at);
    if (!due || !at) return;
    if (await waitUntil(at.getTime(), clock, signal)) {
      await task(due);
      signal.throwIfAborted();
      after = Math.max(due.getTime(), clock.now());
    } else after = clock.now();
  }
}

/** Answers `false` as soon as the clock was set back. */
async function waitUntil(at: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
  for (let before = clock.now(); before < at; ) {
    await clock.sleep(Math.min(NAP, at - before), signal);
    signal.throwIfAborted();
    const now = clock.now();
    // A second or two is what time servers do.
    if (now < before - 5000) return false;
    before = now;
  }
  return true;
}
