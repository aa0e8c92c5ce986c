/** Signatures of webhooks: who knows the secret can tell that a message is from us, and fresh. */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** Name of the header. */
export const SIGNATURE_HEADER = 'dbs-signature';
/** Seconds that a message may be old. */
const TOLERANCE = 300;

/** `t=SECONDS,v1=HEX`: HMAC-SHA-256 over `SECONDS.BODY`. */
export function signWebhook(body: string, secret: string, now = Date.now()): string {
  const time = Math.floor(now / 1000);
  return `t=${time},v1=${hmac(time, body, secret)}`;
}

/**
 * For receivers: whether `body` (the bytes as they came, not parsed and written anew) was signed with `secret` in the last five minutes.
 *
 * @example
 * if (!verifyWebhook(body, request.headers['dbs-signature'], process.env.DBS_WEBHOOK_SECRET)) return response.writeHead(401).end();
 */
export function verifyWebhook(body: string, header: string | undefined, secret: string, now = Date.now()): boolean {
  const [, time, given] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header ?? '') ?? [];
  if (time === undefined || given === undefined || secret === '') return false;
  if (Math.abs(now / 1000 - Number(time)) > TOLERANCE) return false;
  return timingSafeEqual(Buffer.from(given, 'hex'), Buffer.from(hmac(Number(time), body, secret), 'hex'));
}

function hmac(time: number, body: string, secret: string): string {
  return createHmac('sha256', secret).update(`${time}.${body}`).digest('hex');
}
