/** Named SSH targets: what the settings say about the hosts of `sftp://NAME/...`. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, isText, known } from '../../checks.ts';
import { ConfigError } from '../../errors.ts';
import { type HostKey, parseKey } from './known-hosts.ts';

/**
 * One host. Secrets are never here: a password and a key's passphrase come from environment variables, which are named. Local paths may begin with `~/`.
 *
 * @example
 * sshTargets: {
 *   nas: { host: 'nas.example.org', username: 'backup', privateKeyPath: '~/.ssh/id_backup', remoteDir: '/volume1/backups' },
 * }
 */
export interface SshTarget {
  host: string;
  /** Default 22. */
  port?: number;
  username: string;
  privateKeyPath?: string;
  /** Name of the environment variable with the passphrase of an encrypted key. */
  passphraseEnv?: string;
  /** Name of the environment variable with the user's password. */
  passwordEnv?: string;
  /** The socket of an ssh-agent; `true` for the one that `SSH_AUTH_SOCK` names. */
  agent?: string | true;
  /** Where files go; relative ones to the user's home. Made where only its last segment is missing. */
  remoteDir: string;
  /** Default `~/.ssh/known_hosts`. */
  knownHosts?: string;
  /** The one key that this host has: its fingerprint (`SHA256:...`), or the key (`ssh-ed25519 AAAA...`). Then known_hosts is not asked. */
  hostKey?: string;
  /** Until the server has let the user in. Default 20,000. */
  connectTimeoutMs?: number;
  /** Between questions whether an idle server is still there; three without an answer end the connection. Default 15,000; 0 for none. */
  keepaliveMs?: number;
}

const SETTINGS = [
  'host',
  'port',
  'username',
  'privateKeyPath',
  'passphraseEnv',
  'passwordEnv',
  'agent',
  'remoteDir',
  'knownHosts',
  'hostKey',
  'connectTimeoutMs',
  'keepaliveMs',
];
const SECRETS: Record<string, string> = {
  password: 'passwordEnv',
  passphrase: 'passphraseEnv',
  privateKey: 'privateKeyPath',
};
/** Names stand in URLs. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const LONGEST = 2 ** 31 - 1;

/**
 * Checks the setting `sshTargets` without touching the network, and returns it.
 * @param at its name, for messages
 * @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION, ERR_CONFIG_INLINE_SECRET
 */
export function checkSshTargets(value: unknown, at: string): Record<string, SshTarget> {
  expect(typeof value === 'object' && value !== null && !Array.isArray(value), at, 'an object of targets by name');
  for (const [name, target] of Object.entries(value as object)) {
    expect(NAME.test(name), `Each name in ${at}`, 'letters, digits, ".", "_" and "-", at most 63: it stands in URLs');
    checkTarget(target, `${at}.${name}`);
  }
  return value as Record<string, SshTarget>;
}

function checkTarget(value: unknown, at: string): void {
  if (typeof value === 'object' && value !== null) refuseSecrets(value, at);
  known(value, SETTINGS, at);
  const target = value as Record<string, unknown>;
  for (const name of ['host', 'username', 'remoteDir']) expect(isText(target[name]), `${at}.${name}`, 'a text');
  for (const name of ['privateKeyPath', 'knownHosts'])
    expect(target[name] === undefined || isText(target[name]), `${at}.${name}`, 'a path');
  for (const name of ['passphraseEnv', 'passwordEnv']) {
    const variable = target[name];
    const holds = variable === undefined || (isText(variable) && VARIABLE.test(variable));
    expect(holds, `${at}.${name}`, 'the name of an environment variable, not the secret itself');
  }
  expect(
    target.agent === undefined || target.agent === true || isText(target.agent),
    `${at}.agent`,
    'true, or the path of a socket',
  );
  expect(isWhole(target.port, 1, 65535), `${at}.port`, 'a number from 1 to 65535');
  expect(isWhole(target.connectTimeoutMs, 1, LONGEST), `${at}.connectTimeoutMs`, 'a whole number of milliseconds');
  expect(isWhole(target.keepaliveMs, 0, LONGEST), `${at}.keepaliveMs`, 'a whole number of milliseconds');
  expect(
    target.hostKey === undefined || pinnedKey(target.hostKey) !== null,
    `${at}.hostKey`,
    'a fingerprint (SHA256:...) or a public key (ssh-ed25519 AAAA...)',
  );
  const login = target.privateKeyPath ?? target.agent ?? target.passwordEnv;
  expect(login !== undefined, at, 'given a way to log in: privateKeyPath, agent or passwordEnv');
}

function refuseSecrets(target: object, at: string): void {
  for (const [name, instead] of Object.entries(SECRETS)) {
    if (!(name in target)) continue;
    throw new ConfigError(
      'ERR_CONFIG_INLINE_SECRET',
      `${at}.${name} is a secret, and settings end up in repositories, logs and images. Use ${instead}, and remove it from here.`,
      { facts: { option: `${at}.${name}`, instead } },
    );
  }
}

function isWhole(value: unknown, least: number, most: number): boolean {
  return value === undefined || (Number.isInteger(value) && Number(value) >= least && Number(value) <= most);
}

/** What `hostKey` says: a fingerprint, or a key with or without names before it. */
export function pinnedKey(value: unknown): string | HostKey | null {
  if (typeof value !== 'string') return null;
  const text = value.trim();
  if (/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(text)) return text.replace(/=$/, '');
  return parseKey(text) ?? parseKey(text.replace(/^[^ \t]+[ \t]+/, ''));
}

/** `~/` is the user's home. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(2)) : path;
}
