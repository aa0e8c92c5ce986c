/**
 * A database, and the files that its rows name, as one ordered sequence of BackupItems.
 *
 * @see row-target.ts
 */
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { BackupItem, BackupSchema, EndItem, RowsItem, SkippedSource, TableSchema } from '../format/items.ts';
import { openModel } from './database.ts';
import type { SnapshotReader } from './driver.ts';
import { FileCollector } from './file-collector.ts';
import { fileItems } from './file-items.ts';
import { type OrmLike, ormMajor } from './orm-like.ts';
import { checkRegistry, type RegistryConfig } from './registry.ts';
import { requireRestorable } from './row-limit.ts';
import { requireTable, selectColumns, selectTables, type TableSelection } from './selection.ts';

export interface RowSourceOptions {
  registry?: RegistryConfig;
  /** Aborting destroys the stream with the signal's reason, ends the transaction and releases the connection. */
  signal?: AbortSignal;
  /** Name and version of the program, for the SCHEMA frame. */
  tool?: string;
  /** Absolute paths of files that are passed over in file roots: the backup that is being written, say. */
  ignorePaths?: string[];
}

/** Data in one item, at most: items.ts. */
const MAX_DATA = 1 << 20;

interface PlannedTable {
  schema: TableSchema;
  selection: TableSelection;
}

/**
 * Emits `schema`, then for each table `rows`* and `entity-end`, then the files, then `end` (items.ts).
 *
 * All rows show ONE state of the database: they are read in one transaction, on a connection of its own, which is
 * given back before the files are read. Sources that cannot be read become `skipped` items and never fail the stream.
 *
 * Memory: two items of about 256 KiB, three times the largest row, and the file keys (see FileCollector).
 *
 * @example
 * await pipeline(createRowSource(orm, { registry }), serializer, ...)
 */
export class RowSource extends Readable {
  /** What the operator should know; complete when the first item was read. */
  readonly notes: string[] = [];
  readonly #orms: OrmLike | OrmLike[];
  readonly #options: RowSourceOptions;
  readonly #items: AsyncGenerator<BackupItem>;
  /** Stops what would otherwise keep `destroy` waiting: file reads, and waiting for a lock. */
  readonly #stop = new AbortController();
  #pending: Promise<unknown> = Promise.resolve();

  constructor(orms: OrmLike | OrmLike[], options: RowSourceOptions = {}) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#orms = orms;
    this.#options = { ...options, registry: checkRegistry(options.registry ?? {}) };
    this.#items = this.#run();
    const { signal } = options;
    if (signal?.aborted) this.destroy(signal.reason);
    else if (signal) {
      const abort = () => this.destroy(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      this.once('close', () => signal.removeEventListener('abort', abort));
    }
  }

  /** Typed: `for await (const item of source)`. */
  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<BackupItem> {
    return super[Symbol.asyncIterator]();
  }

  override _read(): void {
    this.#pending = this.#items.next().then(
      ({ done, value }) => {
        if (!this.destroyed) this.push(done ? null : value);
      },
      (error) => {
        this.destroy(error);
      },
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stop.abort();
    // The generator's `finally` blocks close what is open, as soon as its current step ends.
    this.#pending
      .then(() => this.#items.return(undefined))
      .then(
        () => done(error),
        (later) => done(error ?? later),
      );
  }

  async *#run(): AsyncGenerator<BackupItem> {
    const { driver, model } = await openModel(this.#orms);
    const registry = this.#options.registry!;
    const selected = selectTables(model, registry);
    const skipped: SkippedSource[] = [];
    const collector = new FileCollector();
    const end: EndItem = { type: 'end', rows: 0, files: 0, bytes: 0, skipped };
    let stream = 0;
    try {
      const reader = await driver.openReader(this.#stop.signal);
      try {
        const tables: PlannedTable[] = [];
        const found = await reader.describe(selected);
        this.notes.push(...reader.notes);
        for (const [i, table] of selected.entries()) {
          for (const catalog of requireTable(table, found[i]!)) {
            const selection = selectColumns(table, catalog);
            const { kind: _, columns: __, table: name, schema, primaryKey, unique, foreignKeys } = catalog;
            tables.push({
              selection,
              schema: {
                stream: ++stream,
                ...(schema === undefined ? {} : { schema }),
                table: name,
                entities: table.entities,
                ...(table.pivot ? { pivot: true } : {}),
                encoding: reader.encoding,
                columns: selection.columns,
                primaryKey,
                ...(unique.length ? { unique } : {}),
                foreignKeys,
              },
            });
          }
        }
        const migrations = await reader.migrations(model.migrations);
        const schemas = tables.map(({ schema }) => schema);
        const schema: BackupSchema = {
          kind: 'database',
          created: new Date().toISOString(),
          tool: this.#options.tool ?? 'mikro-orm-dbs',
          dialect: driver.dialect,
          server: reader.server,
          orm: `MikroORM ${ormMajor(Array.isArray(this.#orms) ? this.#orms[0]! : this.#orms)}`,
          tables: schemas,
          sequences: await reader.sequences(schemas),
          ...(migrations ? { migrations: { table: model.migrations.table, names: migrations } } : {}),
        };
        yield { type: 'schema', schema };
        for (const table of tables) {
          let rows = 0;
          for await (const item of this.#rows(reader, table, collector)) {
            rows += item.count;
            yield item;
          }
          end.rows += rows;
          yield { type: 'entity-end', stream: table.schema.stream, rows };
        }
      } finally {
        await reader.close();
      }
      const context = { registry, ignorePaths: this.#options.ignorePaths ?? [], signal: this.#stop.signal };
      for await (const item of fileItems(collector, context, () => ++stream)) {
        if (item.type === 'skipped') skipped.push(item.skipped);
        if (item.type === 'file-end') {
          end.files++;
          end.bytes += item.size;
        }
        yield item;
      }
      yield end;
    } finally {
      await collector.close();
    }
  }

  async *#rows(reader: SnapshotReader, table: PlannedTable, collector: FileCollector): AsyncGenerator<RowsItem> {
    const { stream } = table.schema;
    const { files } = table.selection;
    const keyColumns = files.map(({ column }) => column);
    for await (const batch of reader.rows(table.schema, keyColumns.length ? { keyColumns } : {})) {
      requireRestorable(table.schema.table, batch.data.length);
      // The SQLite modules are synchronous: without this pause, signals and timers would wait for the whole table.
      await setImmediate();
      for (const row of batch.keys ?? []) {
        for (let i = 0; i < row.length; i++) {
          const full = collector.add(files[i]!, row[i]!);
          if (full) await full;
        }
      }
      if (batch.data.length <= MAX_DATA) {
        yield { type: 'rows', stream, count: batch.count, data: batch.data };
        continue;
      }
      for (let at = 0; at < batch.data.length; at += MAX_DATA) {
        const data = batch.data.subarray(at, at + MAX_DATA);
        yield { type: 'rows', stream, count: countLines(data), data };
      }
    }
  }
}

function countLines(data: Buffer): number {
  let count = 0;
  for (let at = data.indexOf(10); at !== -1; at = data.indexOf(10, at + 1)) count++;
  return count;
}

/** @see RowSource */
export function createRowSource(orms: OrmLike | OrmLike[], options?: RowSourceOptions): RowSource {
  return new RowSource(orms, options);
}
