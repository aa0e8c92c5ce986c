/** An app with a small database, backups of it, and somebody who sends requests to its handler. */
import { readdirSync, readlinkSync } from 'node:fs';
import type { Test } from 'tap';
import { acquireLock, type BackupConfig, createBackup, MemorySink } from '../../lib/index.ts';
import { locate } from '../../lib/orm/drivers/sqlite-open.ts';
import { Random } from '../../lib/testkit/index.ts';
import { type BackupHandler, type BackupHandlerOptions, createBackupHandler } from '../../lib/web/index.ts';
import { core, openOrm, type TestOrm } from '../support/orm.ts';
import { dump, withDatabase } from '../support/orm-database.ts';

// biome-ignore lint/suspicious/noExplicitAny: the two majors type their builders differently
const { EntitySchema } = core as any;

const note = (more: object = {}) =>
  new EntitySchema({
    name: 'Note',
    properties: {
      id: { type: 'integer', primary: true },
      text: { type: 'text' },
      data: { type: 'blob', nullable: true },
      ...more,
    },
  });

export const PASSPHRASE = 'correct <horse> & "battery"';
/** What guessing costs is not what these tests are about. */
const kdf = { memoryKiB: 8192, iterations: 1, parallelism: 1 };

/** An app whose notes hold `bytes` of noise in all. */
export async function openApp(
  t: Test,
  { bytes = 100_000, rows = 20, columns = {}, dbs = {} as BackupConfig } = {},
): Promise<TestOrm> {
  const orm = await openOrm([note(columns)], { dbs });
  t.teardown(() => orm.close(true));
  const random = new Random('web');
  await withDatabase(orm, async (db) => {
    await db.exec('PRAGMA journal_mode = WAL; BEGIN');
    const insert = await db.prepare('INSERT INTO note (id, text, data) VALUES (?, ?, ?)');
    for (let id = 1; id <= rows; id++)
      await insert.run([id, `<b>note ${id}</b>`, random.bytes(Math.ceil(bytes / rows))]);
    await db.exec('COMMIT');
  });
  return orm;
}

export async function backupOf(orm: TestOrm): Promise<Buffer> {
  const output = new MemorySink();
  await createBackup(orm, PASSPHRASE, { output, kdf });
  return output.bytes!;
}

/** The rows, to the bit. */
export function rowsOf(orm: TestOrm): Promise<Record<string, string[]>> {
  return dump(orm);
}

/** Changes the table of locks. */
export async function withLocks(orm: TestOrm, sql: string): Promise<void> {
  const db = await (await locate(orm)).openBeside!('.dbs-lock');
  try {
    await db.exec(sql);
  } finally {
    await db.close();
  }
}

export const ORIGIN = 'https://shop.test';
export const BASE = '/admin/backups';

/** A handler that lets everybody in. */
export function handlerOf(t: Test, orm: TestOrm, options: Partial<BackupHandlerOptions> = {}): BackupHandler {
  const handler = createBackupHandler(orm, { basePath: BASE, authorize: () => true, kdf, ...options });
  t.teardown(() => handler.close());
  return handler;
}

export type Form = Record<string, string> | FormData | ReadableStream | null;

/** A browser, as far as it sends what it was given. */
export class Client {
  cookie = '';
  token = '';
  readonly #handler: BackupHandler;

  constructor(handler: BackupHandler) {
    this.#handler = handler;
  }

  static async open(handler: BackupHandler): Promise<Client> {
    const client = new Client(handler);
    await client.get();
    return client;
  }

  async get(path = '', headers: Record<string, string> = {}): Promise<Response> {
    const response = await this.#send('GET', path, headers);
    const page = await response.clone().text();
    this.token = /name="csrf" value="([^"]+)"/.exec(page)?.[1] ?? this.token;
    return response;
  }

  /** With the token, unless `form` has one. */
  post(path: string, form: Form, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    if (form === null || form instanceof ReadableStream) return this.#send('POST', path, headers, form, signal);
    if (form instanceof FormData) return this.#send('POST', path, headers, form, signal);
    return this.#send('POST', path, headers, new URLSearchParams({ csrf: this.token, ...form }), signal);
  }

  upload(bytes: Buffer, fields: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<Response> {
    return this.post('/upload', this.form(bytes, fields), headers);
  }

  form(bytes: Buffer | null, fields: Record<string, string> = {}): FormData {
    const form = new FormData();
    for (const [name, value] of Object.entries({ csrf: this.token, passphrase: PASSPHRASE, ...fields }))
      form.set(name, value);
    if (bytes) form.set('backup', new Blob([bytes]), 'up<load>.dbs');
    return form;
  }

  async #send(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: FormData | URLSearchParams | ReadableStream | null = null,
    signal?: AbortSignal,
  ): Promise<Response> {
    const request = new Request(`${ORIGIN}${BASE}${path}`, {
      method,
      headers: { ...(this.cookie ? { cookie: this.cookie } : {}), 'sec-fetch-site': 'same-origin', ...headers },
      body,
      ...(signal ? { signal } : {}),
      duplex: 'half',
    } as RequestInit);
    const response = await this.#handler(request, undefined);
    const [set] = response.headers.getSetCookie();
    if (set) this.cookie = set.split(';', 1)[0]!;
    return response;
  }
}

/** The upload's token in a page, or in JSON. */
export function uploadIn(answer: string): string {
  return /name="upload" value="([^"]+)"/.exec(answer)?.[1] ?? /"upload":"([^"]+)"/.exec(answer)?.[1] ?? '';
}

/** Uploads that lie on the disk of this process: they have no name any more. */
export function spooled(): number {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((link) => /dbs-[0-9a-f]+\.spool/.test(link)).length;
}

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Until nobody has the lock. */
export function untilFree(orm: TestOrm): Promise<void> {
  return until(async () => {
    const held = await acquireLock(orm).catch(() => null);
    await held?.release();
    return held !== null;
  });
}
