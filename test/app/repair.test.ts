/** Keyless repair against somebody who forges checksums: it must not launder what the key would refuse. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { repairBackup, validateBackup } from '../../lib/index.ts';
import { forgePayload } from '../container/forge.ts';
import { DATA, key, seal } from '../container/support.ts';

const dir = mkdtempSync(join(tmpdir(), 'dbs-repair-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));

t.test('a block that was forged in both copies is found out by the chain in END', async (t) => {
  const container = await seal('tandem', 3_000_000, 'forged');
  const file = Buffer.from(container.file);
  for (const copy of [0, 1] as const) {
    forgePayload(file, container.place(DATA, copy, 1), (payload) => payload.fill(7, 100, 200));
  }
  const path = join(dir, 'forged.dbs');
  writeFileSync(path, file);
  t.match(await validateBackup(path), { ok: true }, 'every checksum fits');
  t.match(
    await validateBackup(path, key),
    { ok: true, authentic: true },
    'the outer code still knows better, with the key',
  );
  // Something else is damaged, so that repair has a reason to write.
  file.fill(0, 8192, 12288);
  writeFileSync(path, file);
  await t.rejects(repairBackup(path, { output: join(dir, 'repaired.dbs') }), { code: 'ERR_TAMPER_CHAIN' });
  t.strictSame(readdirSync(dir), ['forged.dbs'], 'nothing was written');
});

t.test('a repair keeps what it replaces until the new file is whole', async (t) => {
  const container = await seal('interleaved', 2_000_000, 'kept');
  const path = join(dir, 'kept.dbs');
  writeFileSync(path, Buffer.from(container.file).fill(0, 0, 9000));
  await t.rejects(repairBackup(path, {}), { code: 'ERR_CONFIG_NO_OUTPUT' });
  const abort = new AbortController();
  const onEvent = () => abort.abort(new Error('stopped'));
  await t.rejects(repairBackup(path, { inPlace: true, signal: abort.signal, onEvent }), { message: 'stopped' });
  t.notOk(readFileSync(path).equals(container.file));
  t.match(await repairBackup(path, { inPlace: true }), { output: path });
  t.ok(readFileSync(path).equals(container.file));
});
