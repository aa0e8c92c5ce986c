/** A destination that behaves as a bucket does: nothing can be read back before it has its name. It counts what is asked of it, and fails as told. */
import { SinkError } from '../../lib/errors.ts';
import { MemoryDestination } from '../../lib/sinks/memory.ts';
import type { ByteSource, Destination, Sink, StoredFile, UnfinishedFile } from '../../lib/sinks/sink.ts';

export class Bucket implements Destination {
  readonly name = 'bucket:';
  readonly memory = new MemoryDestination({ readsBack: false });
  /** Bytes that were read, and the largest single read. */
  read = { bytes: 0, largest: 0 };
  log: string[] = [];
  closed = 0;
  leftovers: UnfinishedFile[] = [];
  /** Names that cannot be removed. */
  locked = new Set<string>();
  /** Called before a finished file is read afresh: may damage it. */
  beforePublished: ((name: string) => Promise<void>) | undefined;

  sink(name: string, options: { force?: boolean } = {}): Sink {
    const sink = this.memory.sink(name, options);
    return {
      name: `bucket:${name}`,
      create: async () => {
        const writer = await sink.create();
        return {
          stream: writer.stream,
          finish: async () => {
            await writer.finish();
            this.log.push(`finish ${name}`);
          },
          abort: () => writer.abort(),
          published: async () => {
            await this.beforePublished?.(name);
            return this.open(name);
          },
          withdraw: async () => {
            this.log.push(`withdraw ${name}`);
            await this.memory.remove(name);
          },
        };
      },
    };
  }

  async open(name: string): Promise<ByteSource> {
    const source = await this.memory.open(name);
    return {
      ...source,
      name: `bucket:${name}`,
      read: (offset, into) => {
        this.read.bytes += into.length;
        this.read.largest = Math.max(this.read.largest, into.length);
        return source.read(offset, into);
      },
    };
  }

  stat(name: string): Promise<StoredFile | null> {
    return this.memory.stat(name);
  }

  list(): AsyncIterable<StoredFile> {
    return this.memory.list();
  }

  async *unfinished(): AsyncGenerator<UnfinishedFile> {
    yield* this.leftovers;
  }

  async remove(name: string): Promise<void> {
    if (this.locked.has(name)) throw new SinkError('ERR_SINK_DENIED', `bucket:${name} is locked.`);
    this.log.push(`remove ${name}`);
    await this.memory.remove(name);
  }

  async close(): Promise<void> {
    this.closed++;
  }

  /** Puts bytes there as they are. */
  async put(name: string, bytes: Buffer): Promise<void> {
    const writer = await this.memory.sink(name, { force: true }).create();
    await new Promise<void>((resolve) => writer.stream.end(bytes, () => resolve()));
    await writer.finish();
  }

  async get(name: string): Promise<Buffer> {
    const source = await this.memory.open(name);
    const bytes = Buffer.alloc(source.size);
    await source.read(0, bytes);
    return bytes;
  }
}
