/** The parts of the library that the commands are made of. */
export type Library = Pick<
  typeof import('../index.ts'),
  | 'addKeys'
  | 'createBackup'
  | 'inspectBackup'
  | 'listBackup'
  | 'listKeys'
  | 'newKeyPair'
  | 'parseIdentities'
  | 'parsePublicKey'
  | 'pruneBackups'
  | 'pullBackup'
  | 'pushBackup'
  | 'readEntry'
  | 'removeKey'
  | 'repairBackup'
  | 'restoreBackup'
  | 'rotateKeys'
  | 'sealStream'
  | 'storedBackups'
  | 'streamSink'
  | 'unsealStream'
  | 'validateBackup'
>;

/** What breaks backups on purpose. */
export type Testkit = Pick<typeof import('../testkit/index.ts'), 'corruptFile'>;
