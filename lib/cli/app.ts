/** The app that is backed up: its MikroORM, made by the app's own packages from the app's own configuration. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigError } from '../errors.ts';
import type { OrmLike } from '../orm/orm-like.ts';
import { redacted } from '../texts.ts';
import { type AppManifest, appManifest, configCandidates, ormVariables, pickConfiguration } from './orm-config.ts';
import { supportTypeScript, TYPESCRIPT } from './typescript.ts';

export interface AppOptions {
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** `--config`. */
  config?: string;
  /** `--context`: none means MikroORM's default one. */
  contexts?: string[];
  /** `--config-dbs`. */
  configDbs?: string;
}

export interface App {
  /** One for each context, discovered; not connected yet: the library knows better when. */
  orms: ClosableOrm[];
  /** The BackupConfig of `--config-dbs`, else the `dbs` key of the first configuration that has one. */
  backupConfig: unknown;
  /** Never throws. */
  close(): Promise<void>;
}

export type ClosableOrm = OrmLike & { close(force?: boolean): Promise<void> };

type Options = Record<string, unknown>;
/** MikroORM's `Configuration`, as far as needed. */
interface Configuration {
  getAll(): Options;
}
interface CoreModule {
  MikroORM: { init(options: Options): Promise<ClosableOrm> };
}
interface CliModule {
  CLIHelper: { getConfiguration(name: string | undefined, paths: string[]): Promise<Configuration> };
}

/**
 * Loads the app in `cwd`. Sets a few MIKRO_ORM_ variables of this process on the way.
 * @throws ConfigError ERR_CONFIG_NOT_FOUND, ERR_CONFIG_LOAD, ERR_CONFIG_NO_MIKRO_ORM
 */
