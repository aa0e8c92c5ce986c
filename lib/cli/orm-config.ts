/**
 * Finding the app's MikroORM configuration as MikroORM's own CLI does: $MIKRO_ORM_CLI_CONFIG, `configPaths` of the app's
 * package.json, then the usual names. Done here, as the two majors differ in it, and as `@mikro-orm/cli` is a development
 * dependency that a production image may lack.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { TYPESCRIPT } from './typescript.ts';

/** The `mikro-orm` key of package.json, and the environment above it, for both majors. */
export interface OrmSettings {
  configPaths: string[];
  /** `false`: the app says that its TypeScript is not to be used. */
  preferTs: boolean | undefined;
  tsConfigPath: string | undefined;
}

export interface AppManifest {
  /** The folder that holds package.json; the folder itself where there is none. */
  folder: string;
  type: string | undefined;
  /** Names of `@mikro-orm/*` packages among the dependencies. */
  ormPackages: string[];
  settings: OrmSettings;
}

/** Adds the MIKRO_ORM_ variables of the app's .env to `env`, as MikroORM does: they may name the configuration. */
export function ormVariables(folder: string, env: NodeJS.ProcessEnv): void {
  const path = env.MIKRO_ORM_ENV ?? join(folder, '.env');
  if (!existsSync(path)) return;
  for (const [name, value] of Object.entries(parseEnv(readFileSync(path, 'utf8')))) {
    if (name.startsWith('MIKRO_ORM_')) env[name] ??= value;
  }
}

/** Reads the nearest package.json, upwards. */
export function appManifest(folder: string, env: NodeJS.ProcessEnv): AppManifest {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const path = join(at, 'package.json');
    if (existsSync(path)) return manifestOf(at, readJson(path), env);
    if (at === dirname(at)) return manifestOf(resolve(folder), {}, env);
  }
}

type Json = Record<string, unknown>;

function readJson(path: string): Json {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Json;
  } catch {
    return {};
  }
}

function manifestOf(folder: string, json: Json, env: NodeJS.ProcessEnv): AppManifest {
  const own = (json['mikro-orm'] ?? {}) as {
    configPaths?: string[];
    preferTs?: boolean;
    useTsNode?: boolean;
    tsConfigPath?: string;
  };
  const names = Object.keys({ ...(json.dependencies as Json), ...(json.devDependencies as Json) });
  return {
    folder,
    type: json.type as string | undefined,
    ormPackages: names.filter((name) => name.startsWith('@mikro-orm/')),
    settings: {
      configPaths: [...(env.MIKRO_ORM_CLI_CONFIG ? [env.MIKRO_ORM_CLI_CONFIG] : []), ...(own.configPaths ?? [])],
      preferTs:
        flag(env.MIKRO_ORM_CLI_PREFER_TS) ?? flag(env.MIKRO_ORM_CLI_USE_TS_NODE) ?? own.preferTs ?? own.useTsNode,
      tsConfigPath: env.MIKRO_ORM_CLI_TS_CONFIG_PATH ?? own.tsConfigPath,
    },
  };
}

function flag(value: string | undefined): boolean | undefined {
  return value === undefined ? undefined : ['true', 't', '1'].includes(value.toLowerCase());
}

/** Where the configuration may be, best first, as absolute paths. `given` (`--config`) is the only candidate then. */
export function configCandidates(cwd: string, { settings }: AppManifest, given?: string): string[] {
  if (given !== undefined) return [resolve(cwd, given)];
  const built = ['dist', 'build'].find((folder) => existsSync(join(cwd, folder))) ?? 'src';
  const usual = [
    'src/mikro-orm.config.ts',
    'mikro-orm.config.ts',
    `${built}/mikro-orm.config.js`,
    'mikro-orm.config.js',
  ];
  const paths = [...settings.configPaths, ...usual].map((path) => resolve(cwd, path));
  return [...new Set(paths)].filter((path) => settings.preferTs !== false || !TYPESCRIPT.test(path));
}

type Options = Record<string, unknown>;

/**
 * The configuration of this name among a module's exports (an object, a function of the name, or an array of both), by the rules of
 * MikroORM's CLI. For apps without `@mikro-orm/cli`. Throws an Error with a sentence.
 */
export async function pickConfiguration(exported: unknown, name = 'default'): Promise<Options> {
  const isObject = (value: unknown): value is Options =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const named = (value: unknown) => isObject(value) && (value.contextName ?? 'default') === name;
  const fits = (value: unknown): value is Options => isObject(value) && (value.contextName ?? name) === name;
  const candidates = Array.isArray(exported) ? exported : [exported];
  const fixed = candidates.filter(named);
  if (fixed.length > 1) throw new Error(`it holds several configurations named "${name}"`);
  if (fixed[0]) return fixed[0] as Options;
  for (const make of candidates) {
    const made = typeof make === 'function' ? await make(name) : undefined;
    if (fits(made)) return made;
  }
  throw new Error(`it holds no configuration named "${name}"`);
}
