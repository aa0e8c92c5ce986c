/** `dbs` on a folder of a real SFTP server. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cannotRun, startSshd } from '../support/sshd.ts';
import { story } from './places.ts';
import { makeApp } from './support.ts';

const why = cannotRun();
if (why && process.env.CI) t.fail(why);
else if (why) t.pass(why, { skip: why });
else {
  const { target, remoteDir } = await startSshd(t);
  mkdirSync(join(remoteDir, 'shop'));
  const app = await makeApp();
  mkdirSync(join(app, 'near'));
  const before = process.cwd();
  process.chdir(app);
  t.teardown(() => process.chdir(before));
  t.test('an SFTP server', async (t) => {
    await story(t, app, 'sftp://nas/shop/', { sshTargets: { nas: target } });
    t.equal(readdirSync(join(remoteDir, 'shop')).length, 2, 'what prune kept, and nothing else');
  });
}
