/**
 * Whether a form was sent by one of this site's own pages. A cookie (SameSite=Strict, HttpOnly) holds a random value, every form an HMAC of it: no other site can
 * make the browser send the one, or knows the other. Browsers also say where a request comes from.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { RequestError } from '../errors.ts';
import type { Fields } from './forms.ts';
import type { Site } from './pages.ts';

/** One request of somebody who may be here. */
export interface Visit {
  request: Request;
  session: Session;
  site: Site;
}

const VALUE = /^[A-Za-z0-9_-]{43}$/;

export interface SessionSettings {
  /** The cookie is sent to this path and below. */
  path: string;
  /** Of the HMAC. */
  key: Buffer;
  /** Whether the browser speaks HTTPS; `undefined`: as the request's URL says. */
  secure: boolean | undefined;
}

/** One browser, from its first visit until it is closed. */
export class Session {
  readonly id: string;
  /** What every form carries. */
  readonly token: string;
  /** `Set-Cookie`, where the browser has none yet. */
  readonly cookie: string | null;

  constructor(request: Request, { path, key, secure }: SessionSettings) {
    const https = secure ?? new URL(request.url).protocol === 'https:';
    // The prefix keeps other hosts of the same domain from setting it.
    const name = https ? '__Host-dbs' : 'dbs';
    const known = cookieOf(request, name);
    this.id = known ?? randomBytes(32).toString('base64url');
    this.token = createHmac('sha256', key).update(this.id).digest('base64url');
    const attributes = `${https ? 'Path=/; Secure' : `Path=${path || '/'}`}; HttpOnly; SameSite=Strict`;
    this.cookie = known === null ? `${name}=${this.id}; ${attributes}` : null;
  }

  /** @throws RequestError ERR_WEB_CSRF */
  check(token: string | null | undefined): void {
    const given = Buffer.from(token ?? '');
    const own = Buffer.from(this.token);
    if (this.cookie === null && given.length === own.length && timingSafeEqual(given, own)) return;
    throw forged('The form is too old, or cookies are switched off. Open the page again, and repeat.');
  }
}

/** @throws RequestError ERR_WEB_CSRF where the browser says that another site sent it */
export function checkOrigin(request: Request): void {
  const site = request.headers.get('sec-fetch-site');
  const origin = request.headers.get('origin');
  // Proxies may change what the app takes for its own scheme and port; what the browser says of itself they leave alone.
  const own = site
    ? site === 'same-origin' || site === 'none'
    : origin === null || hostOf(origin) === hostOf(request.url);
  if (!own) throw forged('Another site sent this form. Open the page itself, and repeat.');
}

/** The header, or the field of a form. */
export function tokenOf(request: Request, fields: Fields): string | undefined {
  return request.headers.get('x-csrf-token') ?? fields.get('csrf');
}

function forged(message: string): RequestError {
  return new RequestError('ERR_WEB_CSRF', message);
}

function hostOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).host : null;
}

function cookieOf(request: Request, name: string): string | null {
  for (const pair of (request.headers.get('cookie') ?? '').split(';')) {
    const [key, value] = pair.trim().split('=', 2);
    if (key === name && value && VALUE.test(value)) return value;
  }
  return null;
}
