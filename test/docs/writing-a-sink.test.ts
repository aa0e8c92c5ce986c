/** docs/writing-a-sink.md: the sink that it shows is short, correctly typed, and passes the suite. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { sinkConformance } from '../../lib/testkit/index.ts';
import { makeApp } from './app.ts';
import { codeBlocks, read, root } from './support.ts';

t.test('the sink of the page', async (t) => {
  const app = await makeApp();
  t.teardown(() => rm(app.folder, { recursive: true, force: true }));
  const blocks = codeBlocks('docs/writing-a-sink.md').filter(({ language }) => language === 'ts');
  t.same(
    blocks.map(({ info }) => info),
    ['share-destination.ts', 'share-destination.test.ts'],
  );
  t.ok(blocks[0]!.text.trim().split('\n').length < 60, 'under 60 lines');
  for (const { info, text } of blocks) await app.write(info, text);

  const { compilerOptions } = JSON.parse(read('tsconfig.json'));
  await app.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['share-*.ts'] }));
  const typed = await app.run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.']);
  t.equal(typed.code, 0, typed.output);

  await mkdir(join(app.folder, 'share'));
  const args = ['--import=tsx', '--no-warnings', '--test-reporter=tap', 'share-destination.test.ts'];
  const { code, output } = await app.run(process.execPath, args, { SHARE: join(app.folder, 'share') });
  t.equal(code, 0, output);
  const cases = sinkConformance({ open: () => Promise.reject(new Error('not opened here')) }).length;
  t.match(output, `# pass ${cases}\n`, 'all cases ran');
  const [folder] = await readdir(join(app.folder, 'share'));
  t.same(await readdir(join(app.folder, 'share', folder!)), [], 'and nothing is left');
});
