/**
 * One piece of work in a process of its own, run by plain Node on compiled code: so its peak memory is that of the library alone. Argument: a Job as
 * JSON. Prints an Outcome as JSON.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import type { LayoutName } from '../../lib/format/limits.ts';
import {
  createBackup,
  restoreBackup,
  type SealingSecret,
  sealStream,
  unsealStream,
  validateBackup,
  type WriteOptions,
} from '../../lib/index.ts';
import { Random } from '../../lib/testkit/random.ts';
import type { AppSize } from './app.ts';
import { measured, type Outcome } from './measured.ts';
import { PASSPHRASE } from './passphrase.ts';
import type { Dialect } from './rows-app.ts';

interface Writing {
  output: string;
  layout?: LayoutName;
  verify?: boolean;
  /** Argon2id with 8 MiB in place of 64: so that half a second of it does not hide the speed of the rest. */
  lightKey?: boolean;
}

export type Job =
  | { do: 'nothing' }
  | ({ do: 'fill'; folder: string } & AppSize)
  | { do: 'noise' | 'json'; path: string; length: number }
  | ({ do: 'backup'; folder: string } & Writing)
  | { do: 'restore'; folder: string; input: string }
  | ({ do: 'seal'; input: string } & Writing)
  | { do: 'unseal'; input: string; output: string }
  | { do: 'validate'; input: string; key?: boolean }
  | ({ do: 'backup-rows'; dialect: Dialect; database: string } & Writing)
  | { do: 'restore-rows'; dialect: Dialect; database: string; input: string };

export type { Outcome } from './measured.ts';

/** With MikroORM, which a job without it must not load. */
const app = () => import('./app.ts');

async function run(job: Job): Promise<Outcome> {
  switch (job.do) {
    case 'nothing':
      await app();
      return measured(async () => ({}));
    case 'fill':
      return measured(async () => (await app()).fillApp(job.folder, job));
    case 'noise':
      return measured(async () => {
        await (await app()).writeNoise(job.path, job.length, job.path);
        return {};
      });
    case 'json':
      return measured(async () => {
        await writeJson(job.path, job.length);
        return {};
      });
    case 'backup': {
      const orm = await (await app()).openApp(job.folder);
      const outcome = await measured(() => createBackup(orm, secret(job), writing(job)));
      await orm.close(true);
      return outcome;
    }
    case 'restore': {
      const orm = await (await app()).openApp(job.folder);
      const outcome = await measured(() => restoreBackup(orm, job.input, PASSPHRASE));
      await orm.close(true);
      return outcome;
    }
    case 'backup-rows':
    case 'restore-rows': {
      const { openRows } = await import('./rows-app.ts');
      const orm = await openRows(job.dialect, job.database);
      const outcome = await measured(() =>
        job.do === 'backup-rows'
          ? createBackup(orm, secret(job), writing(job))
          : restoreBackup(orm, job.input, PASSPHRASE),
      );
      await orm.close(true);
      return outcome;
    }
    case 'seal':
      return measured(() => sealStream(createReadStream(job.input), secret(job), writing(job)));
    case 'unseal':
      return measured(async () => {
        const output = createWriteStream(job.output);
        const [report] = await Promise.all([unsealStream(job.input, PASSPHRASE, output), finished(output)]);
        return report;
      });
    case 'validate':
      return measured(() => validateBackup(job.input, job.key ? PASSPHRASE : undefined));
  }
}

function secret({ lightKey }: Writing): SealingSecret {
  if (!lightKey) return PASSPHRASE;
  return { passphrases: [PASSPHRASE], kdf: { iterations: 1, memoryKiB: 8192, parallelism: 1 } };
}

function writing({ output, layout, verify }: Writing) {
  const options: WriteOptions & { output: string } = { output, force: true };
  if (layout) options.layout = layout;
  if (verify !== undefined) options.verify = verify;
  return options;
}

/** Lines of JSON that deflate shrinks to a third or so. */
async function writeJson(path: string, length: number): Promise<void> {
  const handle = await open(path, 'w');
  const random = new Random('json');
  const lines: string[] = [];
  let size = 0;
  let done = 0;
  for (let id = 1; done < length; id++) {
    const line = `${JSON.stringify({ id, name: `customer ${random.below(1e6)}`, email: `c${random.u32()}@shop.example`, status: random.pick(['open', 'paid', 'shipped']), price: random.below(1e6) / 100, at: new Date(1.7e12 + id * 7919).toISOString() })}\n`;
    lines.push(line);
    size += line.length;
    if (size < 1 << 20 && done + size < length) continue;
    await handle.write(lines.join('').slice(0, length - done));
    done += size;
    size = 0;
    lines.length = 0;
  }
  await handle.close();
}

const outcome = await run(JSON.parse(process.argv[2]!) as Job);
process.stdout.write(JSON.stringify(outcome));
