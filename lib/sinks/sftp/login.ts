/** How a target is logged in to, and how its host is known: settings, files and environment in, ssh2's options out. Nothing here asks anybody. */
import { readFile } from 'node:fs/promises';
import type { ConnectConfig, ServerHostKeyAlgorithm } from 'ssh2';
import { ConfigError, SinkError } from '../../errors.ts';
import { fingerprint, judge, type KnownHost, knownTypes, typeOfKey } from './known-hosts.ts';
import { expandHome, pinnedKey, type SshTarget } from './targets.ts';

/** What the server may show of itself, best first. The SHA-1 form of ssh-rsa comes last, for old boxes. */
const HOST_KEYS: Record<string, ServerHostKeyAlgorithm[]> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
};

/** @throws ConfigError ERR_SSH_KEY, ERR_SSH_SECRET_MISSING, ERR_SSH_NO_AGENT */
export async function loginOptions(name: string, target: SshTarget): Promise<ConnectConfig> {
  const { privateKeyPath, passphraseEnv, passwordEnv, agent } = target;
  const methods: string[] = [];
  const options: ConnectConfig = { username: target.username };
  if (privateKeyPath !== undefined) {
    methods.push('publickey');
    options.privateKey = await readKey(name, expandHome(privateKeyPath));
    if (passphraseEnv !== undefined) options.passphrase = secretOf(name, 'passphraseEnv', passphraseEnv);
  }
  if (agent !== undefined) {
    methods.push('agent');
    options.agent = agent === true ? agentOf(name) : expandHome(agent);
  }
  if (passwordEnv !== undefined) {
    // Many boxes offer keyboard-interactive alone, and ask the one question.
    methods.push('password', 'keyboard-interactive');
    options.password = secretOf(name, 'passwordEnv', passwordEnv);
    options.tryKeyboard = true;
  }
  options.authHandler = methods as NonNullable<ConnectConfig['authHandler']>;
  return options;
}

async function readKey(name: string, path: string): Promise<Buffer> {
  return readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new ConfigError(
      'ERR_SSH_KEY',
      `The private key ${path} of sshTargets.${name} cannot be read (${cause.code ?? cause.message}).`,
      { cause, facts: { target: name, path } },
    );
  });
}

/** What ssh2 says of a private key that it cannot use. */
export function keyError(name: string, target: SshTarget, cause: Error): ConfigError {
  const encrypted = /encrypted|passphrase/i.test(cause.message) && target.passphraseEnv === undefined;
  const sentence = encrypted
    ? 'is encrypted: name the environment variable with its passphrase in passphraseEnv'
    : target.passphraseEnv === undefined
      ? 'is no private key that this program can read: use one that ssh-keygen made'
      : `is not opened by the passphrase in ${target.passphraseEnv}, or is no private key`;
  return new ConfigError('ERR_SSH_KEY', `The key ${target.privateKeyPath} of sshTargets.${name} ${sentence}.`, {
    cause,
    facts: { target: name, path: target.privateKeyPath },
  });
}

function secretOf(name: string, setting: string, variable: string): string {
  const secret = process.env[variable];
  if (secret) return secret;
  throw new ConfigError(
    'ERR_SSH_SECRET_MISSING',
    `sshTargets.${name}.${setting} names the environment variable ${variable}, and it is not set.`,
    { facts: { target: name, variable } },
  );
}

function agentOf(name: string): string {
  const socket = process.env.SSH_AUTH_SOCK;
  if (socket) return socket;
  throw new ConfigError(
    'ERR_SSH_NO_AGENT',
    `sshTargets.${name}.agent is true, and SSH_AUTH_SOCK is not set: start an ssh-agent, name its socket, or use a key file.`,
    { facts: { target: name } },
  );
}

/** Says what to ask the server for, and whether to believe it. */
export interface HostCheck {
  algorithms: ServerHostKeyAlgorithm[];
  /** @returns why not to; nothing where all is well */
  refuse: (key: Buffer) => SinkError | undefined;
}

/** @throws ConfigError ERR_SSH_KNOWN_HOSTS */
export async function hostCheck(name: string, target: SshTarget): Promise<HostCheck> {
  const { host, port = 22, hostKey } = target;
  const where = port === 22 ? host : `${host}:${port}`;
  const facts = { target: name, host: where };
  if (hostKey !== undefined) {
    const pinned = pinnedKey(hostKey)!;
    const wanted = typeof pinned === 'string' ? pinned : fingerprint(pinned.blob);
    return {
      algorithms: algorithms(typeof pinned === 'string' ? [] : [pinned.type]),
      refuse: (key) => (fingerprint(key) === wanted ? undefined : changed(name, where, key, `hostKey is ${wanted}`)),
    };
  }
  const path = expandHome(target.knownHosts ?? '~/.ssh/known_hosts');
  const text = await readKnownHosts(name, path, target.knownHosts !== undefined);
  const refuse = (key: Buffer) => {
    const verdict = judge(text, host, port, key);
    if (verdict.status === 'trusted') return undefined;
    if (verdict.status === 'changed') return changed(name, where, key, `${path} has ${listed(verdict.known)}`);
    const seen = fingerprint(key);
    if (verdict.status === 'revoked') {
      return new SinkError(
        'ERR_SSH_HOST_REVOKED',
        `${where} shows a key (${seen}) that line ${verdict.line} of ${path} revokes. Nothing was sent. Find out who has that key.`,
        { facts: { ...facts, seen } },
      );
    }
    const authority = verdict.authority ? ' Its @cert-authority line is not supported here: it needs its own key.' : '';
    const scan = port === 22 ? `ssh-keyscan ${host}` : `ssh-keyscan -p ${port} ${host}`;
    return new SinkError(
      'ERR_SSH_HOST_UNKNOWN',
      `${where} is not in ${path}. It shows ${typeOfKey(key)} ${seen}.${authority} Compare that with what the host's owner says, then add it: ${scan} >> ${path}`,
      { facts: { ...facts, seen } },
    );
  };
  return { algorithms: algorithms(knownTypes(text, host, port)), refuse };
}

async function readKnownHosts(name: string, path: string, named: boolean): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    // Who never used ssh has none: then every host is unknown.
    if (cause.code === 'ENOENT' && !named) return '';
    throw new ConfigError(
      'ERR_SSH_KNOWN_HOSTS',
      `The file of known hosts of sshTargets.${name}, ${path}, cannot be read (${cause.code ?? cause.message}).`,
      { cause, facts: { target: name, path } },
    );
  });
}

function changed(name: string, where: string, key: Buffer, known: string): SinkError {
  const seen = fingerprint(key);
  return new SinkError(
    'ERR_SSH_HOST_CHANGED',
    `${where} shows another key than it should: ${typeOfKey(key)} ${seen}, where ${known}. Somebody may be listening in between. Nothing was sent. Ask the host's owner before you change anything.`,
    { facts: { target: name, host: where, seen } },
  );
}

function listed(known: KnownHost[]): string {
  return known.map(({ type, blob }) => `${type} ${fingerprint(blob)}`).join(', ');
}

/** Those for which a key is known come first, so that the server shows that one. */
function algorithms(types: string[]): ServerHostKeyAlgorithm[] {
  const order = [...types.filter((type) => type in HOST_KEYS), ...Object.keys(HOST_KEYS)];
  return [...new Set(order.flatMap((type) => HOST_KEYS[type]!))];
}
