/** Names of backups, and which of them stay: properties, with the seed printed. DBS_TEST_SEED repeats a run. */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { checkPrefix, makeName, parseName } from '../../lib/catalog/naming.ts';
import { PERIODS, type Period, periodOf } from '../../lib/catalog/periods.ts';
import { checkRules, keepNewestValid, type RetentionRules, retain } from '../../lib/catalog/retention.ts';

const seed = Number(process.env.DBS_TEST_SEED ?? randomInt(2 ** 31));
t.comment(`fast-check seed ${seed}`);
const holds = <T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>, numRuns = 120) =>
  fc.assert(property, { seed, numRuns });

const prefixes = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const SECOND = 1000;
const FIRST = Date.UTC(1970, 0, 1);
const moments = fc.integer({ min: 0, max: 253_402_300_799 }).map((s) => new Date(FIRST + s * SECOND));

t.test('a name says what it was made of', async (t) => {
  holds(
    fc.property(prefixes, moments, fc.integer({ min: 1, max: 9999 }), (prefix, time, sequence) => {
      const name = makeName(prefix, time, sequence);
      const parsed = parseName(name);
      if (parsed?.prefix !== prefix || parsed.sequence !== sequence || +parsed.time !== +time) return false;
      return parseName(name, prefix) !== null && parseName(name, `${prefix}x`) === null;
    }),
  );
  holds(
    fc.property(prefixes, moments, moments, (prefix, a, b) => {
      const [one, two] = [makeName(prefix, a), makeName(prefix, b)];
      return Math.sign(+a - +b) === (one < two ? -1 : one > two ? 1 : 0);
    }),
  );
  t.equal(makeName('shop', new Date('2026-11-25T21:44:57.999Z')), 'shop-20261125-214457Z.dbs');
  t.equal(makeName('shop', new Date('2026-11-25T21:44:57Z'), 2), 'shop-20261125-214457Z-2.dbs');
});

t.test('what is no name of ours is left alone', async (t) => {
  const others = [
    'shop-20261125-214457.dbs',
    'shop-20261125-214457Z.dbs.part',
    '.shop-20261125-214457Z.dbs',
    'shop-20260230-000000Z.dbs',
    'shop-20261125-244457Z.dbs',
    'shop-20261125-214460Z.dbs',
    'shop-20261125-214457Z-1.dbs',
    'shop-20261125-214457Z-02.dbs',
    'shop-20261125-214457Z.DBS',
    'shop20261125-214457Z.dbs',
    '-20261125-214457Z.dbs',
    'shop-20261125-214457Z.dbs\n',
    'a/shop-20261125-214457Z.dbs',
    'shop.dbs',
  ];
  for (const name of others) t.equal(parseName(name), null, JSON.stringify(name));
  t.equal(parseName('shop-eu-20261125-214457Z.dbs', 'shop'), null, 'another prefix that begins the same');
  t.match(parseName('shop-eu-20261125-214457Z.dbs'), { prefix: 'shop-eu' });
  for (const prefix of ['', '.x', '-x', 'a/b', 'a b', 'ä', 'x'.repeat(101), '..'])
    t.throws(() => checkPrefix(prefix), { code: 'ERR_CATALOG_PREFIX' }, JSON.stringify(prefix));
  holds(fc.property(fc.string(), (name) => parseName(name) === null || makeName('a', new Date(0)).length > 0));
});

t.test('periods', async (t) => {
  const at = new Date('2026-10-25T00:30:00Z');
  const later = new Date('2026-10-25T01:30:00Z');
  t.equal(periodOf('hourly', at), '2026-10-25T00Z');
  t.equal(periodOf('hourly', at, 'Europe/Berlin'), '2026-10-25T02+02:00');
  t.equal(periodOf('hourly', later, 'Europe/Berlin'), '2026-10-25T02+01:00', 'the hour that comes twice is two');
  t.equal(periodOf('daily', new Date('2026-12-31T23:30:00Z'), 'Europe/Berlin'), '2027-01-01');
  t.equal(periodOf('yearly', new Date('2026-12-31T23:30:00Z')), '2026');
  for (const [day, week] of [
    ['2021-01-03', '2020-W53'],
    ['2021-01-04', '2021-W01'],
    ['2024-12-30', '2025-W01'],
    ['2026-11-25', '2026-W48'],
    ['2027-01-03', '2026-W53'],
  ] as const)
    t.equal(periodOf('weekly', new Date(`${day}T12:00:00Z`)), week, day);
});

const counts = fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined });
const zones = fc.constantFrom(undefined, 'UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Kiritimati');
const allRules = fc
  .record({
    ...{ keepLast: counts, keepHourly: counts, keepDaily: counts, keepWeekly: counts },
    ...{ keepMonthly: counts, keepYearly: counts, timeZone: zones },
  })
  .map((rules) => Object.fromEntries(Object.entries(rules).filter(([, v]) => v !== undefined)) as RetentionRules)
  .filter((rules) => Object.entries(rules).some(([name, value]) => name !== 'timeZone' && value));
