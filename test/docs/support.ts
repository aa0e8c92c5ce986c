/** The documents as data: code blocks, tables, links. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

export interface Block {
  document: string;
  /** Of the fence, from 1. */
  line: number;
  language: string;
  /** What stands behind the language: a file name, `exit 4`, `fragment`. */
  info: string;
  text: string;
}

/** The fenced code blocks of a document. */
export function codeBlocks(document: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  for (const [i, line] of read(document).split('\n').entries()) {
    const fence = /^```(\w*) ?(.*)$/.exec(line);
    if (open && line === '```') {
      blocks.push(open);
      open = undefined;
    } else if (open) open.text += `${line}\n`;
    else if (fence) open = { document, line: i + 1, language: fence[1]!, info: fence[2]!, text: '' };
  }
  return blocks;
}

/** The rows of the table whose head begins with these cells; without the head. */
export function table(document: string, ...head: string[]): string[][] {
  const lines = read(document).split('\n');
  const at = lines.findIndex((line) => head.every((cell, i) => cellsOf(line)[i] === cell));
  if (at === -1) throw new Error(`${document} has no table with the head ${head.join(' | ')}`);
  const rows: string[][] = [];
  for (const line of lines.slice(at + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(cellsOf(line));
  }
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Files below a folder, as paths from the project's root. */
export function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.includes('node_modules'))
    .map((name) => join(folder, name))
    .sort();
}
