/** `sftp://TARGET/dir/`: which target, and which folder there. */
import { ConfigError } from '../../errors.ts';
import { nearest } from '../../nearest.ts';
import type { SshTarget } from './targets.ts';

export interface SftpPlace {
  /** Of the target. */
  name: string;
  target: SshTarget;
  /** Folders below the target's remoteDir, from the outside in. */
  below: string[];
}

/**
 * The path is taken as it stands, without percent-decoding, and lies below the target's `remoteDir`.
 * @throws ConfigError ERR_SSH_URL, ERR_SSH_UNKNOWN_TARGET
 */
export function parseSftpUrl(url: string, targets: Record<string, SshTarget>): SftpPlace {
  const [, name, path] = /^sftp:\/\/([^/]*)(\/.*)?$/is.exec(url) ?? [];
  if (name?.includes('@') || name?.includes(':')) {
    // Not repeated: it may hold a password.
    throw wrong(
      'An sftp: URL names a target of the settings, not a user, a password or a port: sftp://TARGET/folder/. Put host, port, username and key into sshTargets.',
    );
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!name || /[?#\\\u0000-\u001f\u007f]/.test(path ?? ''))
    throw wrong('This is no sftp: URL that can be used. It looks like sftp://TARGET/folder/.');
  const below = (path ?? '').split('/').filter((segment) => segment !== '' && segment !== '.');
  if (below.includes('..'))
    throw wrong('The path of an sftp: URL stays below the remoteDir of its target, without "..".');
  const target = Object.hasOwn(targets, name) ? targets[name] : undefined;
  if (target) return { name, target, below };
  const names = Object.keys(targets);
  throw new ConfigError(
    'ERR_SSH_UNKNOWN_TARGET',
    `There is no target "${name}" in sshTargets. ${names.length ? nearest(name, names) : 'It is empty: add one to the settings.'}`,
    { facts: { target: name, known: names } },
  );
}

function wrong(message: string): ConfigError {
  return new ConfigError('ERR_SSH_URL', message);
}

/** Joins as the server does: a relative path begins at the user's home. */
export function remotePath(base: string, below: string[]): string {
  const home = base === '~' ? '.' : base.replace(/^~\/+/, '') || '.';
  return [home === '/' ? '' : home.replace(/\/+$/, ''), ...below].join('/') || '/';
}
