/** What the CLI's tests share: a world of fakes for runs in this process, and a real app for runs of the real program. */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { CliContext } from '../../lib/cli/context.ts';
import { runCli } from '../../lib/cli/program.ts';
import type { PromptInput } from '../../lib/cli/prompt.ts';
import type { Output } from '../../lib/cli/terminal.ts';
import { bundlePackage } from '../../scripts/bundle.ts';
import { schemaErrors } from './schema.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const major = process.env.DBS_TEST_ORM ?? '6';

/** A folder of this test process, removed at its end. */
export const scratch = mkdtempSync(join(tmpdir(), 'dbs-cli-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** A stream that keeps what is written to it. */
export class Sponge extends Writable {
  isTTY = false;
  columns = 80;
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

/** A keyboard: what is typed arrives as `data` events. */
export class Keyboard extends Readable implements PromptInput {
  raw: boolean[] = [];
  override _read(): void {}
  setRawMode(raw: boolean): void {
    this.raw.push(raw);
  }
}

export interface FakeWorld extends CliContext {
  stdout: Sponge & Output;
  stderr: Sponge & Output;
  abort: AbortController;
}

/** A context without terminal, app or library: each test fills in what it is about. */
export function fakeWorld(changes: Partial<CliContext> = {}): FakeWorld {
  const abort = new AbortController();
  return {
    stdin: Readable.from([]),
    stdout: new Sponge(),
    stderr: new Sponge(),
    env: {},
    now: () => 0,
    signal: abort.signal,
    cwd: () => '/app',
    chdir: () => {},
    promptTerminal: () => null,
    stdinFile: () => null,
    library: async () => {
      throw new Error('no library in this test');
    },
    testkit: async () => {
      throw new Error('no testkit in this test');
    },
    loadApp: async () => ({ orms: [], backupConfig: undefined, close: async () => {} }),
    loadSettings: async () => undefined,
    ...changes,
    abort,
  } as FakeWorld;
}

/** Runs a command line in this process. */
export async function runFake(argv: string[], changes: Partial<CliContext> = {}) {
  const world = fakeWorld(changes);
  const code = await runCli(argv, world, '1.2.3');
  return { code, world, out: world.stdout.text, err: world.stderr.text };
}

/** The objects of an output, each of which must be as schema.json says. */
export function jsonLines(text: string): Record<string, unknown>[] {
  const lines = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const errors = lines.flatMap((line) => schemaErrors(line));
  if (errors.length) throw new Error(errors.join('; '));
  return lines;
}

/** The same for the lines of `dbs cat`, which are rows. */
export function rowLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: string | Buffer;
  /** Called with the running process. */
  during?: (child: ReturnType<typeof spawn>) => void;
}

/** For `env`: tap's loaders get into every process by NODE_OPTIONS; they triple its start, and break the compiler. */
export const NODE = ['-u', 'NODE_OPTIONS', process.execPath];

/**
 * The program as it is published: bundled, in a folder of its own with this package's dependencies. It starts in a third of the time that the sources
 * take, and there are many starts; and what loads the app's TypeScript is then the program itself.
 */
export function buildProgram(): string {
  const folder = join(scratch, 'package');
  mkdirSync(folder);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  bundlePackage(join(folder, 'dist'));
  return join(folder, 'dist/cli/main.js');
}

let built: string | undefined;
/** Compiled when first needed. */
export const program = (): string => (built ??= buildProgram());

/** An environment without anything of ours in it. */
export function cleanEnvironment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(DBS_|MIKRO_ORM_|TAP|NODE_OPTIONS|NODE_V8)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...more };
}

/** Runs the real program in a session of its own, so that it has no terminal to ask on. */
export function dbs(argv: string[], { cwd = scratch, env = {}, input, during }: RunOptions = {}) {
  const child = spawn('env', [...NODE, program(), ...argv], { cwd, env: cleanEnvironment(env), detached: true });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk) => out.push(chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  child.stdin.on('error', () => {});
  if (!during) child.stdin.end(input ?? '');
  during?.(child);
  return new Promise<{ code: number | null; stdout: Buffer; out: string; err: string }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      const stdout = Buffer.concat(out);
      resolve({ code, stdout, out: stdout.toString('utf8'), err });
    });
  });
}

const CONFIG = (noise: string) => `
import { EntitySchema, defineConfig } from '@mikro-orm/libsql';
export const Shop = new EntitySchema({ name: 'Shop', properties: { id: { type: 'number', primary: true }, name: { type: 'string' } } });
export const Product = new EntitySchema({ name: 'Product', properties: {
  id: { type: 'number', primary: true }, name: { type: 'string' }, image: { type: 'string', nullable: true },
  shop: { kind: 'm:1', entity: () => Shop } } });
${noise}
export default defineConfig({ entities: [Shop, Product], dbName: process.env.SHOP_DB ?? 'shop.db', debug: true,
  dbs: { entities: { Product: { fields: { image: 'FILE' } } }, storages: { default: process.env.SHOP_FILES ?? './uploads' } } });
`;

const SEED = `
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { MikroORM } from '@mikro-orm/libsql';
import config, { Product, Shop } from './mikro-orm.config.js';
const orm = await MikroORM.init({ ...config, debug: false });
await (orm.schema.createSchema?.() ?? orm.schema.create());
if (process.argv[2]) {
  const em = orm.em.fork();
  await em.insert(Shop, { id: 1, name: 'One' });
  for (let i = 1; i <= 20; i++) await em.insert(Product, { id: i, name: 'product ' + i, image: i % 5 ? null : 'p' + i + '.bin', shop: 1 });
  mkdirSync('uploads', { recursive: true });
  for (let i = 5; i <= 20; i += 5) writeFileSync('uploads/p' + i + '.bin', Buffer.alloc(i * 1000, i));
}
await orm.close();
`;

let apps = 0;

/** A folder with a real app in it: 21 rows in `shop.db`, 4 files in `uploads`, the same tables without rows in `empty.db`. */
export async function makeApp(): Promise<string> {
  const folder = join(scratch, `app-${++apps}`);
  const modules = major === '7' ? join(root, 'test/matrix/mikro-orm-7/node_modules') : join(root, 'node_modules');
  mkdirSync(folder);
  symlinkSync(modules, join(folder, 'node_modules'));
  const manifest = {
    name: 'shop',
    type: 'module',
    dependencies: { '@mikro-orm/core': major, '@mikro-orm/libsql': major },
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'mikro-orm.config.js'), CONFIG("console.log('NOISE of the app');"));
  writeFileSync(join(folder, 'seed.mjs'), SEED);
  await node(['seed.mjs', 'rows'], folder);
  await node(['seed.mjs'], folder, { SHOP_DB: 'empty.db' });
  return folder;
}

/** The app's configuration in TypeScript. Version 7 is installed without tsx here: Node strips types by itself, and no more than types. */
const TYPED =
  major === '7'
    ? "const colour: string = 'Red'; console.log(colour);"
    : 'enum Colour { Red }; console.log(Colour[0] as string);';
export const typescriptConfig = CONFIG(TYPED);

export function node(argv: string[], cwd: string, env: Record<string, string> = {}): Promise<void> {
  const child = spawn('env', [...NODE, ...argv], {
    cwd,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${argv[0]} ended with ${code}`))));
  });
}
