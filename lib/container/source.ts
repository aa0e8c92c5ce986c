/** Random access to the bytes of a container: the one thing that a reader asks of the world. */

/** Reads may come in any order and overlap. */
export interface ByteSource {
  /** For messages: no secrets. */
  readonly name: string;
  readonly size: number;
  /** Fills `into` from `offset` on; resolves to the bytes read: fewer at the end, none outside of it. @throws SourceError */
  read(offset: number, into: Buffer): Promise<number>;
  close(): Promise<void>;
}

/** A ByteSource over bytes. Holds no copy of them. */
export function bufferSource(bytes: Buffer, name = 'memory'): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, into) =>
      offset < 0 || offset >= bytes.length ? 0 : bytes.copy(into, 0, offset, offset + into.length),
    close: async () => {},
  };
}
