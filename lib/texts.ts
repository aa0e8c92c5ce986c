/** Numbers and names as people read them. */

/** `1.50 MiB`: as the library's own reports have it. */
export { formatBytes as size } from './summary.ts';

/** `1,234,567`. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

/** `1 row`, `2 rows`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** `0.4 s`, `3 min 05 s`, `1 h 02 min`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(Math.floor(seconds % 60))} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

function pad(n: number): string {
  return String(n).padStart(2, '0');
}

/**
 * A name from a backup or a database, fit to be shown: control characters, which could move the cursor or hide text,
 * are shown as `\xNN`.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** `printable`, with line breaks kept: for sentences and summaries. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** A message without the passwords of URLs in it: drivers like to quote connection strings. */
export function redacted(message: string): string {
  return message.replace(/(\w[\w+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/g, '$1:***@');
}
