/** Replaces what the registry declares sensitive, in a backup's items on their way: see docs/masking.md. */
import { randomBytes } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import type {
  BackupItem,
  BackupSchema,
  EndItem,
  FileMeta,
  RowsItem,
  SkippedSource,
  TableSchema,
} from '../../format/items.ts';
import type { DialectName } from '../convert/index.ts';
import { discoverModel } from '../discovery.ts';
import type { Cell } from '../driver.ts';
import { FileCollector } from '../file-collector.ts';
import type { OrmLike } from '../orm-like.ts';
import { checkRegistry, type RegistryConfig } from '../registry.ts';
import { RowLines } from '../row-lines.ts';
import type { FileColumn } from '../selection.ts';
import { type SensitiveColumn, sensitiveColumns } from './columns.ts';
import { Pseudonyms } from './pseudonyms.ts';
import { type CellMask, maskOf } from './rules.ts';

export interface MaskerOptions {
  /** Which fields are sensitive, and how each is masked. */
  registry?: RegistryConfig;
  /**
   * The same seed masks the same value alike, in every backup. Whoever has it can try guesses. Default: a new random one,
   * that nobody keeps.
   */
  seed?: string | undefined;
}

/** Data in one item, at most: items.ts. */
const MAX_DATA = 1 << 20;

interface MaskedTable {
  lines: RowLines;
  cells: { cell: number; mask: CellMask; files?: FileColumn }[];
  /** Generated columns: the target computes them, and they may show what was masked. */
  generated: number[];
}

/**
 * Items in, items out (items.ts), with other values in sensitive columns. NULL stays NULL, equal values stay equal, unique
 * ones unique, lengths and types what the column takes. Files that sensitive fields name are left out, and so is their
 * mention among what was skipped. Fails rather than letting anything through.
 *
 * Memory: two items and the rows in them; the names of sensitive files (see FileCollector).
 *
 * @throws ConfigError ERR_CONFIG_NOTHING_TO_MASK, ERR_CONFIG_MASK_KEY, ERR_CONFIG_MASK_TYPE, ERR_CONFIG_MASK_UNIQUE,
 *   ERR_CONFIG_MASK_NULL, ERR_CONFIG_MASK_FILE_ROOT, ERR_CONFIG_MASK_FUNCTION: by the stream
 * @example
 * await pipeline(createRowSource(orm, { registry }), createMasker(orm, { registry, seed }), serializer, ...)
 */
export class Masker extends Transform {
  /** `Entity.property` of all that is masked; complete when the first item came out. */
  readonly fields: string[] = [];
  readonly #orms: OrmLike[];
  readonly #registry: RegistryConfig;
  readonly #names: Pseudonyms;
  readonly #tables = new Map<number, MaskedTable>();
  readonly #files = new FileCollector();
  /** Streams of files that are left out. */
  readonly #left = new Set<number>();
  #missing = { files: 0, bytes: 0 };

  constructor(orms: OrmLike | OrmLike[], { registry, seed }: MaskerOptions = {}) {
    super({ objectMode: true, highWaterMark: 2 });
    this.#orms = [orms].flat();
    this.#registry = checkRegistry(registry ?? {});
    this.#names = new Pseudonyms(seed ?? randomBytes(32));
  }

  override _transform(item: BackupItem, _: BufferEncoding, done: TransformCallback): void {
    this.#take(item).then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#files.close().then(
      () => done(error),
      (later) => done(error ?? later),
    );
  }

  async #take(item: BackupItem): Promise<void> {
    switch (item.type) {
      case 'schema':
        this.push({ type: 'schema', schema: this.#begin(item.schema) });
        return;
      case 'rows':
        return this.#rows(item);
      case 'entity-end':
        this.#tables.get(item.stream)?.lines.end();
        this.push(item);
        return;
      case 'file-begin':
        if (this.#isSensitive(item.file)) this.#left.add(item.stream);
        else this.push(item);
        return;
      case 'file-data':
        if (!this.#left.has(item.stream)) this.push(item);
        return;
      case 'file-end':
        if (!this.#left.delete(item.stream)) this.push(item);
        else {
          this.#missing.files++;
          this.#missing.bytes += item.size;
        }
        return;
      case 'skipped':
        if (!this.#isSensitive(item.skipped)) this.push(item);
        return;
      case 'end':
        this.push(this.#end(item));
    }
  }

  #begin(schema: BackupSchema): BackupSchema {
    const found = sensitiveColumns(schema, discoverModel(this.#orms), this.#registry);
    for (const table of schema.tables) {
      const columns = found.get(table.stream);
      if (!columns?.length) continue;
      this.#tables.set(table.stream, this.#table(table, columns, schema.dialect as DialectName));
      this.fields.push(...columns.map(({ entity, property }) => `${entity}.${property}`));
    }
    return { ...schema, masked: [...new Set(this.fields)] };
  }

  #table(table: TableSchema, columns: SensitiveColumn[], dialect: DialectName): MaskedTable {
    return {
      lines: new RowLines(),
      cells: columns.map((column) => {
        const { cell, files, entity, property } = column;
        const from = `${entity}.${property}`;
        return {
          cell,
          mask: maskOf(column, dialect, this.#names),
          ...(files ? { files: { column: column.column, ...files, from } } : {}),
        };
      }),
      generated: table.columns.flatMap(({ generated }, i) => (generated ? [i] : [])),
    };
  }

  async #rows(item: RowsItem): Promise<void> {
    const table = this.#tables.get(item.stream);
    if (!table) {
      this.push(item);
      return;
    }
    const lines: string[] = [];
    for (const row of table.lines.push(item.data)) {
      await this.#mask(row, table);
      lines.push(JSON.stringify(row));
    }
    if (!lines.length) return;
    const data = Buffer.from(`${lines.join('\n')}\n`);
    for (let at = 0; at < data.length; at += MAX_DATA) {
      const piece = data.subarray(at, at + MAX_DATA);
      let count = 0;
      for (let end = piece.indexOf(10); end !== -1; end = piece.indexOf(10, end + 1)) count++;
      this.push({ type: 'rows', stream: item.stream, count, data: piece } satisfies RowsItem);
    }
  }

  async #mask(row: Cell[], { cells, generated }: MaskedTable): Promise<void> {
    for (const { cell, mask, files } of cells) {
      const value = row[cell] ?? null;
      if (files && (typeof value === 'string' || typeof value === 'number'))
        await this.#files.add(files, String(value));
      row[cell] = mask(value);
    }
    for (const cell of generated) row[cell] = null;
  }

  #isSensitive({ kind, root, path }: Pick<FileMeta | SkippedSource, 'kind' | 'root' | 'path'>): boolean {
    return kind !== 'root' && this.#files.has(kind, root, path);
  }

  #end(item: EndItem): EndItem {
    return {
      ...item,
      files: item.files - this.#missing.files,
      bytes: item.bytes - this.#missing.bytes,
      skipped: item.skipped.filter((one) => !this.#isSensitive(one)),
    };
  }
}

/** @see Masker */
export function createMasker(orms: OrmLike | OrmLike[], options?: MaskerOptions): Masker {
  return new Masker(orms, options);
}
