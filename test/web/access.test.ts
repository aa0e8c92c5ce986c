/** Who gets in, which requests are believed, and what every answer says of itself. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { createBackupHandler } from '../../lib/web/index.ts';
import { BASE, Client, handlerOf, ORIGIN, openApp, PASSPHRASE, rowsOf, spooled } from './support.ts';

const orm = await openApp(t);
const request = (path = '', init: RequestInit = {}) => new Request(`${ORIGIN}${BASE}${path}`, init);
const paths: [string, string][] = [
  ['GET', ''],
  ['HEAD', ''],
  ['GET', '/nothing'],
  ['POST', '/download'],
  ['POST', '/upload'],
  ['POST', '/restore'],
];

t.test('options', async (t) => {
  const wrong: [object, string][] = [
    [{}, 'authorize'],
    [{ authorize: true }, 'authorize'],
    [{ authorize: () => true, basePath: 'admin' }, 'basePath'],
    [{ authorize: () => true, basePath: '//evil.test' }, 'basePath'],
    [{ authorize: () => true, maxUploadBytes: '1' }, 'maxUploadBytes'],
    [{ authorize: () => true, keepUploads: 'long' }, 'keepUploads'],
    [{ authorize: () => true, stallTimeout: '2d' }, 'stallTimeout'],
    [{ authorize: () => true, secure: 'yes' }, 'secure'],
    [{ authorize: () => true, secret: 'short' }, 'secret'],
  ];
  for (const [options, name] of wrong)
    t.throws(() => createBackupHandler(orm, options as never), {
      code: 'ERR_CONFIG_INVALID_OPTION',
      message: new RegExp(name),
    });
  t.throws(() => createBackupHandler(orm, { authorise: () => true } as never), { code: 'ERR_CONFIG_UNKNOWN_OPTION' });
});

t.test('only true lets in', async (t) => {
  for (const answer of [false, undefined, null, 1, 'true', {}, Promise.resolve(false)]) {
    const handler = handlerOf(t, orm, { authorize: (() => answer) as never });
    for (const [method, path] of paths) {
      const response = await handler(request(path, { method }), undefined);
      t.equal(response.status, 403, `${String(answer)}: ${method} ${path}`);
      const body = await response.text();
      t.notMatch(body, /Backups|csrf|download|upload/i, 'and nothing is told');
      t.same(response.headers.getSetCookie(), [], 'and nothing is set');
    }
  }
  const json = await handlerOf(t, orm, { authorize: () => false })(
    request('', { headers: { accept: 'application/json' } }),
    undefined,
  );
  t.match(await json.json(), { type: 'error', code: 'ERR_WEB_FORBIDDEN', status: 403 });
});

t.test('who authorizes', async (t) => {
  const seen: unknown[] = [];
  const handler = handlerOf(t, orm, {
    authorize: async (asked, context) => {
      seen.push([asked.method, asked.body, asked.headers.get('x-user'), context]);
      return true;
    },
  });
  const sent = request('/upload', { method: 'POST', body: 'secret', headers: { 'x-user': 'ada' } });
  await handler(sent, 'context');
  t.same(seen, [['POST', null, 'ada', 'context']], 'sees all of the request but its body, and the context');

  const errors: unknown[] = [];
  const failing = handlerOf(t, orm, {
    authorize: () => {
      throw new Error('the session store at 10.0.0.1 is down');
    },
    onError: (error) => errors.push(error),
  });
  for (const accept of ['text/html', 'application/json']) {
    const response = await failing(request('', { headers: { accept } }), undefined);
    t.equal(response.status, 500);
    t.notMatch(await response.text(), /session store/, 'what it throws is not told');
  }
  t.match(errors, [{ message: /session store/ }, { message: /session store/ }], 'but to onError');
});

t.test('what every answer says', async (t) => {
  const client = await Client.open(handlerOf(t, orm));
  const responses = [
    await client.get(),
    await client.get('/nothing'),
    await client.get('', { accept: 'application/json' }),
    await client.post('/download', { passphrase: 'a', repeat: 'b' }),
    await client.post('/download', { passphrase: 'a', repeat: 'a' }),
    await handlerOf(t, orm, { authorize: () => false })(request(), undefined),
  ];
  t.same(
    responses.map(({ status }) => status),
    [200, 404, 200, 400, 200, 403],
  );
  for (const { headers } of responses) {
    t.match(Object.fromEntries(headers), {
      'cache-control': /^no-store/,
      'content-security-policy':
        /^default-src 'none'; style-src 'sha256-\S+'; form-action 'self'; .*frame-ancestors 'none'$/,
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  }
  await responses[4]!.body!.cancel();
  const page = await responses[0]!.text();
  const [, style] = /<style>([\s\S]*?)<\/style>/.exec(page)!;
  const hash = createHash('sha256').update(style!).digest('base64');
  t.ok(responses[0]!.headers.get('content-security-policy')!.includes(hash), 'the style is the one that is allowed');
  t.notMatch(page, /<script|javascript:| on\w+=| style=/i, 'no scripts, and no style elsewhere');
  const head = await handlerOf(t, orm)(request('', { method: 'HEAD' }), undefined);
  t.same([head.status, head.body], [200, null], 'HEAD has no body');
});

t.test('pages that can be read by everybody', async (t) => {
  const client = await Client.open(handlerOf(t, orm));
  const wrong = await (await client.post('/download', { passphrase: 'a', repeat: 'b' })).text();
  for (const page of [await (await client.get()).text(), wrong]) {
    t.match(page, /^<!doctype html>\n<html lang="en">/);
    t.equal(page.match(/<h1>/g)?.length, 1, 'one h1');
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    t.equal(new Set(ids).size, ids.length, 'no id twice');
    for (const [input] of page.matchAll(/<input [^>]*>/g)) {
      if (input.includes('type="hidden"')) continue;
      const id = / id="([^"]+)"/.exec(input)?.[1];
      t.ok(id && page.includes(`<label for="${id}">`), `a label for ${input}`);
    }
    for (const [, list] of page.matchAll(/aria-(?:describedby|labelledby)="([^"]+)"/g))
      for (const id of list!.split(' ')) t.ok(ids.includes(id), `#${id} is there`);
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) t.ok(ids.includes(id!), `#${id} is there`);
  }
  t.match(wrong, /<title>Error: /);
  t.match(wrong, /role="alert" tabindex="-1" autofocus/, 'the error has the focus');
  t.match(wrong, /<a href="#download-repeat">The two passphrases are not the same/, 'and leads to its field');
  t.match(wrong, /aria-describedby="download-repeat-error" aria-invalid="true"/);
});

t.test('forms that another site sent', async (t) => {
  const handler = handlerOf(t, orm);
  const [one, other] = [await Client.open(handler), await Client.open(handler)];
  t.not(one.token, other.token);
  const before = await rowsOf(orm);
  const right = { passphrase: 'a', repeat: 'a' };
  const [old, elsewhere] = [/The form is too old/, /Another site sent this form/];
  const download =
    (more: Record<string, string>, headers: Record<string, string> = {}) =>
    (client: Client) =>
      client.post('/download', { ...right, ...more }, headers);
  const refused: [string, (client: Client) => Promise<Response>, RegExp][] = [
    ['no token', download({ csrf: '' }), old],
    ['a wrong one', download({ csrf: 'x'.repeat(43) }), old],
    ["somebody else's", download({ csrf: other.token }), old],
    ['a wrong one in the header', download({}, { 'x-csrf-token': 'x' }), old],
    ['no cookie', download({}, { cookie: '' }), old],
    ['a cookie of no form', download({}, { cookie: '__Host-dbs=abc' }), old],
    ['cross-site', download({}, { 'sec-fetch-site': 'cross-site' }), elsewhere],
    ['same-site', download({}, { 'sec-fetch-site': 'same-site' }), elsewhere],
    ['another origin', download({}, { 'sec-fetch-site': '', origin: 'https://evil.test' }), elsewhere],
    ['no origin at all', download({}, { 'sec-fetch-site': '', origin: 'null' }), elsewhere],
    ['an upload', (client) => client.post('/upload', client.form(Buffer.from('x'), { csrf: '' })), old],
    ['a restore', (client) => client.post('/restore', { upload: 'x', csrf: '' }), old],
  ];
  for (const [name, send, why] of refused) {
    const response = await send(await Client.open(handler));
    t.equal(response.status, 403, name);
    const page = await response.text();
    t.match(page, /ERR_WEB_CSRF/);
    t.match(page, why);
    t.equal(spooled(), 0);
  }
  t.same(await rowsOf(orm), before, 'nothing was changed');
  const fresh = await Client.open(handler);
  for (const headers of [
    { 'sec-fetch-site': '' },
    { 'sec-fetch-site': '', origin: ORIGIN },
    // A proxy took TLS and port away.
    { 'sec-fetch-site': '', origin: 'http://shop.test' },
    { 'x-csrf-token': fresh.token },
  ]) {
    const response = await fresh.post('/download', right, headers as never);
    t.equal(response.status, 200, `what is right goes through: ${JSON.stringify(headers)}`);
    await response.body!.cancel();
  }
});

t.test('the cookie', async (t) => {
  const handler = handlerOf(t, orm);
  const [set] = (await handler(request(), undefined)).headers.getSetCookie();
  t.match(set, /^__Host-dbs=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/);
  const plain = new Request(`http://localhost${BASE}`);
  t.match((await handler(plain, undefined)).headers.getSetCookie(), [
    /^dbs=[\w-]{43}; Path=\/admin\/backups; HttpOnly; SameSite=Strict$/,
  ]);
  const proxied = handlerOf(t, orm, { secure: true });
  t.match((await proxied(plain, undefined)).headers.getSetCookie(), [/^__Host-dbs=.*; Secure;/]);
  const client = await Client.open(handler);
  t.same((await client.get()).headers.getSetCookie(), [], 'is set once');
  const [one, two] = [0, 1].map(() => handlerOf(t, orm, { secret: 'the same in all of the instances' }));
  const roaming = await Client.open(one!);
  const elsewhere = new Client(two!);
  Object.assign(elsewhere, { cookie: roaming.cookie, token: roaming.token });
  t.equal((await elsewhere.post('/download', { passphrase: 'a', repeat: 'b' })).status, 400, 'a secret is shared');
});

t.test('addresses and methods', async (t) => {
  const client = await Client.open(handlerOf(t, orm));
  for (const path of ['/download', '/upload', '/restore']) {
    const response = await client.get(path);
    t.equal(response.status, 405, path);
    t.equal(response.headers.get('allow'), 'POST');
  }
  const home = await client.post('', { a: 'b' });
  t.same([home.status, home.headers.get('allow')], [405, 'GET, HEAD']);
  t.equal((await client.get('/')).status, 200, 'with a slash at the end');
  for (const path of ['/nothing', '/constructor', 'x', '/download/more']) {
    const response = await client.get(path);
    t.equal(response.status, 404, path);
    t.match(await response.text(), /ERR_WEB_NOT_FOUND/);
  }
  const typed = await client.post('/download', null, { 'content-type': 'application/json' });
  t.equal(typed.status, 415);
  t.match(await typed.text(), /ERR_WEB_MEDIA_TYPE/);
  const root = createBackupHandler(orm, { basePath: '/', authorize: () => true });
  const at = await root(new Request('http://localhost/'), undefined);
  t.match(await at.text(), /action="\/download"/, 'it may be all of a site');
});

t.test('JSON', async (t) => {
  const client = await Client.open(handlerOf(t, orm, { maxUploadBytes: 1000 }));
  const json = { accept: 'application/json' };
  const session = await (await client.get('', json)).json();
  t.match(session, { type: 'session', csrf: client.token, maxUploadBytes: 1000 });
  const error = await client.post('/download', { passphrase: PASSPHRASE, repeat: 'x' }, json);
  t.equal(error.headers.get('content-type'), 'application/json; charset=utf-8');
  t.same(await error.json(), {
    type: 'error',
    code: 'ERR_KEY_PASSPHRASES_DIFFER',
    message: 'The two passphrases are not the same. Type both again.',
    status: 400,
    facts: { field: 'repeat' },
  });
});
