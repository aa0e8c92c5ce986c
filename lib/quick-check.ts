/** A quick look at a backup, without its key: 4 KiB of each megabyte. */
import { pageAt } from './container/pages.ts';
import { ContainerReader } from './container/reader.ts';
import { type BackupError, DamageError, FormatError, TamperError, TruncatedError } from './errors.ts';
import { order } from './format/layout.ts';
import { RecordType } from './format/limits.ts';
import type { ByteSource } from './sinks/sink.ts';
import type { Problem } from './types.ts';

/** The pages of a file. */
export interface PageHealth {
  pages: number;
  intact: number;
  healable: number;
  missing: number;
}

export interface QuickCheck {
  /** Its end is there, and of each block at least one copy begins where it should. `dbs validate` reads everything. */
  ok: boolean;
  /** `null` where nothing was found that could be counted. */
  health: PageHealth | null;
  problem: Problem | null;
}

/** Reads under way at once: a far server takes its time for each. */
const AT_ONCE = 8;

/** Looks at every record's page. @returns also the blocks of which no copy's page is where it should be */
export async function pageHealth(
  reader: ContainerReader,
  signal?: AbortSignal,
): Promise<{ health: PageHealth; gone: number }> {
  const health = { pages: 0, intact: 0, healable: 0, missing: 0 };
  const { layout, count } = reader.extent;
  const seen = new Uint8Array(count);
  const places = function* () {
    for (const { map, half } of reader.sources) for (const place of order(layout, count, half)) yield { map, ...place };
  };
  const next = places();
  const look = async () => {
    for (const { map, type, copy, sequence } of next) {
      signal?.throwIfAborted();
      health.pages++;
      const page = await pageAt(map.source, map.planned(type as RecordType, copy, sequence));
      if (page?.fields.type !== type || page.fields.sequence !== sequence) {
        health.missing++;
        continue;
      }
      if (page.decoded) health.healable++;
      else health.intact++;
      if (type === RecordType.DATA) seen[sequence] = 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, look));
  return { health, gone: seen.reduce((sum, one) => sum + (1 - one), 0) };
}

/** What is wrong with the backup is in the result. @throws SourceError where it cannot be read */
export async function quickCheck(source: ByteSource, signal?: AbortSignal): Promise<QuickCheck> {
  try {
    const reader = await ContainerReader.open([source], signal ? { signal } : {});
    const { health, gone } = await pageHealth(reader, signal);
    if (!reader.complete) throw reader.truncated();
    const problem =
      gone === 0
        ? null
        : {
            code: 'ERR_DAMAGE_BLOCKS',
            message: `Of ${gone} of its ${reader.extent.count} blocks neither copy is where it should be. \`dbs validate\` says whether they can be rebuilt.`,
          };
    return { ok: problem === null, health, problem };
  } catch (error) {
    if (!isVerdict(error)) throw error;
    return { ok: false, health: null, problem: { code: error.code, message: error.message } };
  }
}

function isVerdict(error: unknown): error is BackupError {
  return [DamageError, FormatError, TamperError, TruncatedError].some((type) => error instanceof type);
}
