/**
 * Backups over the web, for superusers: `createBackupHandler` makes a function from a Request to a Response, which frameworks of the Fetch API take as it is; `toNodeListener` makes a listener of it for
 * Node's http, Express and what is built on them.
 */
export { type BackupHandler, createBackupHandler } from './handlers.ts';
export { toNodeListener } from './node.ts';
export type { BackupHandlerOptions } from './options.ts';
