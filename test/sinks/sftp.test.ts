/** SFTP against OpenSSH's own server. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { parseSftpUrl } from '../../lib/sinks/sftp/url.ts';
import { SftpDestination } from '../../lib/sinks/sftp.ts';
import { sinkConformance } from '../../lib/testkit/index.ts';
import { startSshd } from '../support/sshd.ts';

t.test('the suite for sinks', async (t) => {
  const sshd = await startSshd(t);
  const open = async () => new SftpDestination(parseSftpUrl('sftp://nas/', { nas: sshd.target }));
  const leftovers = async () => readdirSync(sshd.remoteDir).filter((name) => name.endsWith('.part'));
  for (const { name, run } of sinkConformance({ open, leftovers, memory: 32 * 2 ** 20 })) await t.resolves(run(), name);
});
