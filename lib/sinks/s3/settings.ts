/** What can be said about an S3 destination, and where it is. */
import { expect, isText, known } from '../../checks.ts';
import { ConfigError } from '../../errors.ts';

const MiB = 2 ** 20;

export interface S3Settings {
  /** URL of a server that is not Amazon's: MinIO, Ceph, R2. Default: the SDK's own chain (`AWS_ENDPOINT_URL_S3`, profile), else Amazon. */
  endpoint?: string;
  /** Default: the SDK's own chain (`AWS_REGION`, profile); with an endpoint `us-east-1`. */
  region?: string;
  /** The bucket stands in the path, not in the host name. Default: true with an endpoint. */
  forcePathStyle?: boolean;
  /** Such as `STANDARD_IA`. Classes that must be thawed before they are read fail the verification. Default: the bucket's. */
  storageClass?: string;
  /** Nobody can remove or replace a backup for so many days, nor can `dbs prune`. The bucket must have Object Lock. */
  objectLock?: { mode: 'GOVERNANCE' | 'COMPLIANCE'; days: number };
  /** Encryption at the server, beside this package's own. Default: the bucket's. */
  serverSideEncryption?: 'AES256' | 'aws:kms';
  /** With `aws:kms`: the key. */
  kmsKeyId?: string;
  /**
   * Bytes of a part, 5 MiB to 1 GiB; default 5 MiB. An upload has 10,000 parts at most: from the 2,001st on they grow, up to 1 GiB, so that 1.8 TiB fit with
   * the default and 5.8 TiB with 64 MiB. Cloudflare's R2 wants all parts of one length: there set it to a 2,000th of the largest backup.
   */
  partSize?: number;
  /** Parts under way at once, 1 to 32; default 4. They hold `partSize * (parallelParts + 1)` bytes; parts that have grown are fewer at once. */
  parallelParts?: number;
  /** Of the shared AWS configuration. Default: the SDK's own chain. */
  profile?: string;
}

const NAMES = [
  'endpoint',
  'region',
  'forcePathStyle',
  'storageClass',
  'objectLock',
  'serverSideEncryption',
  'kmsKeyId',
  'partSize',
  'parallelParts',
  'profile',
];

/**
 * Checks settings and returns them. @param at how they are called in messages, such as `s3`
 * @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION
 */
export function checkS3Settings(value: unknown, at: string): S3Settings {
  known(value, NAMES, at);
  const s = value as S3Settings;
  const optional = (name: keyof S3Settings, holds: (v: unknown) => boolean, what: string) =>
    expect(s[name] === undefined || holds(s[name]), `${at}.${name}`, what);
  optional('endpoint', isServer, 'a URL such as https://s3.example.com, without user, password or path');
  for (const name of ['region', 'storageClass', 'kmsKeyId', 'profile'] as const)
    optional(name, isText, 'a text that is not empty');
  optional('forcePathStyle', (v) => typeof v === 'boolean', 'true or false');
  optional('serverSideEncryption', (v) => v === 'AES256' || v === 'aws:kms', 'AES256 or aws:kms');
  optional('partSize', (v) => isWhole(v, 5 * MiB, 1024 * MiB), 'a number of bytes from 5 MiB to 1 GiB');
  optional('parallelParts', (v) => isWhole(v, 1, 32), 'a number from 1 to 32');
  if (s.objectLock !== undefined) {
    known(s.objectLock, ['mode', 'days'], `${at}.objectLock`);
    const { mode, days } = s.objectLock;
    expect(mode === 'GOVERNANCE' || mode === 'COMPLIANCE', `${at}.objectLock.mode`, 'GOVERNANCE or COMPLIANCE');
    expect(isWhole(days, 1, 36_500), `${at}.objectLock.days`, 'a number of days from 1 to 36500');
  }
  return s;
}

function isWhole(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

function isServer(value: unknown): boolean {
  if (!isText(value) || !URL.canParse(value)) return false;
  const { protocol, username, password, search, hash } = new URL(value);
  return /^https?:$/.test(protocol) && !username && !password && !search && !hash;
}

/** A place in a bucket. The prefix is empty or ends with a slash. */
export interface S3Place {
  bucket: string;
  prefix: string;
}

/**
 * Reads `s3://bucket/prefix/`; the slash at the end may be missing. Nothing is decoded: a key is what stands there.
 * @throws ConfigError ERR_CONFIG_S3_URL
 */
export function parseS3Url(url: string): S3Place {
  const [, bucket, rest = ''] = /^s3:\/\/([a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9])(?:\/(.*))?$/s.exec(url) ?? [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused
  if (!bucket || /[\u0000-\u001f\u007f]/.test(rest) || rest.startsWith('/') || rest.includes('//')) {
    throw new ConfigError(
      'ERR_CONFIG_S3_URL',
      // A URL may carry what somebody took for a place of credentials: it is not repeated.
      'This is no S3 URL. It must look like s3://bucket/prefix/, with a bucket of 3 to 63 letters, digits, dots and hyphens, and no credentials.',
    );
  }
  return { bucket, prefix: rest === '' || rest.endsWith('/') ? rest : `${rest}/` };
}
