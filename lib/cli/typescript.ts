/** Making this process able to import the app's TypeScript: with what the app itself has installed. */
import type { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

type AppRequire = ReturnType<typeof createRequire>;

export const TYPESCRIPT = /\.[mc]?ts$/;

export interface TypeScriptOptions {
  tsConfigPath?: string | undefined;
}

let registered: Promise<string | null> | undefined;

/**
 * Registers a loader, once: tsx (whichever module system the app uses, decorators too), ts-node, or what Node strips by itself.
 * Returns its name, or `null` where there is none.
 */
export function supportTypeScript(from: AppRequire, options: TypeScriptOptions = {}): Promise<string | null> {
  return (registered ??= register(from, options));
}

async function register(from: AppRequire, options: TypeScriptOptions): Promise<string | null> {
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ');
  if (process.versions.bun || /\btsx\b|ts-node|@swc-node|@oxc-node/.test(flags)) return 'present';
  if (await registerTsx(from, options)) return 'tsx';
  if (registerTsNode(from, options)) return 'ts-node';
  // Node 22.18 and later; decorators are beyond it, and the import then says so.
  return (process.features as { typescript?: false | string }).typescript ? 'node' : null;
}

async function registerTsx(from: AppRequire, { tsConfigPath }: TypeScriptOptions): Promise<boolean> {
  try {
    const manifest = from.resolve('tsx/package.json');
    for (const api of ['./cjs/api', './esm/api']) {
      // Not `from(api)`: the CommonJS build of tsx 4.23's ESM half cannot register itself.
      const { exports } = from(manifest) as { exports: Record<string, { import: { default: string } }> };
      const path = join(dirname(manifest), exports[api]!.import.default);
      const tsx = (await import(pathToFileURL(path).href)) as { register: (options?: object) => unknown };
      tsx.register(tsConfigPath === undefined ? {} : { tsconfig: tsConfigPath });
    }
    return true;
  } catch {
    return false;
  }
}

function registerTsNode(from: AppRequire, { tsConfigPath }: TypeScriptOptions): boolean {
  try {
    const compilerOptions = { module: 'nodenext', moduleResolution: 'nodenext' };
    const project = tsConfigPath === undefined ? {} : { project: tsConfigPath };
    (from('ts-node') as { register: (options: object) => unknown }).register({
      ...project,
      transpileOnly: true,
      compilerOptions,
    });
    return true;
  } catch {
    return false;
  }
}
