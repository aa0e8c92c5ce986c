// Resolved from this folder: pg-boss needs Node 22.12, which the rest of the tests does not.
export { PgBoss } from 'pg-boss';
