/** `inspectBackup`: what a file is, without a key and without reading all of it. */
import { survival } from './container/survival.ts';
import { readSlot } from './format/key-slot.ts';
import { MAJOR, MINOR, SEGMENT_HEAD, TAG } from './format/limits.ts';
import { pageHealth } from './quick-check.ts';
import { withReader } from './sources.ts';
import type { BackupSource, InspectReport, ReadOptions } from './types.ts';

/** Reads every record's page, 4 KiB of each megabyte. @throws as `validateBackup` */
export function inspectBackup(source: BackupSource, options: ReadOptions = {}): Promise<InspectReport> {
  return withReader(source, options, async (reader) => {
    const { extent, fileId, headers } = reader;
    const { count, lastLength } = extent;
    return {
      type: 'inspection',
      source: reader.name,
      bytes: reader.size,
      fileId: fileId.toString('hex'),
      version: `${MAJOR}.${MINOR}`,
      layout: extent.layout,
      blocks: count,
      groups: Math.ceil(count / 128),
      streamBytes: (count - 1) * 978_924 + lastLength - TAG - SEGMENT_HEAD,
      keySlots: headers[0]!.slots
        .map(readSlot)
        .map((slot) => (slot.kind === 'passphrase' ? { kind: slot.kind, kdf: slot.kdf } : { kind: slot.kind })),
      survives: survival(extent),
      health: (await pageHealth(reader, options.signal)).health,
    };
  });
}
