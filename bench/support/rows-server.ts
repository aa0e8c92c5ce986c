/** Databases for bench/rows.ts, by each database's own client: made, filled, emptied, dropped, dumped. */
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Dialect, ddl, fill, servers } from './rows-app.ts';

const { postgresql: pg, mariadb: my } = servers;
const pgFlags = `-h ${pg.host} -p ${pg.port} -U ${pg.user}`;
const myFlags = `-h ${my.host} -P ${my.port} -u ${my.user}`;
/** No secret in an argument. */
const env = { ...process.env, PGPASSWORD: pg.password, MYSQL_PWD: my.password };

const clients: Record<Dialect, (database: string) => string> = {
  sqlite: (file) => `sqlite3 -bail ${file}`,
  postgresql: (name) => `psql -qX -v ON_ERROR_STOP=1 ${pgFlags} ${name}`,
  mariadb: (name) => `mariadb ${myFlags} ${name}`,
};

function sql(dialect: Dialect, database: string, statements: string[]): string {
  const input = statements.map((one) => `${one};\n`).join('');
  const [client, ...flags] = clients[dialect](database).split(' ').filter(Boolean);
  return execFileSync(client!, flags, { input, env, encoding: 'utf8', maxBuffer: 1 << 28 });
}

/** Why this database cannot be measured here, or nothing. */
export function missing(dialect: Dialect): string | undefined {
  const client = { sqlite: 'sqlite3', postgresql: 'psql', mariadb: 'mariadb' }[dialect];
  if (spawnSync('sh', ['-c', `command -v ${client}`]).status !== 0) return `${client} is not installed`;
  try {
    if (dialect === 'postgresql') sql(dialect, 'postgres', ['SELECT 1']);
    if (dialect === 'mariadb') sql(dialect, 'information_schema', ['SELECT 1']);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

const made = new Set<string>();

/** One database of the bench. */
export class RowsDatabase {
  readonly dialect: Dialect;
  /** A name, or the path of a file. */
  readonly name: string;

  constructor(dialect: Dialect, folder: string, label: string) {
    this.dialect = dialect;
    this.name = dialect === 'sqlite' ? join(folder, `${label}.sqlite`) : `dbs_bench_${process.pid}_${label}`;
  }

  /** New, with its tables and nothing in them. */
  create(tables = true): void {
    this.drop();
    made.add(`${this.dialect} ${this.name}`);
    if (this.dialect === 'postgresql') sql('postgresql', 'postgres', [`CREATE DATABASE ${this.name}`]);
    if (this.dialect === 'mariadb') sql('mariadb', 'information_schema', [`CREATE DATABASE ${this.name}`]);
    if (this.dialect === 'sqlite') sql('sqlite', this.name, ['PRAGMA journal_mode = WAL']);
    if (tables) sql(this.dialect, this.name, ddl[this.dialect]);
  }

  fill(rows: number): void {
    sql(this.dialect, this.name, fill(this.dialect, rows));
    if (this.dialect === 'postgresql') sql(this.dialect, this.name, ['VACUUM ANALYZE']);
    if (this.dialect === 'sqlite') sql(this.dialect, this.name, ['PRAGMA wal_checkpoint(TRUNCATE)']);
  }

  count(): number {
    const out = sql(this.dialect, this.name, [
      'SELECT (SELECT count(*) FROM customer) + (SELECT count(*) FROM purchase)',
    ]);
    return Number(/\d+/.exec(out.split('\n').findLast((line) => /^\s*\d+\s*$/.test(line)) ?? '')?.[0]);
  }

  drop(): void {
    if (this.dialect === 'postgresql')
      sql('postgresql', 'postgres', [`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`]);
    if (this.dialect === 'mariadb') sql('mariadb', 'information_schema', [`DROP DATABASE IF EXISTS ${this.name}`]);
    if (this.dialect === 'sqlite') for (const end of ['', '-wal', '-shm']) rmSync(this.name + end, { force: true });
    made.delete(`${this.dialect} ${this.name}`);
  }
}

process.on('exit', () => {
  for (const one of made) {
    const [dialect, name] = one.split(' ') as [Dialect, string];
    Object.assign(Object.create(RowsDatabase.prototype) as RowsDatabase, { dialect, name }).drop();
  }
});

/** The database's own tools: what is compared. */
export interface Peer {
  name: string;
  backup: (database: string, file: string) => string;
  restore: (database: string, file: string) => string;
  /** Whether `restore` makes the tables itself. */
  makesTables: boolean;
}

export const peers: Record<Dialect, Peer[]> = {
  sqlite: [
    {
      name: 'sqlite3 .dump / .read',
      backup: (database, file) => `sqlite3 ${database} .dump > ${file}`,
      restore: (database, file) => `sqlite3 ${database} '.read ${file}'`,
      makesTables: true,
    },
  ],
  postgresql: [
    {
      name: 'pg_dump -Fc / pg_restore',
      backup: (database, file) => `pg_dump ${pgFlags} -Fc -f ${file} ${database}`,
      restore: (database, file) => `pg_restore ${pgFlags} -1 -d ${database} ${file}`,
      makesTables: true,
    },
    {
      name: 'pg_dump / psql',
      backup: (database, file) => `pg_dump ${pgFlags} -f ${file} ${database}`,
      restore: (database, file) => `psql -qX1 -v ON_ERROR_STOP=1 ${pgFlags} -f ${file} ${database}`,
      makesTables: true,
    },
  ],
  mariadb: [
    {
      name: 'mariadb-dump / mariadb',
      backup: (database, file) => `mariadb-dump ${myFlags} --single-transaction --quick ${database} > ${file}`,
      restore: (database, file) => `mariadb ${myFlags} ${database} < ${file}`,
      makesTables: true,
    },
  ],
};

export interface Figures {
  wall: number;
  cpu: number;
  peak: number;
}

/** A shell command: wall and CPU seconds of the client, and the peak of its largest process. */
export function timed(command: string): Figures {
  const script = [
    'import json, resource, subprocess, sys, time',
    'start = time.time()',
    "subprocess.run(['sh', '-c', sys.argv[1]], check=True, stdout=subprocess.DEVNULL)",
    'wall = time.time() - start',
    'u = resource.getrusage(resource.RUSAGE_CHILDREN)',
    "print(json.dumps({'wall': wall, 'cpu': u.ru_utime + u.ru_stime, 'peak': u.ru_maxrss * 1024}))",
  ].join('\n');
  return JSON.parse(execFileSync('python3', ['-c', script, command], { encoding: 'utf8', env })) as Figures;
}

/** Bytes, of a file that is there. */
export const sizeOf = (path: string): number => statSync(path).size;