export async function loadApp(options: AppOptions): Promise<App> {
  const { cwd, env, contexts = [] } = options;
  ormVariables(cwd, env);
  const manifest = appManifest(cwd, env);
  const from = createRequire(join(manifest.folder, 'package.json'));
  const path = await findConfig(options, manifest, from);
  if (options.configDbs !== undefined && TYPESCRIPT.test(options.configDbs))
    await supportTypeScript(from, manifest.settings);
  const core = (await importFrom(from, '@mikro-orm/core', manifest)) as CoreModule | null;
  if (!core) {
    throw new ConfigError(
      'ERR_CONFIG_NO_MIKRO_ORM',
      `MikroORM is not installed in ${manifest.folder}. Run dbs in the app's folder, or name it with --cwd.`,
    );
  }
  const orms: ClosableOrm[] = [];
  const close = async () => {
    for (const orm of orms) await orm.close(true).catch(() => {});
  };
  try {
    for (const name of contexts.length ? contexts : [undefined]) {
      const settings = await loading(path, cwd, () => readConfig(path, name, from, manifest));
      orms.push(await loading(path, cwd, () => core.MikroORM.init(settings)));
    }
    const { configDbs } = options;
    return {
      orms,
      close,
      backupConfig: configDbs === undefined ? ownConfig(orms) : await importConfig(resolve(cwd, configDbs), cwd),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The BackupConfig of `--config-dbs`, else the `dbs` key of the app's configuration, without discovering entities or connecting. `undefined` where there is no app, or
 * where it says nothing.
 * @throws ConfigError ERR_CONFIG_NOT_FOUND for what was named and is not there, ERR_CONFIG_LOAD
 */
export async function loadSettings(options: AppOptions): Promise<unknown> {
  const { cwd, env, contexts = [], configDbs } = options;
  ormVariables(cwd, env);
  const manifest = appManifest(cwd, env);
  const from = createRequire(join(manifest.folder, 'package.json'));
  if (configDbs !== undefined) {
    if (TYPESCRIPT.test(configDbs)) await supportTypeScript(from, manifest.settings);
    return importConfig(resolve(cwd, configDbs), cwd);
  }
  if (options.config === undefined && !configCandidates(cwd, manifest).some((path) => existsSync(path)))
    return undefined;
  const path = await findConfig(options, manifest, from);
  for (const name of contexts.length ? contexts : [undefined]) {
    const { dbs } = await loading(path, cwd, () => readConfig(path, name, from, manifest));
    if (dbs !== undefined) return dbs;
  }
  return undefined;
}

/** The configuration's path; `null` where environment variables alone make one. Prepares for TypeScript where needed. */
async function findConfig(
  { cwd, env, config }: AppOptions,
  manifest: AppManifest,
  from: NodeJS.Require,
): Promise<string | null> {
  const candidates = configCandidates(cwd, manifest, config);
  let unreadable: string | undefined;
  for (const path of candidates) {
    if (!existsSync(path)) continue;
    if (!TYPESCRIPT.test(path) || (await supportTypeScript(from, manifest.settings))) return path;
    unreadable ??= path;
  }
  if (unreadable === undefined && config === undefined && (env.MIKRO_ORM_TYPE || env.MIKRO_ORM_ENTITIES)) return null;
  const facts = { looked: candidates };
  if (unreadable !== undefined) {
    throw new ConfigError(
      'ERR_CONFIG_LOAD',
      `${shown(unreadable, cwd)} is TypeScript, which this process cannot load. Install tsx in the app (npm i -D tsx), or name the compiled configuration with --config.`,
      { facts },
    );
  }
  throw new ConfigError(
    'ERR_CONFIG_NOT_FOUND',
    `No MikroORM configuration was found in ${cwd} (looked for ${candidates.map((path) => shown(path, cwd)).join(', ')}). Run dbs in the app's folder, or use --cwd FOLDER or --config FILE.`,
    { facts },
  );
}

/** Through the app's own CLI package where there is one, else by the same rules. Debug output is off. */
async function readConfig(
  path: string | null,
  name: string | undefined,
  from: NodeJS.Require,
  manifest: AppManifest,
): Promise<Options> {
  // A package.json further up may name the CLI: what counts is that it is there.
  process.env.MIKRO_ORM_ALLOW_GLOBAL_CLI ??= '1';
  const typescript = path !== null && TYPESCRIPT.test(path);
  if (typescript) process.env.MIKRO_ORM_CLI_ALWAYS_ALLOW_TS ??= '1';
  const cli = (await importFrom(from, '@mikro-orm/cli', manifest)) as CliModule | null;
  const settings = cli
    ? (await cli.CLIHelper.getConfiguration(name, path === null ? [] : [path])).getAll()
    : path === null
      ? {}
      : await pickConfiguration(await importDefault(path), name ?? process.env.MIKRO_ORM_CONTEXT_NAME);
  return { ...settings, debug: false, connect: false, ...(typescript ? { preferTs: true } : {}) };
}

/** Imports a package of the app; `null` where it is not installed. pnpm shows core only to its own dependents. */
async function importFrom(from: NodeJS.Require, name: string, manifest: AppManifest): Promise<unknown> {
  for (const start of [undefined, ...manifest.ormPackages]) {
    let path: string;
    try {
      path = (start === undefined ? from : createRequire(from.resolve(start))).resolve(name);
    } catch {
      continue;
    }
    const module = (await import(pathToFileURL(path).href)) as { default?: object };
    // CommonJS (version 6): not every export is seen from outside.
    return { ...module.default, ...module };
  }
  return null;
}

async function importDefault(path: string): Promise<unknown> {
  const module = (await import(pathToFileURL(path).href)) as { default?: unknown };
  const exported = (await module.default) ?? module;
  // A CommonJS module with an ES default, as TypeScript compiles it.
  const inner = exported as { __esModule?: boolean; default?: unknown };
  return inner?.__esModule ? inner.default : exported;
}

async function importConfig(path: string, cwd: string): Promise<unknown> {
  if (!existsSync(path)) {
    throw new ConfigError(
      'ERR_CONFIG_NOT_FOUND',
      `There is no file ${shown(path, cwd)} (--config-dbs). Check the path.`,
      { facts: { looked: [path] } },
    );
  }
  try {
    return await importDefault(path);
  } catch (error) {
    throw loadError(`The backup configuration ${shown(path, cwd)}`, path, error, 'Correct the file');
  }
}

function ownConfig(orms: OrmLike[]): unknown {
  return orms.map((orm) => orm.config.get('dbs')).find((config) => config !== undefined);
}

async function loading<T>(path: string | null, cwd: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const what = path === null ? 'of the environment (MIKRO_ORM_...)' : shown(path, cwd);
    const advice = "See that `npx mikro-orm debug` works in the app's folder";
    throw loadError(`The MikroORM configuration ${what}`, path, error, advice);
  }
}

function loadError(what: string, path: string | null, cause: unknown, advice: string): ConfigError {
  const { message, code } = cause as NodeJS.ErrnoException;
  const reason = redacted(String(message ?? cause).split('\n', 1)[0] ?? '').replace(/\.$/, '');
  // Node takes types away by itself, and no other TypeScript.
  const missing = code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX' ? 'Install tsx in the app (npm i -D tsx)' : advice;
  return new ConfigError(
    'ERR_CONFIG_LOAD',
    `${what} could not be loaded: ${reason}. ${missing}; DBS_DEBUG=1 shows where it failed.`,
    {
      cause,
      facts: { path },
    },
  );
}

function shown(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short && !short.startsWith('..') ? short : path;
}
