/** What README.md and the manual show is run, and what they promise is held against the code. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ExitCode } from '../../lib/cli/exit-codes.ts';
import { survival } from '../../lib/container/survival.ts';
import { plan } from '../../lib/format/layout.ts';
import { type LayoutName, SEGMENT_HEAD, SEGMENT_STREAM, TAG } from '../../lib/format/limits.ts';
import { formatBytes } from '../../lib/summary.ts';
import { type App, makeApp, PASSPHRASE, runTypeScript } from './app.ts';
import { type Block, codeBlocks, filesBelow, read, root, table } from './support.ts';

const DOCUMENTS = ['README.md', 'docs/library.md', 'docs/files.md', 'docs/web.md'];
/** Blocks that are modules for the others, or servers, which test/docs/web.test.ts runs. */
const MODULES = ['mikro-orm.config.ts', 'app.ts', 'backup-config.ts', 'backups.ts'];
const isModule = (name: string) => MODULES.includes(name) || name.startsWith('web');

const manifest = JSON.parse(read('package.json'));
const count = (n: number) => n.toLocaleString('en-US');

t.test('the examples', async (t) => {
  const app = await makeApp();
  t.teardown(() => rm(app.folder, { recursive: true, force: true }));
  // Command lines of the last one need servers: test/cli has them.
  const places = codeBlocks('docs/destinations.md').filter(({ language }) => language === 'ts');
  const blocks = [...DOCUMENTS.flatMap(codeBlocks), ...places];
  const typescript = blocks.filter(({ language }) => language === 'ts');
  const nameOf = (block: Block) => block.info || `${block.document.replace(/\W/g, '-')}-${block.line}.ts`;
  for (const block of typescript) await app.write(nameOf(block), block.text);

  await t.test('are correctly typed', async (t) => {
    const { compilerOptions } = JSON.parse(read('tsconfig.json'));
    await app.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    const { code, output } = await app.run(process.execPath, [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      '.',
    ]);
    t.equal(code, 0, output);
  });

  await t.test('run', async (t) => {
    const seeded = await runTypeScript(app, 'seed.ts');
    t.equal(seeded.code, 0, seeded.output);
    for (const block of blocks) {
      const at = `${block.document}:${block.line}`;
      if (block.language === 'ts' && !isModule(block.info)) {
        const { code, output } = await runTypeScript(app, nameOf(block));
        t.equal(code, 0, `${at}: ${output}`);
      } else if (block.language === 'sh') await runShell(t, app, block, at);
    }
    t.equal(
      await readFile(join(app.folder, 'psql-shop.sql'), 'utf8'),
      '-- a dump of shop\n',
      'a sealed dump came back',
    );
    t.match(await readFile(join(app.folder, 'users.ndjson'), 'utf8'), /"name":"Ada"/, 'a table was read');
    t.notMatch(await readFile(join(app.folder, 'users.ndjson'), 'utf8'), /secret/, 'an EXCLUDEd column was not');
    t.equal(await readFile(join(app.folder, 'welcome.txt'), 'utf8'), 'Dear {{ name }}', 'a file was read');
    t.equal(
      await readFile(join(app.folder, 'users-again.ndjson'), 'utf8'),
      await readFile(join(app.folder, 'users.ndjson'), 'utf8'),
    );
    const own = await app.run('npx', ['dbs', 'ls', 'app.dbs'], { DBS_PASSPHRASE: PASSPHRASE });
    t.match(own.output, /table .* user \(User\)/);
    t.match(own.output, /uploads|default\/avatars\/ada\.png/);
    t.match(own.output, /invoices\/1\.pdf/);
    t.match(own.output, /templates\/welcome\.txt/);
    t.notMatch(own.output, /audit/i, 'an excluded entity is not there');
    const elsewhere = await app.run('npx', ['dbs', 'backup', 'elsewhere.dbs', '--config-dbs', 'backup-config.ts'], {
      DBS_PASSPHRASE: PASSPHRASE,
    });
    t.equal(elsewhere.code, 0, elsewhere.output);
    const dry = await app.run('npx', ['dbs', 'inspect', 'app.dbs']);
    t.match(dry.output, /survives .*any one run of/, 'inspect prints what the file survives');
  });
});

/** Command lines of this repository are looked at, those of `npx dbs` are run. */
async function runShell(t: Test, app: App, { text }: Block, at: string): Promise<void> {
  if (/^npm /.test(text)) {
    for (const [, script] of text.matchAll(/npm (?:run )?(demo|test)\b/g))
      t.ok(manifest.scripts[script!], `${at}: npm ${script}`);
    for (const [, name] of text.matchAll(/\.\/(\S+\.tgz)/g))
      t.equal(name, `${manifest.name}-${manifest.version}.tgz`, at);
    if (text.includes('npm ci')) t.match(manifest.scripts.prepare, /build/, 'npm ci builds');
    return;
  }
  const keys = /--recipient|--identity/.test(text);
  const script = text.replaceAll('/mnt/other-disk', app.folder);
  const env = keys ? {} : { DBS_PASSPHRASE: PASSPHRASE };
  const { code, output } = await app.run('bash', ['-e', '-o', 'pipefail', '-c', script], env);
  t.equal(code, 0, `${at}: ${output}`);
}

