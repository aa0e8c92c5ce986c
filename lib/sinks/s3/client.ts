/** The AWS SDK, loaded when it is needed, behind one door: every request is tried again where that helps, and fails with a sentence. */
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { ConfigError } from '../../errors.ts';
import { type RetryOptions, withRetries } from '../retry.ts';
import { answerOf, codeOf, type Side, s3Error } from './errors.ts';
import type { S3Place, S3Settings } from './settings.ts';

export type Sdk = typeof import('@aws-sdk/client-s3');

/** What tests turn. */
export interface S3Tuning {
  retry?: RetryOptions;
  /** Milliseconds without a byte after which a connection is given up. Default 60,000. */
  socketTimeout?: number;
  /** Objects of one page of a list. Default: the server's, mostly 1000. */
  pageSize?: number;
}

/** What is known of an object. */
export interface ObjectFacts {
  size: number;
  etag: string;
  modified: Date;
  /** Who wrote it: the number that each writer gives itself. */
  writer: string | undefined;
  /** Object Lock holds it, as far as we may know. */
  locked: boolean;
}

/** Metadata by which a writer knows its own object again. */
export const WRITER = 'dbs-writer';

const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** @throws ConfigError ERR_CONFIG_PACKAGE_MISSING where it is not installed */
export async function loadSdk(load: () => Promise<Sdk> = () => import('@aws-sdk/client-s3')): Promise<Sdk> {
  try {
    return await load();
  } catch (cause) {
    throw new ConfigError(
      'ERR_CONFIG_PACKAGE_MISSING',
      'S3 needs the package @aws-sdk/client-s3. Install it in your app: npm install @aws-sdk/client-s3.',
      { cause, facts: { package: '@aws-sdk/client-s3' } },
    );
  }
}

/** A bucket, and how to talk to its server. */
export class S3Connection {
  readonly sdk: Sdk;
  readonly client: S3Client;
  readonly place: S3Place;
  readonly settings: S3Settings;
  readonly tuning: S3Tuning;
  #bucketIsThere = false;

  private constructor(sdk: Sdk, client: S3Client, place: S3Place, settings: S3Settings, tuning: S3Tuning) {
    this.sdk = sdk;
    this.client = client;
    this.place = place;
    this.settings = settings;
    this.tuning = tuning;
  }

  /** Connects to nothing yet. @throws ConfigError ERR_CONFIG_PACKAGE_MISSING; SinkError ERR_SINK_REGION */
  static async open(place: S3Place, settings: S3Settings, tuning: S3Tuning): Promise<S3Connection> {
    const sdk = await loadSdk();
    const make = (more: S3Settings) => quietly(() => new sdk.S3Client(clientConfig({ ...settings, ...more }, tuning)));
    let client = make({});
    try {
      await client.config.region();
    } catch (error) {
      // Servers that are not Amazon's have mostly one region, and take this name for it.
      if (!isElsewhere(settings)) throw s3Error('sink', error, `s3://${place.bucket}/`);
      client = make({ region: 'us-east-1' });
    }
    return new S3Connection(sdk, client, place, settings, tuning);
  }

  /** For messages. */
  nameOf(name: string): string {
    return `s3://${this.place.bucket}/${this.place.prefix}${name}`;
  }

  /** Which object. */
  target(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.place.bucket, Key: this.place.prefix + name };
  }

  /**
   * Sends a request, again and again where it may pass. @param call makes it, anew for each attempt
   * @throws SinkError or SourceError, by `side`; the reason of `signal`
   */
  send<T>(
    side: Side,
    name: string,
    call: (client: S3Client, options: { abortSignal?: AbortSignal }, attempt: number) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    return withRetries(
      async (attempt) => {
        try {
          return await call(this.client, signal ? { abortSignal: signal } : {}, attempt);
        } catch (error) {
          signal?.throwIfAborted();
          throw s3Error(side, error, name);
        }
      },
      { ...this.tuning.retry, ...(signal ? { signal } : {}) },
    );
  }

  /**
   * What is there under a name; `null` where nothing is. The answer to HEAD has no body, so that a refusal is asked for its reason by a GET.
   */
  async head(side: Side, name: string, signal?: AbortSignal): Promise<ObjectFacts | null> {
    const shown = this.nameOf(name);
    const { HeadObjectCommand, GetObjectCommand, HeadBucketCommand } = this.sdk;
    const target = this.target(name);
    try {
      const head = await this.send(
        side,
        shown,
        async (client, options) => {
          try {
            return await client.send(new HeadObjectCommand(target), options);
          } catch (error) {
            const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
            if (status === 404 || status === undefined || status >= 500) throw error;
            const probe = await client.send(new GetObjectCommand({ ...target, Range: 'bytes=0-0' }), options);
            (probe.Body as { destroy?: () => void } | undefined)?.destroy?.();
            // That works: the SDK has learned the right time by the refusal, say.
            return await client.send(new HeadObjectCommand(target), options);
          }
        },
        signal,
      );
      this.#bucketIsThere = true;
      return {
        size: head.ContentLength ?? 0,
        etag: head.ETag ?? '',
        modified: head.LastModified ?? new Date(0),
        writer: head.Metadata?.[WRITER],
        locked: head.ObjectLockMode !== undefined,
      };
    } catch (error) {
      const { status, s3 } = answerOf(error);
      if (status !== 404 || s3 === 'NoSuchBucket') throw error;
    }
    if (!this.#bucketIsThere) {
      await this.send(
        side,
        `s3://${this.place.bucket}/`,
        async (client, options) => {
          try {
            return await client.send(new HeadBucketCommand({ Bucket: this.place.bucket }), options);
          } catch (error) {
            // It says only that something is not found. That the bucket may not be looked at is no reason to give up.
            if (codeOf(error) === 'NotFound') throw Object.assign(error as Error, { Code: 'NoSuchBucket' });
            if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 403) return null;
            throw error;
          }
        },
        signal,
      );
      this.#bucketIsThere = true;
    }
    return null;
  }

  close(): void {
    this.client.destroy();
  }
}

function clientConfig(settings: S3Settings, tuning: S3Tuning): S3ClientConfig {
  const { endpoint, region, profile, parallelParts = 4 } = settings;
  const agent = { keepAlive: true, maxSockets: Math.max(16, parallelParts * 2) };
  return {
    ...(endpoint ? { endpoint } : {}),
    ...(region ? { region } : {}),
    ...(profile ? { profile } : {}),
    forcePathStyle: settings.forcePathStyle ?? isElsewhere(settings),
    // Trying again is done here, where it is known what an attempt that got lost may have left.
    maxAttempts: 1,
    // Parts carry a CRC32 of this package's making, and the signature covers their SHA-256. Trailers, which many servers do not know, are not used.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      httpAgent: agent,
      httpsAgent: agent,
      connectionTimeout: 15_000,
      socketTimeout: tuning.socketTimeout ?? 60_000,
      logger: SILENT,
    },
  };
}

/** A server that is not Amazon's, by setting or by environment. Its buckets have mostly no host names of their own. */
function isElsewhere({ endpoint }: S3Settings): boolean {
  return Boolean(endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL);
}

/** Makes a client without the SDK's advice about the version of Node.js, which is nothing that who makes a backup can follow. */
function quietly<T>(make: () => T): T {
  const name = 'AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED';
  const before = process.env[name];
  process.env[name] = 'true';
  try {
    return make();
  } finally {
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
}
