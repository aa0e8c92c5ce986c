/** Progress for people: a bar on a terminal, a line now and then in a log. */
import type { Writable } from 'node:stream';
import type { BackupEvent, Phase } from '../events.ts';
import { count, duration, size } from '../texts.ts';

export type ProgressEvent = Extract<BackupEvent, { type: 'progress' }>;

export interface ProgressView {
  update(event: ProgressEvent): void;
  /** Makes room for other text: the bar comes back with the next event. */
  clear(): void;
}

const TITLES: Record<Phase, string> = {
  read: 'Reading',
  write: 'Writing',
  verify: 'Verifying',
  check: 'Checking',
  restore: 'Restoring',
  repair: 'Repairing',
  pull: 'Pulling',
  push: 'Pushing',
};

const BAR = 12;
const LINE_EVERY = 5000;
/** Before that a rate is noise. */
const RATE_AFTER = 700;

/** What is known about the phase at hand, as one line without a bar. */
class Meter {
  #phase: Phase | undefined;
  #since = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Milliseconds in this phase; 0 when it is new. */
  elapsed(event: ProgressEvent): number {
    if (event.phase !== this.#phase) {
      this.#phase = event.phase;
      this.#since = this.#now();
    }
    return this.#now() - this.#since;
  }

  facts(event: ProgressEvent, elapsed: number): string {
    const parts = [event.total === undefined ? size(event.bytes) : `${size(event.bytes)} of ${size(event.total)}`];
    if (event.rows) parts.push(`${count(event.rows)} rows`);
    if (event.files) parts.push(`${count(event.files)} files`);
    if (elapsed >= RATE_AFTER && event.bytes > 0) {
      const rate = (event.bytes / elapsed) * 1000;
      parts.push(`${size(rate)}/s`);
      if (event.total !== undefined && event.total > event.bytes) {
        parts.push(`${duration(((event.total - event.bytes) / rate) * 1000)} left`);
      }
    }
    return parts.join(', ');
  }
}

/** A bar that is drawn over and over on the last line of a terminal. */
export function barProgress(stream: Writable & { columns?: number }, now: () => number): ProgressView {
  const meter = new Meter(now);
  let drawn = false;
  return {
    update(event) {
      const facts = meter.facts(event, meter.elapsed(event));
      const line = `${TITLES[event.phase].padEnd(10)}${bar(event)} ${facts}`;
      // One column stays free: a full line would wrap on some terminals.
      stream.write(`\r${line.slice(0, Math.max(10, (stream.columns ?? 80) - 1))}\x1b[K`);
      drawn = true;
    },
    clear() {
      if (drawn) stream.write('\r\x1b[K');
      drawn = false;
    },
  };
}

function bar({ bytes, total }: ProgressEvent): string {
  if (total === undefined || total <= 0) return '';
  const part = Math.min(1, bytes / total);
  const full = Math.floor(part * BAR);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${String(Math.floor(part * 100)).padStart(3)} %,`;
}

/** A line every five seconds: short runs print none. */
export function lineProgress(stream: Writable, now: () => number): ProgressView {
  const meter = new Meter(now);
  let last = now();
  return {
    update(event) {
      const elapsed = meter.elapsed(event);
      if (now() - last < LINE_EVERY) return;
      last = now();
      stream.write(`dbs: ${TITLES[event.phase].toLowerCase()}: ${meter.facts(event, elapsed)}\n`);
    },
    clear() {},
  };
}
