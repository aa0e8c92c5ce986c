/**
 * Backups that heal themselves, for every app built on MikroORM and Node.js.
 *
 * Two functions do most of the work: `createBackup` and `restoreBackup`. README.md shows them; SPEC.md says what they write.
 */
export { type BackupOptions, createBackup } from './backup.ts';
export { listBackup, readEntry } from './contents.ts';
export * from './errors.ts';
export type { BackupEvent, Phase } from './events.ts';
export type { StorageAdapter } from './files/storage.ts';
export { inspectBackup } from './inspect.ts';
export {
  addKeys,
  type KeyPair,
  type KeysReport,
  listKeys,
  newKeyPair,
  parseIdentities,
  parsePublicKey,
  removeKey,
  rotateKeys,
  type SlotInfo,
} from './keys.ts';
export { recycle } from './memory.ts';
export type { OrmLike } from './orm/orm-like.ts';
export {
  type BackupConfig,
  defineBackupConfig,
  type EntityRule,
  type FieldRule,
  type FieldType,
} from './orm/registry.ts';
export { type RepairOptions, type RepairReport, repairBackup } from './repair.ts';
export { type RestoreOptions, restoreBackup } from './restore.ts';
export { sealedStream, sealStream, unsealStream } from './seal.ts';
export { type BandwidthOptions, throttled } from './sinks/bandwidth.ts';
export { checkName } from './sinks/errors.ts';
export { FileSink, fileSource } from './sinks/file.ts';
export { FileDestination } from './sinks/folder.ts';
export { MemoryDestination, MemorySink } from './sinks/memory.ts';
export { type RetryOptions, retrying } from './sinks/retry.ts';
export { checkS3Settings, type S3Settings, s3Destination } from './sinks/s3.ts';
export { checkSshTargets, type SshTarget, sftpDestination } from './sinks/sftp.ts';
export type {
  ByteSource,
  Destination,
  ResumedWriter,
  Sink,
  SinkWriter,
  StoredFile,
  UnfinishedFile,
} from './sinks/sink.ts';
export { streamSink } from './sinks/stream.ts';
export { type TransferOptions, type TransferResult, transfer } from './sinks/transfer.ts';
export { formatBytes } from './summary.ts';
export type {
  BackupResult,
  BackupSource,
  Health,
  InspectReport,
  ListEntry,
  OpeningSecret,
  ReadOptions,
  RestoreResult,
  SealingSecret,
  SealResult,
  Survival,
  ValidationReport,
  WriteOptions,
  WriteResult,
} from './types.ts';
export { validateBackup } from './validate.ts';
export { VERSION } from './version.ts';
