/** What every database's lock must do: one suite for all of them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Test } from 'tap';
import { acquireLock, type Lease } from '../../lib/orm/lock.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';
import { createRowSource } from '../../lib/orm/row-source.ts';

export interface LockWorld {
  orm: OrmLike;
  /** Runs SQL where `dbs_lock` is. */
  sql: (text: string) => Promise<unknown>;
  /** How lock-child.ts opens the same database; without it, no second process is started. */
  child?: [kind: string, database: string];
}

const failing = async (work: Promise<unknown>) => {
  try {
    await work;
  } catch (error) {
    return error as Error & { code: string; facts: Record<string, unknown> };
  }
  throw new Error('It did not fail.');
};

export async function lockSuite(t: Test, { orm, sql, child }: LockWorld): Promise<void> {
  await t.test('one at a time, and the fence grows', async (t) => {
    const all = await Promise.allSettled(Array.from({ length: 5 }, () => acquireLock(orm, { lease: 30_000 })));
    const won = all.filter((one) => one.status === 'fulfilled').map(({ value }) => value as Lease);
    t.equal(won.length, 1, 'of five who come at once, before there is a table, one gets it');
    for (const one of all) if (one.status === 'rejected') t.equal(one.reason.code, 'ERR_BACKUP_LOCKED');
    const error = await failing(acquireLock(orm));
    t.equal(error.code, 'ERR_BACKUP_LOCKED');
    t.match(error.message, new RegExp(`process ${process.pid} on `));
    t.equal(error.facts.holder, won[0]!.owner);
    const left = error.facts.expiresInMilliseconds as number;
    t.ok(left > 0 && left <= 30_000, `by the database's clock it holds for ${left} ms more`);
    const other = await acquireLock(orm, { name: 'other' });
    await other.release();
    const waiting = acquireLock(orm, { wait: 60_000 });
    await setTimeout(300);
    await won[0]!.confirm();
    await won[0]!.release();
    await won[0]!.release();
    const next = await waiting;
    t.ok(next.fence > won[0]!.fence, 'who waited gets it, with a larger fence');
    await next.release();
    const stop = new AbortController();
    const held = await acquireLock(orm);
    const waits = acquireLock(orm, { wait: 60_000, signal: stop.signal });
    globalThis.setTimeout(() => stop.abort(new Error('enough')), 100);
    t.match(await failing(waits), { message: 'enough' }, 'an abort ends the waiting');
    await held.release();
  });

  await t.test('a lease that is renewed stays; one that was taken stops the work', async (t) => {
    const held = await acquireLock(orm, { lease: 3000 });
    // Once on each database: it is the same on the other Node.js and MikroORM.
    if (child) await setTimeout(4000);
    t.equal(held.signal.aborted, false, 'renewed beyond its lease');
    t.match(await failing(acquireLock(orm)), { code: 'ERR_BACKUP_LOCKED' });
    await sql("UPDATE dbs_lock SET owner = 'thief', fence = fence + 1 WHERE name = 'backup'");
    t.match(await failing(held.confirm()), { code: 'ERR_LOCK_LOST' });
    t.equal(held.signal.aborted, true);
    t.match(held.signal.reason, { code: 'ERR_LOCK_LOST', name: 'LockError' });
    await held.release();
    t.match(await failing(acquireLock(orm)), { code: 'ERR_BACKUP_LOCKED' }, "the thief's lock was left alone");
    await sql("UPDATE dbs_lock SET expires_at = 0 WHERE name = 'backup'");
    const again = await acquireLock(orm, { lease: 60_000 });
    await sql('DROP TABLE dbs_lock');
    t.match(await failing(again.confirm()), { code: 'ERR_LOCK_LOST' }, 'a table that was dropped holds no lock');
    await again.release();
  });

  await t.test('it is no part of a backup', async (t) => {
    const held = await acquireLock(orm);
    const names: string[] = [];
    for await (const item of createRowSource(orm, {})) {
      if (item.type === 'schema') names.push(...item.schema.tables.map(({ table }) => table));
    }
    t.ok(names.length > 0);
    t.notOk(names.includes('dbs_lock'));
    await held.release();
  });

  if (!child) return;
  await t.test('two processes', async (t) => {
    const lease = 3000;
    const started: ChildProcess[] = [];
    t.teardown(() => {
      for (const one of started) one.kill('SIGKILL');
    });
    const holder = async () => {
      const script = join(import.meta.dirname, 'lock-child.ts');
      const one = spawn(process.execPath, ['--import=tsx', '--no-warnings', script, ...child, String(lease)], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, TAP: '0' },
      });
      started.push(one);
      let text = '';
      one.stdout.on('data', (chunk) => (text += chunk));
      while (!/LOCKED/.test(text)) {
        if (one.exitCode !== null) throw new Error(`the other process ended: ${text}`);
        await setTimeout(20);
      }
      return { one, said: () => text };
    };
    const dead = await holder();
    t.match(await failing(acquireLock(orm)), { code: 'ERR_BACKUP_LOCKED' }, 'the other process has it');
    dead.one.kill('SIGKILL');
    await once(dead.one, 'exit');
    const before = await failing(acquireLock(orm));
    t.equal(before.code, 'ERR_BACKUP_LOCKED', 'dead, and its lease goes on');
    const taken = await acquireLock(orm, { wait: 60_000 });
    t.pass(`taken over when ${before.facts.expiresInMilliseconds} ms more had passed`);
    await taken.release();

    const asleep = await holder();
    asleep.one.kill('SIGSTOP');
    const over = await acquireLock(orm, { wait: 60_000, lease: 60_000 });
    t.pass('a process that sleeps beyond its lease loses it');
    asleep.one.kill('SIGCONT');
    const [code] = await once(asleep.one, 'exit');
    t.equal(code, 7, 'and knows when it wakes up');
    t.match(asleep.said(), /LOST ERR_LOCK_LOST/);
    await over.confirm();
    await over.release();
  });
}
