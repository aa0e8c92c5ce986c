/** The timetable, on a clock of its own that jumps, sleeps and goes back. */
import t from 'tap';
import { parseSchedule, type ScheduleSettings } from '../../lib/catalog/schedule.ts';
import { type Clock, keepTimetable, systemClock, type TimetableOptions } from '../../lib/catalog/timetable.ts';

const iso = (time: number | Date) => new Date(time).toISOString().replace('.000Z', 'Z');
const HOUR = 3_600_000;

/** Time passes when somebody sleeps; `jumps` adds to it at these moments. */
class FakeClock implements Clock {
  time: number;
  readonly #jumps: [at: number, by: number][];

  constructor(start: string, jumps: [string, number][] = []) {
    this.time = Date.parse(start);
    this.#jumps = jumps.map(([at, by]) => [Date.parse(at), by]);
  }

  now(): number {
    return this.time;
  }

  async sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.time += milliseconds;
    const [next] = this.#jumps;
    if (next && this.time >= next[0]) {
      this.time += next[1];
      this.#jumps.shift();
    }
  }
}

/** When the task began, and for which moment; until it ran `count` times. */
async function times(
  settings: ScheduleSettings,
  clock: FakeClock,
  count: number,
  { lasts = 0, ...more }: { lasts?: number } & Partial<TimetableOptions> = {},
) {
  const runs: [began: string, due: string][] = [];
  const stop = new AbortController();
  const task = async (due: Date) => {
    runs.push([iso(clock.time), iso(due)]);
    clock.time += lasts;
    if (runs.length === count) stop.abort(new Error('enough'));
  };
  await keepTimetable(parseSchedule(settings), task, { signal: stop.signal, clock, ...more }).catch((error) => {
    if (error.message !== 'enough') throw error;
  });
  return runs;
}

const nightly = { cron: '0 3 * * *', timezone: 'UTC' };

t.test('day after day', async (t) => {
  const next: string[] = [];
  const runs = await times(nightly, new FakeClock('2026-03-01T12:00:00Z'), 3, { onNext: (at) => next.push(iso(at!)) });
  t.same(runs, [
    ['2026-03-02T03:00:00Z', '2026-03-02T03:00:00Z'],
    ['2026-03-03T03:00:00Z', '2026-03-03T03:00:00Z'],
    ['2026-03-04T03:00:00Z', '2026-03-04T03:00:00Z'],
  ]);
  t.same(next.slice(0, 2), ['2026-03-02T03:00:00Z', '2026-03-03T03:00:00Z'], 'said before');
});

t.test('at the start, too', async (t) => {
  const runs = await times({ ...nightly, runAtStart: true }, new FakeClock('2026-03-01T12:00:00Z'), 2);
  t.same(
    runs.map(([began]) => began),
    ['2026-03-01T12:00:00Z', '2026-03-02T03:00:00Z'],
  );
});

t.test('a run that takes longer than the interval', async (t) => {
  const runs = await times({ every: '1h' }, new FakeClock('2026-03-01T00:30:00Z'), 3, { lasts: 2.5 * HOUR });
  t.same(
    runs.map(([began]) => began),
    ['2026-03-01T01:00:00Z', '2026-03-01T04:00:00Z', '2026-03-01T07:00:00Z'],
    'moments that pass meanwhile are left out',
  );
});

t.test('jitter', async (t) => {
  const runs = await times({ ...nightly, jitter: '10m' }, new FakeClock('2026-03-01T12:00:00Z'), 2, {
    random: () => 0.5,
  });
  t.same(
    runs,
    [
      ['2026-03-02T03:05:00Z', '2026-03-02T03:00:00Z'],
      ['2026-03-03T03:05:00Z', '2026-03-03T03:00:00Z'],
    ],
    'later, for the moment that the whole fleet has',
  );
});

t.test('a machine that sleeps, and clocks that are set', async (t) => {
  const slept = new FakeClock('2026-03-01T12:00:00Z', [['2026-03-01T20:00:00Z', 72 * HOUR]]);
  t.same(
    (await times(nightly, slept, 2)).map(([began]) => began),
    ['2026-03-04T20:00:00Z', '2026-03-05T03:00:00Z'],
    'one run when it wakes, for all that it missed',
  );
  const back = new FakeClock('2026-03-01T12:00:00Z', [['2026-03-02T02:00:00Z', -24 * HOUR]]);
  t.same(
    (await times(nightly, back, 2)).map(([began]) => began),
    ['2026-03-01T03:00:00Z', '2026-03-02T03:00:00Z'],
    'set back by a day: no day is waited for twice',
  );
  const again = new FakeClock('2026-03-01T12:00:00Z', [['2026-03-02T03:30:00Z', -1 * HOUR]]);
  t.same(
    (await times(nightly, again, 2)).map(([began]) => began),
    ['2026-03-02T03:00:00Z', '2026-03-02T03:00:00Z'],
    'set back by an hour: once too often, never too seldom',
  );
});

t.test('the end', async (t) => {
  const stop = new AbortController();
  const waiting = keepTimetable(parseSchedule(nightly), async () => {}, {
    signal: stop.signal,
    clock: systemClock(true),
  });
  globalThis.setTimeout(() => stop.abort(new Error('SIGTERM')), 20);
  await t.rejects(waiting, { message: 'SIGTERM' }, 'an abort ends the waiting at once');
  const broken = keepTimetable(
    parseSchedule({ ...nightly, runAtStart: true }),
    async () => {
      throw new Error('task');
    },
    { signal: new AbortController().signal },
  );
  await t.rejects(broken, { message: 'task' });
  const last: (Date | null)[] = [];
  await keepTimetable(parseSchedule({ cron: '2099-01-01T00:00:00', timezone: 'UTC' }), async () => {}, {
    signal: stop.signal.aborted ? new AbortController().signal : stop.signal,
    clock: new FakeClock('2098-12-31T23:00:00Z'),
    onNext: (at) => last.push(at),
  });
  t.same(last.at(-1), null, 'a schedule that has no next moment ends');
});
