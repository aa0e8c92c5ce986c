/** A small app in a temporary folder, as a reader of the documents would have it: packages by `node_modules`, `npx` on the PATH. */
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { root } from './support.ts';

export const PASSPHRASE = 'correct horse battery staple';

const ENTITIES = `
import { defineEntity, p } from '@mikro-orm/libsql';
export const User = defineEntity({
  name: 'User',
  properties: { id: p.integer().primary(), name: p.string().unique(), avatar: p.string().nullable(), sessionToken: p.string().nullable() },
});
export const Invoice = defineEntity({
  name: 'Invoice',
  properties: { id: p.integer().primary(), user: () => p.manyToOne(User), pdf: p.string() },
});
export const AuditLog = defineEntity({ name: 'AuditLog', properties: { id: p.integer().primary(), text: p.string() } });
export const entities = [User, Invoice, AuditLog];
`;

const SEED = `
import { MikroORM } from '@mikro-orm/libsql';
import config from './mikro-orm.config.ts';
import * as model from './entities.ts';
const orm = await MikroORM.init(config);
await orm.em.getConnection().execute('PRAGMA journal_mode = WAL');
await orm.schema.createSchema();
const em = orm.em.fork();
const ada = em.create(model.User, { id: 1, name: 'Ada', avatar: 'avatars/ada.png', sessionToken: 'secret' });
em.create(model.User, { id: 2, name: 'Grace' });
em.create(model.Invoice, { id: 1, user: ada, pdf: 'invoices/1.pdf' });
em.create(model.AuditLog, { id: 1, text: 'Ada logged in' });
await em.flush();
await orm.close();
`;

const FILES: Record<string, string> = {
  'uploads/avatars/ada.png': 'a picture',
  'invoices/1.pdf': 'an invoice',
  'templates/welcome.txt': 'Dear {{ name }}',
  'package.json': '{ "name": "app", "version": "1.0.0", "type": "module", "private": true }',
  'entities.ts': ENTITIES,
  'seed.ts': SEED,
  'users.ts': "export const isSuperuser = (cookie: string | null): boolean => cookie === 'session=ada';",
};

/** Programs that the documents' command lines use and this machine may lack. */
const PROGRAMS: Record<string, string> = {
  npx: `[ "$1" = dbs ] && shift && exec "${process.execPath}" "${join(root, 'dist/cli/main.js')}" "$@"; exit 64`,
  pg_dump: 'echo "-- a dump of $1"',
  psql: 'cat > "psql-$1.sql"',
};

export interface Outcome {
  code: number | null;
  output: string;
}

export interface App {
  folder: string;
  /** Runs a program in the app's folder. */
  run(command: string, args: string[], env?: Record<string, string>): Promise<Outcome>;
  write(name: string, text: string): Promise<void>;
}

/** An app without its MikroORM configuration: that comes out of README.md. */
export async function makeApp(): Promise<App> {
  const folder = await mkdtemp(join(tmpdir(), 'dbs-docs-'));
  const write = async (name: string, text: string) => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  };
  for (const [name, text] of Object.entries(FILES)) await write(name, text);
  await mkdir(join(folder, 'node_modules'));
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  await symlink(root, join(folder, 'node_modules', 'mikro-orm-dbs'));
  for (const [name, script] of Object.entries(PROGRAMS)) {
    await write(`bin/${name}`, `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'bin', name), 0o755);
  }
  const path = `${join(folder, 'bin')}${delimiter}${process.env.PATH}`;
  const run = (command: string, args: string[], env: Record<string, string> = {}) =>
    new Promise<Outcome>((resolve, reject) => {
      const { DBS_PASSPHRASE: _, ...rest } = process.env;
      // By `env`: tap puts its own loader into NODE_OPTIONS of what is spawned, which a reader's machine does not have.
      const child = spawn('env', ['-u', 'NODE_OPTIONS', command, ...args], {
        cwd: folder,
        env: { ...rest, PATH: path, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text) => (output += text));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, output }));
    });
  return { folder, run, write };
}

/** Runs a TypeScript file of the app. */
export function runTypeScript(app: App, name: string): Promise<Outcome> {
  return app.run(process.execPath, ['--import=tsx', '--no-warnings', name], { BACKUP_PASSPHRASE: PASSPHRASE });
}
