/** What S3 servers and the network say, as sentences. */
import { type BackupError, SinkError, SourceError } from '../../errors.ts';

/** Whether something was written or read: that decides the class. */
export type Side = 'sink' | 'source';

interface Failure {
  codes: [sink: string, source: string];
  /** What happened and what to do, behind the name of the place. */
  says: string;
  permanent: boolean;
}

/** The shape of what the SDK throws. */
interface SdkError {
  name?: string;
  code?: string;
  Code?: string;
  message?: string;
  Region?: string;
  $metadata?: { httpStatusCode?: number };
  $response?: { statusCode?: number; headers?: Record<string, string> };
}

/** @param name for messages: the place that was asked for */
export function s3Error(side: Side, error: unknown, name: string): BackupError {
  const sdk = (error ?? {}) as SdkError;
  const status = sdk.$metadata?.httpStatusCode ?? sdk.$response?.statusCode;
  const s3 = codeOf(sdk);
  const { codes, says, permanent } = failureOf(sdk, s3, status);
  const options = {
    cause: error,
    permanent,
    facts: { path: name, ...(s3 ? { s3 } : {}), ...(status ? { status } : {}) },
  };
  return side === 'sink'
    ? new SinkError(codes[0], `${name}: ${says}`, options)
    : new SourceError(codes[1], `${name}: ${says}`, options);
}

/** What the server called it, such as `NoSuchKey`; or the code of Node.js. */
export function codeOf(error: unknown): string {
  const { name, Code, code } = (error ?? {}) as SdkError;
  const own = Code ?? name ?? '';
  // The SDK calls a cut connection a timeout, too.
  if (own === 'TimeoutError' && code) return code;
  return /^(Error|AggregateError|Unknown|UnknownError|)$/.test(own) ? (code ?? '') : own;
}

/** Status and code of an error that `s3Error` made. */
export function answerOf(error: unknown): { status?: number; s3?: string } {
  return ((error as BackupError | undefined)?.facts ?? {}) as { status?: number; s3?: string };
}

/** Some servers refuse what they do not know, and others ignore it. */
export function isUnknownHeader(error: unknown): boolean {
  const { status, s3 } = answerOf(error);
  return status === 501 || (status === 400 && (s3 === 'InvalidArgument' || s3 === 'InvalidRequest'));
}

/** Whoever answers 200 to everything, as the login page of a network does, is no S3 server: without this field of an answer nothing was done. */
export function sensible<Name extends string, Answer extends { [name in Name]?: string | undefined }>(
  field: Name,
  answer: Answer,
): Answer {
  if (answer[field]) return answer;
  throw Object.assign(new Error(`an answer without ${field}`), { $metadata: { httpStatusCode: 200 } });
}

/** Whether the server may have done what it gave no right answer to. @param error as the SDK threw it */
export function mayHaveArrived(error: unknown): boolean {
  const { $metadata, $response } = (error ?? {}) as SdkError;
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  return status === undefined || status < 300 || status >= 500;
}

const CREDENTIALS =
  /^(InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidClientTokenId|UnrecognizedClientException|InvalidSecurity)$/;
const NO_CREDENTIALS = /^(CredentialsProviderError|TokenProviderError|ProviderError)$/;
const WRONG_REGION =
  /^(PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|MovedPermanently|301)$/;
const DAMAGED =
  /^(BadDigest|InvalidDigest|XAmzContentSHA256Mismatch|XAmzContentChecksumMismatch|IncompleteBody|InvalidPart)$/;
const BUSY =
  /^(ConditionalRequestConflict|OperationAborted|SlowDown|ServiceUnavailable|Busy|TooManyRequests|TooManyRequestsException|Throttling|ThrottlingException|RequestLimitExceeded)$/;
const UNREACHABLE = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/;
const CUT = /^(ECONNRESET|EPIPE|ERR_STREAM_PREMATURE_CLOSE|ECONNABORTED|EPROTO|HPE_[A-Z_]+)$/;
const TIMEOUT = /^(TimeoutError|RequestTimeout|ETIMEDOUT|ESOCKETTIMEDOUT|RequestTimeoutException)$/;
const CERTIFICATE = /^(CERT_|ERR_TLS_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|UNABLE_TO_(GET|VERIFY))/;

