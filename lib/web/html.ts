/** HTML as template literals: whatever is put in is escaped, unless it is HTML already. */
import { printable } from '../texts.ts';

/** A piece of HTML, safe to send. */
export class Html {
  constructor(readonly text: string) {}
}

/** Nothing is shown of `false`, `null` and `undefined`. */
export type Shown = Html | Shown[] | string | number | false | null | undefined;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Attributes must stand in quotes. */
export function html(parts: TemplateStringsArray, ...values: Shown[]): Html {
  return new Html(parts.reduce((text, part, i) => text + show(values[i - 1]) + part));
}

function show(value: Shown): string {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(show).join('');
  if (value === false || value === null || value === undefined) return '';
  // Names out of a backup may hold what hides or turns text around.
  return printable(String(value)).replace(/[&<>"']/g, (c) => ESCAPES[c]!);
}
