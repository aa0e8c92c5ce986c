/** Of services.mjs, for what is written in TypeScript. */
export function prepare(files: string[]): Promise<{
  env: Record<string, string>;
  again: { name: string; files: string[]; env: Record<string, string> }[];
  missing: { name: string; why: string; files: string[] }[];
  stop: () => void;
}>;
