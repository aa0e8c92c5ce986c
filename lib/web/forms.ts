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

export interface FormReader<T> {
  /** Asked with what came before the file: what it throws ends the reading. */
  receive(fields: Fields, file: FilePart): Promise<T>;
  maxBytes: number;
}

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

/** A form without a file. @throws RequestError ERR_WEB_MEDIA_TYPE, ERR_WEB_FORM, ERR_WEB_TOO_LARGE */
export async function readFields(request: Request): Promise<Fields> {
  const { fields } = await read(request, typeOf(request, MULTIPART, URLENCODED), null);
  return fields;
}

/**
 * A form with a file, which must come after the fields. Memory: flat; the sender waits for `receive`.
 * @throws as `readFields`; RequestError ERR_WEB_NO_FILE; what `receive` throws
 */
export async function readUpload<T>(request: Request, reader: FormReader<T>): Promise<{ fields: Fields; file: T }> {
  const type = typeOf(request, MULTIPART);
  if (Number(request.headers.get('content-length') ?? 0) > reader.maxBytes + FORM_BYTES)
    throw tooLarge(reader.maxBytes);
  const { fields, file } = await read(request, type, reader);
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

function read<T>(request: Request, type: string, reader: FormReader<T> | null): Promise<Sent<T>> {
  if (!request.body) throw badForm('The form is empty.');
  return new Reading(open(type, reader?.maxBytes ?? 0), reader).run(request.body as WebStream, request.signal);
}

interface Sent<T> {
  fields: Fields;
  file: { value: T } | undefined;
}

/** One form that comes in. Whatever is told first of what is wrong with it is what it fails with. */
class Reading<T> {
  readonly #form: BusboyInstance;
  readonly #reader: FormReader<T> | null;
  readonly #fields = new Map<string, string>();
  readonly #stop = new AbortController();
  #receiving: Promise<T> | undefined;

  constructor(form: BusboyInstance, reader: FormReader<T> | null) {
    this.#form = form;
    this.#reader = reader;
    form.on('field', (name, value, nameTruncated, valueTruncated) => {
      if (nameTruncated || valueTruncated) this.#fail(badForm('A field is too long.'));
      else if (this.#fields.size === MOST_FIELDS) this.#fail(badForm('The form has too many fields.'));
      else this.#fields.set(name, value);
    });
    form.on('filesLimit', () => this.#fail(badForm('The form has more than one file.')));
    form.on('file', (_, part, name) => this.#receive(part, name));
  }

  async run(body: WebStream, signal: AbortSignal): Promise<Sent<T>> {
    const chunks = Readable.fromWeb(body);
    try {
      await pipeline(chunks, bounded((this.#reader?.maxBytes ?? 0) + FORM_BYTES), this.#form, {
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

  #receive(part: Readable, name: string): void {
    // It ends early with the form, which says why.
    part.on('error', () => {});
    const reader = this.#reader;
    if (!reader) {
      this.#fail(badForm('This form has no place for a file.'));
      return;
    }
    part.on('limit', () => this.#fail(tooLarge(reader.maxBytes)));
    // A stream of our own, as busboy's never end when their form is destroyed.
    const stream = part.pipe(new PassThrough());
    // Where nobody reads it, as the form was refused before.
    stream.on('error', () => {});
    const { signal } = this.#stop;
    signal.addEventListener('abort', () => stream.destroy(signal.reason), { once: true });
    this.#receiving = reader.receive(this.#fields, { name, stream });
    this.#receiving.catch(this.#fail);
  }
}

function bounded(most: number) {
  return async function* (chunks: AsyncIterable<Uint8Array>) {
    let bytes = 0;
    for await (const chunk of chunks) {
      if ((bytes += chunk.length) > most) throw tooLarge(most);
      yield chunk;
    }
  };
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

function tooLarge(most: number): RequestError {
  return new RequestError(
    'ERR_WEB_TOO_LARGE',
    `The upload is larger than ${formatBytes(most)}. Raise maxUploadBytes, or restore with \`dbs restore\` on the server.`,
    { facts: { maxBytes: most } },
  );
}
