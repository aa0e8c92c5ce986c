/** S3 against a real server: the conformance suite, plain and through decorators, and what is S3's own. */
import t, { type Test } from 'tap';
import type { S3Settings } from '../../lib/sinks/s3/settings.ts';
import { s3Destination } from '../../lib/sinks/s3.ts';
import { type ConformanceOptions, sinkConformance } from '../../lib/testkit/index.ts';
import { contents, makeBucket, QUICK, serverIsThere, settings } from '../support/s3.ts';

const MiB = 2 ** 20;

if (serverIsThere(t)) {
  const bucket = await makeBucket(t);
  let places = 0;
  const place = (more: S3Settings = {}, prefix = `place-${places++}/`) =>
    s3Destination(`s3://${bucket}/${prefix}`, settings(more), { ...QUICK, pageSize: 3 });
  const passes = async (t: Test, options: ConformanceOptions) => {
    for (const { name, run } of sinkConformance(options)) await t.resolves(run(), name);
    t.strictSame(await contents(bucket), { objects: [], uploads: [] }, 'nothing is left');
  };

  t.test('the suite', (t) => passes(t, { open: () => place({ partSize: 5 * MiB }), memory: 48 * MiB }));
}
