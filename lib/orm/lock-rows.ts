/** The row of one lock, as one would-be owner sees it: in the table `dbs_lock`, or in this process for a database in memory. */
import { LockError } from '../errors.ts';
import type { LockConnection, LockPlace } from './driver.ts';

/** Who has a lock. */
export interface Holder {
  holder: string;
  /** Milliseconds. */
  expiresIn: number;
}

/** One row of the table, and one would-be owner. */
export interface LockRows {
  take(signal?: AbortSignal): Promise<{ fence: number } | Holder>;
  /** Whether it is still ours. */
  renew(fence: number, signal: AbortSignal): Promise<boolean>;
  release(fence: number): Promise<void>;
}

export class TableRows implements LockRows {
  readonly #place: LockPlace;
  readonly #lease: number;
  /** As literals: both are made of harmless characters. */
  readonly #name: string;
  readonly #owner: string;

  constructor(place: LockPlace, name: string, owner: string, lease: number) {
    this.#place = place;
    this.#lease = Math.round(lease);
    this.#name = `'${name}'`;
    this.#owner = `'${owner}'`;
  }

  take(signal?: AbortSignal): Promise<{ fence: number } | Holder> {
    const { table, now, insert, create } = this.#place;
    const steps = async (db: LockConnection) => {
      await db.run(
        `${insert[0]} ${table} (name, owner, fence, expires_at) VALUES (${this.#name}, '', 0, 0)${insert[1]}`,
      );
      // One statement: of two who come at once, the second one finds a lease that has not expired.
      const changed = await db.run(
        `UPDATE ${table} SET owner = ${this.#owner}, fence = fence + 1, expires_at = ${now} + ${this.#lease} WHERE name = ${this.#name} AND expires_at <= ${now}`,
      );
      const [row] = await db.all(
        `SELECT owner, fence, expires_at - ${now} AS rest FROM ${table} WHERE name = ${this.#name}`,
      );
      const [holder, fence, rest] = (row ?? ['', 0, 0]) as [string, unknown, unknown];
      return changed > 0 ? { fence: Number(fence) } : { holder: String(holder), expiresIn: Number(rest) };
    };
    return this.#with(signal, async (db) => {
      try {
        return await steps(db);
      } catch (error) {
        if (!this.#place.isMissing(error)) throw this.#place.wrap(error, `write the lock table ${table}`);
      }
      try {
        // Of two who create it at once, one may be refused: what counts is that it is there.
        await db.run(create).catch(async (error) => {
          await db.all(`SELECT 1 AS one FROM ${table} WHERE 1 = 0`).catch(() => {
            throw error;
          });
        });
        return await steps(db);
      } catch (error) {
        throw noTable(table, create, error, this.#place);
      }
    });
  }

  renew(fence: number, signal: AbortSignal): Promise<boolean> {
    const { table, now } = this.#place;
    return this.#with(signal, async (db) => {
      try {
        // Not where it has expired, even if nobody took it: somebody may, at this moment.
        const mine = `name = ${this.#name} AND owner = ${this.#owner} AND fence = ${fence}`;
        // expires_at grows at least by one, so that also a server that counts changed rows only counts this one.
        const changed = await db.run(
          `UPDATE ${table} SET expires_at = CASE WHEN expires_at < ${now} + ${this.#lease} THEN ${now} + ${this.#lease} ELSE expires_at + 1 END WHERE ${mine} AND expires_at > ${now}`,
        );
        return changed > 0;
      } catch (error) {
        if (this.#place.isMissing(error)) return false;
        throw this.#place.wrap(error, `write the lock table ${table}`);
      }
    });
  }

  async release(fence: number): Promise<void> {
    const { table } = this.#place;
    await this.#with(AbortSignal.timeout(10_000), (db) =>
      db.run(
        `UPDATE ${table} SET expires_at = 0 WHERE name = ${this.#name} AND owner = ${this.#owner} AND fence = ${fence}`,
      ),
    );
  }

  async #with<T>(signal: AbortSignal | undefined, use: (db: LockConnection) => Promise<T>): Promise<T> {
    const db = await this.#place.connect(signal);
    try {
      return await use(db);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      await db.close();
    }
  }
}

/** A database in memory belongs to this process, and so does its lock. */
const owned = new Map<string, { owner: string; fence: number; held: boolean }>();

export class OwnRows implements LockRows {
  readonly #key: string;
  readonly #owner: string;

  constructor(identity: string, name: string, owner: string) {
    this.#key = `${identity} ${name}`;
    this.#owner = owner;
  }

  async take(): Promise<{ fence: number } | Holder> {
    const row = owned.get(this.#key);
    if (row?.held) return { holder: row.owner, expiresIn: 1000 };
    const fence = (row?.fence ?? 0) + 1;
    owned.set(this.#key, { owner: this.#owner, fence, held: true });
    return { fence };
  }

  async renew(fence: number): Promise<boolean> {
    const row = owned.get(this.#key);
    return row?.held === true && row.fence === fence;
  }

  async release(fence: number): Promise<void> {
    const row = owned.get(this.#key);
    if (row?.fence === fence) row.held = false;
  }
}

function noTable(table: string, create: string, error: unknown, place: LockPlace): LockError {
  const cause = place.wrap(error, `make the lock table ${table}`);
  return new LockError(
    'ERR_LOCK_TABLE',
    `The lock table ${table} cannot be made or written: ${cause.message} Run this once as its owner: ${create}. Or set lock: false, where only one instance makes backups.`,
    { cause, facts: { create } },
  );
}
