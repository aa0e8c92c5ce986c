/** Checking a backup, read-only: `validateBackup`, and the same examination as restore's first pass. */
import { Writable } from 'node:stream';
import { checkBlocks, isDamaged, newTally, type Tally } from './container/check.ts';
import type { OpenedKeys } from './container/keys.ts';
import type { ContainerReader } from './container/reader.ts';
import { type BackupError, DamageError, FormatError, TamperError, TruncatedError } from './errors.ts';
import type { BackupItem } from './format/items.ts';
import { Progress } from './progress.ts';
import { readItems, readingPool } from './reading.ts';
import { openKeys, withReader } from './sources.ts';
import { StreamReader } from './stream-reader.ts';
import { summarize } from './summary.ts';
import type { BackupSource, OpeningSecret, ReadOptions, ValidationReport } from './types.ts';

/**
 * Reads the whole of a backup and says what state it is in. Without a secret: structure, hashes, row CRCs of both copies, parity. With one: every
 * block's authentication too, and the stream down to its totals.
 *
 * Memory: flat, see `ContainerReader`. What is wrong with the backup is in the report; errors are thrown for what is no backup or cannot
 * be read: SourceError; FormatError ERR_FORMAT_NOT_DBS, ERR_FORMAT_NEWER, ERR_FORMAT_SEVERAL; WrongPassphraseError; NoKeyMatchError.
 */
export function validateBackup(
  source: BackupSource,
  secret?: OpeningSecret,
  options: ReadOptions = {},
): Promise<ValidationReport> {
  return withReader(source, options, async (reader) => {
    const keys = secret === undefined ? null : await openKeys(reader, secret);
    return (await examine(reader, keys, options, true)).report;
  });
}

/** The report, and the error that a restore ends with if it is not ok. */
export interface Examination {
  report: ValidationReport;
  error: BackupError | null;
}

/** @param everySource look at all of the other copies (`with`), too, and not only at what this one needs of them */
export async function examine(
  reader: ContainerReader,
  keys: OpenedKeys | null,
  options: ReadOptions,
  everySource = false,
): Promise<Examination> {
  const tally = newTally(reader.fileId);
  const pool = readingPool();
  const progress = new Progress(keys ? 'verify' : 'check', options.onEvent, reader.size);
  const totals = new Totals();
  const { maps } = reader.blocks;
  const looked = everySource ? maps : maps.slice(0, 1);
  const perBlock = reader.size / reader.extent.count;
  const blocks = async function* () {
    for await (const block of checkBlocks(reader, tally, () => pool.take(), looked)) {
      options.signal?.throwIfAborted();
      progress.add(perBlock);
      yield block;
    }
  };
  let error: BackupError | null = null;
  try {
    if (keys) await readItems(blocks(), reader, keys, totals, options.signal);
    else for await (const block of blocks()) block.slot.release();
  } catch (cause) {
    if (!isVerdict(cause)) throw cause;
    error = cause;
  }
  progress.done();
  const touched = keys && tally.lost.length > 0 ? await new StreamReader(reader, keys).touched(tally.lost) : null;
  if (touched && error instanceof DamageError) error = reader.damage(tally.lost, touched);
  return { report: reportOf(reader, tally, keys, totals, touched, error), error };
}

/** Errors that are a finding about the backup, and not a failure to look at it. */
function isVerdict(error: unknown): error is BackupError {
  return (
    error instanceof DamageError ||
    error instanceof TamperError ||
    error instanceof TruncatedError ||
    error instanceof FormatError
  );
}

/** Takes items and keeps their totals. */
class Totals extends Writable {
  totals: ValidationReport['totals'] = null;

  constructor() {
    super({ objectMode: true, highWaterMark: 1 });
  }

  override _write(item: BackupItem, _encoding: BufferEncoding, callback: () => void): void {
    if (item.type === 'end')
      this.totals = { rows: item.rows, files: item.files, bytes: item.bytes, skipped: item.skipped.length };
    callback();
  }
}

function reportOf(
  reader: ContainerReader,
  tally: Tally,
  keys: OpenedKeys | null,
  { totals }: Totals,
  touched: ValidationReport['touched'],
  error: BackupError | null,
): ValidationReport {
  const { extent, fileId } = reader;
  const { copyA, copyB, outerParity, tables, rebuilt } = tally;
  const foreignBytes = reader.foreignBytes;
  const report: Omit<ValidationReport, 'summary'> = {
    type: 'validation',
    ok: error === null,
    damaged: isDamaged(tally) || error !== null || foreignBytes !== 0,
    source: reader.name,
    bytes: reader.size,
    fileId: fileId.toString('hex'),
    layout: extent.layout,
    blocks: extent.count,
    groups: Math.ceil(extent.count / 128),
    copyA,
    copyB,
    outerParity,
    tables,
    rebuilt,
    foreignBytes,
    lost: tally.lost.map((block) => reader.lostBlock(block)),
    touched,
    authentic: keys ? error === null : null,
    problem: error && { code: error.code, message: error.message },
    totals,
  };
  // Not enumerable, so that the report is plain JSON.
  return Object.defineProperty(report, 'summary', { value: () => summarize(report) }) as ValidationReport;
}
