/**
 * Lines of the `text` encoding into the rows of an INSERT, in one pass over bytes: the mirror of LineBuilder. It knows what this program
 * writes and nothing else; whatever is odd is left to the plain way, which also says what is wrong with it.
 *
 * @see mysql-write.ts
 */
import { isUtf8 } from 'node:buffer';

const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const BACKSLASH = 0x5c;
const NEWLINE = 10;
/** Escapes that mean the same in both: \b \n \r \t \" \\ \/ */
const SHARED = new Uint8Array(256);
for (const char of 'bnrt"\\/') SHARED[char.charCodeAt(0)] = 1;
/** Others have no need of an escape. */
const CONTROL = /^00[01][0-9a-f]$/;
const NULL = Buffer.from('null');
const BYTES = Buffer.from('{"b":"');
const DECODE = Buffer.from("FROM_BASE64('");
const BASE64 = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/') BASE64[char.charCodeAt(0)] = 1;

/** What becomes of a cell: nothing, or a value; one that may not be given as bytes is `text`. */
export type Take = 'no' | 'text' | 'any';

/**
 * @param lines whole lines, with or without the last line's end
 * @param count rows that there should be
 * @param takes for each cell of a row
 * @returns `('1',NULL),('2','it\'s')`; null for what is not plain strings, bytes and nulls, as many as `takes` says
 */
export function jsonToValues(lines: Buffer, count: number, takes: Take[]): string | null {
  if (!isUtf8(lines)) return null;
  // At most an apostrophe becomes two bytes; brackets, quotes and commas stay as many.
  const out = Buffer.allocUnsafe(2 * lines.length + DECODE.length + 2);
  const at: Place = { from: 0, to: 0 };
  let rows = 0;
  while (at.from < lines.length) {
    if (rows) out[at.to++] = 0x2c;
    if (!takeRow(lines, out, at, takes)) return null;
    rows++;
    if (at.from < lines.length && lines[at.from++] !== NEWLINE) return null;
  }
  return rows === count ? out.toString('utf8', 0, at.to) : null;
}

interface Place {
  from: number;
  to: number;
}

function takeRow(lines: Buffer, out: Buffer, at: Place, takes: Take[]): boolean {
  if (lines[at.from++] !== 0x5b) return false;
  out[at.to++] = 0x28;
  let written = 0;
  for (let i = 0; i < takes.length; i++) {
    if (i && lines[at.from++] !== 0x2c) return false;
    const take = takes[i]!;
    const start = at.to;
    if (take !== 'no' && written++) out[at.to++] = 0x2c;
    if (!takeCell(lines, out, at, take)) return false;
    if (take === 'no') at.to = start;
  }
  out[at.to++] = 0x29;
  return lines[at.from++] === 0x5d;
}

function takeCell(lines: Buffer, out: Buffer, at: Place, take: Take): boolean {
  const first = lines[at.from];
  if (first === QUOTE) return takeText(lines, out, at);
  if (first === 0x6e) {
    at.to += NULL.copy(out, at.to);
    return skip(lines, at, NULL);
  }
  return take !== 'text' && skip(lines, at, BYTES) && takeBytes(lines, out, at);
}

function skip(lines: Buffer, at: Place, what: Buffer): boolean {
  for (let i = 0; i < what.length; i++) if (lines[at.from++] !== what[i]) return false;
  return true;
}

function takeText(lines: Buffer, out: Buffer, at: Place): boolean {
  let { from, to } = at;
  out[to++] = APOSTROPHE;
  for (from++; ; ) {
    const byte = lines[from++];
    // Also where the lines end within a cell.
    if (byte === undefined || byte < 0x20) return false;
    if (byte === QUOTE) break;
    if (byte === APOSTROPHE) out[to++] = BACKSLASH;
    else if (byte === BACKSLASH) {
      const next = lines[from++]!;
      if (SHARED[next]) {
        out[to++] = byte;
        out[to++] = next;
        continue;
      }
      const control = next === 0x75 ? lines.toString('latin1', from, from + 4) : '';
      if (!CONTROL.test(control)) return false;
      out[to++] = Number.parseInt(control, 16);
      from += 4;
      continue;
    }
    out[to++] = byte;
  }
  out[to++] = APOSTROPHE;
  at.from = from;
  at.to = to;
  return true;
}

/** The server decodes. */
function takeBytes(lines: Buffer, out: Buffer, at: Place): boolean {
  let end = at.from;
  while (BASE64[lines[end]!]) end++;
  while (lines[end] === 0x3d) end++;
  const { length } = lines.subarray(at.from, end);
  if (length % 4 || (lines[end - 2] === 0x3d && lines[end - 3] === 0x3d)) return false;
  if (length) at.to += DECODE.copy(out, at.to);
  else out[at.to++] = APOSTROPHE;
  at.to += lines.copy(out, at.to, at.from, end);
  out[at.to++] = APOSTROPHE;
  if (length) out[at.to++] = 0x29;
  at.from = end;
  return lines[at.from++] === QUOTE && lines[at.from++] === 0x7d;
}
