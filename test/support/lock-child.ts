/** A process that takes the lock and keeps it until it is killed: `lock-child.ts sqlite|postgresql|mysql DATABASE LEASE`. Says `LOCKED fence`, and `LOST code`. */
import { acquireLock } from '../../lib/orm/lock.ts';
import type { OrmLike } from '../../lib/orm/orm-like.ts';

const [kind, database, lease] = process.argv.slice(2) as [string, string, string];

async function open(): Promise<OrmLike> {
  if (kind === 'postgresql') {
    const { connect, blind } = await import('./postgresql.ts');
    return connect(database, [blind('Child')]);
  }
  if (kind === 'mysql') {
    const { connect, tables } = await import('./mysql.ts');
    return connect(database, tables('child'));
  }
  const { core, openOrm } = await import('./orm.ts');
  const Child = new core.EntitySchema({
    name: 'Child',
    properties: { id: { type: 'integer', primary: true } },
  } as never);
  return openOrm([Child], { file: database, schema: false });
}

const held = await acquireLock(await open(), { lease: Number(lease) });
held.signal.addEventListener('abort', () => {
  console.log(`LOST ${held.signal.reason.code}`);
  process.exit(7);
});
console.log(`LOCKED ${held.fence}`);
setInterval(() => {}, 1000);
