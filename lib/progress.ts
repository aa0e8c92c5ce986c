/** Progress events at a bearable rate. */
import type { BackupEvent, Phase } from './events.ts';

const INTERVAL = 100;

/** Counts of one phase of work; tells `onEvent` at most ten times a second, and once at the end. */
export class Progress {
  readonly #phase: Phase;
  readonly #onEvent: ((event: BackupEvent) => void) | undefined;
  readonly #total: number | undefined;
  #last = 0;
  bytes = 0;
  rows = 0;
  files = 0;

  constructor(phase: Phase, onEvent: ((event: BackupEvent) => void) | undefined, total?: number) {
    this.#phase = phase;
    this.#onEvent = onEvent;
    this.#total = total;
  }

  add(bytes: number, rows = 0, files = 0): void {
    this.bytes += bytes;
    this.rows += rows;
    this.files += files;
    const now = Date.now();
    if (now - this.#last < INTERVAL) return;
    this.#last = now;
    this.done();
  }

  done(): void {
    const { bytes, rows, files } = this;
    this.#onEvent?.({
      type: 'progress',
      phase: this.#phase,
      bytes,
      ...(this.#total === undefined ? {} : { total: this.#total }),
      ...(rows ? { rows } : {}),
      ...(files ? { files } : {}),
    });
  }
}
