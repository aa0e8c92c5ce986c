/** Backups by the clock, inside of an app or of `dbs schedule`. */
import { problemOf } from './announce.ts';
import { parseSchedule, type Schedule, type ScheduleSettings } from './catalog/schedule.ts';
import { type Clock, keepTimetable, systemClock } from './catalog/timetable.ts';
import { ConfigError } from './errors.ts';
import type { OrmLike } from './orm/orm-like.ts';
import { isLocked, type RunOptions, runBackup, settingsOf } from './run.ts';
import type { BackupRun } from './types.ts';

export interface ScheduleBackupsOptions extends Omit<RunOptions, 'due'> {
  /** Default: `schedule` of the settings. */
  schedule?: ScheduleSettings | undefined;
  /** Called with every run that failed, as it was thrown. The schedule goes on. */
  onError?: ((error: unknown) => void) | undefined;
  /** Decides when, and on which instance, instead of this process's own clock: pg-boss, say. */
  queue?: QueueLike | undefined;
  /** Keep the process alive while waiting. Default false: an app has a server for that. */
  ref?: boolean;
  /** @internal tests */
  clock?: Clock;
}

/** What is used of a queue such as pg-boss 10 and later. */
export interface QueueLike {
  createQueue?(name: string): Promise<unknown>;
  schedule(name: string, cron: string, data?: object | null, options?: { tz?: string }): Promise<unknown>;
  // biome-ignore lint/suspicious/noExplicitAny: each queue types its jobs in its own way
  work(name: string, handler: (jobs: any) => Promise<unknown>): Promise<unknown>;
  offWork?(name: string): Promise<unknown>;
}

export interface BackupSchedule {
  /** When the next run is due; `null` while one runs, after the end, and where a queue decides. */
  readonly next: Date | null;
  readonly running: boolean;
  /** The last run of this process. */
  readonly last: BackupRun | null;
  /**
   * Ends the schedule. A run that is under way is aborted, and nothing incomplete is left; `finish: true` lets it finish. Resolves when all is quiet. Idempotent, never
   * throws.
   */
  stop(options?: { finish?: boolean }): Promise<void>;
  /** Resolves at the end of the schedule, whatever ended it. */
  readonly done: Promise<void>;
}

const QUEUE = 'dbs-backup';

/**
 * Makes a backup whenever the settings' schedule says so, until it is stopped. A run that fails does not end it: `onEvent` and `onError` hear of it, as do hooks, webhook
 * and ping. Runs of one process never overlap, and the lock keeps those of other instances apart.
 *
 * @throws ConfigError at once, for settings that cannot work: no schedule, no destinations
 * @example
 * const backups = scheduleBackups(orm);
 * process.once('SIGTERM', async () => {
 *   await backups.stop();
 *   await orm.close();
 * });
 */
export function scheduleBackups(orm: OrmLike | OrmLike[], options: ScheduleBackupsOptions = {}): BackupSchedule {
  const settings = settingsOf(orm, options);
  const wanted = options.schedule ?? settings.schedule;
  if (!wanted)
    throw new ConfigError(
      'ERR_CONFIG_SCHEDULE',
      'The settings say no schedule. Set schedule: { cron: "0 3 * * *" }, or $DBS_SCHEDULE.',
    );
  const schedule = parseSchedule(wanted);
  if (!settings.destinations?.length)
    throw new ConfigError(
      'ERR_CONFIG_NO_DESTINATIONS',
      'The settings name no destinations for unattended backups. Set destinations, or $DBS_DESTINATIONS.',
    );
  return new RunningSchedule(orm, schedule, wanted, options);
}

class RunningSchedule implements BackupSchedule {
  next: Date | null = null;
  running = false;
  last: BackupRun | null = null;
  readonly done: Promise<void>;
  readonly #orm: OrmLike | OrmLike[];
  readonly #options: ScheduleBackupsOptions;
  readonly #schedule: Schedule;
  /** No further run. */
  readonly #ended = new AbortController();
  /** No further run, and the one under way ends now. */
  readonly #stopped = new AbortController();
  #task: Promise<void> = Promise.resolve();

  constructor(
    orm: OrmLike | OrmLike[],
    schedule: Schedule,
    settings: ScheduleSettings,
    options: ScheduleBackupsOptions,
  ) {
    this.#orm = orm;
    this.#options = options;
    this.#schedule = schedule;
    const { signal, queue } = options;
    const stop = () => this.#end(signal!.reason);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    this.done = (queue ? this.#byQueue(queue, settings) : this.#byClock())
      .catch((error) => {
        if (!this.#ended.signal.aborted) this.#failed(error);
      })
      .finally(() => signal?.removeEventListener('abort', stop));
  }

  async stop({ finish = false } = {}): Promise<void> {
    const reason = new Error('The schedule was stopped.');
    if (finish) this.#ended.abort(reason);
    else this.#end(reason);
    await this.done;
    await this.#task;
  }

  #end(reason: unknown): void {
    this.#ended.abort(reason);
    this.#stopped.abort(reason);
  }

  async #byClock(): Promise<void> {
    // What calls us is to have the object before anything happens.
    await Promise.resolve();
    await keepTimetable(this.#schedule, (due) => this.#once(due), {
      signal: this.#ended.signal,
      clock: this.#options.clock ?? systemClock(this.#options.ref ?? false),
      onNext: (at) => {
        this.next = at;
        this.#waiting(at);
      },
    });
  }

  async #byQueue(queue: QueueLike, { cron, timezone }: ScheduleSettings): Promise<void> {
    if (cron === undefined)
      throw new ConfigError('ERR_CONFIG_SCHEDULE', 'A queue needs a cron expression, not an interval (`every`).');
    await queue.createQueue?.(QUEUE);
    await queue.work(QUEUE, () => this.#once());
    await queue.schedule(QUEUE, cron, null, timezone === undefined ? {} : { tz: timezone });
    this.#waiting(null);
    await new Promise<void>((ended) => {
      if (this.#ended.signal.aborted) ended();
      else this.#ended.signal.addEventListener('abort', () => ended(), { once: true });
    });
    await queue.offWork?.(QUEUE);
  }

  #waiting(at: Date | null): void {
    this.#options.onEvent?.({ type: 'waiting', schedule: this.#schedule.text, next: at?.toISOString() ?? null });
  }

  /** Never throws: the next run is another chance. */
  #once(due?: Date): Promise<void> {
    const before = this.#task;
    this.#task = before.then(() => this.#run(due));
    return this.#task;
  }

  async #run(due: Date | undefined): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.next = null;
    this.running = true;
    try {
      const {
        schedule: _schedule,
        onError: _onError,
        queue: _queue,
        ref: _ref,
        clock: _clock,
        ...rest
      } = this.#options;
      const run = await runBackup(this.#orm, { ...rest, due, signal: this.#stopped.signal });
      if (run) this.last = run;
      else this.#skipped('ERR_BACKUP_LOCKED', 'Another instance has made this backup already.');
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      if (isLocked(error)) this.#skipped('ERR_BACKUP_LOCKED', problemOf(error).message);
      else this.#failed(error);
    } finally {
      this.running = false;
    }
  }

  #skipped(code: string, message: string): void {
    this.#options.onEvent?.({ type: 'run-skipped', code, message });
  }

  #failed(error: unknown): void {
    this.#options.onError?.(error);
  }
}
