/** Where a container is being written: one place or several, each of which may fail alone. */
import { resolve } from 'node:path';
import { finished, Writable } from 'node:stream';
import { DEFAULT_PREFIX, makeName } from './catalog/naming.ts';
import { type DestinationSettings, isUrl, openPlace } from './destinations.ts';
import { BackupError, ConfigError, SinkError } from './errors.ts';
import { FileSink } from './sinks/file.ts';
import type { Destination, Sink, SinkWriter } from './sinks/sink.ts';
import type { BackupTarget, OutputResult, Problem, WriteOptions } from './types.ts';

/** A place for one container, not begun yet. */
export interface Target {
  sink: Sink;
  /** Of a local file: a backup must not contain itself. */
  path: string | undefined;
}

export interface Targets {
  targets: Target[];
  /** Made by prefix and time, if any target asked for one. */
  name: string | null;
  /** Ends connections, and gives the name free. Never throws. */
  close(): Promise<void>;
}

/** Names that this process is writing under: two backups of one second must not meet at the end. */
const inUse = new Set<string>();

/** @throws ConfigError for what cannot be meant; nothing was begun then */
export async function openTargets(
  list: BackupTarget[],
  options: Pick<WriteOptions, 'force' | 'prefix' | 'settings'>,
): Promise<Targets> {
  const opened: Destination[] = [];
  const reserved: string[] = [];
  const close = async () => {
    for (const key of reserved) inUse.delete(key);
    for (const destination of opened) await destination.close();
  };
  try {
    const force = options.force ?? false;
    const found: (Sink | Destination)[] = [];
    for (const target of list)
      found.push(typeof target === 'string' ? await fromText(target, force, options.settings, opened) : target);
    const places = found.filter(isDestination);
    const name = places.length > 0 ? await freeName(places, options.prefix ?? DEFAULT_PREFIX, reserved) : null;
    const targets = found.map((one): Target => {
      const sink = isDestination(one) ? one.sink(name!) : one;
      return { sink, path: sink instanceof FileSink ? resolve(sink.name) : undefined };
    });
    return { targets, name, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function isDestination(value: Sink | Destination): value is Destination {
  return typeof (value as Destination).sink === 'function';
}

async function fromText(
  text: string,
  force: boolean,
  settings: DestinationSettings | undefined,
  opened: Destination[],
): Promise<Sink | Destination> {
  const { destination, name } = await openPlace(text, settings);
  opened.push(destination);
  if (name === null) return destination;
  // Messages then name the path as it was given.
  return isUrl(text) ? destination.sink(name, { force }) : new FileSink(text, { force });
}

/** A name that none of the destinations has: the same at all of them. */
async function freeName(places: Destination[], prefix: string, reserved: string[]): Promise<string> {
  const now = new Date();
  for (let sequence = 1; ; sequence++) {
    const name = makeName(prefix, now, sequence);
    const keys = places.map((place) => `${place.name}\n${name}`);
    if (keys.some((key) => inUse.has(key))) continue;
    for (const key of keys) inUse.add(key);
    reserved.push(...keys);
    // A place that cannot be asked will say so when it is written to.
    const there = await Promise.all(places.map((place) => place.stat(name).catch(() => null)));
    if (there.every((file) => file === null)) return name;
  }
}

/** One place that a container is being written to. */
export class Output {
  readonly name: string;
  readonly writer: SinkWriter;
  verified = false;
  finished = false;
  #failure: BackupError | undefined;
  #aborted: Promise<void> | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(sink: Sink, writer: SinkWriter) {
    this.name = sink.name;
    this.writer = writer;
  }

  /** Begins to write. What cannot be begun has failed from the start. */
  static async begin(sink: Sink): Promise<Output> {
    try {
      return new Output(sink, await sink.create());
    } catch (error) {
      const output = new Output(sink, { stream: new Writable(), finish: async () => {}, abort: async () => {} });
      output.fail(error);
      return output;
    }
  }

  get failure(): BackupError | undefined {
    return this.#failure;
  }

  /** It will not have the container: nothing of it stays there. The first reason counts. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = asBackupError(error, this.name);
    this.#aborted ??= this.writer.abort();
    for (const wake of this.#waiting) wake();
  }

  /** As `work`, or `null` as soon as the output fails: whatever it does then, nobody waits for it. */
  whileAlive<T>(work: Promise<T>): Promise<T | null> {
    return new Promise((resolve, reject) => {
      const died = () => resolve(null);
      if (this.#failure) died();
      this.#waiting.add(died);
      work.then(resolve, reject).finally(() => this.#waiting.delete(died));
    });
  }

  /** Watches the stream: a sink may fail while nothing is being written to it. */
  watch(onFailure: (error: unknown) => void): void {
    finished(this.writer.stream, { readable: false }, (error) => {
      if (error && !this.#failure && !this.#aborted) onFailure(error);
    });
  }

  /** Undoes what was begun, unless it was finished. Never throws. */
  async abort(): Promise<void> {
    if (!this.finished && !this.#aborted) this.#aborted = this.writer.abort();
    await this.#aborted;
  }

  get result(): OutputResult {
    const { name, finished, verified } = this;
    return { output: name, ok: finished && !this.#failure, verified, problem: problemOf(this.#failure) };
  }
}

/** Several places that share one fate each: a mirror's two halves are one, other outputs stand alone. */
export function failureOfAll(outputs: { name: string; failure: BackupError | undefined }[]): BackupError {
  const failures = outputs.map(({ failure }) => failure!);
  if (failures.length === 1) return failures[0]!;
  const list = outputs.map(({ name, failure }) => ({ output: name, code: failure!.code, message: failure!.message }));
  return new SinkError(
    'ERR_SINK_ALL',
    `None of the ${outputs.length} destinations has the backup. ${failures.map((failure) => failure.message).join(' ')}`,
    {
      cause: failures[0],
      facts: { outputs: list },
      permanent: failures.every((failure) => !(failure instanceof SinkError) || failure.permanent),
    },
  );
}

function asBackupError(error: unknown, name: string): BackupError {
  if (error instanceof BackupError) return error;
  return new SinkError('ERR_SINK_WRITE', `${name} could not be written. Nothing was kept.`, { cause: error });
}

function problemOf(failure: BackupError | undefined): Problem | null {
  return failure ? { code: failure.code, message: failure.message } : null;
}

/** All that the options name. @throws ConfigError ERR_CONFIG_NO_OUTPUT, ERR_CONFIG_LAYOUT */
export function targetsOf({ output, outputs = [], mirror }: WriteOptions): BackupTarget[] {
  const all = [...(output === undefined ? [] : [output]), ...outputs];
  if (all.length === 0 || all.some((target) => !target))
    throw new ConfigError(
      'ERR_CONFIG_NO_OUTPUT',
      'There is nowhere to write to. Give an output: a path, a URL, a sink or a destination.',
    );
  if (!mirror) return all;
  if (all.length > 1)
    throw new ConfigError(
      'ERR_CONFIG_LAYOUT',
      'A mirror is the second half of one output. Give either a mirror, or several outputs.',
    );
  return [...all, mirror];
}
