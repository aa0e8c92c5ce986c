/** A dead-man switch, by the convention of healthchecks.io: it raises the alarm when nobody pings it any more. */
import { call } from './call.ts';

export type Ping = 'start' | 'success' | 'fail';

export interface PingCall {
  url: string;
  timeout?: number | undefined;
  retries?: number | undefined;
  signal?: AbortSignal | undefined;
  pause?: number;
}

/**
 * `URL/start`, `URL`, or `URL/fail`, with a few words as the body. @throws CallFailed; the signal's reason
 */
export async function ping(what: Ping, text: string, { url, timeout, retries, ...rest }: PingCall): Promise<void> {
  const target = new URL(url);
  if (what !== 'success') target.pathname = `${target.pathname.replace(/\/$/, '')}/${what}`;
  await call(target.href, {
    ...rest,
    method: 'POST',
    body: text,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'user-agent': 'mikro-orm-dbs' },
    timeout: timeout ?? 10_000,
    // A start that nobody hears of is no loss: the backup is not to wait for it.
    retries: retries ?? (what === 'start' ? 0 : 3),
    redirect: 'follow',
  });
}
