/** A handler of Requests as a listener of Node's http and https, and so a middleware of Express and what is built on it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { RequestError } from '../errors.ts';

/** How long a sender may go on after its answer, which browsers read only when they have sent everything. */
const LINGER = 10_000;

/** What frameworks hang onto Node's request. */
interface Mounted extends IncomingMessage {
  /** Express: the path as the browser sees it, where `url` lacks what it is mounted at. */
  originalUrl?: string;
  /** Express: behind a proxy that is trusted, what the proxy says. */
  protocol?: string;
}

/**
 * Bodies are streamed both ways, at the pace of the slower side. A connection that is closed aborts the request; a response that fails midway destroys the connection, so that nobody takes it for whole.
 *
 * @param handler gets Node's request beside the other one
 * @returns a listener, which never throws. Mount it before parsers of bodies
 * @example
 * createServer(toNodeListener(handler)).listen(3000);
 */
export function toNodeListener<Request_ extends IncomingMessage = IncomingMessage>(
  handler: (request: Request, context: Request_) => Promise<Response>,
): (request: Request_, response: ServerResponse) => void {
  return (incoming, outgoing) => {
    serve(handler, incoming, outgoing).catch(() => outgoing.destroy());
  };
}

async function serve<Request_ extends IncomingMessage>(
  handler: (request: Request, context: Request_) => Promise<Response>,
  incoming: Request_,
  outgoing: ServerResponse,
): Promise<void> {
  const closed = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) closed.abort(new Error('The connection was closed.'));
  });
  const body = new Body(incoming);
  const response = await handler(toRequest(incoming, body, closed.signal), incoming);
  outgoing.statusCode = response.status;
  for (const [name, value] of response.headers) if (name !== 'set-cookie') outgoing.setHeader(name, value);
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader('Set-Cookie', cookies);
  outgoing.flushHeaders();
  await pipeline(response.body ? Readable.fromWeb(response.body as WebStream) : Readable.from([]), outgoing);
  await body.drop();
}

function toRequest(incoming: Mounted, body: Body, signal: AbortSignal): Request {
  const {
    method = 'GET',
    headers: { host = 'localhost' },
    socket,
    originalUrl,
    url = '/',
  } = incoming;
  const protocol = incoming.protocol ?? ('encrypted' in socket ? 'https' : 'http');
  const origin = URL.canParse(`${protocol}://${host}`) ? `${protocol}://${host}` : `${protocol}://localhost`;
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const [name, value] = incoming.rawHeaders.slice(i, i + 2) as [string, string];
    headers.append(name, value);
  }
  const bare = method === 'GET' || method === 'HEAD';
  return new Request(new URL(`${origin}${originalUrl ?? url}`), {
    method,
    headers,
    signal,
    ...(bare ? {} : { body: body.stream, duplex: 'half' }),
  } as RequestInit);
}

/** What comes in. Whoever stops reading does not end the connection: the answer is still to be sent on it. */
class Body {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #incoming: IncomingMessage;
  readonly #chunks: AsyncIterator<Buffer>;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
    this.#chunks = incoming.iterator({ destroyOnReturn: false });
    const consumed = incoming.readableEnded;
    this.stream = new ReadableStream(
      {
        pull: async (controller) => {
          if (consumed) throw bodyConsumed();
          const { done, value } = await this.#chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Lets the sender come to its end, for some time. */
  async drop(): Promise<void> {
    if (this.#incoming.complete) return;
    await this.#chunks.return?.();
    const timer = setTimeout(() => this.#incoming.destroy(), LINGER);
    timer.unref();
    this.#incoming.once('close', () => clearTimeout(timer)).resume();
  }
}

function bodyConsumed(): RequestError {
  return new RequestError(
    'ERR_WEB_BODY_CONSUMED',
    'Something has read the body of the request before. Mount the backups before parsers of bodies.',
  );
}
