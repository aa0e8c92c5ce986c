/** What seals and opens the backups of jobs and of the program. */
export const PASSPHRASE = 'correct horse battery staple';