function failureOf(error: SdkError, s3: string, status: number | undefined): Failure {
  if (s3 === 'NoSuchBucket')
    return failed(
      'ERR_SINK_NO_BUCKET',
      'ERR_SOURCE_NO_BUCKET',
      'there is no such bucket. Check its name and the endpoint, or create it.',
    );
  if (s3 === 'NoSuchKey' || s3 === 'NotFound')
    return failed('ERR_SINK_NOT_FOUND', 'ERR_SOURCE_NOT_FOUND', 'there is no such object. Check the name.');
  if (s3 === 'RequestTimeTooSkewed') {
    const says = "the server's clock and this machine's differ too much. Set this machine's clock, for example by NTP.";
    // The SDK corrects its own idea of the time by the answer, so that the next attempt may succeed.
    return passing('ERR_SINK_CLOCK', 'ERR_SOURCE_CLOCK', says);
  }
  const region = error.Region ?? error.$response?.headers?.['x-amz-bucket-region'];
  if (WRONG_REGION.test(s3) || status === 301) {
    const right = region ? `It is in ${region}: set region to that.` : 'Check region and endpoint.';
    return failed('ERR_SINK_REGION', 'ERR_SOURCE_REGION', `the bucket is in another region. ${right}`);
  }
  if (/Region is missing/.test(error.message ?? ''))
    return failed('ERR_SINK_REGION', 'ERR_SOURCE_REGION', 'no region is configured. Set region, or AWS_REGION.');
  if (NO_CREDENTIALS.test(s3))
    return failed(
      'ERR_SINK_CREDENTIALS',
      'ERR_SOURCE_CREDENTIALS',
      'there are no usable credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role.',
    );
  if (CREDENTIALS.test(s3))
    return failed(
      'ERR_SINK_CREDENTIALS',
      'ERR_SOURCE_CREDENTIALS',
      `the server does not accept the credentials (${s3}). Check the key, its secret, and whether they have expired.`,
    );
  if (s3 === 'QuotaExceeded' || s3 === 'XMinioStorageFull' || status === 507)
    return failed(
      'ERR_SINK_FULL',
      'ERR_SOURCE_READ',
      'there is no space left, or the quota is used up. Nothing was kept; make room, or write elsewhere.',
    );
  if (DAMAGED.test(s3))
    return passing(
      'ERR_SINK_TRANSFER',
      'ERR_SOURCE_READ',
      `the bytes did not arrive as they were sent (${s3}). Nothing was kept; check the network.`,
    );
  if (TIMEOUT.test(s3))
    return passing(
      'ERR_SINK_TIMEOUT',
      'ERR_SOURCE_TIMEOUT',
      'the server did not answer in time. Try again, and look at the network between.',
    );
  if (BUSY.test(s3) || status === 503 || status === 429)
    return passing(
      'ERR_SINK_BUSY',
      'ERR_SOURCE_BUSY',
      'the server is busy and asks to come back later. Try again, or use fewer parallelParts.',
    );
  if (CERTIFICATE.test(s3))
    return failed(
      'ERR_SINK_UNREACHABLE',
      'ERR_SOURCE_UNREACHABLE',
      `the server's certificate is not trusted (${s3}). Check the endpoint; for an authority of your own set NODE_EXTRA_CA_CERTS.`,
    );
  if (UNREACHABLE.test(s3))
    return passing(
      'ERR_SINK_UNREACHABLE',
      'ERR_SOURCE_UNREACHABLE',
      `the server cannot be reached (${s3}). Check endpoint and network.`,
    );
  if (CUT.test(s3) || /socket hang up|aborted|closed/i.test((!status && error.message) || ''))
    return passing(
      'ERR_SINK_CONNECTION',
      'ERR_SOURCE_CONNECTION',
      'the connection was cut. Try again, and look at the network between.',
    );
  if (status === 403 || status === 401)
    return failed(
      'ERR_SINK_DENIED',
      'ERR_SOURCE_DENIED',
      `access is denied${named(s3)}. Check the rights of these credentials for this bucket.`,
    );
  const what = named(s3 || (status ? `HTTP ${status}` : ''));
  if (status !== undefined && status >= 500)
    return passing('ERR_SINK_WRITE', 'ERR_SOURCE_READ', `the server failed${what}. Try again later.`);
  if (status === undefined || status < 300)
    return passing(
      'ERR_SINK_WRITE',
      'ERR_SOURCE_READ',
      `the server gave an answer that makes no sense${what}. Check that the endpoint is an S3 server.`,
    );
  return failed('ERR_SINK_WRITE', 'ERR_SOURCE_READ', `the server refuses it${what}. Check settings and endpoint.`);
}

function named(s3: string): string {
  return s3 ? ` (${s3})` : '';
}

function failed(sink: string, source: string, says: string): Failure {
  return { codes: [sink, source], says, permanent: true };
}

function passing(sink: string, source: string, says: string): Failure {
  return { codes: [sink, source], says, permanent: false };
}
