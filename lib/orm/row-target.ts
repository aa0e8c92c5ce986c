/**
 * BackupItems back into a database and into files: all of them or none.
 *
 * @see row-source.ts
 */
import { Writable } from 'node:stream';
import { RestoreError } from '../errors.ts';
import type { BackupItem, BackupSchema, EndItem, EntityEndItem, RowsItem, SequenceSchema } from '../format/items.ts';
import { type DialectName, dialects } from './convert/index.ts';
import { openModel } from './database.ts';
import type { RestoreWriter, TablePlan, TableWriter } from './driver.ts';
import { FileTarget } from './file-target.ts';
import type { OrmLike } from './orm-like.ts';
import { checkRegistry, type RegistryConfig } from './registry.ts';
import { parseRows, RowLines } from './row-lines.ts';
import { convertCounters, countedCells } from './target-counters.ts';
import { danglingError, notEmpty, outOfOrder, stopped, wrongCount } from './target-errors.ts';
import type { RestoreCounts, RowTargetOptions } from './target-options.ts';
import { planRestore, type RestorePlan } from './target-plan.ts';
import { TableRows } from './target-rows.ts';
import { WantedFiles } from './wanted-files.ts';

export type { RestoreCounts, RowTargetOptions, TableCounts } from './target-options.ts';

interface OpenTable {
  /** Absent where `only` or `except` leaves the table out. */
  writer?: TableWriter;
  through?: TableRows;
  lines: RowLines;
  rows: number;
  ended: boolean;
}

/**
 * Consumes items in the order of items.ts. One transaction holds all rows, files wait beside their places; both become
 * visible when the stream finishes, and only if the `end` item was seen. Destroying the stream takes everything back.
 *
 * Not covered by that promise: files are renamed right after COMMIT. If one of those renames fails, the error is
 * ERR_FILES_NOT_PLACED, the rows are restored, and restoring again mends it.
 *
 * Memory: two items and the rows in them, or three times the largest row.
 *
 * @example
 * const target = createRowTarget(orm, { mode: 'flush' });
 * await pipeline(..., deserializer, target);
 * const { tables, files } = await target.result;
 */
export class RowTarget extends Writable {
  /** Settles when the stream has finished or failed. Never an unhandled rejection. */
  readonly result: Promise<RestoreCounts>;
  readonly #orms: OrmLike | OrmLike[];
  readonly #options: RowTargetOptions & { registry: RegistryConfig; mode: 'merge' | 'flush' };
  readonly #files: FileTarget;
  readonly #tables = new Map<number, OpenTable>();
  #counts: RestoreCounts;
  #settle!: { done: (counts: RestoreCounts) => void; fail: (error: unknown) => void };
  #schema: BackupSchema | undefined;
  #writer: RestoreWriter | undefined;
  #wanted: WantedFiles | undefined;
  #plan: RestorePlan | undefined;
  #dialects: { from: DialectName; to: DialectName } | undefined;
  #end: EndItem | undefined;
  #seen = { rows: 0, files: 0, bytes: 0 };
  /** Ends the waiting for a lock. */
  readonly #stop = new AbortController();
  /** The step that is under way: `destroy` waits for it before it takes things back. */
  #step: Promise<unknown> = Promise.resolve();