/** Where everything is in the file for a stream of so many bytes. */
function extentOf(bytes: number, layout: LayoutName) {
  const blocks = Math.ceil(bytes / SEGMENT_STREAM);
  return { layout, count: blocks, lastLength: bytes - (blocks - 1) * SEGMENT_STREAM + SEGMENT_HEAD + TAG };
}

function sizeOf(text: string): number {
  const [, n, unit] = /^(\d+) (KiB|MiB|GiB)$/.exec(text)!;
  return Number(n) * 1024 ** (['KiB', 'MiB', 'GiB'].indexOf(unit!) + 1);
}

t.test('the numbers', async (t) => {
  const sizes = table('README.md', 'content', 'file', 'one overwritten run');
  t.ok(sizes.length >= 5);
  for (const [content, file, run, tail, lost] of sizes) {
    const extent = extentOf(sizeOf(content!), 'tandem');
    const { size } = plan('tandem', extent.count, extent.lastLength);
    const { burstBytes, tailBytes, blocksPerGroup } = survival(extent);
    t.same(
      [file, run, tail, lost],
      [count(size), formatBytes(burstBytes), formatBytes(tailBytes), String(blocksPerGroup)],
      `tandem, ${content}`,
    );
    t.equal(plan('interleaved', extent.count, extent.lastLength).size, size, 'interleaved is as large');
    const spec = read('SPEC.md').match(new RegExp(`^\\| ${content} \\| ([\\d,]+) \\|$`, 'm'));
    t.equal(spec?.[1], file, 'SPEC.md says the same');
  }
  for (const size of ['100 MiB', '1 GiB']) {
    t.equal(
      formatBytes(survival(extentOf(sizeOf(size), 'interleaved')).burstBytes),
      '17.0 MiB',
      `interleaved, ${size}`,
    );
  }
  const smallest = extentOf(512, 'tandem');
  t.ok(read('README.md').includes(`never less than ${count(plan('tandem', 1, 21).size)} bytes`));
  t.ok(plan('tandem', 1, smallest.lastLength).size >= plan('tandem', 1, 21).size);
  const large = extentOf(100 * 2 ** 30, 'tandem');
  t.equal(
    (plan('tandem', large.count, large.lastLength).size / (100 * 2 ** 30)).toFixed(1),
    '2.2',
    'times the content',
  );
});

t.test('the versions and codes', async (t) => {
  const [text, contributing] = [read('README.md'), read('CONTRIBUTING.md')];
  t.equal(manifest.engines.node, '>=20.19');
  t.match(text, /\| Node\.js \| 20\.19 and later \|/);
  t.equal(manifest.peerDependencies['@mikro-orm/core'], '^6.4.0 || ^7.0.0');
  t.match(text, /\| MikroORM \| 6\.4 and later; 7 on Node\.js 22\.17 and later\. /);
  const tested = [...text.match(/Tested with (\S+) and (\S+?) \|/)!].slice(1);
  const lock = JSON.parse(read('package-lock.json'));
  const seven = JSON.parse(read('test/matrix/mikro-orm-7/package.json'));
  t.same(tested, [lock.packages['node_modules/@mikro-orm/core'].version, seven.dependencies['@mikro-orm/core']]);
  t.ok(text.includes(`This is version ${manifest.version}, not released yet.`));
  t.ok(read('CHANGELOG.md').includes(`## ${manifest.version}`));
  const codes: [RegExp, number][] = [
    [/0 done, /, ExitCode.OK],
    [/, 3 done but\s+some files could not be read/, ExitCode.SKIPPED],
    [/, 4 healed/, ExitCode.HEALED],
    [/, 6 beyond repair/, ExitCode.UNRECOVERABLE],
    [/, 12 wrong passphrase/, ExitCode.WRONG_KEY],
    [/with exit code 13/, ExitCode.SCHEMA_MISMATCH],
  ];
  for (const [sentence, code] of codes) {
    t.match(text, sentence);
    t.equal(Number(/\d+/.exec(sentence.source)![0]), code, String(sentence));
  }
  for (const [, script] of contributing.matchAll(/npm run ([\w:]+)/g))
    t.ok(manifest.scripts[script!], `npm run ${script}`);
});

t.test('links lead somewhere', async (t) => {
  const { existsSync } = await import('node:fs');
  for (const page of ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...filesBelow('docs', '.md')]) {
    for (const [, target] of read(page).matchAll(/\]\(([^)\s#]+)(?:#[\w-]+)?\)/g)) {
      if (/^https?:/.test(target!)) continue;
      t.ok(existsSync(join(root, page, '..', target!)), `${page} links to ${target}`);
    }
    const headings = new Set(
      [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, text]) => text!.toLowerCase().replaceAll(' ', '-')),
    );
    for (const [, anchor] of read(page).matchAll(/\]\(#([\w-]+)\)/g))
      t.ok(headings.has(anchor!), `${page} links to #${anchor}`);
  }
});
