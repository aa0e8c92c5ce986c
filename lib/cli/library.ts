/** The part of the public API that the commands are made of. */
export type Library = Pick<
  typeof import('../index.ts'),
  | 'createBackup'
  | 'restoreBackup'
  | 'validateBackup'
  | 'inspectBackup'
  | 'listBackup'
  | 'readEntry'
  | 'sealStream'
  | 'unsealStream'
  | 'streamSink'
>;
