/** What a request ends with: a status, and one thing said twice, as a page and as JSON. */
import {
  BackupError,
  DamageError,
  FormatError,
  NoKeyMatchError,
  RequestError,
  RestoreError,
  TamperError,
  TruncatedError,
  WrongPassphraseError,
} from '../errors.ts';
import { redacted } from '../texts.ts';
import type { Html } from './html.ts';
import { STYLE_HASH } from './style.ts';

/** What a page says of an error. */
export interface Problem {
  code: string;
  message: string;
  /** The name of the field that it is about. */
  field?: string | undefined;
}

export interface Answer {
  status: number;
  /** `null`: nothing is shown, as of a redirect. */
  page: Html | null;
  json: object;
  headers?: Record<string, string>;
}

/** On every answer. Nothing is kept by anybody, nothing is loaded, nobody frames it. */
export const HEADERS: Record<string, string> = {
  // no-transform: a proxy that compresses would hold back what is streamed.
  'Cache-Control': 'no-store, no-transform',
  'Content-Security-Policy': `default-src 'none'; style-src ${STYLE_HASH}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  // With no-referrer, browsers send `Origin: null` with the page's own forms.
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

export function respond({ status, page, json, headers }: Answer, asJson: boolean): Response {
  const body = asJson ? `${JSON.stringify(json)}\n` : page && `<!doctype html>\n${page.text}`;
  const type = asJson ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8';
  return new Response(body, { status, headers: { ...HEADERS, 'Content-Type': type, Vary: 'Accept', ...headers } });
}

/** JSON where it is asked for by name, and pages are not. */
export function wantsJson(request: Request): boolean {
  const accept = request.headers.get('accept') ?? '';
  return accept.includes('application/json') && !accept.includes('text/html');
}

const REQUEST_STATUS: Record<string, number> = {
  ERR_WEB_FORBIDDEN: 403,
  ERR_WEB_CSRF: 403,
  ERR_WEB_NOT_FOUND: 404,
  ERR_WEB_METHOD: 405,
  ERR_WEB_STALLED: 408,
  ERR_WEB_UPLOAD_GONE: 410,
  ERR_WEB_TOO_LARGE: 413,
  ERR_WEB_MEDIA_TYPE: 415,
  ERR_WEB_BODY_CONSUMED: 500,
  ERR_WEB_TOO_MANY_UPLOADS: 503,
  ERR_WEB_UPLOAD_NOT_KEPT: 507,
};

/** Verdicts about the uploaded file. */
const UNPROCESSABLE = [
  WrongPassphraseError,
  NoKeyMatchError,
  DamageError,
  TamperError,
  TruncatedError,
  FormatError,
] as const;

/** The HTTP status of whatever was thrown. */
export function statusOf(error: unknown): number {
  if (!(error instanceof BackupError)) return 500;
  if (error instanceof RequestError) return REQUEST_STATUS[error.code] ?? 400;
  if (/_LOCKED$/.test(error.code)) return 423;
  if (/^ERR_KEY_(EMPTY_PASSPHRASE|NO_PASSPHRASE|PASSPHRASES_DIFFER)$/.test(error.code)) return 400;
  if (UNPROCESSABLE.some((type) => error instanceof type)) return 422;
  return error instanceof RestoreError ? 409 : 500;
}

/** Fields that an error is about, where it does not name one itself (`facts.field`). */
const FIELDS: [RegExp, string][] = [
  [/^ERR_KEY_/, 'passphrase'],
  [/^ERR_(WEB_NO_FILE|WEB_TOO_|FORMAT_|DAMAGE_|TAMPER_|TRUNCATED)/, 'backup'],
];

/** What may be told of it: of errors that are not this package's own, nothing. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof BackupError))
    return {
      code: 'ERR_UNEXPECTED',
      message: 'Something went wrong that was not foreseen. The log of the app may say more.',
    };
  const { code, message, facts } = error;
  const field = (facts.field as string | undefined) ?? FIELDS.find(([pattern]) => pattern.test(code))?.[1];
  return { code, message: redacted(message), field };
}

/** As `dbs --json` prints it, with the status in place of the exit code. */
export function errorJson(error: unknown) {
  const { code, message } = problemOf(error);
  return {
    type: 'error',
    code,
    message,
    status: statusOf(error),
    facts: error instanceof BackupError ? error.facts : {},
  };
}
