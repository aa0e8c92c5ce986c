/** Lists as text: PostgreSQL's array literals, and the form in which MikroORM keeps lists in other databases. */
import { Unconvertible, type Value } from './neutral.ts';

/** A list as PostgreSQL writes it; elements are its text of them, lists inside of lists are further dimensions. */
export type TextList = (string | null | TextList)[];

/** @throws Unconvertible for bounds other than 1, which no other list has */
export function parseArray(text: string): TextList {
  if (!text.startsWith('{')) throw new Unconvertible('it is an array with bounds of its own');
  let at = 0;
  const list = (): TextList => {
    const found: TextList = [];
    at++;
    while (text[at] !== '}') {
      if (at >= text.length) throw new Unconvertible('it is no array');
      if (text[at] === '{') found.push(list());
      else found.push(text[at] === '"' ? quoted() : bare());
      if (text[at] === ',') at++;
    }
    at++;
    return found;
  };
  const quoted = (): string => {
    let found = '';
    for (at++; text[at] !== '"'; at++) {
      if (at >= text.length) throw new Unconvertible('it is no array');
      if (text[at] === '\\') at++;
      found += text[at];
    }
    at++;
    return found;
  };
  const bare = (): string | null => {
    const from = at;
    while (at < text.length && text[at] !== ',' && text[at] !== '}') at++;
    const found = text.slice(from, at);
    return found.toUpperCase() === 'NULL' ? null : found;
  };
  return list();
}

export function formatArray(list: TextList): string {
  const parts = list.map((one) => {
    if (one === null) return 'NULL';
    return Array.isArray(one) ? formatArray(one) : `"${one.replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${parts.join(',')}}`;
}

/**
 * `a,b`, as MikroORM 6 and 7 write a list of plain texts.
 *
 * @throws Unconvertible where they would not read the same list again
 */
export function joinList(list: Value[]): string {
  const texts = list.map((one) => {
    if (typeof one !== 'string' || one === '' || /[,"\\]/.test(one)) {
      throw new Unconvertible(
        'it is a list that MikroORM cannot keep as text (NULL, a list, or an element with a comma, quote or backslash)',
      );
    }
    return one;
  });
  return texts.join(',');
}

export function splitList(text: string): string[] {
  if (text === '') return [];
  if (/["\\]/.test(text)) throw new Unconvertible('it is no list of plain texts, separated by commas');
  return text.split(',');
}
