/**
 * Lines of the `text` encoding into COPY's text format, in one pass over bytes: the mirror of CopyToJson. It knows what
 * this program writes and nothing else; whatever is odd is left to the plain way, which also says what is wrong with it.
 *
 * @see postgresql-write.ts
 */
import { isUtf8 } from 'node:buffer';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const NEWLINE = 10;
const TAB = 9;
/** Escapes that mean the same in both: \b \f \n \r \t and \\ */
const SHARED = new Uint8Array(256);
for (const char of 'bfnrt\\') SHARED[char.charCodeAt(0)] = 1;
const NULL = [0x6e, 0x75, 0x6c, 0x6c];

/**
 * @param lines whole lines, with or without the last line's end
 * @param written for each cell of a row, whether it is written
 * @param count rows that there should be
 * @returns null for what is not plain strings and nulls, as many as `written` says
 */
export function jsonToCopy(lines: Buffer, count: number, written: boolean[]): Buffer | null {
  if (!isUtf8(lines)) return null;
  // Never longer than what it is made from: quotes and brackets go, and null is shorter.
  const out = Buffer.allocUnsafe(lines.length + 1);
  const { length } = lines;
  const cells = written.length;
  let at = 0;
  let i = 0;
  let rows = 0;
  while (i < length) {
    if (lines[i++] !== OPEN) return null;
    let first = true;
    for (let cell = 0; cell < cells; cell++) {
      if (cell && lines[i++] !== COMMA) return null;
      const start = at;
      if (!first) out[at++] = TAB;
      if (lines[i] === QUOTE) {
        i++;
        let byte = lines[i++];
        while (byte !== QUOTE) {
          if (byte === undefined || byte < 0x20) return null;
          out[at++] = byte;
          if (byte === BACKSLASH) {
            const next = lines[i++]!;
            if (SHARED[next]) out[at++] = next;
            else if (next === QUOTE) out[at - 1] = QUOTE;
            else {
              const control = next === 0x75 ? controlAt(lines, i) : 0;
              if (!control) return null;
              out[at - 1] = control;
              i += 4;
            }
          }
          byte = lines[i++];
        }
      } else {
        for (const letter of NULL) if (lines[i++] !== letter) return null;
        out[at++] = BACKSLASH;
        out[at++] = 0x4e;
      }
      if (written[cell]) first = false;
      else at = start;
    }
    if (lines[i++] !== CLOSE) return null;
    if (i < length && lines[i++] !== NEWLINE) return null;
    out[at++] = NEWLINE;
    rows++;
  }
  return rows === count ? out.subarray(0, at) : null;
}

/** The control character that four hex digits name, if COPY takes it as it is; else 0. */
function controlAt(lines: Buffer, at: number): number {
  const hex = lines.toString('latin1', at, at + 4);
  if (!/^00[01][0-9a-f]$/.test(hex)) return 0;
  const code = Number.parseInt(hex, 16);
  return code === TAB || code === NEWLINE || code === 13 ? 0 : code;
}
