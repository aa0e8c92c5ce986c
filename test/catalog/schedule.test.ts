/** When backups are due: by the functions themselves, not by waiting. */
import t from 'tap';
import { durationText, parseDuration } from '../../lib/catalog/duration.ts';
import { parseSchedule, type ScheduleSettings, scheduleFromText } from '../../lib/catalog/schedule.ts';

const next = (settings: ScheduleSettings, after: string) =>
  parseSchedule(settings).next(new Date(after))?.toISOString().replace('.000Z', 'Z');

t.test('lengths of time', async (t) => {
  for (const [text, milliseconds] of [
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    [' 6H ', 21_600_000],
    ['1d', 86_400_000],
    ['2w', 1_209_600_000],
    ['250ms', 250],
    [5000, 5000],
  ] as const)
    t.equal(parseDuration(text), milliseconds, String(text));
  for (const bad of [
    '',
    '6',
    'h',
    '6 years',
    '-1h',
    '0s',
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    {},
    '1e9w',
  ])
    t.equal(parseDuration(bad), null, String(bad));
  t.equal(durationText(5_400_000), '1h 30m');
  t.equal(durationText(90_061_000), '1d 1h');
  t.equal(durationText(0), '0s');
});

t.test('cron expressions', async (t) => {
  const utc = { timezone: 'UTC' };
  t.equal(next({ cron: '0 3 * * *', ...utc }, '2026-03-01T03:00:00Z'), '2026-03-02T03:00:00Z', 'strictly after');
  t.equal(next({ cron: '*/15 * * * *', ...utc }, '2026-03-01T03:14:59Z'), '2026-03-01T03:15:00Z');
  t.equal(next({ cron: '@weekly', ...utc }, '2026-03-04T00:00:00Z'), '2026-03-08T00:00:00Z');
  t.equal(next({ cron: '0 0 29 2 *', ...utc }, '2026-01-01T00:00:00Z'), '2028-02-29T00:00:00Z');
  const berlin = { cron: '30 2 * * *', timezone: 'Europe/Berlin' };
  t.equal(next(berlin, '2026-03-28T12:00:00Z'), '2026-03-29T01:00:00Z', '02:30 does not exist that night: at 03:00');
  const autumn = next(berlin, '2026-10-24T12:00:00Z')!;
  t.equal(autumn, '2026-10-25T00:30:00Z', '02:30 comes twice that night');
  t.equal(next(berlin, autumn), '2026-10-26T01:30:00Z', 'and counts once');
  t.equal(parseSchedule(berlin).text, '30 2 * * * (Europe/Berlin)');
});

t.test('intervals', async (t) => {
  t.equal(next({ every: '6h' }, '2026-03-01T05:59:59.999Z'), '2026-03-01T06:00:00Z');
  t.equal(next({ every: '6h' }, '2026-03-01T06:00:00Z'), '2026-03-01T12:00:00Z', 'strictly after');
  t.equal(next({ every: '1d' }, '2026-03-01T06:00:00Z'), '2026-03-02T00:00:00Z', 'at midnight UTC');
  t.equal(parseSchedule({ every: '6h', jitter: '90s' }).jitter, 90_000);
});

t.test('as text', async (t) => {
  t.same(scheduleFromText('0 3 * * *'), { cron: '0 3 * * *' });
  t.same(scheduleFromText(' every 6h'), { every: '6h' });
  t.same(scheduleFromText('30m'), { every: '30m' });
  t.same(scheduleFromText('@daily'), { cron: '@daily' });
});

t.test('what is none', async (t) => {
  const bad: [object, RegExp][] = [
    [{}, /either/],
    [{ cron: '0 3 * * *', every: '1h' }, /either/],
    [{ cron: 'every day' }, /"every day".*0 3 \* \* \*/],
    [{ cron: '61 * * * *' }, /61/],
    [{ cron: '0 0 30 2 *' }, /never comes due/],
    [{ cron: '2020-01-01T00:00:00' }, /never comes due/],
    [{ cron: '0 3 * * *', timezone: 'Mars/Base' }, /Mars\/Base/],
    [{ cron: 3 }, /texts/],
    [{ every: 'often' }, /schedule\.every/],
    [{ every: '5ms' }, /schedule\.every/],
    [{ every: '1h', jitter: 'some' }, /schedule\.jitter/],
  ];
  for (const [settings, message] of bad)
    t.throws(() => parseSchedule(settings), { code: 'ERR_CONFIG_SCHEDULE', message }, JSON.stringify(settings));
});
