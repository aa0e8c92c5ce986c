/** Small pieces of MariaDB's and MySQL's SQL. The session's sql_mode has neither ANSI_QUOTES nor NO_BACKSLASH_ESCAPES. */

/** A quoted identifier. */
export function ident(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A quoted string literal, in the session's utf8mb4. */
export function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** A table with its schema (its database), where it has one. */
export function qualified(ref: { schema?: string | undefined; table: string }): string {
  return ref.schema === undefined ? ident(ref.table) : `${ident(ref.schema)}.${ident(ref.table)}`;
}

/** `information_schema` is compared by a schema's name: the connection's own where none is given. */
export function schemaSql(schema: string | undefined): string {
  return schema === undefined ? 'DATABASE()' : literal(schema);
}
