/** Making this process able to import the app's TypeScript: with what the app itself has installed. */
import type { createRequire } from 'node:module';

type AppRequire = ReturnType<typeof createRequire>;

export const TYPESCRIPT = /\.[mc]?ts$/;

export interface TypeScriptOptions {
  tsConfigPath?: string | undefined;
}

/**
 * Registers a loader: tsx (whichever module system the app uses, decorators too), ts-node, or what Node strips by itself.
 * Returns its name, or `null` where there is none.
 */
export function supportTypeScript(from: AppRequire, options: TypeScriptOptions = {}): string | null {
  if (process.versions.bun || process.execArgv.some((arg) => /\btsx\b|ts-node|@swc-node|@oxc-node/.test(arg)))
    return 'present';
  if (registerTsx(from, options)) return 'tsx';
  if (registerTsNode(from, options)) return 'ts-node';
  // Node 22.18 and later; decorators are beyond it, and the import then says so.
  return (process.features as { typescript?: false | string }).typescript ? 'node' : null;
}

function registerTsx(from: AppRequire, { tsConfigPath }: TypeScriptOptions): boolean {
  try {
    for (const api of ['tsx/cjs/api', 'tsx/esm/api']) {
      const tsx = from(api) as { register: (options?: object) => unknown };
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
