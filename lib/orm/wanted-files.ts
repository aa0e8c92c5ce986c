/** With `only` and `except`: the files that belong to what is restored. */
import type { FileMeta } from '../format/items.ts';
import type { Model } from './discovery.ts';
import type { Cell, TablePlan } from './driver.ts';
import { FileCollector } from './file-collector.ts';
import type { RegistryConfig } from './registry.ts';
import { type FileColumn, selectColumns, selectTables } from './selection.ts';

/** Files that restored rows name, by the TARGET's registry; file roots belong to everything but a list of `only`. */
export class WantedFiles {
  readonly #collector = new FileCollector();
  readonly #columns = new Map<number, { cell: number; column: FileColumn }[]>();
  readonly #roots: boolean;

  /** @param only whether the restore names what it wants, rather than what it does not */
  constructor(model: Model, registry: RegistryConfig, plans: TablePlan[], only: boolean) {
    this.#roots = !only;
    const selected = selectTables(model, registry);
    for (const { source, target } of plans) {
      const table = selected.find((one) => one.table.toLowerCase() === target.table.toLowerCase());
      if (!table) continue;
      const files = selectColumns(table, target).files.map((column) => ({
        cell: source.columns.findIndex(({ name }) => name.toLowerCase() === column.column.toLowerCase()),
        column,
      }));
      this.#columns.set(
        source.stream,
        files.filter(({ cell }) => cell !== -1),
      );
    }
  }

  async collect(stream: number, rows: Cell[][]): Promise<void> {
    const columns = this.#columns.get(stream);
    if (!columns?.length) return;
    for (const row of rows) {
      for (const { cell, column } of columns) {
        const value = row[cell];
        if (typeof value === 'string' || typeof value === 'number') await this.#collector.add(column, String(value));
      }
    }
  }

  has({ kind, root, path }: FileMeta): boolean {
    return kind === 'root' ? this.#roots : this.#collector.has(kind, root, path);
  }

  close(): Promise<void> {
    return this.#collector.close();
  }
}
