/** What `createBackupHandler` is told, checked, with its defaults. */
import { createHash, randomBytes } from 'node:crypto';
import { DURATION_FORMS, type Duration, parseDuration } from '../catalog/duration.ts';
import { expect, isText, known } from '../checks.ts';
import type { BackupEvent } from '../events.ts';
import type { KdfParameters } from '../format/key-slot.ts';
import type { BackupConfig } from '../settings.ts';

export interface BackupHandlerOptions<Context = unknown> {
  /**
   * Whether this is a superuser. Asked for every request, before anything else. Only `true` lets it in; whatever else it says is a 403 that tells nothing, and what it throws
   * a 500 that tells nothing.
   * @param request without its body
   * @param context what the handler was called with beside it: with `toNodeListener`, Node's own request, and so what Express or Nest hung onto it
   */
  authorize: (request: Request, context: Context) => boolean | Promise<boolean>;
  /** Where the pages are, as the browser sees it. Default `/backups`. */
  basePath?: string;
  /** Default: the key `dbs` of the ORM's configuration. The environment goes before it. */
  config?: BackupConfig;
  /** Of one uploaded file. Default 4 GiB. */
  maxUploadBytes?: number;
  /** How long an upload waits for its restore, as ciphertext in a temporary file. Default 15 minutes, at most a day. */
  keepUploads?: Duration;
  /** A download that nobody reads any more ends after this, as it keeps a snapshot of the database open; an upload of which nothing comes, too. Default 2 minutes, at most a day. */
  stallTimeout?: Duration;
  /** Whether the browser speaks HTTPS. Default: as the request's URL says. Behind a proxy that ends TLS, say `true`. */
  secure?: boolean;
  /** At least 32 characters, the same in all instances of the app: a form that one of them made is then good in the others. Default: random. */
  secret?: string;
  /** Argon2id parameters of downloads, where they shall not be the usual ones. */
  kdf?: Partial<KdfParameters>;
  /** Called with each event of backups and restores. Must not throw. */
  onEvent?: (event: BackupEvent) => void;
  /** Told of errors that a page does not explain, and of transfers that broke: for the app's log. Must not throw. */
  onError?: (error: unknown) => void;
}

export interface Settled<Context> {
  authorize: BackupHandlerOptions<Context>['authorize'];
  /** Without a slash at its end. */
  base: string;
  config: BackupConfig | undefined;
  maxBytes: number;
  /** Milliseconds. */
  keepUploads: number;
  stallTimeout: number;
  secure: boolean | undefined;
  /** Of the HMAC in forms. */
  key: Buffer;
  kdf: Partial<KdfParameters>;
  onEvent: ((event: BackupEvent) => void) | undefined;
  onError: (error: unknown) => void;
}

const NAMES = [
  'authorize',
  'basePath',
  'config',
  'maxUploadBytes',
  'keepUploads',
  'stallTimeout',
  'secure',
  'secret',
  'kdf',
  'onEvent',
  'onError',
];
const DAY = 86_400_000;

/** @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION */
export function settle<Context>(options: BackupHandlerOptions<Context>): Settled<Context> {
  known(options, NAMES, 'createBackupHandler');
  const { authorize, basePath = '/backups', maxUploadBytes = 4 * 2 ** 30, secret, secure, kdf = {}, onEvent } = options;
  const at = (name: string) => `createBackupHandler's ${name}`;
  expect(typeof authorize === 'function', at('authorize'), 'a function that says who is a superuser');
  expect(
    isText(basePath) && /^\/[\w.~/-]*$/.test(basePath) && !basePath.includes('//'),
    at('basePath'),
    'a path such as /admin/backups',
  );
  expect(Number.isSafeInteger(maxUploadBytes) && maxUploadBytes > 0, at('maxUploadBytes'), 'a number of bytes');
  expect(secure === undefined || typeof secure === 'boolean', at('secure'), 'true or false');
  expect(secret === undefined || (isText(secret) && secret.length >= 32), at('secret'), 'at least 32 characters');
  return {
    authorize,
    base: basePath.replace(/\/$/, ''),
    config: options.config,
    maxBytes: maxUploadBytes,
    keepUploads: withinADay(options.keepUploads ?? '15m', at('keepUploads')),
    stallTimeout: withinADay(options.stallTimeout ?? '2m', at('stallTimeout')),
    secure,
    key: secret === undefined ? randomBytes(32) : createHash('sha256').update(secret).digest(),
    kdf,
    onEvent,
    onError: options.onError ?? (() => {}),
  };
}

function withinADay(value: Duration, at: string): number {
  const milliseconds = parseDuration(value);
  expect(milliseconds !== null && milliseconds <= DAY, at, `${DURATION_FORMS}, at most a day`);
  return milliseconds!;
}
