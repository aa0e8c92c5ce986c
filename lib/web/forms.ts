/** Forms, as they come in: fields within limits, and at most one file, handed on as a stream. */
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { RequestError } from '../errors.ts';
import { LONGEST_PASSPHRASE } from '../passphrase-file.ts';
import { formatBytes } from '../summary.ts';

/** Fields by name. */
export type Fields = ReadonlyMap<string, string>;

export interface FilePart {
  /** As the browser says; without folders. */
  name: string;
  stream: Readable;
}

export interface FormLimits {
  /** Of the file. */
  maxBytes: number;
  /** Milliseconds after which a sender of whom nothing comes is given up. */
  stallTimeout: number;
}

/** Asked with what came before the file: what it throws ends the reading. */
export type Receive<T> = (fields: Fields, file: FilePart) => Promise<T>;

/** Of everything but the file. */
const FORM_BYTES = 1 << 20;
const MOST_FIELDS = 20;
// One more, to see that it is too many: in one piece, busboy leaves out the rest without a word.
const LIMITS = {
  fields: MOST_FIELDS + 1,
  fieldNameSize: 100,
  fieldSize: LONGEST_PASSPHRASE,
  files: 1,
  headerPairs: 20,
};
const MULTIPART = /^multipart\/form-data\s*;/i;
const URLENCODED = /^application\/x-www-form-urlencoded\s*(;|$)/i;

/** A form without a file. @throws RequestError ERR_WEB_MEDIA_TYPE, ERR_WEB_FORM, ERR_WEB_TOO_LARGE, ERR_WEB_STALLED */
export async function readFields(request: Request, { stallTimeout }: FormLimits): Promise<Fields> {
  const type = typeOf(request, MULTIPART, URLENCODED);
  const { fields } = await read(request, type, { maxBytes: 0, stallTimeout }, null);
  return fields;
}

/**
 * A form with a file, which must come after the fields. Memory: flat; the sender waits for `receive`.
 * @throws as `readFields`; RequestError ERR_WEB_NO_FILE; what `receive` throws
 */
export async function readUpload<T>(
  request: Request,
  limits: FormLimits,
  receive: Receive<T>,
): Promise<{ fields: Fields; file: T }> {
  const type = typeOf(request, MULTIPART);
  if (Number(request.headers.get('content-length') ?? 0) > limits.maxBytes + FORM_BYTES)
    throw tooLarge(limits.maxBytes);
  const { fields, file } = await read(request, type, limits, receive);
  if (!file) throw new RequestError('ERR_WEB_NO_FILE', 'No file was sent. Choose a .dbs file.');
  return { fields, file: file.value };
}

/** A field that must be there. @throws RequestError ERR_WEB_FORM */
export function required(fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value) return value;
  throw new RequestError('ERR_WEB_FORM', `The field "${name}" is missing or empty. Fill it in.`, {
    facts: { field: name },
  });
}

function typeOf(request: Request, ...accepted: RegExp[]): string {
  const type = request.headers.get('content-type') ?? '';
  if (accepted.some((pattern) => pattern.test(type))) return type;
  const wanted = accepted.includes(URLENCODED) ? 'application/x-www-form-urlencoded' : 'multipart/form-data';
  throw new RequestError('ERR_WEB_MEDIA_TYPE', `This is not a form that is understood here. Send it as ${wanted}.`);
}

function read<T>(request: Request, type: string, limits: FormLimits, receive: Receive<T> | null): Promise<Sent<T>> {
  if (!request.body) throw badForm('The form is empty.');
  return new Reading(type, limits, receive).run(request.body as WebStream, request.signal);
}

interface Sent<T> {
  fields: Fields;
  file: { value: T } | undefined;
}

/** One form that comes in. Whatever is told first of what is wrong with it is what it fails with. */
class Reading<T> {
  readonly #form: BusboyInstance;
  readonly #limits: FormLimits;
  readonly #accept: Receive<T> | null;
  readonly #fields = new Map<string, string>();
  readonly #stop = new AbortController();
  #receiving: Promise<T> | undefined;

