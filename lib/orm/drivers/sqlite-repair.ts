/**
 * Lines that SQLite wrote and that are no valid UTF-8: each TEXT cell whose bytes are not text becomes
 * `{"t":"<base64>"}`, so that they come back to the bit. Rare, so plain rather than fast.
 */
import { isUtf8 } from 'node:buffer';

const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** Undoes JSON's escapes; every other character stands for itself. */
function unescapeJson(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex: string | undefined, char: string) =>
    hex === undefined ? (ESCAPES[char] ?? char) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Replaces the JSON strings at the top level of one array line for which `replace` gives something. */
function mapStrings(line: string, replace: (body: string) => string | undefined): string {
  let out = '';
  let at = 0;
  let depth = 0;
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (char === '{') depth++;
    else if (char === '}') depth--;
    else if (char === '"') {
      const start = i;
      for (i++; line[i] !== '"'; i++) if (line[i] === '\\') i++;
      const better = depth === 0 ? replace(line.slice(start + 1, i)) : undefined;
      if (better !== undefined) {
        out += line.slice(at, start) + better;
        at = i + 1;
      }
    }
  }
  return out + line.slice(at);
}

/** @param line one row as JSON, UTF-8 but for some of its strings */
export function repairLine(line: Buffer): Buffer {
  // latin1: one character a byte, so the text is scanned as if it were bytes.
  const repaired = mapStrings(line.toString('latin1'), (body) => {
    if (isUtf8(Buffer.from(body, 'latin1'))) return undefined;
    return `{"t":"${Buffer.from(unescapeJson(body), 'latin1').toString('base64')}"}`;
  });
  return Buffer.from(repaired, 'latin1');
}
