/** Who is told of a run: the app's hooks, a webhook, a dead-man switch. Their failures are warnings, never more. */
import { parseDuration } from './catalog/duration.ts';
import { BackupError } from './errors.ts';
import { type Ping, ping } from './notify/ping.ts';
import { sendWebhook } from './notify/webhook.ts';
import type { BackupConfig, PingSettings, WebhookSettings } from './settings.ts';
import type { BackupRun, Problem } from './types.ts';

/** What was wrong, as results carry it. */
export function problemOf(error: unknown): Problem {
  if (error instanceof BackupError) return { code: error.code, message: error.message };
  const text = error instanceof Error ? error.message : String(error);
  return { code: 'ERR_UNEXPECTED', message: `Unexpected error: ${text.split('\n', 1)[0]}` };
}

export class Audience {
  readonly #settings: BackupConfig;
  readonly #env: NodeJS.ProcessEnv;
  readonly #signal: AbortSignal | undefined;
  readonly #warn: (problem: Problem) => void;

  /** @param settings with the environment in them */
  constructor(
    settings: BackupConfig,
    env: NodeJS.ProcessEnv,
    signal: AbortSignal | undefined,
    warn: (problem: Problem) => void,
  ) {
    this.#settings = settings;
    this.#env = env;
    this.#signal = signal;
    this.#warn = warn;
  }

  /** @throws BackupError ERR_HOOK_BEFORE: the run is not to be */
  async before(startedAt: string, destinations: string[]): Promise<void> {
    try {
      await this.#settings.hooks?.before?.({ startedAt, destinations });
    } catch (error) {
      throw new BackupError(
        'ERR_HOOK_BEFORE',
        `The hook "before" stopped the backup: ${firstLine(error)} Nothing was read.`,
        { cause: error },
      );
    }
    this.#signal?.throwIfAborted();
    await this.#ping('start', '');
  }

  /** The run is over, one way or the other. */
  async after(run: BackupRun): Promise<void> {
    const { hooks } = this.#settings;
    const name = run.ok ? 'after' : 'failed';
    try {
      await hooks?.[name]?.(run);
    } catch (error) {
      this.#warn({ code: 'WARN_HOOK', message: `The hook "${name}" failed: ${firstLine(error)}` });
    }
    await Promise.all([
      this.#webhook(run),
      run.ok ? this.#ping('success', wordsOf(run)) : this.#ping('fail', wordsOf(run)),
    ]);
  }

  async #webhook(run: BackupRun): Promise<void> {
    const { webhook } = this.#settings;
    const settings: WebhookSettings = typeof webhook === 'string' ? { url: webhook } : (webhook ?? {});
    if (!settings.url || settings.on?.includes(run.ok ? 'success' : 'failure') === false) return;
    const secret = this.#env[settings.secretEnv ?? 'DBS_WEBHOOK_SECRET'];
    await this.#try('WARN_WEBHOOK', 'The webhook was not delivered', () =>
      sendWebhook(run, { ...this.#limits(settings), url: settings.url!, secret }),
    );
  }

  async #ping(what: Ping, text: string): Promise<void> {
    const settings: PingSettings =
      typeof this.#settings.ping === 'string' ? { url: this.#settings.ping } : (this.#settings.ping ?? {});
    const { url } = settings;
    if (!url) return;
    await this.#try('WARN_PING', `The ping (${what}) was not delivered`, () =>
      ping(what, text, { ...this.#limits(settings), url }),
    );
  }

  #limits({ timeout, retries }: PingSettings) {
    return { timeout: parseDuration(timeout) ?? undefined, retries, signal: this.#signal };
  }

  async #try(code: string, what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#signal?.throwIfAborted();
      this.#warn({ code, message: `${what}: ${firstLine(error)}` });
    }
  }
}

function wordsOf({ ok, name, problem, rows, bytes }: BackupRun): string {
  return ok ? `${name}: ${rows} rows, ${bytes} bytes` : `${problem?.code}: ${problem?.message}`;
}

/** What an app's own function threw, as one sentence. */
function firstLine(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
