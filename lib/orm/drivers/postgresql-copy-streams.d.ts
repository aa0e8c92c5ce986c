/** What this library uses of pg-copy-streams 7, which ships no types. */
declare module 'pg-copy-streams' {
  import type { Readable, Writable } from 'node:stream';

  /** What `client.query` takes beside SQL: it talks to the connection itself. */
  interface Submittable {
    submit(connection: unknown): void;
  }
  /** `COPY ... TO STDOUT`: the bytes of the copy. */
  export function to(sql: string, options?: object): Readable & Submittable & { rowCount: number };
  /** `COPY ... FROM STDIN`. */
  export function from(sql: string, options?: object): Writable & Submittable & { rowCount: number };
}