  constructor(orms: OrmLike | OrmLike[], options: RowTargetOptions = {}) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#orms = orms;
    const registry = checkRegistry(options.registry ?? {});
    this.#options = { ...options, registry, mode: options.mode ?? 'merge' };
    this.#files = new FileTarget(registry, (file) => !this.#wanted || this.#wanted.has(file));
    this.#counts = {
      dryRun: options.dryRun === true,
      tables: [],
      files: this.#files.counts,
      drift: [],
      refused: null,
      dangling: [],
      migrations: { onlyInBackup: [], onlyInTarget: [] },
    };
    this.result = new Promise((done, fail) => {
      this.#settle = { done, fail };
    });
    this.result.catch(() => {});
    const { signal } = options;
    if (signal?.aborted) this.destroy(signal.reason);
    else if (signal) {
      const abort = () => this.destroy(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      this.once('close', () => signal.removeEventListener('abort', abort));
    }
  }

  override _write(item: BackupItem, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#track(this.#take(item), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#track(this.#finish(), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stop.abort();
    this.#step
      .then(() => this.#undo())
      .then(
        () => {
          this.#settle.fail(error ?? stopped());
          done(error);
        },
        (later) => {
          this.#settle.fail(error ?? later);
          done(error ?? later);
        },
      );
  }

  #track(work: Promise<void>, done: (error?: Error | null) => void): void {
    this.#step = work.then(
      () => done(),
      (error) => done(error),
    );
  }

  async #take(item: BackupItem): Promise<void> {
    if (this.#end || (item.type === 'schema') !== (this.#schema === undefined)) throw outOfOrder(item.type);
    switch (item.type) {
      case 'schema':
        return this.#begin(item.schema);
      case 'rows':
        return this.#rows(item);
      case 'entity-end':
        return this.#entityEnd(item);
      case 'file-begin':
        return this.#files.begin(item);
      case 'file-data':
        return this.#files.data(item);
      case 'file-end':
        this.#seen.files++;
        this.#seen.bytes += item.size;
        return this.#files.end(item);
      case 'skipped':
        return;
      case 'end':
        this.#end = item;
    }
  }

  async #begin(schema: BackupSchema): Promise<void> {
    this.#schema = schema;
    if (schema.kind !== 'database')
      throw new RestoreError(
        'ERR_RESTORE_NOT_A_DATABASE',
        'The backup holds a sealed stream, not a database. Unseal it instead of restoring it.',
      );
    const { driver, model } = await openModel(this.#orms);
    const from = requireKnown(schema);
    const sides = { from, to: driver.dialect };
    const writer = await driver.openWriter(this.#stop.signal);
    this.#writer = writer;
    const plan = await planRestore(schema, model, writer, sides, this.#options);
    const { plans, drift, refusal } = plan;
    this.#plan = plan;
    this.#dialects = sides;
    this.#counts.drift = drift;
    if (refusal) this.#counts.refused = { code: refusal.code, message: refusal.message };
    const mine = (await writer.migrations(model.migrations)) ?? [];
    const theirs = schema.migrations?.names ?? [];
    this.#counts.migrations.onlyInBackup = theirs.filter((name) => !mine.includes(name));
    this.#counts.migrations.onlyInTarget = mine.filter((name) => !theirs.includes(name));
    const { mode, allowTriggers } = this.#options;
    await writer.begin({ mode, plans, server: schema.server, allowTriggers });
    if (this.#options.only || this.#options.except)
      this.#wanted = new WantedFiles(model, this.#options.registry, plans, this.#options.only !== undefined);
    for (const { stream } of schema.tables) {
      const plan = plans.find(({ source }) => source.stream === stream);
      const table: OpenTable = { lines: new RowLines(), rows: 0, ended: false };
      if (plan) {
        table.writer = await writer.table(plan);
        table.through = this.#through(plan);
      }
      if (table.writer?.before && this.#options.requireEmpty) throw notEmpty(plan!.target.table);
      this.#tables.set(stream, table);
    }
  }

  #through(plan: TablePlan): TableRows {
    const { allowDrift, allowLossy } = this.#options;
    const mayLose = Boolean(allowDrift || allowLossy || this.#counts.refused);
    const { from, to } = this.#dialects!;
    return new TableRows(
      plan,
      this.#plan!.conversions.get(plan.source.stream)!,
      mayLose,
      from === to ? [] : countedCells(plan),
    );
  }

  async #rows({ stream, data, count }: RowsItem): Promise<void> {
    const table = this.#table(stream);
    table.rows += count;
    if (!table.writer) return;
    const lines = table.lines.take(data);
    const asTheyAre = !this.#wanted && table.through?.idle !== false;
    if (lines && asTheyAre && (await table.writer.writeLines?.(lines, count))) return;
    const rows = lines ? parseRows(lines) : [];
    if (rows.length !== count) throw wrongCount(stream);
    await this.#wanted?.collect(stream, rows);
    table.through?.take(rows);
    await table.writer.write(rows);
  }

  async #entityEnd({ stream, rows }: EntityEndItem): Promise<void> {
    const table = this.#table(stream);
    if (table.rows !== rows) throw wrongCount(stream);
    table.lines.end();
    table.ended = true;
    this.#seen.rows += rows;
    if (!table.writer) return;
    const { table: name, entities } = this.#schema!.tables.find((one) => one.stream === stream)!;
    this.#counts.tables.push({ table: name, entities, ...(await table.writer.end()) });
  }

  #table(stream: number): OpenTable {
    const table = this.#tables.get(stream);
    if (!table || table.ended) throw outOfOrder(`rows of stream ${stream}`);
    return table;
  }

  async #finish(): Promise<void> {
    const { rows, files, bytes } = this.#seen;
    const whole = this.#end && [...this.#tables.values()].every(({ ended }) => ended);
    if (!whole || this.#end!.rows !== rows || this.#end!.files !== files || this.#end!.bytes !== bytes) {
      throw new RestoreError(
        'ERR_RESTORE_INCOMPLETE',
        'The backup ended before its END, or its totals do not fit what it holds. Validate it. Nothing was changed.',
        { facts: { seen: this.#seen } },
      );
    }
    const writer = this.#writer!;
    for (const { through } of this.#tables.values())
      if (through) this.#counts.drift.push(...through.count(this.#counts.drift));
    this.#counts.dangling = await writer.finish(this.#counters());
    if (this.#counts.dangling.length && !this.#options.allowDangling) throw danglingError(this.#counts.dangling);
    await this.#files.prepare();
    if (this.#options.dryRun) {
      await this.#undo();
    } else {
      await writer.commit();
      this.#writer = undefined;
      // From here on there is no way back: the rows are there.
      await this.#files.commit().finally(() => writer.close());
    }
    this.#settle.done(this.#counts);
  }

  #counters(): SequenceSchema[] {
    const recorded = this.#schema!.sequences ?? [];
    const { from, to } = this.#dialects!;
    if (from === to) return recorded;
    const through = [...this.#tables].flatMap(([stream, table]) =>
      table.through ? [[stream, table.through] as const] : [],
    );
    return convertCounters(recorded, this.#plan!.plans, new Map(through), { from, to });
  }

  async #undo(): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    await this.#files.abort();
    await this.#wanted?.close();
    await writer?.rollback();
    await writer?.close();
  }
}

/** @throws RestoreError ERR_RESTORE_DIALECT where nobody here can read the rows */
function requireKnown({ dialect, tables }: BackupSchema): DialectName {
  const encoding = dialect === 'sqlite' ? 'sqlite-typed' : 'text';
  if (dialect !== undefined && dialect in dialects && tables.every((table) => table.encoding === encoding))
    return dialect as DialectName;
  throw new RestoreError(
    'ERR_RESTORE_DIALECT',
    `The backup is of a ${dialect} database, and this version cannot read its rows. A newer version wrote it: update mikro-orm-dbs. Nothing was changed.`,
    { facts: { backup: dialect } },
  );
}

/** @see RowTarget */
export function createRowTarget(orms: OrmLike | OrmLike[], options?: RowTargetOptions): RowTarget {
  return new RowTarget(orms, options);
}
