/** `createBackupHandler`: pages for superusers to download a backup and to upload one, as one function from a Request to a Response. */
import { DEFAULT_PREFIX, makeName } from '../catalog/naming.ts';
import { BackupError, ConfigError, RequestError } from '../errors.ts';
import type { OrmLike } from '../orm/orm-like.ts';
import { settingsOf } from '../run.ts';
import { type Answer, errorJson, HEADERS, problemOf, respond, statusOf, wantsJson } from './answers.ts';
import { backupBody } from './download.ts';
import { readFields, required } from './forms.ts';
import { type BackupHandlerOptions, type Settled, settle } from './options.ts';
import { errorPage, homePage, plainPage } from './pages.ts';
import { Restores } from './restores.ts';
import { checkOrigin, Session, tokenOf, type Visit } from './session.ts';

/** @param context handed on to `authorize` */
export interface BackupHandler<Context = unknown> {
  (request: Request, context: Context): Promise<Response>;
  /** Removes the uploads that wait. What runs goes on. */
  close(): Promise<void>;
}

/**
 * Pages on which superusers download an encrypted backup, and upload one to check and restore it. They need no script. Passphrases stand in the bodies of POST requests only; they are used for that request,
 * and are never kept, logged, or shown again.
 *
 * Memory: flat, as of `createBackup` and `restoreBackup`; an upload goes to a temporary file, as ciphertext. Aborting a request ends its work, and a restore is then undone.
 * @throws ConfigError ERR_CONFIG_UNKNOWN_OPTION, ERR_CONFIG_INVALID_OPTION. The handler itself never throws
 * @example
 * const backups = createBackupHandler(orm, { basePath: '/admin/backups', authorize: (request) => isSuperuser(request) });
 * app.use('/admin/backups', toNodeListener(backups));
 */
export function createBackupHandler<Context = unknown>(
  orm: OrmLike | OrmLike[],
  options: BackupHandlerOptions<Context>,
): BackupHandler<Context> {
  const settled = settle(options);
  const restores = new Restores(orm, settled);
  const handle = async (request: Request, context: Context) => {
    const response = await answer(orm, settled, restores, request, context);
    return request.method === 'HEAD' ? new Response(null, response) : response;
  };
  return Object.assign(handle, { close: () => restores.close() });
}

async function answer<Context>(
  orm: OrmLike | OrmLike[],
  settled: Settled<Context>,
  restores: Restores,
  request: Request,
  context: Context,
): Promise<Response> {
  const json = wantsJson(request);
  try {
    if (!(await isAuthorized(settled, request, context))) return respond(forbidden(), json);
  } catch (error) {
    settled.onError(error);
    return respond(failedUnseen(), json);
  }
  const { base, maxBytes, key, secure } = settled;
  const session = new Session(request, { path: base, key, secure });
  const visit: Visit = { request, session, site: { base, token: session.token, maxBytes } };
  let response: Response;
  try {
    response = await route(orm, settled, restores, visit);
  } catch (error) {
    // Nobody is there to be told any more.
    if (!request.signal.aborted && statusOf(error) >= 500) settled.onError(error);
    response = respond(failed(error, visit), json);
  }
  if (session.cookie) response.headers.append('Set-Cookie', session.cookie);
  return response;
}

async function isAuthorized<Context>(
  { authorize }: Settled<Context>,
  { url, method, headers, signal }: Request,
  context: Context,
): Promise<boolean> {
  // The body is not its to read.
  return (await authorize(new Request(url, { method, headers, signal }), context)) === true;
}

async function route<Context>(
  orm: OrmLike | OrmLike[],
  settled: Settled<Context>,
  restores: Restores,
  visit: Visit,
): Promise<Response> {
  const { request, site } = visit;
  const json = wantsJson(request);
  switch (pathWithin(site.base, request)) {
    case '':
      allow(request, 'GET', 'HEAD');
      return respond(home(visit), json);
    case '/download':
      allowForm(visit);
      return download(orm, settled, visit);
    case '/upload':
      allowForm(visit);
      return respond(await restores.upload(visit), json);
    case '/restore':
      allowForm(visit);
      return respond(await restores.act(visit), json);
    default:
      throw new RequestError('ERR_WEB_NOT_FOUND', 'There is nothing at this address. Go back to the backups.');
  }
}

/** `null` outside. */
function pathWithin(base: string, request: Request): string | null {
  const path = new URL(request.url).pathname.replace(/\/$/, '');
  return path === base || path.startsWith(`${base}/`) ? path.slice(base.length) : null;
}

function home({ site }: Visit): Answer {
  const { token, maxBytes } = site;
  return { status: 200, page: homePage(site), json: { type: 'session', csrf: token, maxUploadBytes: maxBytes } };
}

/** What can be said before the body is read. The token may stand in it. */
function allowForm({ request, session }: Visit): void {
  allow(request, 'POST');
  checkOrigin(request);
  const early = request.headers.get('x-csrf-token');
  if (early !== null) session.check(early);
}

function allow({ method }: Request, ...methods: string[]): void {
  if (methods.includes(method)) return;
  throw new RequestError(
    'ERR_WEB_METHOD',
    `This address answers ${methods.join(' and ')} only. Go back to the backups.`,
    {
      facts: { allow: methods },
    },
  );
}

async function download<Context>(
  orm: OrmLike | OrmLike[],
  settled: Settled<Context>,
  { request, session }: Visit,
): Promise<Response> {
  const { config, kdf, stallTimeout, onEvent, onError } = settled;
  const fields = await readFields(request, settled);
  session.check(tokenOf(request, fields));
  const passphrase = required(fields, 'passphrase');
  if (fields.get('repeat') !== passphrase)
    throw new ConfigError('ERR_KEY_PASSPHRASES_DIFFER', 'The two passphrases are not the same. Type both again.', {
      facts: { field: 'repeat' },
    });
  const settings = settingsOf(orm, { config });
  const name = makeName(settings.prefix ?? DEFAULT_PREFIX, new Date());
  const body = await backupBody(orm, passphrase, {
    config: settings,
    kdf,
    signal: request.signal,
    stallTimeout,
    onEvent,
    onBroken: onError,
  });
  return new Response(body, {
    headers: {
      ...HEADERS,
      'Content-Type': 'application/octet-stream',
      'Content-Disposition': `attachment; filename="${name}"`,
      // Of nginx: otherwise it collects what is streamed.
      'X-Accel-Buffering': 'no',
    },
  });
}

function forbidden(): Answer {
  const error = new RequestError('ERR_WEB_FORBIDDEN', 'You may not see this.');
  return { status: 403, page: plainPage('Forbidden', error.message), json: errorJson(error) };
}

/** For whoever is not known to be a superuser. */
function failedUnseen(): Answer {
  const message = 'Something went wrong.';
  return { status: 500, page: plainPage('Error', message), json: { ...errorJson(null), message } };
}

/** Beside the forms, where a form was sent. */
function failed(error: unknown, { request, site }: Visit): Answer {
  const problem = problemOf(error);
  const { allow } = error instanceof BackupError ? (error.facts as { allow?: string[] }) : {};
  return {
    status: statusOf(error),
    page:
      allow || problem.code === 'ERR_WEB_NOT_FOUND'
        ? errorPage(problem, site)
        : homePage(site, { problem, form: pathWithin(site.base, request) === '/download' ? 'download' : 'upload' }),
    json: errorJson(error),
    ...(allow ? { headers: { Allow: allow.join(', ') } } : {}),
  };
}
