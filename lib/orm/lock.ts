/**
 * A lock among all instances of an app: one of them makes the backup, the others do not. It is a row with a lease in the app's own database (`dbs_lock`), which
 * expires by the DATABASE's clock, is renewed while the work goes on, and can be taken from a dead owner only after that.
 *
 * Why no advisory lock (pg_advisory_lock, GET_LOCK): it lives and dies with one connection. A pooler in transaction mode gives it to somebody else, a network that was cut keeps
 * it for hours until TCP notices, a failover drops it in silence, Galera does not replicate it, and it has no number to fence with. A row is the same on every
 * database, says who has it, and survives any connection: each step here opens its own.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as pauseFor } from 'node:timers/promises';
import { ConfigError, LockError } from '../errors.ts';
import { driverFor } from './drivers/index.ts';
import { type Holder, type LockRows, OwnRows, TableRows } from './lock-rows.ts';
import type { OrmLike } from './orm-like.ts';

export interface LockRequest {
  /** Locks of different names do not know of one another. Default `backup`. */
  name?: string;
  /** Milliseconds that the lock outlives its owner. Default 60,000. */
  lease?: number;
  /** Milliseconds to wait for another owner. Default 0. */
  wait?: number;
  signal?: AbortSignal | undefined;
}

/** A lock that is held. */
export interface Lease {
  readonly name: string;
  readonly owner: string;
  /** Grows with every owner: what carries a smaller number is late. */
  readonly fence: number;
  /** Aborts with LockError ERR_LOCK_LOST when the lock is not ours any more, or may not be. */
  readonly signal: AbortSignal;
  /** Asks the database, and renews: before what cannot be taken back. @throws LockError ERR_LOCK_LOST; SourceError */
  confirm(): Promise<void>;
  /** Gives it back, if it is still ours. Never throws. */
  release(): Promise<void>;
}

export const LOCK_NAME = /^[A-Za-z0-9][A-Za-z0-9 ._:-]{0,99}$/;
const LEASE = 60_000;
/** A renewal every third: two may fail. */
const RENEWALS = 3;
/** Of the lease: work stops this long before somebody else may begin. */
const MARGIN = 0.1;
const LONGEST_PAUSE = 5000;

/**
 * @throws LockError ERR_BACKUP_LOCKED where another instance has it (after `wait`), ERR_LOCK_TABLE where the table cannot be made or written; SourceError for the
 *   database; the signal's reason
 */
export async function acquireLock(orm: OrmLike | OrmLike[], request: LockRequest = {}): Promise<Lease> {
  const { name = 'backup', lease = LEASE, wait = 0, signal } = request;
  if (!LOCK_NAME.test(name))
    throw new ConfigError(
      'ERR_CONFIG_INVALID_OPTION',
      'lock.name must be letters, digits, spaces, ".", "_", ":" and "-".',
    );
  const [first] = [orm].flat();
  if (!first)
    throw new ConfigError('ERR_CONFIG_NO_ORM', 'No MikroORM instance was given. Pass one, or a list of them.');
  const { lockPlace, identity } = await driverFor(first);
  const owner = `${hostname()
    .replace(/[^A-Za-z0-9.-]/g, '_')
    .slice(0, 80)}:${process.pid}:${randomUUID()}`;
  const rows: LockRows = lockPlace ? new TableRows(lockPlace, name, owner, lease) : new OwnRows(identity, name, owner);
  const end = performance.now() + wait;
  for (let pause = 100; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    signal?.throwIfAborted();
    const asked = performance.now();
    const taken = await rows.take(signal);
    if ('fence' in taken) return new HeldLease(rows, { name, owner, lease, fence: taken.fence, asked });
    const left = end - performance.now();
    if (left <= 0) throw locked(name, taken);
    await pauseFor(Math.min(pause, left, Math.max(taken.expiresIn, 50)), undefined, signal ? { signal } : {}).catch(
      () => signal?.throwIfAborted(),
    );
  }
}

class HeldLease implements Lease {
  readonly name: string;
  readonly owner: string;
  readonly fence: number;
  readonly #rows: LockRows;
  readonly #lease: number;
  readonly #lost = new AbortController();
  /** By this process's own clock, which no one sets: until when nobody else can have it. */
  #until: number;
  #timer: NodeJS.Timeout | undefined;
  #open = true;

  constructor(rows: LockRows, facts: { name: string; owner: string; lease: number; fence: number; asked: number }) {
    this.#rows = rows;
    this.name = facts.name;
    this.owner = facts.owner;
    this.fence = facts.fence;
    this.#lease = facts.lease;
    // From before the database was asked: it began to count later than that.
    this.#until = facts.asked + facts.lease * (1 - MARGIN);
    this.#schedule();
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async confirm(): Promise<void> {
    this.#lost.signal.throwIfAborted();
    const asked = performance.now();
    // An answer that comes after the lease is none.
    const bound = AbortSignal.any([
      this.#lost.signal,
      AbortSignal.timeout(Math.max(1, Math.ceil(this.#until - asked))),
    ]);
    let mine: boolean;
    try {
      mine = await untilAborted(this.#rows.renew(this.fence, bound), bound);
    } catch (error) {
      if (bound.aborted || performance.now() >= this.#until) this.#lose();
      this.#lost.signal.throwIfAborted();
      throw error;
    }
    if (!mine) this.#lose();
    this.#lost.signal.throwIfAborted();
    this.#until = Math.max(this.#until, asked + this.#lease * (1 - MARGIN));
  }

  async release(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    await this.#rows.release(this.fence).catch(() => {
      // It expires by itself.
    });
  }

  #schedule(): void {
    const left = this.#until - performance.now();
    this.#timer = setTimeout(() => void this.#tick(), Math.max(0, Math.min(this.#lease / RENEWALS, left)));
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    if (performance.now() >= this.#until) this.#lose();
    else
      await this.confirm().catch(() => {
        // Out of reach: the next one may get through before the lease ends.
      });
    if (this.#open && !this.#lost.signal.aborted) this.#schedule();
  }

  #lose(): void {
    if (!this.#open || this.#lost.signal.aborted) return;
    this.#lost.abort(
      new LockError(
        'ERR_LOCK_LOST',
        `The lock "${this.name}" was lost: it could not be renewed in time, or another instance took it. The run was stopped; nothing was kept of it. If this machine or its database is often that slow, raise lock.lease.`,
        { facts: { name: this.name, owner: this.owner } },
      ),
    );
  }
}

/** A connection that hangs does not listen to signals. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((done, fail) => {
    const stop = () => fail(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    work.then(done, fail).finally(() => signal.removeEventListener('abort', stop));
  });
}

function locked(name: string, { holder, expiresIn }: Holder): LockError {
  const [host, pid] = holder.split(':');
  const left = Math.max(0, Math.ceil(expiresIn / 1000));
  return new LockError(
    'ERR_BACKUP_LOCKED',
    `Another instance is making a backup (process ${pid} on ${host}; its lock "${name}" holds for ${left} s more unless renewed). Wait for it, or give lock.wait.`,
    { facts: { name, holder, expiresInMilliseconds: Math.max(0, expiresIn) } },
  );
}
