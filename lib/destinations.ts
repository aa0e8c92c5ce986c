/** Places by their URLs: `s3://bucket/prefix/`, `sftp://target/dir/`, `file:///backups/`, a path, or a scheme of the app's own. */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from './errors.ts';
import { FileDestination } from './sinks/folder.ts';
import type { S3Settings } from './sinks/s3/settings.ts';
import type { SshTarget } from './sinks/sftp/targets.ts';
import type { Destination } from './sinks/sink.ts';

/** Makes the destination of a URL that ends in `/`. */
export type DestinationFactory = (url: string) => Destination | Promise<Destination>;

/** What URLs need to be opened: the parts of a `BackupConfig` that say it. */
export interface DestinationSettings {
  /** Hosts of `sftp://NAME/...`, by name. */
  sshTargets?: Record<string, SshTarget>;
  /** What `s3://` needs beyond the SDK's own credentials. */
  s3?: S3Settings;
  /** Schemes of the app's own: `{ gs: (url) => new MyDestination(url) }`. */
  schemes?: Record<string, DestinationFactory>;
}

/** Where one container lies, or many. */
export interface Place {
  destination: Destination;
  /** Of the file in it; `null` where the URL names the destination itself. */
  name: string | null;
}

type Opener = (url: string, settings: DestinationSettings) => Destination | Promise<Destination>;

/** Those that come with this package. A URL comes here with its last slash. */
const SCHEMES: Record<string, Opener> = {
  file: (url) => new FileDestination(localPath(url)),
  // Loaded when first needed: most runs need neither.
  s3: async (url, { s3 }) => (await import('./sinks/s3.ts')).s3Destination(url, s3),
  sftp: async (url, { sshTargets = {} }) => (await import('./sinks/sftp.ts')).sftpDestination(url, sshTargets),
};

/** `scheme://...`, and slips such as `s3:bucket/x`. One letter is a drive of Windows. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(text) || /^(file|s3|sftp):/i.test(text);
}

/**
 * Opens what a path or URL names. A URL that ends in `/`, or a folder that exists, is a destination; anything else a destination and a name in it. What is opened is
 * the caller's to close.
 * @throws ConfigError ERR_DESTINATION_URL, ERR_DESTINATION_SCHEME, ERR_DESTINATION_CREDENTIALS; those of the scheme
 */
export async function openPlace(url: string, settings: DestinationSettings = {}): Promise<Place> {
  if (!isUrl(url)) return pathPlace(url);
  const scheme = checkUrl(url);
  if (scheme === 'file') return pathPlace(localPath(url));
  const opener = settings.schemes?.[scheme] ?? SCHEMES[scheme];
  if (!opener) throw unknownScheme(scheme, settings);
  const end = url.lastIndexOf('/') + 1;
  // `s3://bucket` has no path yet: all of it is the destination.
  const whole = end <= scheme.length + 3;
  const destination = await opener(whole ? `${url}/` : url.slice(0, end), settings);
  return { destination, name: whole || end === url.length ? null : url.slice(end) };
}

/** A destination; a path need not end in a slash then. @throws as `openPlace` */
export async function openDestination(
  target: string | Destination,
  settings: DestinationSettings = {},
): Promise<Destination> {
  if (typeof target !== 'string') return target;
  if (isUrl(target)) {
    if (checkUrl(target) === 'file') return new FileDestination(localPath(target));
    return (await openPlace(asPlace(target), settings)).destination;
  }
  return new FileDestination(target);
}

/** A destination is a place for many, also where its folder does not exist or its URL lacks the last slash. */
export function asPlace<T>(destination: T | string): T | string {
  return typeof destination !== 'string' || destination.endsWith('/') ? destination : `${destination}/`;
}

async function pathPlace(path: string): Promise<Place> {
  const folder = /[/\\]$/.test(path) || (await stat(path).catch(() => null))?.isDirectory();
  if (folder) return { destination: new FileDestination(path), name: null };
  return { destination: new FileDestination(dirname(path)), name: basename(path) };
}

/** The path of a `file:` URL. */
function localPath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw new ConfigError(
      'ERR_DESTINATION_URL',
      'A file: URL must be absolute and name no other host, such as file:///backups/. Or give a plain path.',
    );
  }
}

/** The scheme of a URL that may be opened. Nothing of a URL that holds secrets is repeated. */
function checkUrl(url: string): string {
  const [, scheme = '', slashes = '', rest = ''] = /^([^:]+):(\/\/)?(.*)$/s.exec(url) ?? [];
  const name = scheme.toLowerCase();
  // A password may hold slashes, and then what stands before the @ is not the host.
  if (rest.includes('@') && (/^[^/]*@/.test(rest) || /^[^/@]*:[^@]*@/.test(rest)))
    throw new ConfigError(
      'ERR_DESTINATION_CREDENTIALS',
      `A ${name}: URL must hold no user and no password: they would be seen in lists of processes and in logs. ${ADVICE[name] ?? 'Give them in the settings.'}`,
      { facts: { scheme: name } },
    );
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!slashes || (name !== 'file' && /^(\/|$)/.test(rest)) || /[?#\u0000-\u001f\u007f]/.test(rest)) {
    throw new ConfigError(
      'ERR_DESTINATION_URL',
      `This is no ${name}: URL that can be used. It looks like ${EXAMPLE[name] ?? `${name}://host/folder/`}, without "?" and "#".`,
      { facts: { scheme: name } },
    );
  }
  return name;
}

const ADVICE: Record<string, string> = {
  s3: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.',
  sftp: 'Name a target of sshTargets in the settings: sftp://TARGET/folder/.',
};
const EXAMPLE: Record<string, string> = {
  s3: 's3://bucket/prefix/',
  sftp: 'sftp://target/folder/',
  file: 'file:///folder/',
};

function unknownScheme(scheme: string, { schemes }: DestinationSettings): ConfigError {
  const known = [...new Set([...Object.keys(SCHEMES), ...Object.keys(schemes ?? {})])].map((name) => `${name}:`);
  return new ConfigError(
    'ERR_DESTINATION_SCHEME',
    `Nothing here opens ${scheme}: URLs. Use a path or one of ${known.join(', ')}, or register it under schemes in the settings.`,
    { facts: { scheme, known } },
  );
}
