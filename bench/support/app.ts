/** A MikroORM app of any size on embedded SQLite: rows that look like a shop's, and files that do not compress. */
import { mkdir, open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { MikroORM } from '@mikro-orm/libsql';
import { Random } from '../../lib/testkit/random.ts';
import { appConfig } from './app-config.ts';

/** The module under @mikro-orm/libsql, which ships no types that fit here. */
interface Libsql {
  prepare(sql: string): { run(params: unknown[]): unknown };
  exec(sql: string): void;
  close(): void;
}
const Database = createRequire(import.meta.url)('libsql') as new (path: string) => Libsql;

export interface AppSize {
  /** Bytes of rows, about: of text as JSON has it. */
  rowBytes: number;
  /** Bytes of files. */
  fileBytes: number;
  /** Rows of random bytes in place of text. */
  noise?: boolean;
  /** Bytes of one file; default 1 MiB. */
  fileSize?: number;
}

/** The app as it runs: its tables are there already. */
export function openApp(folder: string): Promise<MikroORM> {
  return MikroORM.init(appConfig(folder));
}

/** Makes the tables, which takes memory of its own: not in the process that is measured. */
async function createApp(folder: string): Promise<void> {
  await mkdir(join(folder, 'uploads'), { recursive: true });
  const orm = await openApp(folder);
  await orm.em.getConnection().execute('PRAGMA journal_mode = WAL');
  await orm.schema.updateSchema();
  await orm.close(true);
}

const WORDS =
  'order delivered customer invoice weight garden kitchen colour small large returned stock supplier Wrocław Malmö price'.split(
    ' ',
  );

/** About 1000 bytes of JSON that deflate shrinks to a third or so. */
function article(id: number, random: Random): unknown[] {
  const words: string[] = [];
  for (let length = 0; length < 800; ) {
    const word = random.below(3) ? random.pick(WORDS) : random.u32().toString(36);
    words.push(word);
    length += word.length + 1;
  }
  const meta = JSON.stringify({ tags: [random.pick(WORDS), random.pick(WORDS)], rating: random.below(50) / 10 });
  const author = random.below(4) ? `${random.pick(WORDS)} ${random.u32()}` : null;
  return [
    id,
    `Article ${id}`,
    author,
    words.join(' '),
    random.below(1e6) / 100,
    random.below(1000),
    1.7e12 + id * 1000,
    meta,
  ];
}

const ARTICLES =
  'insert into article (id, title, author, body, price, stock, created_at, meta) values (?, ?, ?, ?, ?, ?, ?, ?)';

/** Makes an app and fills it; the same rows and files from the same sizes. */
export async function fillApp(folder: string, { rowBytes, fileBytes, noise, fileSize = 1 << 20 }: AppSize) {
  await createApp(folder);
  // Beside the ORM: a million rows through it would take minutes.
  const db = new Database(join(folder, 'app.sqlite'));
  const random = new Random(`app ${rowBytes} ${fileBytes}`);
  let rows = 0;
  const insert = (sql: string, row: (id: number) => unknown[], total: number, each: number) => {
    const count = Math.ceil(total / each);
    const statement = db.prepare(sql);
    db.exec('begin');
    for (let id = 1; id <= count; id++) statement.run(row(id));
    db.exec('commit');
    rows += count;
  };
  const ids = (id: number) => [id, `${id % 100}/${id}.bin`];
  if (noise)
    insert('insert into blob (id, noise) values (?, ?)', (id) => [id, random.bytes(8192)], (rowBytes * 3) / 4, 8192);
  else insert(ARTICLES, (id) => article(id, random), rowBytes, 1000);
  insert('insert into attachment (id, path) values (?, ?)', ids, fileBytes, fileSize);
  await writeFiles(join(folder, 'uploads'), fileBytes, fileSize);
  db.exec('pragma wal_checkpoint(truncate)');
  db.close();
  return { rows };
}

async function writeFiles(folder: string, total: number, each: number): Promise<void> {
  for (let id = 1, done = 0; done < total; id++, done += each) {
    await mkdir(join(folder, String(id % 100)), { recursive: true });
    await writeNoise(join(folder, `${id % 100}/${id}.bin`), Math.min(each, total - done), id);
  }
}

/** A file that no compressor shrinks. */
export async function writeNoise(path: string, length: number, seed: number | string): Promise<void> {
  const handle = await open(path, 'w');
  const piece = new Random(`noise ${seed}`).bytes(1 << 20);
  for (let done = 0; done < length; done += piece.length) {
    await handle.write(piece, 0, Math.min(piece.length, length - done));
    // Other bytes, much faster than drawing them: a window of 1 MiB is beyond what the compressors here look back on.
    for (let i = 0; i < piece.length; i += 8) piece.writeUInt32LE((piece.readUInt32LE(i) * 0x9e3779b1) >>> 0, i);
  }
  await handle.close();
}