  constructor(type: string, limits: FormLimits, accept: Receive<T> | null) {
    const form = open(type, limits.maxBytes);
    this.#form = form;
    this.#limits = limits;
    this.#accept = accept;
    form.on('field', (name, value, nameTruncated, valueTruncated) => {
      if (nameTruncated || valueTruncated) this.#fail(badForm('A field is too long.'));
      else if (this.#fields.size === MOST_FIELDS) this.#fail(badForm('The form has too many fields.'));
      else this.#fields.set(name, value);
    });
    form.on('filesLimit', () => this.#fail(badForm('The form has more than one file.')));
    form.on('file', (_, part, name) => this.#receive(part, name));
  }

  async run(body: WebStream, signal: AbortSignal): Promise<Sent<T>> {
    try {
      await pipeline(Readable.fromWeb(body), this.#bounded, this.#form, {
        signal: AbortSignal.any([signal, this.#stop.signal]),
      });
    } catch (error) {
      const own = error instanceof RequestError ? error : badForm('The form is incomplete.', error);
      this.#fail(signal.aborted ? signal.reason : own);
      // Whoever receives the file cleans up before anybody hears of it.
      await this.#receiving?.catch(() => {});
      throw this.#stop.signal.reason;
    }
    return { fields: this.#fields, file: this.#receiving && { value: await this.#receiving } };
  }

  readonly #fail = (error: unknown): void => this.#stop.abort(error);

  readonly #bounded = (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> =>
    bounded(chunks, this.#limits, () => this.#fail(stalled()));

  #receive(part: Readable, name: string): void {
    // It ends early with the form, which says why.
    part.on('error', () => {});
    const accept = this.#accept;
    if (!accept) {
      this.#fail(badForm('This form has no place for a file.'));
      return;
    }
    part.on('limit', () => this.#fail(tooLarge(this.#limits.maxBytes)));
    // A stream of our own, as busboy's never end when their form is destroyed.
    const stream = part.pipe(new PassThrough());
    // Where nobody reads it, as the form was refused before.
    stream.on('error', () => {});
    const { signal } = this.#stop;
    signal.addEventListener('abort', () => stream.destroy(signal.reason), { once: true });
    this.#receiving = accept(this.#fields, { name, stream });
    this.#receiving.catch(this.#fail);
  }
}

/** Passes on what comes, within the limits of length, and of patience. */
async function* bounded(
  chunks: AsyncIterable<Uint8Array>,
  { maxBytes, stallTimeout }: FormLimits,
  onStall: () => void,
): AsyncGenerator<Uint8Array> {
  const wait = () => setTimeout(onStall, stallTimeout);
  let bytes = 0;
  let timer = wait();
  try {
    for await (const chunk of chunks) {
      // Not while we ourselves are busy with it.
      clearTimeout(timer);
      if ((bytes += chunk.length) > maxBytes + FORM_BYTES) throw tooLarge(maxBytes);
      yield chunk;
      timer = wait();
    }
  } finally {
    clearTimeout(timer);
  }
}

function open(type: string, fileSize: number): BusboyInstance {
  try {
    return new Busboy({ headers: { 'content-type': type }, limits: { ...LIMITS, fileSize } });
  } catch (cause) {
    throw badForm('The form has no boundary.', cause);
  }
}

function badForm(what: string, cause?: unknown): RequestError {
  return new RequestError('ERR_WEB_FORM', `${what} Open the page again, and repeat.`, { cause });
}

function stalled(): RequestError {
  return new RequestError('ERR_WEB_STALLED', 'Nothing came of the form for too long. Open the page again, and repeat.');
}

function tooLarge(most: number): RequestError {
  return new RequestError(
    'ERR_WEB_TOO_LARGE',
    `The upload is larger than ${formatBytes(most)}. Raise maxUploadBytes, or restore with \`dbs restore\` on the server.`,
    { facts: { maxBytes: most } },
  );
}
