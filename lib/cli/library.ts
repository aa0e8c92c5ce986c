/** The parts of the library that the commands are made of. */
export type Library = Pick<
  typeof import('../index.ts'),
  | 'addKeys'
  | 'checkHealth'
  | 'createBackup'
  | 'derivePassphrase'
  | 'diagnose'
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
  | 'runBackup'
  | 'rotateKeys'
  | 'scheduleBackups'
  | 'scheduleFromText'
  | 'sealStream'
  | 'storedBackups'
  | 'streamSink'
  | 'unattendedSecret'
  | 'unlockBackup'
  | 'unsealStream'
  | 'validateBackup'
  | 'withEnvironment'
>;

/** What breaks backups on purpose. */
export type Testkit = Pick<typeof import('../testkit/index.ts'), 'corruptFile'>;
