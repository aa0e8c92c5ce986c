/** Small pieces of SQLite's SQL. */

/** A quoted identifier. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A quoted string literal. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A table with its schema, where it has one (an attached database). */
export function qualified(ref: { schema?: string; table: string }): string {
  return ref.schema === undefined ? ident(ref.table) : `${ident(ref.schema)}.${ident(ref.table)}`;
}

/** A REAL for the JSON of a libSQL server's answers, which has no infinities: they come as text. */
export function finite(q: string): string {
  return `CASE ${q} WHEN 9e999 THEN 'Infinity' WHEN -9e999 THEN '-Infinity' ELSE ${q} END`;
}

/** The largest integer that a JSON number carries exactly everywhere. */
export const MAX_SAFE = 9007199254740991n;

/** SQLite's own rule (sqlite.org/datatype3.html, 3.1): which affinity a declared type gives. */
export function affinity(type: string): 'INTEGER' | 'TEXT' | 'BLOB' | 'REAL' | 'NUMERIC' {
  const t = type.toUpperCase();
  if (t.includes('INT')) return 'INTEGER';
  if (t.includes('CHAR') || t.includes('CLOB') || t.includes('TEXT')) return 'TEXT';
  if (t.includes('BLOB') || t === '') return 'BLOB';
  if (t.includes('REAL') || t.includes('FLOA') || t.includes('DOUB')) return 'REAL';
  return 'NUMERIC';
}

/** Terms in one expression. A chain is as deep as it is long, and SQLite's default limit of depth is 1000: a column takes two levels. */
const TERMS_A_GROUP = 100;

/** A chain of any number of terms, in groups. @param operator with the spaces that it needs */
export function chain(terms: string[], operator: string): string {
  const groups: string[] = [];
  for (let i = 0; i < terms.length; i += TERMS_A_GROUP)
    groups.push(`(${terms.slice(i, i + TERMS_A_GROUP).join(operator)})`);
  return groups.join(operator);
}
