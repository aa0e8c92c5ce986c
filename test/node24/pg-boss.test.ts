/** pg-boss itself as the queue of `scheduleBackups`, on a real PostgreSQL. It needs Node 22.12, so test/run.mjs runs this folder with Node 24 only. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { type BackupEvent, newKeyPair, parsePublicKey, type QueueLike, scheduleBackups } from '../../lib/index.ts';
import { also, blind, database, query, server, serverReady } from '../support/postgresql.ts';

interface Boss extends QueueLike {
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  send(name: string): Promise<string | null>;
  getSchedules(): Promise<{ name: string; cron: string; timezone: string }[]>;
  on(event: 'error', listener: (error: Error) => void): void;
}
/** A variable, so that the compiler does not look for the types of what may not be installed. */
const folder = 'mikro-orm-7';
const { PgBoss } = (await import(`../matrix/${folder}/queue.js`)) as { PgBoss: new (options: object) => Boss };

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600 && !(await holds()); i++) await setTimeout(100);
}

if (await serverReady()) {
  t.test('two instances of an app, one job: one backup', async (t) => {
    const orm = await database(
      [blind('Note')],
      ['CREATE TABLE note (id integer PRIMARY KEY); INSERT INTO note SELECT generate_series(1, 500)'],
    );
    const backups = mkdtempSync(join(tmpdir(), 'dbs-pg-boss-'));
    t.teardown(() => rmSync(backups, { recursive: true }));
    const config = {
      destinations: [backups],
      schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
      stateFile: false as const,
    };
    const secret = { recipients: [parsePublicKey(newKeyPair().recipient)] };
    const errors: unknown[] = [];
    const events: BackupEvent[] = [];
    const instances = [];
    for (const app of [orm, await also(orm, [blind('Note')], {})]) {
      const boss = new PgBoss({ ...server, database: orm.database, schema: 'queue' });
      boss.on('error', (error) => errors.push(error));
      await boss.start();
      const schedule = scheduleBackups(app, {
        ...{ config, secret, env: {}, queue: boss },
        onError: (error) => errors.push(error),
        onEvent: (event) => events.push(event),
      });
      await until(() => events.filter(({ type }) => type === 'waiting').length > instances.length);
      instances.push({ boss, schedule });
    }
    const [{ boss }] = instances as [(typeof instances)[number]];
    const [planned] = await boss.getSchedules();
    t.match(planned, { name: 'dbs-backup', cron: '0 3 * * *', timezone: 'Europe/Berlin' }, 'pg-boss has the schedule');

    const states = async () =>
      (await query(orm, "SELECT state::text FROM queue.job WHERE name = 'dbs-backup'")).map(([state]) => state);
    t.type(await boss.send('dbs-backup'), 'string');
    await until(async () => String(await states()) === 'completed');
    t.strictSame(await states(), ['completed']);
    t.equal(readdirSync(backups).length, 1, 'one backup');
    const ran = instances.filter(({ schedule }) => schedule.last);
    t.equal(ran.length, 1, 'by one of them');
    t.match(ran[0]!.schedule.last, { ok: true, rows: 500 });

    for (const { schedule } of instances) await schedule.stop();
    await boss.send('dbs-backup');
    await setTimeout(3000);
    t.equal(readdirSync(backups).length, 1, 'a schedule that was stopped works no more');
    t.strictSame(errors, []);
    for (const one of instances) await one.boss.stop({ graceful: false, close: true });
  });
}