/** Some within an hour of one another, others years apart. */
const files = fc
  .array(fc.tuple(fc.constantFrom(600, 7200, 90_000, 700_000, 40_000_000), fc.integer({ min: 0, max: 40 })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((steps) => {
    let at = Date.UTC(2020, 1, 27);
    return steps.map(([step, times]) => {
      at += step * times * SECOND + SECOND;
      return makeName('shop', new Date(at));
    });
  });
const foreign = fc.array(
  fc.constantFrom('shop.dbs', 'other-20260101-000000Z.dbs', 'shop-eu-20260101-000000Z.dbs', 'x'),
);

const RULE_OF: Record<Period, keyof RetentionRules> = {
  hourly: 'keepHourly',
  daily: 'keepDaily',
  weekly: 'keepWeekly',
  monthly: 'keepMonthly',
  yearly: 'keepYearly',
};

/** The rule in its plainest words: the newest of each of the last n periods that have one. */
function plainly(names: string[], rules: RetentionRules): Set<string> {
  const newest = [...new Set(names)].sort().reverse();
  const kept = new Set(newest.slice(0, rules.keepLast ?? 0));
  for (const period of PERIODS) {
    const groups = new Map<string, string>();
    for (const name of newest) {
      const key = periodOf(period, parseName(name)!.time, rules.timeZone);
      if (!groups.has(key)) groups.set(key, name);
    }
    const count = (rules[RULE_OF[period]] as number | undefined) ?? 0;
    for (const name of [...groups.values()].slice(0, count)) kept.add(name);
  }
  return kept;
}

const keptOf = (names: string[], rules: RetentionRules) =>
  new Set(
    retain(names, 'shop', rules)
      .filter((v) => v.keep)
      .map((v) => v.name),
  );
const isSubset = (a: Set<string>, b: Set<string>) => [...a].every((x) => b.has(x));

t.test('which backups stay', async () => {
  holds(
    fc.property(files, foreign, allRules, (names, others, rules) => {
      const verdicts = retain([...others, ...names], 'shop', rules);
      const kept = plainly(names, rules);
      return (
        verdicts.length === new Set(names).size &&
        verdicts.every((v) => v.keep === kept.has(v.name) && v.keep === v.reasons.length > 0)
      );
    }),
  );
});

t.test('what is kept stays kept', async () => {
  holds(
    fc.property(files, allRules, (names, rules) => {
      const kept = keptOf(names, rules);
      const newest = [...names].sort().at(-1)!;
      return kept.has(newest) && isSubset(kept, keptOf([...kept], rules)) && isSubset(keptOf([...kept], rules), kept);
    }),
  );
  holds(
    fc.property(files, allRules, fc.integer(), (names, rules, salt) => {
      const shuffled = [...names].sort((a, b) => ((a.length * 31 + salt) % 7) - ((b.length * 17 + salt) % 5));
      return JSON.stringify(retain(names, 'shop', rules)) === JSON.stringify(retain(shuffled.reverse(), 'shop', rules));
    }),
  );
  holds(
    fc.property(
      files,
      allRules,
      fc.constantFrom(...Object.values(RULE_OF), 'keepLast' as const),
      (names, rules, rule) => {
        const more = { ...rules, [rule]: ((rules[rule] as number | undefined) ?? 0) + 1 };
        return isSubset(keptOf(names, rules), keptOf(names, more));
      },
    ),
  );
});

t.test('pins, and the newest valid one', async (t) => {
  holds(
    fc.property(files, allRules, fc.integer({ min: 0, max: 39 }), (names, rules, n) => {
      const pin = names[n % names.length]!;
      const kept = keptOf(names, { ...rules, pins: [pin] });
      const without = keptOf(names, rules);
      without.add(pin);
      return isSubset(kept, without) && isSubset(without, kept);
    }),
  );
  const verdicts = retain(['a-20260101-000000Z.dbs', 'a-20260102-000000Z.dbs'], 'a', { keepLast: 1 });
  t.match(verdicts, [
    { name: 'a-20260102-000000Z.dbs', keep: true, reasons: ['last 1'] },
    { name: 'a-20260101-000000Z.dbs', keep: false, reasons: [] },
  ]);
  t.match(keepNewestValid(verdicts, 'a-20260101-000000Z.dbs'), [
    { keep: true },
    { keep: true, reasons: ['newest valid'] },
  ]);
});

t.test('rules that cannot be meant', async (t) => {
  for (const none of [{}, { keepLast: 0 }, { pins: ['x'] }, { keepLast: 0, keepDaily: 0 }])
    t.throws(() => checkRules(none), { code: 'ERR_CATALOG_NO_RULES' });
  for (const wrong of [{ keepLast: -1 }, { keepDaily: 1.5 }, { keepLast: Number.NaN }, { keepLast: '3' as never }])
    t.throws(() => checkRules(wrong), { code: 'ERR_CATALOG_RULE' });
  t.throws(() => checkRules({ keepLast: 1, timeZone: 'Mars/Olympus' }), { code: 'ERR_CATALOG_RULE', message: /Mars/ });
});
