/** A connection that comes back: opened when first used, shared by all that happens at one destination, opened anew when it was lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SftpConnection } from './connection.ts';
import { connectionLost, isLost } from './errors.ts';
import type { SessionOptions } from './options.ts';
import type { SshTarget } from './targets.ts';

/** Before each new attempt. A server that restarts is back within this. */
const DELAYS = [250, 1000, 3000, 8000];

export class SftpSession {
  /** The name of the target. */
  readonly name: string;
  readonly delays: number[];
  readonly #target: SshTarget;
  readonly #options: SessionOptions;
  #connecting: Promise<SftpConnection> | undefined;
  #current: SftpConnection | undefined;
  readonly #ending = new AbortController();

  constructor(name: string, target: SshTarget, options: SessionOptions = {}) {
    this.name = name;
    this.#target = target;
    this.#options = options;
    this.delays = options.delays ?? DELAYS;
  }

  /** The open connection, or a new one. @throws as SftpConnection.open */
  connection(): Promise<SftpConnection> {
    if (this.#ending.signal.aborted) return Promise.reject(connectionLost(this.name, 'it was closed'));
    if (this.#current && !this.#current.isLost) return Promise.resolve(this.#current);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<SftpConnection> {
    const connection = await SftpConnection.open(this.name, this.#target, {
      ...this.#options,
      signal: this.#ending.signal,
    });
    if (this.#ending.signal.aborted) connection.close();
    this.#current = connection;
    return connection;
  }

  /**
   * Does what may be done twice, and does it again where the connection is lost meanwhile. A first connection that fails is not tried again: that is
   * for who knows how much the work is worth.
   */
  async run<T>(work: (connection: SftpConnection, attempt: number) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work(await this.connection(), attempt);
      } catch (error) {
        if (!this.mayTryAgain(error) || attempt >= this.delays.length) throw error;
        await sleep(this.delays[attempt]);
      }
    }
  }

  mayTryAgain(error: unknown): boolean {
    return isLost(error) && !this.#ending.signal.aborted && this.#current !== undefined;
  }

  /** Ends the connection, and opens no other. Idempotent, never throws. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#current?.close();
    await this.#connecting?.catch(() => {});
  }
}
