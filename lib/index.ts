/**
 * Backups that heal themselves, for every app built on MikroORM and Node.js.
 *
 * Two functions do most of the work: `createBackup` and `restoreBackup`. README.md shows them; SPEC.md says what they write.
 */
export { type BackupOptions, createBackup } from './backup.ts';
export type { Duration } from './catalog/duration.ts';
export { DEFAULT_PREFIX, makeName, type ParsedName, parseName } from './catalog/naming.ts';
export { type RetentionRules, retain, type Verdict } from './catalog/retention.ts';
export { parseSchedule, type Schedule, type ScheduleSettings, scheduleFromText } from './catalog/schedule.ts';
export { type DerivedPassphrase, derivePassphrase, type UnlockedBackup } from './container/keys.ts';
export { listBackup, readEntry } from './contents.ts';
export {
  type DestinationFactory,
  type DestinationSettings,
  isUrl,
  openDestination,
  openPlace,
  type Place,
} from './destinations.ts';
export { type Check, type DiagnoseOptions, diagnose } from './doctor.ts';
export * from './errors.ts';
export type { BackupEvent, Phase } from './events.ts';
export type { StorageAdapter } from './files/storage.ts';
export { checkHealth, type DestinationHealth, type HealthOptions, type HealthReport } from './health.ts';
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
  unlockBackup,
} from './keys.ts';
export { BackupManager, backupManager } from './manager.ts';
export { recycle } from './memory.ts';
export { signWebhook, verifyWebhook } from './notify/signature.ts';
export { acquireLock, type Lease, type LockRequest } from './orm/lock.ts';
export { createMasker, Masker, type MaskerOptions } from './orm/mask/masker.ts';
export type { OrmLike } from './orm/orm-like.ts';
export type {
  EntityRule,
  FieldOptions,
  FieldRule,
  FieldType,
  MaskContext,
  MaskFunction,
  MaskKind,
  RegistryConfig,
} from './orm/registry.ts';
export { type Leftover, type PrunedBackup, type PruneOptions, type PruneResult, pruneBackups } from './prune.ts';
export type { PageHealth, QuickCheck } from './quick-check.ts';
export { type RepairOptions, type RepairReport, repairBackup } from './repair.ts';
export { type RestoreOptions, restoreBackup } from './restore.ts';
export { type RunOptions, runBackup } from './run.ts';
export {
  type BackupSchedule,
  type QueueLike,
  type ScheduleBackupsOptions,
  scheduleBackups,
} from './schedule.ts';
export { sealedStream, sealStream, unsealStream } from './seal.ts';
export {
  type BackupConfig,
  type BackupHooks,
  defineBackupConfig,
  type LockSettings,
  type PingSettings,
  type RetentionSettings,
  type WebhookSettings,
} from './settings.ts';
export { withEnvironment } from './settings-environment.ts';
export { unattendedSecret } from './settings-secret.ts';
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
export { type StoredBackup, type StoredOptions, storedBackups } from './stored.ts';
export { formatBytes } from './summary.ts';
export { pullBackup, pushBackup, type TransferBackupOptions, type TransferReport } from './transfers.ts';
export type {
  BackupResult,
  BackupRun,
  BackupSource,
  BackupTarget,
  Health,
  InspectReport,
  ListEntry,
  OpeningSecret,
  OutputResult,
  Problem,
  ReadOptions,
  RestoreResult,
  SchemaDrift,
  SealingSecret,
  SealResult,
  Survival,
  ValidationReport,
  WriteOptions,
  WriteResult,
} from './types.ts';
export { validateBackup } from './validate.ts';
export { VERSION } from './version.ts';
