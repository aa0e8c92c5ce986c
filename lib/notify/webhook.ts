/** Tells a web server how a backup went. */
import { randomUUID } from 'node:crypto';
import { call } from './call.ts';
import { SIGNATURE_HEADER, signWebhook } from './signature.ts';

export interface WebhookCall {
  url: string;
  /** Signs the body; unsigned without one. */
  secret?: string | undefined;
  /** Milliseconds of one attempt. Default 10,000. */
  timeout?: number | undefined;
  /** Default 3. */
  retries?: number | undefined;
  signal?: AbortSignal | undefined;
  pause?: number;
}

/**
 * POSTs `payload` as JSON. The same `dbs-delivery` stands on every attempt, so that a receiver can tell a repetition. Redirects are not followed.
 * @throws CallFailed; the signal's reason
 */
export async function sendWebhook(
  payload: object,
  { url, secret, timeout, retries, ...rest }: WebhookCall,
): Promise<void> {
  const body = JSON.stringify(payload);
  const signature = secret ? { [SIGNATURE_HEADER]: signWebhook(body, secret) } : {};
  await call(url, {
    ...rest,
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'user-agent': 'mikro-orm-dbs',
      'dbs-delivery': randomUUID(),
      ...signature,
    },
    timeout: timeout ?? 10_000,
    retries: retries ?? 3,
    redirect: 'manual',
  });
}
