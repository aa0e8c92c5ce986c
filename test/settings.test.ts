/** The settings: what `defineBackupConfig` accepts and refuses, and what the environment says before it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type BackupConfig, defineBackupConfig, ownConfig, registryOf } from '../lib/settings.ts';
import { unknownVariables, VARIABLES, withEnvironment } from '../lib/settings-environment.ts';

const WHOLE: BackupConfig = {
  entities: { User: { fields: { avatar: 'FILE' } } },
  storages: { default: './uploads' },
  destinations: ['s3://backups/shop/', '/mnt/backups'],
  prefix: 'shop',
  retention: { keepLast: 3, keepDaily: 7, pins: ['shop-20260101-000000Z.dbs'] },
  sshTargets: {},
  s3: {},
  passphraseFile: '/run/secrets/dbs',
  recipients: ['dbs1abc'],
  schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin', jitter: '5m', runAtStart: true },
  lock: { name: 'shop', lease: '2m', wait: '1h' },
  hooks: { before: () => {}, after: async () => {}, failed: () => {} },
  webhook: { url: 'https://example.org/hook', secretEnv: 'SECRET', timeout: 5000, retries: 0, on: ['failure'] },
  ping: 'https://hc.example.org/abc',
  stateFile: false,
};

t.test('all of it', async (t) => {
  t.equal(defineBackupConfig(WHOLE), WHOLE, 'comes back as it was given');
  t.same(Object.keys(registryOf(WHOLE)).sort(), ['entities', 'storages'], 'the registry is the part of the database');
  const orm = (dbs: unknown) => ({ config: { get: () => dbs } }) as never;
  t.equal(ownConfig([orm(undefined), orm(WHOLE)]), WHOLE, 'the first ORM that has one');
  t.equal(ownConfig(orm(undefined)), undefined);
});

t.test('what the settings may not say', async (t) => {
  const bad: [object, string, RegExp][] = [
    [{ destination: [] }, 'ERR_CONFIG_UNKNOWN_OPTION', /"destination".*"destinations"/],
    [{ destinations: '/mnt' }, 'ERR_CONFIG_INVALID_OPTION', /destinations/],
    [{ destinations: [''] }, 'ERR_CONFIG_INVALID_OPTION', /destinations/],
    [{ destinations: [{ sink() {} }] }, 'ERR_CONFIG_INVALID_OPTION', /stat, list and remove/],
    [{ prefix: 'a/b' }, 'ERR_CONFIG_INVALID_OPTION', /prefix/],
    [{ prefix: '..' }, 'ERR_CONFIG_INVALID_OPTION', /prefix/],
    [{ retention: { keepDayly: 1 } }, 'ERR_CONFIG_UNKNOWN_OPTION', /in retention.*"keepDaily"/],
    [{ retention: { keepLast: -1 } }, 'ERR_CONFIG_INVALID_OPTION', /retention\.keepLast/],
    [{ retention: { keepLast: '3' } }, 'ERR_CONFIG_INVALID_OPTION', /retention\.keepLast/],
    [{ retention: { pins: [1] } }, 'ERR_CONFIG_INVALID_OPTION', /pins/],
    [{ sshTargets: [] }, 'ERR_CONFIG_INVALID_OPTION', /sshTargets/],
    [{ s3: 'x' }, 'ERR_CONFIG_INVALID_OPTION', /s3/],
    [{ passphraseFile: '' }, 'ERR_CONFIG_INVALID_OPTION', /passphraseFile/],
    [{ recipients: 'dbs1' }, 'ERR_CONFIG_INVALID_OPTION', /recipients/],
    [{ schedule: { crn: 1 } }, 'ERR_CONFIG_UNKNOWN_OPTION', /in schedule.*"cron"/],
    [{ schedule: { cron: '0 25 * * *' } }, 'ERR_CONFIG_SCHEDULE', /0 25 \* \* \*.*hour/],
    [{ schedule: {} }, 'ERR_CONFIG_SCHEDULE', /either/],
    [{ schedule: { every: '6h', runAtStart: 1 } }, 'ERR_CONFIG_INVALID_OPTION', /runAtStart/],
    [{ lock: true }, 'ERR_CONFIG_INVALID_OPTION', /lock/],
    [{ lock: { leese: 1 } }, 'ERR_CONFIG_UNKNOWN_OPTION', /"lease"/],
    [{ lock: { lease: '10ms' } }, 'ERR_CONFIG_INVALID_OPTION', /one second/],
    [{ lock: { wait: 'long' } }, 'ERR_CONFIG_INVALID_OPTION', /lock\.wait.*6h/],
    [{ hooks: { befor: () => {} } }, 'ERR_CONFIG_UNKNOWN_OPTION', /"before"/],
    [{ hooks: { after: 'x' } }, 'ERR_CONFIG_INVALID_OPTION', /hooks\.after/],
    [{ webhook: 'ftp://x' }, 'ERR_CONFIG_INVALID_OPTION', /webhook/],
    [{ webhook: { secret: 'x' } }, 'ERR_CONFIG_UNKNOWN_OPTION', /"secretEnv"/],
    [{ webhook: { on: ['never'] } }, 'ERR_CONFIG_INVALID_OPTION', /webhook\.on/],
    [{ ping: { retries: 99 } }, 'ERR_CONFIG_INVALID_OPTION', /ping\.retries/],
    [{ ping: { uri: 'x' } }, 'ERR_CONFIG_UNKNOWN_OPTION', /"url"/],
    [{ stateFile: true }, 'ERR_CONFIG_INVALID_OPTION', /stateFile/],
  ];
  for (const [config, code, message] of bad)
    t.throws(() => defineBackupConfig(config as BackupConfig), { code, message }, JSON.stringify(config));
});

t.test('the environment goes before the configuration', async (t) => {
  const env = {
    DBS_DESTINATIONS: 's3://other/x/, /srv/backups',
    DBS_PREFIX: 'blue',
    DBS_SCHEDULE: 'every 6h',
    DBS_PASSPHRASE_FILE: '/etc/pass',
    DBS_RECIPIENTS: 'dbs1x,dbs1y',
    DBS_WEBHOOK: 'https://hooks.example.org/1',
    DBS_PING: 'https://hc.example.org/2',
    DBS_STATE_FILE: '/var/lib/state',
  };
  const merged = withEnvironment(WHOLE, env);
  t.same(merged.destinations, ['s3://other/x/', '/srv/backups']);
  t.same(merged.recipients, ['dbs1x', 'dbs1y']);
  t.equal(merged.prefix, 'blue');
  t.same(merged.schedule, { every: '6h', timezone: 'Europe/Berlin', jitter: '5m', runAtStart: true });
  t.equal(merged.passphraseFile, '/etc/pass');
  t.same(merged.webhook, { ...(WHOLE.webhook as object), url: 'https://hooks.example.org/1' });
  t.same(merged.ping, { url: 'https://hc.example.org/2' });
  t.equal(merged.stateFile, '/var/lib/state');
  t.equal(WHOLE.prefix, 'shop', 'what was given stays as it is');
  t.same(withEnvironment(WHOLE, { DBS_PREFIX: '' }), WHOLE, 'an empty variable is as none');
  t.same(withEnvironment({}, { DBS_SCHEDULE: '0 3 * * *', DBS_TIMEZONE: 'UTC' }).schedule, {
    cron: '0 3 * * *',
    timezone: 'UTC',
  });
  const bad: [NodeJS.ProcessEnv, RegExp][] = [
    [{ DBS_DESTINATIONS: 'a,,b' }, /\$DBS_DESTINATIONS/],
    [{ DBS_WEBHOOK: 'nonsense' }, /\$DBS_WEBHOOK/],
    [{ DBS_SCHEDULE: 'sometimes' }, /sometimes/],
    [{ DBS_PREFIX: '../x' }, /prefix/],
  ];
  for (const [one, message] of bad) t.throws(() => withEnvironment({}, one), { message }, JSON.stringify(one));
});

t.test('DBS_ variables that nobody reads', async (t) => {
  const env = { DBS_DESTINATION: 'x', DBS_PASSPHRASE: 'x', OTHER: 'x', DBS_SFTP_PASSWORD: 'x', DBS_PINGS: 'x' };
  t.same(unknownVariables(env, ['DBS_SFTP_PASSWORD']), [
    { name: 'DBS_DESTINATION', near: 'DBS_DESTINATIONS' },
    { name: 'DBS_PINGS', near: 'DBS_PING' },
  ]);
});

t.test('docs/unattended.md lists every variable', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../docs/unattended.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(DBS_\w+)` \| (.*) \|$/gm)].map(([, name, text]) => [name, text]);
  t.same(Object.fromEntries(rows), VARIABLES);
});
