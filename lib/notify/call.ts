/** One HTTP call with a time limit and retries, by Node's own fetch. Who is told of a backup must never hold it up for long. */
import { setTimeout } from 'node:timers/promises';

export interface CallOptions {
  method: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  /** Milliseconds of one attempt. */
  timeout: number;
  /** Attempts after the first. */
  retries: number;
  redirect: 'follow' | 'manual';
  signal?: AbortSignal | undefined;
  /** Milliseconds before the first retry; doubled for each further one. Default 500. */
  pause?: number;
}

/** Why nobody was told: a sentence without the URL, which may hold a secret. */
export class CallFailed extends Error {}

const LONGEST_PAUSE = 30_000;
/** Of 4xx: those that may pass. */
const PASSING = [408, 425, 429];

/**
 * Resolves when the server said 2xx. Network failures, time-outs, 5xx and 429 are tried again, other answers are final.
 * @throws CallFailed; the signal's reason
 */
export async function call(url: string, options: CallOptions): Promise<void> {
  const { retries, signal, pause = 500 } = options;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    const { reason, final, after } = await once(url, options);
    if (reason === null) return;
    signal?.throwIfAborted();
    if (final || attempt >= retries) {
      const times = attempt > 0 ? `, ${attempt + 1} times` : '';
      throw new CallFailed(`${hostOf(url)} ${reason}${times}`);
    }
    // Not all who were refused at once come again at once.
    const wait = Math.min(LONGEST_PAUSE, after ?? pause * 2 ** attempt * (0.75 + Math.random() / 2));
    await setTimeout(wait, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
  }
}

interface Outcome {
  reason: string | null;
  final?: boolean;
  /** Milliseconds that the server asks for. */
  after?: number | undefined;
}

async function once(url: string, { method, headers, body, timeout, redirect, signal }: CallOptions): Promise<Outcome> {
  const limit = AbortSignal.timeout(timeout);
  try {
    const response = await fetch(url, {
      method,
      redirect,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      ...(headers ? { headers } : {}),
      ...(body === undefined ? {} : { body }),
    });
    // What it says is not read: it may be endless.
    await response.body?.cancel().catch(() => {});
    const { status, ok } = response;
    if (ok) return { reason: null };
    if (status >= 300 && status < 400) return { reason: `answers with a redirect (${status})`, final: true };
    const seconds = Number(response.headers.get('retry-after'));
    const after = seconds > 0 ? seconds * 1000 : undefined;
    return { reason: `answers with status ${status}`, final: status < 500 && !PASSING.includes(status), after };
  } catch (error) {
    if (limit.aborted) return { reason: `did not answer within ${timeout / 1000} s` };
    const { cause, name } = error as Error & { cause?: { code?: string; message?: string } };
    return { reason: `cannot be reached (${cause?.code ?? cause?.message ?? name})` };
  }
}

/** The host alone: paths of such URLs are secrets. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the URL';
}
