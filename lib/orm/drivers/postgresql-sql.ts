/** Small pieces of PostgreSQL's SQL. */

/** A quoted identifier. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A quoted string literal, for sessions with standard_conforming_strings. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A relation by the schema that it really is in. */
export function qualified(ref: { namespace: string; table: string }): string {
  return `${ident(ref.namespace)}.${ident(ref.table)}`;
}

/** A relation by itself: the tables that inherit from it are tables of their own, partitions are part of it. */
export function only(ref: { namespace: string; table: string; partitioned: boolean }): string {
  return `${ref.partitioned ? '' : 'ONLY '}${qualified(ref)}`;
}

/** A list of quoted identifiers. */
export function list(names: string[], prefix = ''): string {
  return names.map((name) => `${prefix}${ident(name)}`).join(', ');
}

/**
 * What a session must be set to, so that a value's text means the same on both sides: dates, intervals, digits, money,
 * and names of functions and tables (`regclass`), which are written with their schema.
 */
export const SESSION = {
  client_encoding: 'UTF8',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  xmloption: 'content',
  array_nulls: 'on',
  standard_conforming_strings: 'on',
  // A policy that hides rows must fail, not hide them.
  row_security: 'off',
  // The order of the table itself, even while somebody else scans it.
  synchronize_seqscans: 'off',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
} as const;
