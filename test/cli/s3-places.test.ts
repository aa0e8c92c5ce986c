/** `dbs` on a bucket of a real S3 server. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { contents, makeBucket, serverIsThere, settings } from '../support/s3.ts';
import { story } from './places.ts';
import { makeApp } from './support.ts';

if (serverIsThere(t)) {
  const bucket = await makeBucket(t);
  const app = await makeApp();
  mkdirSync(join(app, 'near'));
  const before = process.cwd();
  process.chdir(app);
  t.teardown(() => process.chdir(before));
  t.test('a bucket', async (t) => {
    await story(t, app, `s3://${bucket}/some/prefix/`, { s3: settings() });
    const { objects, uploads } = await contents(bucket);
    t.equal(objects.length, 2, 'what prune kept, and nothing else');
    t.strictSame(uploads, []);
  });
}
